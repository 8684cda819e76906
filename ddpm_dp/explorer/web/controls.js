// What the reader chooses: the number of steps, the model, its reverse variance, and the path to compare with.

import { h, menu, set, steps } from "./dom.js";
import { upperBound } from "./model.js";

export function controlsBar(act) {
  let budgets = []; // the slider's stops
  let most = 1;
  let now = 1; // the number of steps on the screen
  const slider = h("input", { type: "range", min: 0, step: 1, "aria-label": "Steps K" });
  set(slider, { oninput: () => act.change({ K: budgets[slider.value] }) });
  const number = h("input", { type: "number", min: 1, "aria-label": "Steps K, as a number", onchange: typed });
  set(number, { onkeydown: ({ key }) => key === "Enter" && typed() }); // in JupyterLab no change follows
  const menus = {
    model: menu("Model", (model) => act.change({ model })),
    variance: menu("Reverse variance", (variance) => act.change({ variance })),
    rival: menu("Compare with", (rival) => act.change({ rival })),
  };
  const element = h(
    "div",
    { class: "controls", role: "group", "aria-label": "What to show" },
    h("div", { class: "field budget" }, h("span", {}, "Steps K"), slider, number),
    ...Object.values(menus).map((each) => each.element),
  );

  function typed() {
    const K = Number(number.value);
    if (Number.isInteger(K) && 1 <= K && K <= most) act.change({ K });
    else act.tell(`K is a whole number from 1 to ${most} here.`);
    number.value = now; // until the change is drawn
  }

  function draw({ model, state }, models) {
    if (most !== model.budgets) budgets = stopsTo((most = model.budgets));
    set(slider, { max: budgets.length - 1, "aria-valuetext": steps(state.K) });
    slider.value = upperBound(budgets, state.K) - 1;
    set(number, { max: most });
    number.value = now = state.K;
    menus.model.fill(
      [...models.keys()].map((name) => [name, name]),
      state.model,
    );
    menus.variance.fill(
      [...model.families.keys()].map((name) => [name, name]),
      state.variance,
    );
    menus.rival.fill(
      Object.keys(model.strides).map((name) => [name, `${name} steps`]),
      state.rival,
    );
    menus.rival.element.hidden = state.view === "play";
  }
  return { element, draw };
}

/** The slider's stops: every number at first, then 16 to an octave. */
function stopsTo(most) {
  const stops = [];
  for (let K = 1; K < most; K = Math.max(K + 1, Math.round(K * 2 ** (1 / 16)))) stops.push(K);
  return [...stops, most];
}
