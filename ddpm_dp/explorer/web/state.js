// What the reader has chosen, and how a link says it. All of it is in the link, so that a result can be sent.

import { MINE } from "./model.js";
import { count } from "./dom.js";

export const VIEWS = { play: "Beat the DP", tour: "How it works", explore: "All budgets" };
export const SCENES = 5;
export const SENTENCES = 3; // of each scene
export const EDITABLE = 32; // steps of a path of the reader's own: more ticks cannot be taken hold of

/** The state a page opens with. */
export function opening(models) {
  const [name, model] = models.entries().next().value;
  return {
    view: "play",
    scene: 1, // of the tour
    said: 0, // sentences of the scene that a lecturer has uncovered beyond the first
    model: name,
    variance: widest(model),
    K: Math.min(8, Math.ceil(model.budgets / 2)),
    rival: "even",
    mine: {}, // the reader's paths, by their number of steps
    moves: 0,
    hints: 0,
    revealed: false,
    tallies: {}, // moves, hints and revealed of the other budgets that were played
    day: null, // the date whose puzzle this is
    lecture: false,
  };
}

/** Another model, variance or budget is another puzzle. */
export function puzzle(changes, state, models) {
  const model = models.get(changes.model ?? state.model);
  const variance = changes.variance ?? state.variance;
  const same = model.T === models.get(state.model).T;
  const K = Math.min(changes.K ?? state.K, model.budgets);
  const { moves, hints, revealed } = state;
  const tallies = same ? { ...state.tallies, [state.K]: { moves, hints, revealed } } : {};
  return {
    day: null,
    ...changes,
    variance: model.families.has(variance) ? variance : widest(model),
    K,
    mine: same ? state.mine : {},
    moves: 0,
    hints: 0,
    revealed: false,
    ...tallies[K],
    tallies,
  };
}

/** The families of a model come from the simplest to the most refined. */
function widest(model) {
  return [...model.families.keys()].at(-1);
}

/** What comes after # in the link. */
export function linkOf(state) {
  const { view, scene, said, model, variance, K, rival, mine, moves, hints, revealed, day, lecture } = state;
  const link = new URLSearchParams({ view, model, variance, K });
  if (view === "tour") link.set("scene", scene);
  if (view === "tour" && lecture && said) link.set("said", said);
  if (view !== "play") link.set("rival", rival);
  const paths = Object.values(mine).map((path) => path.slice(1, -1).join("."));
  if (paths.length) link.set("mine", paths.join("_"));
  if (moves) link.set("moves", moves);
  if (hints) link.set("hints", hints);
  if (revealed) link.set("revealed", "yes");
  if (day) link.set("day", day);
  if (lecture) link.set("lecture", "yes");
  return link.toString();
}

/** The state that a link asks for, and a sentence for each thing that it asks for in vain. */
export function stateOf(link, models) {
  const asked = new URLSearchParams(link);
  const state = opening(models);
  const faults = [];
  function take(name, fits, read = String) {
    if (!asked.has(name)) return;
    const value = read(asked.get(name));
    if (fits(value)) state[name] = value;
    else faults.push(`The link asks for ${name} = ${asked.get(name).slice(0, 40)}, which this page does not have.`);
  }
  function whole(name, least, most) {
    take(name, (value) => Number.isInteger(value) && least <= value && value <= most, Number);
  }
  take("view", (value) => Object.hasOwn(VIEWS, value));
  take("model", (value) => models.has(value));
  const model = models.get(state.model);
  state.variance = widest(model);
  take("variance", (value) => model.families.has(value));
  whole("K", 1, model.budgets);
  take("rival", (value) => Object.hasOwn(model.strides, value));
  whole("scene", 1, SCENES);
  whole("said", 0, SENTENCES - 1);
  whole("moves", 0, 1e6);
  whole("hints", 0, 1e6);
  take("day", (value) => /^\d{4}-\d\d-\d\d$/.test(value) && !Number.isNaN(Date.parse(value)));
  state.revealed = asked.get("revealed") === "yes";
  state.lecture = asked.get("lecture") === "yes";
  for (const text of asked.get("mine")?.split("_") ?? []) {
    const path = [0, ...text.split(".").map(Number), model.T];
    const ascends = path.every((t, i) => Number.isInteger(t) && (i === 0 || t > path[i - 1]));
    if (ascends && path.length - 1 <= EDITABLE) state.mine[path.length - 1] = path;
    else faults.push(`The link holds a path that is not one of at most ${EDITABLE} steps from 0 to ${count(model.T)}.`);
  }
  return { state, faults };
}

/** The path of that name which the state shows. */
export function pathOf(name, family, { K, mine }) {
  return name === MINE ? (mine[K] ?? family.path("even", K)) : family.path(name, K);
}
