// Panel C: what each step of a path costs, as one bar: the last step (the decoder) left, the prior at T right.
// Of continuous data the last step can cost less than 0: then it goes left of 0, and all others right.

import { bits, set, svg } from "./dom.js";
import { DP } from "./model.js";
import { roundTicks, rowNames } from "./scale.js";

const CUT = 2.5; // times the DP's price: a path that costs more is cut there, and says so

export function barsPicture() {
  const plot = svg("svg", { role: "img", class: "picture bars" });
  const axes = svg("g", { class: "axes" });
  const rows = svg("g");
  const target = svg("path", { class: "target" });
  plot.append(axes, rows, target);
  let still = "";

  function draw(view, { width, em, tall }) {
    const place = layout(view, width, em, tall);
    const key = [width, em, tall, place.from, place.to, view.rows.map(({ name }) => name)].join();
    if (key !== still) {
      still = key;
      set(plot, { viewBox: `0 0 ${width} ${place.height}`, width, height: place.height });
      axes.replaceChildren(...drawnAxes(place, em));
      rows.replaceChildren(...view.rows.map(({ name }, i) => drawnRow(name, place, i, em)));
    }
    view.rows.forEach((row, i) => update(rows.children[i], row, view.prior, place, i, em));
    const goal = view.game && view.rows.find(({ name }) => name === DP);
    // Where a step costs less than 0 a bar does not end at its path's price, and there is no mark to reach.
    set(target, { d: goal && place.from === 0 ? `M${place.x(goal.bits)} ${place.top}V${place.bottom}` : "M0 0" });
    set(plot, { "aria-label": `The price of each step, in bits/dim. ${view.says.bars.join(" ")}` });
  }
  return { element: plot, draw };
}

function layout({ rows }, width, em, tall) {
  const { left, above } = rowNames(width, em);
  const [right, top, row] = [width - 5 * em, 0.5 * em, 2.7 * em * tall + above];
  const ends = rows.map(({ steps }) => reach(steps));
  const deepest = Math.min(0, ...rows.map(({ steps }) => -reach(steps.map((price) => -price))));
  const longest = Math.min(Math.max(...ends), deepest < 0 ? Infinity : CUT * Math.min(...ends));
  const [first, second] = roundTicks(deepest, longest, 5);
  const gap = second - first; // whole ticks: a drag does not move the axis all the time
  const [from, to] = [Math.floor(deepest / gap) * gap, Math.ceil(longest / gap + 0.05) * gap];
  const bottom = top + row * rows.length;
  return {
    above,
    top,
    bottom,
    from,
    to,
    height: bottom + 1.5 * em,
    x: (each) => left + ((right - left) * (Math.min(Math.max(each, from), to) - from)) / (to - from),
    y: (i) => top + row * (i + 1) - 2.2 * em * tall,
    thick: 1.7 * em * tall,
  };
}

/** How far right of 0 a bar goes. */
function reach(steps) {
  return steps.reduce((sum, price) => sum + Math.max(0, price), 0);
}

function drawnAxes({ top, bottom, from, to, x }, em) {
  const ticks = roundTicks(from, to, 5)
    .filter((each) => x(each) >= 5 * em)
    .flatMap((each) => [
      svg("path", { class: "grid", d: `M${x(each)} ${top}V${bottom}` }),
      svg("text", { class: "middle", x: x(each), y: bottom + 1.1 * em }, String(each)),
    ]);
  return [...ticks, svg("text", { x: 0, y: bottom + 1.1 * em }, "bits/dim")];
}

function drawnRow(name, { above, y, thick }, i, em) {
  const middle = y(i) + thick / 2 + 0.3 * em;
  return svg(
    "g",
    { class: `row of-${name}` },
    svg("text", { class: "name", x: 0, y: above ? y(i) - 0.4 * em : middle }, name),
    svg("path", { class: "decoder" }),
    svg("path", { class: "odd" }),
    svg("path", { class: "step" }),
    svg("path", { class: "prior" }),
    svg("path", { class: "whole" }),
    svg("text", { class: "total", y: middle }),
  );
}

/** A hidden path is one bar without parts. */
function update(row, { steps, bits: total, hidden }, prior, { x, y, thick, to }, i, em) {
  const [, decoder, odd, step, last, whole, text] = row.children;
  const parts = { decoder: "", odd: "", step: "", last: "" };
  const bar = (start, end) => `M${x(start)} ${y(i)}H${x(end)}v${thick}H${x(start)}Z`;
  let at = 0;
  steps.forEach((price, index) => {
    parts[index === 0 ? "decoder" : index % 2 ? "odd" : "step"] += price < 0 ? bar(0, price) : bar(at, at + price);
    at += Math.max(0, price);
  });
  parts.last = bar(at, at + prior);
  set(decoder, { d: hidden ? "M0 0" : parts.decoder });
  set(odd, { d: hidden ? "M0 0" : parts.odd || "M0 0" });
  set(step, { d: hidden ? "M0 0" : parts.step || "M0 0" });
  set(last, { d: hidden ? "M0 0" : parts.last });
  set(whole, { d: hidden ? bar(0, total) : "M0 0" });
  set(text, { x: x(hidden ? total : at) + 0.4 * em });
  text.textContent = at > to && !hidden ? `→ ${bits(total)}` : bits(total);
}
