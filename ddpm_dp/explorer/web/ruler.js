// Panel B: where the steps stop, on a ruler of noise: the image left, pure noise right. The reader's stops move.

import { count, h, set, svg } from "./dom.js";
import { frameAt } from "./film.js";
import { MINE, upperBound } from "./model.js";
import { rowNames, spaced } from "./scale.js";
import { EDITABLE } from "./state.js";
import { noiseAt } from "./view.js";

const FAINTEST = -6.5; // log-SNR: beyond, nothing of the image is left, and schedules run far
const LABELS = [1, 2, 5, 10, 20, 50, 100, 200, 300, 500, 700, 900, 1000, 2000, 3000, 4000]; // timesteps
const KEYS = {
  ArrowLeft: -1,
  ArrowDown: -1,
  ArrowRight: 1,
  ArrowUp: 1,
  PageDown: -10,
  PageUp: 10,
  Home: -1e9,
  End: 1e9,
};

export function rulerPicture(act) {
  const plot = svg("svg", { role: "group", class: "picture ruler" });
  const strip = h("div", { class: "strip", "aria-hidden": "true" });
  const axes = svg("g", { class: "axes" });
  const rows = svg("g");
  const ghost = svg("g", { class: "ghost" });
  const handles = svg("g");
  plot.append(axes, rows, ghost, handles);
  const element = h("div", { class: "pictured" }, strip, plot);
  let now = null; // the view and the layout of the drawing, for pointer and keys
  let still = "";
  let held = null; // the stop that the pointer holds

  set(plot, {
    onpointerdown(event) {
      if (!event.target.closest(".handle")) return;
      const handle = nearest(event.clientX); // stops may lie so near that one covers the next
      plot.setPointerCapture(event.pointerId);
      handle.focus();
      held = Number(handle.dataset.stop);
      act.take();
      event.preventDefault();
    },
    onpointermove(event) {
      if (held === null) return;
      act.move(held, now.place.t(event.clientX - plot.getBoundingClientRect().left));
    },
    onpointerup: () => (held = null),
    onpointercancel: () => (held = null),
    onkeydown(event) {
      const handle = event.target.closest(".handle");
      if (!handle || !(event.key in KEYS)) return;
      event.preventDefault();
      act.press(Number(handle.dataset.stop), KEYS[event.key] * (event.shiftKey ? 10 : 1));
    },
  });

  function draw(view, { width, em, tall }) {
    const { model, state } = view;
    const place = layout(view, width, em, tall);
    const own = view.rows.find(({ name }) => name === MINE)?.path;
    now = { place, own };
    const key = [state.model, width, em, tall, view.rows.map(({ name }) => name)].join();
    if (key !== still) {
      still = key;
      set(plot, { viewBox: `0 0 ${width} ${place.height}`, width, height: place.height });
      axes.replaceChildren(...drawnAxes(model, place, em));
      rows.replaceChildren(...view.rows.map(({ name }, i) => drawnRow(name, place, i, em)));
    }
    view.rows.forEach(({ name, path, hidden }, i) => {
      const [ticks, note] = rows.children[i].lastChild.children;
      const half = (name === MINE ? 0.85 : 0.7) * em * tall;
      const drawn = hidden
        ? ""
        : path
            .slice(1)
            .map((t) => `M${place.x(t)} ${place.y(i) - half}v${2 * half}`)
            .join("");
      set(ticks, { d: drawn || "M0 0" });
      note.textContent = hidden ? "hidden until you reveal it" : "";
    });
    drawHandles(
      own && own.length - 1 <= EDITABLE ? own : [],
      view.rows.findIndex(({ name }) => name === MINE),
    );
    drawGhost(
      view.hint,
      view.rows.findIndex(({ name }) => name === MINE),
      em,
    );
    drawStrip(view, place, em);
    set(plot, { "aria-label": `Stops on a ruler of noise. ${view.says.ruler.join(" ")}` });
  }

  function nearest(x) {
    const middle = (handle) => handle.lastChild.getBoundingClientRect();
    const far = (handle) => Math.abs(middle(handle).left + middle(handle).width / 2 - x);
    return [...handles.children].reduce((best, each) => (far(each) < far(best) ? each : best));
  }

  function drawHandles(path, line) {
    const { model, em, x, y } = now.place;
    while (handles.children.length > Math.max(0, path.length - 2)) handles.lastChild.remove();
    for (let i = 1; i < path.length - 1; i++) {
      let handle = handles.children[i - 1];
      if (!handle) {
        handle = svg("g", { class: `handle of-${MINE}`, role: "slider", tabindex: 0, "data-stop": i });
        handle.append(svg("rect", { class: "reach" }), svg("circle"));
        handles.append(handle);
      }
      set(handle, {
        transform: `translate(${x(path[i])} ${y(line)})`,
        "aria-label": `Stop ${i} of ${path.length - 2}`,
        "aria-valuemin": path[i - 1] + 1,
        "aria-valuemax": path[i + 1] - 1,
        "aria-valuenow": path[i],
        "aria-valuetext": `timestep ${count(path[i])}, ${noiseAt(model, path[i])}`,
      });
      set(handle.firstChild, { x: -0.7 * em, y: -1.1 * em, width: 1.4 * em, height: 2.2 * em });
      set(handle.lastChild, { r: 0.42 * em });
    }
  }

  function drawGhost(hint, line, em) {
    ghost.replaceChildren();
    if (!hint?.saved) return;
    const [from, to, y] = [now.place.x(now.own[hint.i]), now.place.x(hint.at), now.place.y(line)];
    ghost.append(
      svg("path", { d: `M${from} ${y - 0.85 * em}Q${(from + to) / 2} ${y - 1.9 * em} ${to} ${y - 0.85 * em}` }),
      svg("circle", { cx: to, cy: y, r: 0.55 * em }),
    );
  }

  /** What images look like at that noise: from a film, where there is one. */
  function drawStrip({ model }, { left, right, t }, em) {
    const films = model.films;
    const size = 2.6 * em;
    const n = films ? Math.floor((right - left) / (1.35 * size)) : 0;
    strip.hidden = n === 0;
    while (strip.children.length > n) strip.lastChild.remove();
    while (strip.children.length < n) strip.append(h("canvas"));
    for (let i = 0; i < n; i++) {
      const x = left + ((right - left) * (i + 0.5)) / n;
      strip.children[i].style.left = `${x - size / 2}px`;
      frameAt(model, t(x), strip.children[i]);
    }
  }

  return { element, draw };
}

