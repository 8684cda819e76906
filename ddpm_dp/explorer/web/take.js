// What a reader takes away: the DP's path, as Python that finds it and as the list that diffusers' schedulers take.

import { button, h } from "./dom.js";
import { DP } from "./model.js";
import { pathOf } from "./state.js";

export function takeCard(act) {
  const blocks = [
    block("Python that finds it", "Python copied.", python),
    block("Timesteps for diffusers, counted from 0, from noise to image", "Timesteps copied.", diffusers),
  ];
  const title = h("summary");
  const element = h("details", { class: "card take" }, title, ...blocks.map((each) => each.element));

  function block(name, done, text) {
    const code = h("pre", { tabindex: 0, role: "region", "aria-label": name });
    const copy = button("Copy", () => act.copy(code.textContent, done), { "aria-label": `Copy: ${name}` });
    const element = h("div", {}, h("h3", {}, name), code, copy);
    return { element, draw: (view) => (code.textContent = text(view)) };
  }

  function draw(view) {
    if (view.state.view !== "explore") return;
    title.textContent = `Take the DP's path of K = ${view.state.K} away`;
    for (const each of blocks) each.draw(view);
  }
  return { element, draw };
}

function python({ model, family, state: { K } }) {
  return [
    "import ddpm_dp",
    "",
    `stats = ddpm_dp.DenoisingStatistics.load(${model.file})`,
    `costs = ddpm_dp.step_costs(stats, variance="${family.name}")`,
    `path = ddpm_dp.solve(costs, budgets=${K}).path(${K})`,
  ].join("\n");
}

function diffusers({ family, state }) {
  const timesteps = pathOf(DP, family, state).slice(1).reverse();
  return `[${timesteps.map((t) => t - 1).join(", ")}]`;
}
