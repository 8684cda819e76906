// Films, recorded or drawn by a kernel. Frame i of a film of K steps shows x after i steps, and the guess that
// the i-th step made.

import { button, count, h, menu, set, steps } from "./dom.js";
import { bytesOf } from "./model.js";
import { pathOf } from "./state.js";
import { noiseAt } from "./view.js";

const KINDS = ["x", "guess"];
const PACE = { whole: 4000, least: 120, most: 500 }; // milliseconds of a film, and of one of its steps

const sheets = new WeakMap(); // of films: the picture that holds all their frames, once it is decoded

/** Decode films, unless they are; a promise of whether there are any that can be. */
export async function opened(films) {
  if (!films) return false;
  if (!sheets.has(films)) {
    const bytes = typeof films.sheet === "string" ? bytesOf(films.sheet) : films.sheet;
    const decoded = createImageBitmap(new Blob([bytes], { type: "image/webp" }));
    sheets.set(films, await decoded.catch(() => null));
  }
  return sheets.get(films) !== null;
}

/** Paint one frame, unless it is not decoded yet. `films.py` says how the sheet is laid out. */
function paint(canvas, films, [, height, width], { budget, path, seed, kind, frame }) {
  const sheet = sheets.get(films);
  if (!sheet) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const row = ((budget * films.paths.length + path) * films.seeds + seed) * KINDS.length + KINDS.indexOf(kind);
  canvas.getContext("2d").drawImage(sheet, frame * width, row * height, width, height, 0, 0, width, height);
}

/** Paint a noisy image near timestep t: of the longest film that was recorded. */
export function frameAt(model, t, canvas) {
  const { films } = model;
  const budget = films.budgets.length - 1;
  const path = model.families.get(films.family).path(films.paths[0], films.budgets[budget]);
  const near = path.reduce((best, each, i) => (Math.abs(each - t) < Math.abs(path[best] - t) ? i : best), 0);
  paint(canvas, films, model.shape, { budget, path: 0, seed: 0, kind: "x", frame: path.length - 1 - near });
}

export function filmPicture(act, host) {
  const shown = { frame: 0, seed: 0, K: null, films: undefined, recorded: undefined };
  let view = null;
  let timer = null;
  const columns = h("div", { class: "films" });
  const missing = h("p", { class: "missing" });
  const others = h("p", { class: "others" });
  const anew = host.draw ? [button("Draw new samples", act.film)] : [];
  const play = button("Play", () => (timer === null ? start() : stop()), { class: "play" });
  const scrub = h("input", { type: "range", min: 0, step: 1, "aria-label": "Step of the films" });
  set(scrub, { oninput: () => (stop(), go(Number(scrub.value))) });
  const noise = menu("Start from", (value) => {
    shown.seed = Number(value);
    paintAll();
  });
  const controls = h(
    "div",
    { class: "buttons" },
    play,
    button("Step", () => (stop(), go((shown.frame + 1) % (view.state.K + 1)))),
    h("label", { class: "field scrub" }, h("span", {}, "After step"), scrub),
    noise.element,
  );
  const element = h("div", { class: "pictured" }, missing, columns, controls, others, ...anew);

  function go(frame) {
    shown.frame = frame;
    paintAll();
  }
  function start() {
    const pause = Math.max(PACE.least, Math.min(PACE.most, PACE.whole / view.state.K));
    if (shown.frame === view.state.K) go(0);
    timer = setInterval(() => (shown.frame >= view.state.K ? stop() : go(shown.frame + 1)), pause);
    play.textContent = "Pause";
  }
  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "Play";
  }

  function draw(next) {
    view = next;
    const { model, state, films } = view;
    if (shown.films !== films || shown.K !== state.K) {
      stop();
      if (shown.films !== films) arrange(films);
      Object.assign(shown, { films, K: state.K, frame: state.K });
      opened(films).then(paintAll);
    }
    if (shown.recorded !== model.films) recordings((shown.recorded = model.films));
    model.films?.budgets.forEach((K, i) => {
      const now = films === model.films && K === state.K;
      set(others.querySelectorAll("button")[i], { "aria-pressed": String(now) });
    });
    missing.textContent = films ? "" : whyNone(view);
    element.classList.toggle("none", !films);
    for (const each of [columns, controls]) set(each, { inert: !films });
    paintAll();
  }

  /** Places for some films, or for none. */
  function arrange(films) {
    shown.seed = 0;
    columns.replaceChildren(...(films?.paths ?? []).map((name) => column(name)));
    noise.fill(
      Array.from({ length: films?.seeds ?? 0 }, (_, i) => [String(i), `noise ${i + 1}`]),
      "0",
    );
  }

  /** A button for each film of a model that was recorded. */
  function recordings(films) {
    const ways = films?.budgets.map((K) => button(`K = ${K}`, () => act.change({ K, variance: films.family })));
    others.replaceChildren(...(ways ? ["Recorded: ", ...ways] : []));
  }

  /** The sentence that stands there instead of a film of the state. */
  function whyNone({ model: { films, name }, state: { K, variance } }) {
    if (!films) return `No films of ${name} were recorded.`;
    if (variance !== films.family) return `The films were recorded with the ${films.family} variance, not ${variance}.`;
    return `No film of ${steps(K)} was recorded.`;
  }

  function column(name) {
    const pair = KINDS.map((kind) => {
      const canvas = h("canvas", { role: "img" });
      return h("figure", {}, canvas, h("figcaption", {}, kind === "x" ? "image x" : "guess x̂₀"));
    });
    const line = h("div", { class: "line" }, h("h3", {}, name), h("p"));
    return h("section", { class: `film of-${name}` }, line, h("div", { class: "pair" }, ...pair));
  }

  function paintAll() {
    const { model, family, state, films } = view;
    if (!films) return;
    const budget = films.budgets.indexOf(state.K);
    films.paths.forEach((name, path) => {
      const t = pathOf(name, family, state)[state.K - shown.frame];
      const where = `${name}, after ${shown.frame} of ${steps(state.K)}: timestep ${count(t)}, ${noiseAt(model, t)}`;
      columns.children[path].querySelector("p").textContent = `t = ${count(t)}: ${noiseAt(model, t)}`;
      columns.children[path].querySelectorAll("canvas").forEach((canvas, i) => {
        const none = KINDS[i] === "guess" && shown.frame === 0;
        canvas.classList.toggle("blank", none);
        paint(canvas, films, model.shape, { budget, path, seed: shown.seed, kind: KINDS[i], frame: shown.frame });
        const what = i === 0 ? "The image so far" : "The network's guess";
        set(canvas, { "aria-label": none ? "No guess yet" : `${what}: ${where}.` });
      });
    });
    set(scrub, { max: state.K, "aria-valuetext": `after ${shown.frame} of ${steps(state.K)}` });
    scrub.value = shown.frame;
  }
  return { element, draw, stop, start: () => view.films && timer === null && (go(0), start()) };
}