function layout({ model, rows }, width, em, tall) {
  const { T, logSnr } = model;
  const [clearest, faintest] = [logSnr[1], Math.max(logSnr[T], Math.min(FAINTEST, logSnr[1] - 1))];
  const { left, above } = rowNames(width, em);
  const [right, top, row] = [width - 2.6 * em, 1.9 * em, 2.8 * em * tall + above];
  const rising = logSnr.subarray(1).map((each) => -Math.max(each, faintest));
  const at = (log) => left + ((right - left) * (clearest - log)) / (clearest - faintest);
  const x = (t) => {
    if (t === 0) return left - 1.2 * em;
    return t === T ? right + 1.2 * em : at(Math.max(logSnr[t], faintest));
  };
  return {
    model,
    em,
    left,
    right,
    top,
    above,
    x,
    of: (noise) => at(clearest - 2 * Math.log(noise / model.noise(1))),
    end: right + 1.2 * em,
    bottom: top + row * rows.length,
    height: top + row * rows.length + 1.5 * em,
    y: (i) => top + row * (i + 1) - 1.4 * em * tall,
    /** The timestep nearest to a place. */
    t(pixels) {
      const after = upperBound(rising, -clearest + ((clearest - faintest) * (pixels - left)) / (right - left)) + 1;
      const [below, above] = [Math.max(1, after - 1), Math.min(T - 1, after)];
      return Math.abs(x(below) - pixels) <= Math.abs(x(above) - pixels) ? below : above;
    },
  };
}

function drawnAxes(model, { left, right, top, bottom, x, end, of }, em) {
  const unit = model.levels === null ? "noise" : "grey levels";
  const start = Math.max(left, 6 * em); // the rows' own words come before
  const powers = Array.from({ length: 12 }, (_, i) => 10 ** (i - 4));
  const marks = powers
    .filter((noise) => start <= of(noise) && of(noise) <= right)
    .flatMap((noise) => [
      svg("path", { class: "grid", d: `M${of(noise)} ${top}V${bottom}` }),
      svg("text", { class: "middle", x: of(noise), y: top - 0.5 * em }, count(noise)),
    ]);
  const free = LABELS.filter((t) => t < model.T && x(t) > start && x(t) < end - 4.2 * em);
  for (const each of spaced(free, x, 3.2 * em)) {
    marks.push(svg("text", { class: "middle", x: x(each), y: bottom + 1.1 * em }, count(each)));
  }
  marks.push(svg("text", { class: "end", x: end + 1.2 * em, y: bottom + 1.1 * em }, `T = ${count(model.T)}`));
  marks.push(svg("text", { x: 0, y: top - 0.5 * em }, unit));
  marks.push(svg("text", { x: 0, y: bottom + 1.1 * em }, "timestep"));
  return marks;
}

function drawnRow(name, { left, above, x, y, end }, i, em) {
  return svg(
    "g",
    { class: `row of-${name}` },
    svg("text", { class: "name", x: 0, y: y(i) + (above ? -0.9 : 0.3) * em }, name),
    svg("path", { class: "rail", d: `M${x(0)} ${y(i)}H${end}` }),
    svg(
      "g",
      {},
      svg("path", { class: "ticks" }),
      svg("text", { class: "note middle", x: (left + end) / 2, y: y(i) - 0.5 * em }),
    ),
  );
}
