// "Beat the DP": the reader's score, hints, the answer, a puzzle for every day and one for a class.

import { against, bits, button, count, h, set } from "./dom.js";
import { MINE } from "./model.js";
import { EDITABLE } from "./state.js";
import { bestMove } from "./view.js";

const DAILY = [5, 12]; // budgets of the daily puzzles
const WORTH = 0.02; // bits/dim that there must be to win

/** The state of the puzzle of a day, the same on every machine with the same models. */
export function puzzleOf(day, models) {
  const all = [];
  for (const [model, { families, budgets }] of models) {
    for (const [variance, family] of families) {
      for (let K = DAILY[0]; K <= Math.min(DAILY[1], budgets); K++) {
        if (family.train.of(family.path("even", K)) - family.chosenAt[K - 1] > WORTH) all.push({ model, variance, K });
      }
    }
  }
  let hash = 2166136261; // FNV-1a
  for (const letter of day) hash = Math.imul(hash ^ letter.charCodeAt(0), 16777619) >>> 0;
  return all.length ? { ...all[hash % all.length], day } : null;
}

export function today() {
  return new Date().toLocaleDateString("sv"); // as 2026-05-01
}

export function gameCard(act, host) {
  const score = h("p", { class: "score" });
  const meter = h("div", { class: "meter", "aria-hidden": "true" }, h("span"));
  const verdict = h("p", { class: "verdict" });
  const hinted = h("p", { class: "hinted" });
  const counts = h("p", { class: "counts" });
  const hint = button(
    "Hint",
    able(() => act.hint()),
  );
  const reveal = button(
    "Reveal the DP's path",
    able(() => act.change({ revealed: true })),
  );
  const again = button(
    "Start again",
    able(() => act.again()),
  );
  const day = button("Puzzle of the day", () => act.day());
  const send = host.address ? [button("Copy puzzle for a class", () => act.copyPuzzle())] : [];
  const element = h(
    "section",
    { class: "card game", "aria-label": "Your score" },
    h("div", { class: "result" }, score, meter),
    verdict,
    h("div", { class: "buttons" }, hint, reveal, again, day, ...send),
    hinted,
    counts,
  );

  function draw(view) {
    const { game, rows, state, hint: move } = view;
    if (!game) return;
    score.replaceChildren(h("strong", {}, game.nothing ? "–" : String(game.score)), game.nothing ? "" : " of 100");
    meter.firstChild.style.width = `${game.nothing ? 0 : Math.max(0, game.score)}%`;
    verdict.textContent = verdictOf(view);
    counts.textContent = countsOf(view);
    hinted.textContent = hintText(move, rows[0].path);
    set(hint, { "aria-disabled": String(game.tie || game.nothing) });
    set(reveal, { "aria-disabled": String(state.revealed || game.nothing) });
    set(again, { "aria-disabled": String(!game.begun) });
  }
  return { element, draw, text: () => `${verdict.textContent} ${hinted.textContent}` };
}

/** A click, unless the button says that it does nothing now. One that is `disabled` would lose the keyboard's focus. */
function able(action) {
  return ({ currentTarget }) => currentTarget.getAttribute("aria-disabled") === "true" || action();
}

function verdictOf({ game, rows: [own, even, best], state, model, family }) {
  const { K, day, revealed } = state;
  if (K > EDITABLE) return `Choose a K of at most ${EDITABLE}: more stops cannot be taken hold of.`;
  if (game.nothing) return `There is only one path of ${K} of ${count(model.T)} steps. Choose another K.`;
  if (untouched(game, state)) {
    const puzzle = day ? `Puzzle of ${day}. ` : "";
    const costs = `It costs ${bits(own.bits)} bits/dim, ${against(game.missing, "the DP")}.`;
    return `${puzzle}Your path is still the even one: move a stop. ${costs}`;
  }
  const test = model.images.heldOut === null ? "" : onHeldOut(own.path, best.path, family.judge);
  const all = `${pathsOf(model.T, K)} paths`;
  if (game.tie) return `A tie with the DP, at ${bits(best.bits)} bits/dim: none of ${all} costs 0.001 less.${test}`;
  const answer = revealed ? ` The DP's is the cheapest of ${all}.${test}` : "";
  const [more, missing] = [against(own.bits - even.bits, "even steps"), against(game.missing, "the DP")];
  return `Your path costs ${bits(own.bits)} bits/dim: ${more}, and ${missing}.${answer}`;
}

function countsOf({ game, state }) {
  if (game.nothing || untouched(game, state)) return "";
  const { moves, hints, revealed, day } = state;
  const done = [moves === 1 ? "1 move" : `${moves} moves`];
  if (hints) done.push(hints === 1 ? "1 hint" : `${hints} hints`);
  if (revealed) done.push("answer seen");
  return `${day ? `Puzzle of ${day}: ` : ""}${done.join(", ")}.`;
}

function untouched({ begun }, { moves, hints, revealed }) {
  return !(moves || hints || revealed || begun);
}

function onHeldOut(own, best, judge) {
  return ` On images that neither has seen, yours costs ${against(judge.of(own) - judge.of(best), "the DP's")}.`;
}

function hintText(move, path) {
  if (move === null) return "";
  if (move.saved === 0) return "No move of one stop saves anything to speak of: two or more have to move together.";
  const saved = move.saved < 0.0095 ? move.saved.toPrecision(2) : bits(move.saved);
  const saves = `Stop ${move.i}: from timestep ${path[move.i]} to ${move.at} saves ${saved} bits/dim.`;
  return `${saves} It is the best single move.`;
}

/** How many paths of K steps there are: T - 1 choose K - 1, in words. */
function pathsOf(T, K) {
  let log = 0;
  for (let i = 1; i < K; i++) log += Math.log10((T - i) / i);
  return log < 6 ? Math.round(10 ** log).toLocaleString("en-US") : `about 10${raised(Math.round(log))}`;
}

function raised(n) {
  return String(n).replace(/\d/g, (digit) => "⁰¹²³⁴⁵⁶⁷⁸⁹"[digit]);
}

/** The best single move of the reader's path. */
export function hintFor({ rows, family }) {
  return bestMove(rows.find(({ name }) => name === MINE).path, family.train);
}
