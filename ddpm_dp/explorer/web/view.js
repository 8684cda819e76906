// One state, as numbers and sentences: everything that the pictures draw and that the page says. No elements here.

import { against, bits, count, roughly, steps } from "./dom.js";
import { DP, MINE } from "./model.js";
import { EDITABLE, pathOf } from "./state.js";

const TIE = 5e-4; // bits/dim: what the page shows, and what the tables know
const MOVE = 2e-5; // bits/dim that a move is worth, at least: neighbours' prices are wrong by nearly the same

/** What is on the screen, the most important path first. `drawn`: films that were asked for, and what was asked. */
export function look(state, models, drawn = null) {
  const model = models.get(state.model);
  const family = model.families.get(state.variance);
  const names = shown(state);
  const prices = state.view === "play" ? family.train : family.judge;
  const rows = names.map((name) => row(name, family, prices, state));
  const game = state.view === "play" ? played(state, family, rows) : null;
  const films = filmsOf(state, model, rows, drawn);
  const view = { state, model, family, rows, game, films, prior: prices.priorBits };
  const says = { headline: headline(view), lead: leadOf(view), about: ofSource(view) };
  return { ...view, says: { ...says, curve: ofCurve(view), ruler: ofRuler(view), bars: ofBars(view) } };
}

/** Whether every number of a model can be shown, under all its variances. Throws where some are not even there. */
export function sound(state, models) {
  const { T, families } = models.get(state.model);
  return [...families.keys()].every((variance) =>
    look({ ...state, variance }, models).rows.every(({ path, bits: own }) => path.at(-1) === T && Number.isFinite(own)),
  );
}

function shown({ view, scene, rival, mine, K }) {
  if (view === "play") return [MINE, "even", DP];
  if (view === "tour" && scene === 2) return [rival];
  if (view === "explore" && mine[K]) return [DP, rival, MINE];
  return [DP, rival];
}

/** A path and its price. A hidden one has a price, but is not drawn. */
function row(name, family, prices, state) {
  const path = pathOf(name, family, state);
  const each = prices.steps(path);
  const exact = state.view !== "play" && name !== MINE; // in the game all prices come from the same tables
  const total = exact ? family.bits[name][state.K - 1] : prices.of(path);
  return { name, path, steps: each, bits: total, hidden: state.view === "play" && name === DP && !state.revealed };
}

/** The films of what is shown, or null: those that were drawn for it, or those that were recorded. */
function filmsOf({ K, variance }, { name, films }, rows, drawn) {
  const asked = drawn?.asked;
  const fits = asked?.model === name && asked.variance === variance && asked.K === K;
  if (fits && rows.every((row) => same(asked.paths[row.name], row.path))) return drawn.films;
  return films?.family === variance && films.budgets.includes(K) ? films : null;
}

function same(path, other) {
  return path?.length === other.length && path.every((t, i) => t === other[i]);
}

/** How far from even steps (0) to the optimum (100) the reader has come. 100 is a tie, and only a tie. */
function played({ mine, K }, family, [own, even, best]) {
  const missing = Math.max(0, own.bits - best.bits);
  const open = even.bits - best.bits;
  const tie = missing < TIE;
  const share = open > 0 && !same(own.path, even.path) ? 1 - missing / open : 0;
  return {
    tie,
    missing,
    score: tie ? 100 : Math.max(0, Math.min(99, Math.floor(100 * share))),
    nothing: K === 1 || K === family.model.T || K > EDITABLE, // to play with
    begun: K in mine,
  };
}

/** The move of one stop that saves most: which stop, where to, and bits/dim saved; 0 if no move is worth it. */
export function bestMove(path, prices) {
  const unit = prices.bitsPerNat;
  let best = { i: 0, at: 0, saved: 0 };
  for (let i = 1; i < path.length - 1; i++) {
    const [s, now, t] = [path[i - 1], path[i], path[i + 1]];
    const price = (at) => prices.step(at, s) + prices.step(t, at);
    const before = price(now);
    for (let at = s + 1; at < t; at++) {
      const saved = (before - price(at)) * unit;
      if (saved > Math.max(MOVE, best.saved)) best = { i, at, saved };
    }
  }
  return best;
}

/** "2.7 grey levels", or of continuous data "noise 0.14" */
export function noiseAt(model, t) {
  if (t === 0) return "no noise";
  if (t === model.T) return "pure noise";
  return model.levels === null ? `noise ${roughly(model.noise(t))}` : `${roughly(model.noise(t))} grey levels`;
}

export function named(name) {
  return { [DP]: "the DP's path", [MINE]: "your path" }[name] ?? `the ${name} path`;
}

function sentence(text) {
  return text[0].toUpperCase() + text.slice(1);
}

function headline({ model: { T }, state: { K } }) {
  if (K === T) return `You may keep all ${count(T)} steps`;
  return K === 1 ? `You may keep 1 of ${count(T)} steps` : `You may keep ${count(K)} of ${count(T)} steps: which ones?`;
}

function ofCurve({ family, model, rows, state: { K } }) {
  const [best, ...others] = rows;
  const rest = others.map(({ name, bits: own }) => `, ${named(name)} ${against(own - best.bits, "that")}`);
  const more = against(family.all.bits - family.bits[DP][K - 1], `the DP's ${count(K)}`);
  const spread = `(standard error ${family.error[K - 1].toFixed(3)})`;
  return [
    `K = ${count(K)}: ${named(best.name)} costs ${bits(best.bits)} bits/dim ${spread}${rest.join("")}.`,
    `All ${count(model.T)} steps cost ${bits(family.all.bits)}: ${more}.`,
  ];
}

function ofRuler({ model, rows }) {
  const clear = (path) => path.filter((t) => t > 0 && t < model.T && model.logSnr[t] > 0).length;
  const said = rows
    .filter(({ hidden }) => !hidden)
    .map(({ name, path }) => `${named(name)} has ${count(clear(path))} of its ${count(path.length - 1)}`);
  return [`Stops where there is more image than noise: ${said.join(", ")}.`];
}

function ofBars({ model, rows }) {
  return rows
    .filter(({ hidden }) => !hidden)
    .map(({ name, path, steps: each, bits: total }) => {
      const last = `its last step, from ${noiseAt(model, path[1])} to the image, ${bits(each[0])} of that`;
      return sentence(`${named(name)} costs ${bits(total)}; ${last}.`);
    });
}

/** What the page is about: sentences with {words} that have a definition. */
function leadOf({ state: { view }, model: { T } }) {
  const what =
    `A {diffusion model} makes an image from pure noise in T = ${count(T)} small {step|steps}. ` +
    "Take fewer, and it is faster; but each then removes more noise at once, and that {price|costs} more {bits/dim}. " +
    "Lower is better.";
  if (view !== "play") return [];
  const how =
    "Drag the green stops (or focus one and use the arrow keys). You play against {even} steps and against the {DP}, " +
    "on the {training images} where the DP chose: it can be tied, not beaten.";
  return [what, how];
}

/** Where the numbers come from. */
function ofSource({ model, family, state: { view, rival } }) {
  const { train, heldOut } = model.images;
  const onTrain = view === "play" || heldOut === null;
  const images = onTrain ? `${count(train)} {training images}` : `${count(heldOut)} {held-out} images`;
  return (
    `Priced on ${images} of ${model.shape.join(" x ")} numbers. ` +
    `{reverse variance|Reverse variance}: ${family.name}, ${family.words} (${family.source}). ` +
    `{decoder|Decoder}: ${family.decoder}. Paths were chosen on ${count(train)} training images` +
    (view === "play" ? "." : `, and are compared with {${rival}} steps.`)
  );
}
