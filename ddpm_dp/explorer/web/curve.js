// Panel A: bits/dim against the number of steps. Drag in it to choose another K.

import { bits, count, set, svg } from "./dom.js";
import { DP, MINE } from "./model.js";
import { apart, roundTicks, spaced } from "./scale.js";

const HEIGHT = 15; // in the size of its letters

export function curvePicture(act) {
  const plot = svg("svg", { role: "img", class: "picture curve" });
  const axes = svg("g", { class: "axes" });
  const lines = svg("svg"); // cuts off what costs more than the picture is high
  const everything = svg("path", { class: "everything" });
  const cursor = svg("path", { class: "cursor" });
  const tried = svg("g");
  const marks = svg("g");
  const labels = svg("g", { class: "labels" });
  plot.append(axes, everything, lines, cursor, tried, marks, labels);
  let place = null; // of the drawing, for the pointer
  let still = ""; // what the axes and curves were drawn for: a drag moves only the marks

  function choose(event) {
    const { K, left } = place;
    act.change({ K: K(event.clientX - plot.getBoundingClientRect().left - left) });
  }
  set(plot, {
    onpointerdown: (event) => {
      plot.setPointerCapture(event.pointerId);
      choose(event);
    },
    onpointermove: (event) => event.buttons && choose(event),
  });

  function draw(view, { width, em, tall }) {
    const height = HEIGHT * em * tall;
    const { family, model, state } = view;
    place = layout(view, width, height, em);
    const { x, y, left, top, right, bottom } = place;
    const names = family.names;
    const key = [state.model, state.variance, state.rival, width, height, em].join();
    if (key !== still) {
      still = key;
      set(plot, { viewBox: `0 0 ${width} ${height}`, width, height });
      axes.replaceChildren(...drawnAxes(place, em));
      const inside = { x: left, y: top, width: right - left, height: bottom - top };
      set(lines, { ...inside, viewBox: Object.values(inside).join(" ") });
      lines.replaceChildren(
        ...names.map((name) => {
          const strong = name === DP || name === state.rival;
          const kind = `line of-${name} ${strong ? "" : "faint"}`;
          return svg("path", { class: kind, d: through(family.bits[name], place) });
        }),
      );
      const all = y(family.all.bits);
      set(everything, { d: `M${left} ${all}H${right}` });
      const ends = [...names.map((name) => y(family.bits[name].at(-1))), all];
      const texts = [...names.map((name) => [name, `of-${name}`]), [`all ${count(model.T)}`, "of-all"]];
      const heights = apart(ends, 1.15 * em, top + 0.4 * em, bottom);
      labels.replaceChildren(
        ...texts.map(([text, name], i) =>
          svg("text", { x: right + 0.5 * em, y: heights[i] + 0.3 * em, class: name }, text),
        ),
      );
    }
    set(cursor, { d: `M${x(state.K)} ${top}V${bottom}` });
    const own = Object.keys(state.mine).map(Number);
    const inside = (height) => top <= height; // a price above the picture has no mark
    const stars = own.map((K) => [x(K), y(family.judge.of(state.mine[K]))]).filter(([, height]) => inside(height));
    tried.replaceChildren(...stars.map(([at, height]) => star(at, height, 0.5 * em)));
    const dots = names.map((name) => [name, y(family.bits[name][state.K - 1])]).filter(([, height]) => inside(height));
    marks.replaceChildren(
      ...dots.map(([name, cy]) => svg("circle", { class: `mark of-${name}`, cx: x(state.K), cy, r: 0.32 * em })),
    );
    const costs = names.map((name) => `${name} ${bits(family.bits[name][state.K - 1])}`);
    set(plot, { "aria-label": `Bits/dim against the number of steps. At K = ${state.K}: ${costs.join(", ")}.` });
  }
  return { element: plot, draw };
}

function layout({ family, model }, width, height, em) {
  const [left, top, right, bottom] = [3.2 * em, 1.9 * em, width - 5.6 * em, height - 2.6 * em];
  const best = family.bits[DP];
  const low = best.reduce((least, each) => Math.min(least, each), family.all.bits);
  const start = best[model.budgets > 8 ? 3 : 0];
  const high = Math.max(family.all.bits, start, low + 0.01 * Math.abs(low));
  const [from, to] = [low - 0.08 * (high - low), high + 0.6 * (high - low) + 1e-6];
  const most = Math.log2(model.budgets) || 1;
  return {
    left,
    top,
    right,
    bottom,
    from,
    to,
    most,
    x: (K) => left + ((right - left) * Math.log2(K)) / most,
    y: (each) => Math.max(-1e4, bottom - ((bottom - top) * (each - from)) / (to - from)),
    K: (pixels) => Math.min(model.budgets, Math.max(1, Math.round(2 ** ((most * pixels) / (right - left))))),
  };
}

function drawnAxes({ x, y, left, top, right, bottom, from, to, most }, em) {
  const marks = [];
  for (const each of roundTicks(from, to, 5)) {
    marks.push(svg("path", { class: "grid", d: `M${left} ${y(each)}H${right}` }));
    marks.push(svg("text", { x: left - 0.5 * em, y: y(each) + 0.3 * em, class: "end" }, String(each)));
  }
  const powers = Array.from({ length: Math.floor(most) + 1 }, (_, power) => 2 ** power);
  for (const K of spaced(powers, x, 2.2 * em)) {
    marks.push(svg("text", { x: x(K), y: bottom + 1.25 * em, class: "middle" }, count(K)));
  }
  marks.push(svg("text", { x: (left + right) / 2, y: bottom + 2.4 * em, class: "middle" }, "steps K"));
  marks.push(svg("text", { x: 0, y: 0.9 * em }, "bits/dim (lower is better)"));
  marks.push(svg("path", { class: "frame", d: `M${left} ${top}V${bottom}H${right}` }));
  return marks;
}

function through(values, { x, y }) {
  return `M${Array.from(values, (value, i) => `${x(i + 1).toFixed(1)} ${y(value).toFixed(1)}`).join("L")}`;
}

/** A mark of the reader's own. */
function star(x, y, r) {
  const corners = Array.from({ length: 10 }, (_, i) => {
    const [angle, reach] = [(Math.PI * i) / 5, i % 2 ? 0.45 * r : r];
    return `${x + reach * Math.sin(angle)} ${y - reach * Math.cos(angle)}`;
  });
  return svg("path", { class: `mark of-${MINE}`, d: `M${corners.join("L")}Z` });
}
