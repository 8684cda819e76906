// The tour: five scenes, from "what is a step" to "likelihood is not looks". A scene says what its state shows.

import { against, bits, button, count, h, set, steps } from "./dom.js";
import { DP } from "./model.js";
import { noiseAt } from "./view.js";
import { worded } from "./words.js";

const UNSEEN = 4; // log-SNR above which the noise is less than 1/14 of the range from black to white

/** `panels`: what is shown. `budget`: the K it begins with. `say`: sentences, from a view. */
const TOUR = [
  {
    title: "What is a step?",
    panels: ["film"],
    budget: 8,
    say: ({ model, films, state: { K } }) => [
      "A {diffusion model} starts from pure noise. In one {step}, the network guesses the clean image, and the " +
        "image moves part of the way towards that guess.",
      `This model learned ${count(model.T)} {timestep|timesteps} of noise. ` +
        `${films ? "The film takes" : "A path may take"} only ${steps(K)}: every step is one use of the network, ` +
        `so it is ${Number((model.T / K).toPrecision(3))} times as fast as all of them.`,
      films
        ? "The columns start from the same noise. They differ only in {path|where they stop}."
        : "Where it stops on the way is its {path}: that is what can be chosen.",
    ],
  },
  {
    title: "What does a step cost?",
    panels: ["ruler", "bars"],
    budget: 8,
    say: ({ model, rows: [{ name, path, steps: each, bits: total }], state: { K } }) => {
      const most = each.indexOf(Math.max(...each));
      return [
        "A step is a bet on what the less noisy image looks like. Its {price} is what the bet loses: more if " +
          "it removes much noise at once, and more if the network guesses badly there.",
        `Prices add up. ${K === 1 ? "One step costs" : `These ${steps(K)} (${name}) cost`} ${bits(total)} ` +
          `{bits/dim}${model.levels === null ? "" : ": that many bits write down each number of a new image"}.`,
        `The most expensive step, from ${noiseAt(model, path[most + 1])} to ${noiseAt(model, path[most])}, ` +
          `costs ${bits(each[most])}${shareOf(each[most], total)}.`,
      ];
    },
  },
  {
    title: "Where should the steps be?",
    panels: ["ruler", "bars"],
    budget: 8,
    say: ({ model, rows: [best, other], state: { K } }) => [
      `The {DP} finds the path of ${steps(K)} that is the cheapest for the {training images}. ` +
        `${pricedOn(model)} it costs ${bits(best.bits)} bits/dim: ` +
        `${against(best.bits - other.bits, `${other.name} steps`)}${dearer(model, best, other)}.`,
      K === 1
        ? "With one step there is no stop on the way, and nothing to choose."
        : `Its last stop before the image is at ${noiseAt(model, best.path[1])}; ` +
          `that of ${other.name} steps is at ${noiseAt(model, other.path[1])}.`,
      `Its most expensive step costs ${bits(Math.max(...best.steps))}, that of ${other.name} steps ` +
        `${bits(Math.max(...other.steps))}.`,
    ],
  },
  {
    title: "All budgets at once",
    panels: ["curve"],
    budget: 32,
    say: ({ model, family, state: { K, rival } }) => {
      const [best, other] = [family.bits[DP], family.bits[rival]];
      const enough = best.findIndex((each) => each <= other[K - 1] + 0.0005) + 1;
      return [
        "One search gives the path with the highest {ELBO}, on the {training images}, for every {budget}. Each point " +
          "of the DP's curve is another path.",
        `With K = ${K}, the DP's path costs ${bits(best[K - 1])} bits/dim: ` +
          `${against(best[K - 1] - family.all.bits, `all ${count(model.T)} steps`)}.`,
        enough
          ? `What ${rival} steps reach with K = ${K}, the DP reaches with K = ${enough}.`
          : `No budget of the DP costs as little as ${rival} steps with K = ${K}.`,
      ];
    },
  },
  {
    title: "Likelihood is not looks",
    panels: ["film"],
    budget: 16,
    say: ({ model, films, rows: [best, other], state: { K } }) => {
      const unseen = films && model.logSnr[best.path[1]] > UNSEEN ? ", a difference that the eye hardly sees" : "";
      const beside = films?.paths.includes(other.name) ? " Look at the last frames: are its images better?" : "";
      const last = `its last step, from ${noiseAt(model, best.path[1])} to none${unseen}`;
      return [
        `Bits/dim counts ${model.levels === null ? "every digit" : "every grey level of every pixel"}. ` +
          `Of the DP's ${bits(best.bits)}, ${last}, costs ` +
          `${bits(best.steps[0])}${shareOf(best.steps[0], best.bits)}.`,
        `With ${steps(K)}, the DP's path costs ${against(best.bits - other.bits, `${other.name} steps`)}` +
          `${dearer(model, best, other)}.${beside}`,
        `A path that is best for likelihood need not be best for looks. Choose the measure first, then the path.`,
      ];
    },
  },
];

/** ": 45% of all"; of continuous data, bits can be negative, and have no share. */
function shareOf(part, whole) {
  return part > 0 && whole > 0 ? `: ${Math.round((100 * part) / whole)}% of all` : "";
}

/** Where held-out images were unlucky for the DP, why that can be. */
function dearer({ images }, best, other) {
  const surprising = images.heldOut !== null && best.bits - other.bits > 0.0005;
  return surprising ? "; on the training images, where it was chosen, it is the cheaper one" : "";
}

/** "On 360 held-out images", or where there are none "There". */
function pricedOn({ images }) {
  return images.heldOut === null ? "There" : `On ${count(images.heldOut)} {held-out} images`;
}

/** The panels that the tour shows now. */
export function panelsOf({ scene }) {
  return TOUR[scene - 1].panels;
}

/** The changes that open a scene: with films, the nearest budget that was recorded. */
export function sceneState(scene, { model, variance }, models) {
  const { budget, panels } = TOUR[scene - 1];
  const { films, budgets } = models.get(model);
  const filmed = films && panels.includes("film");
  const near = (best, K) => (Math.abs(K - budget) < Math.abs(best - budget) ? K : best);
  const K = filmed ? films.budgets.reduce(near) : Math.min(budget, budgets);
  return { scene, K, said: 0, rival: "even", variance: filmed ? films.family : variance };
}

export function sceneCard(act) {
  const title = h("h2");
  const place = h("p", { class: "place" });
  const text = h("div", { class: "sentences" });
  const back = button("Back", () => act.scene(-1));
  const on = button("Next", () => act.scene(1), { class: "primary" });
  const buttons = h("div", { class: "buttons" }, back, on);
  const element = h("section", { class: "card scene", "aria-label": "The tour" }, place, title, text, buttons);

  function draw(view) {
    const { state } = view;
    if (state.view !== "tour") return;
    const { title: name, say } = TOUR[state.scene - 1];
    const sentences = say(view).slice(0, state.lecture ? state.said + 1 : undefined);
    title.textContent = name;
    place.textContent = `${state.scene} of ${TOUR.length}`;
    worded(text, sentences);
    set(back, { "aria-disabled": String(state.scene === 1 && state.said === 0) });
    on.textContent = state.scene === TOUR.length && !covered(view) ? "Beat the DP" : "Next";
  }
  return { element, draw, text: () => `${title.textContent} ${text.textContent}` };
}

/** Whether a lecturer has sentences of this scene left to uncover. */
export function covered(view) {
  return view.state.lecture && view.state.said + 1 < TOUR[view.state.scene - 1].say(view).length;
}
