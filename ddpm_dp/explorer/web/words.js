// The words that have a definition, and how a sentence shows them: "{bits/dim}" or "{price|cost}".

import { h } from "./dom.js";

const WORDS = {
  "diffusion model":
    "A network trained to remove noise from images. Started on pure noise, and used again and again, it makes " +
    "a new image.",
  step:
    "One use of the network: from a noisy image at timestep t to a less noisy one at timestep s. It may cross " +
    "many timesteps at once.",
  timestep: "How noisy an image is, as a number from 0 (the image itself) to T (pure noise).",
  path: "The timesteps that are kept, from T down to 0. A path of K steps uses the network K times.",
  budget: "K, the number of steps that may be kept. Time to make an image grows with it.",
  price:
    "How many bits a step adds to the description of an image. It grows with the noise that the step removes, " +
    "and with the error of the network's guess there.",
  "bits/dim":
    "Bits that are needed to write down one number (a grey level of one pixel) of a new image, when the model " +
    "predicts it. Lower is better: a better prediction leaves less to write. It is the negative ELBO, divided " +
    "by d ln 2.",
  ELBO:
    "A lower bound on log p(image): how probable the model thinks real images are. Its negative, in bits/dim, is " +
    "what this page shows.",
  decoder:
    "The last step, from the least noisy timestep of the path to the image itself. It has to name every grey " +
    "level exactly.",
  prior:
    "What is left at T: how far the noisiest image is from pure noise. All paths pay it, and it is nearly " +
    "nothing.",
  DP:
    "Dynamic programming: it finds the cheapest path of every budget exactly, because the price of a path is a " +
    "sum over its steps.",
  even: "The same number of timesteps in every step.",
  quadratic: "Timesteps that grow as a square: short steps near the image.",
  "log-snr": "Equal steps in log-SNR: each divides the ratio of image to noise by the same number.",
  karras:
    "EDM's steps: equal in the seventh root of the noise, which makes them short near the image and long in heavy noise.",
  noise:
    "Standard deviation of the noise, compared with the image: in grey levels, where images have them. The " +
    "ruler shows its logarithm, which is log-SNR (how much more image than noise there is) but for sign and " +
    "scale.",
  "reverse variance":
    "How much fresh noise a step adds back. The model gives the middle of a step; this gives its width.",
  "held-out": "Images that were used neither to train the model nor to choose the path: the honest test.",
  "training images":
    "The images from which the DP chose its path. There, and only there, no path of the same budget can be " +
    "cheaper.",
};

/** The nodes of a sentence with its words. */
export function rich(sentence) {
  return sentence.split(/[{}]/).map((part, i) => {
    if (i % 2 === 0) return part;
    const [word, text = word] = part.split("|");
    return h("button", { type: "button", class: "word", "data-definition": WORDS[word] }, text);
  });
}

const saidBefore = new WeakMap(); // the sentences of an element: setting them anew would close an open definition

/** Fill an element with a paragraph for each sentence. */
export function worded(element, sentences) {
  const now = sentences.join("\n");
  if (saidBefore.get(element) === now) return;
  saidBefore.set(element, now);
  element.replaceChildren(...sentences.map((each) => h("p", {}, ...rich(each))));
}

let boxes = 0; // on the page: each has a name of its own

/** One box for all definitions below `root`: it opens on hover and focus, and Escape closes it. */
export function definitions(root) {
  const box = h("div", { class: "definition", role: "tooltip", id: `definition-${++boxes}`, hidden: true });
  function open({ target }) {
    if (!target.matches?.(".word")) return;
    target.setAttribute("aria-describedby", box.id);
    box.textContent = target.dataset.definition;
    box.hidden = false;
    const [at, page, own] = [target, root, box].map((element) => element.getBoundingClientRect());
    const left = Math.max(8, Math.min(at.left - page.left, page.width - own.width - 8));
    box.style.translate = `${left}px ${at.bottom - page.top + 6}px`;
  }
  function close() {
    box.hidden = true;
  }
  for (const event of ["mouseover", "focusin", "click"]) root.addEventListener(event, open);
  root.addEventListener("mouseout", ({ relatedTarget }) => box.contains(relatedTarget) || close());
  root.addEventListener("focusout", close);
  root.addEventListener("keydown", ({ key }) => key === "Escape" && close());
  return box;
}
