// The explorer in a notebook, as anywidget asks for it: the kernel keeps the link, and draws films.

import { mount } from "./app.js";

/** `model` is the Python side (widget.py). Returns what ends it. */
export async function render({ model, el }) {
  const packed = new Blob([model.get("packed")]);
  const data = await new Response(packed.stream().pipeThrough(new DecompressionStream("gzip"))).json();
  const root = document.createElement("div");
  // JupyterLab takes arrow keys from whatever has the focus, unless that says no.
  root.addEventListener("focusin", ({ target }) => (target.dataset.lmSuppressShortcuts = "true"));
  root.dataset.theme = themeOf(document.body);
  el.replaceChildren(root);
  let kept = null; // the link of what is on this screen
  const { go, end } = mount(root, data, {
    start: () => model.get("link"),
    keep(link) {
      kept = link;
      model.set("link", link);
      model.save_changes();
    },
    address: null,
    draw: (asked, told) => answer(model, asked, told),
  });
  const changed = () => model.get("link") !== kept && go(model.get("link"));
  model.on("change:link", changed);
  return () => {
    model.off("change:link", changed);
    end();
  };
}

/** Ask the kernel for films; it may say how far it is, and answers with films or a fault. */
function answer(model, asked, told) {
  const id = crypto.randomUUID?.() ?? String(Math.random());
  return new Promise((resolve, reject) => {
    function hear(message, [sheet]) {
      if (message.id !== id) return;
      if (message.says) return told(message.says);
      model.off("msg:custom", hear);
      if (message.fault) reject(new Error(message.fault));
      else resolve({ ...message.films, sheet });
    }
    model.on("msg:custom", hear);
    model.send({ id, ...asked });
  });
}

/** "dark" or "light" as JupyterLab or VS Code is; elsewhere as the system is. */
function themeOf({ dataset, classList }) {
  if (dataset.jpThemeLight) return dataset.jpThemeLight === "true" ? "light" : "dark";
  if (classList.contains("vscode-dark")) return "dark";
  if (classList.contains("vscode-light")) return "light";
  return matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light";
}
