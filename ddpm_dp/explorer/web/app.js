// The explorer: puts the panels on the page, and redraws them when the state changes. `mount` is the only entry.

import { barsPicture } from "./bars.js";
import { controlsBar } from "./controls.js";
import { curvePicture } from "./curve.js";
import { button, h, set } from "./dom.js";
import { filmPicture, opened } from "./film.js";
import { gameCard, hintFor, puzzleOf, today } from "./game.js";
import { MINE, modelsOf } from "./model.js";
import { rulerPicture } from "./ruler.js";
import { covered, panelsOf, sceneCard, sceneState } from "./scenes.js";
import { SCENES, VIEWS, linkOf, opening, pathOf, puzzle, stateOf } from "./state.js";
import { takeCard } from "./take.js";
import { look, sound } from "./view.js";
import { definitions, rich, worded } from "./words.js";

const PANELS = {
  curve: ["Every {budget}", curvePicture],
  ruler: ["Where the steps are: image left, {noise} right", rulerPicture],
  bars: ["What steps {price|cost}: {decoder|the last} left, {prior} right", barsPicture],
  film: ["What the steps make", filmPicture],
};
const QUIET = 500; // milliseconds without a change before the result is read aloud and the link is written

/** A page of its own: its address holds the state, and nobody is there to draw what was not recorded. */
const PAGE = {
  start: () => location.hash.slice(1),
  keep: (link) => history.replaceState(null, "", `#${link}`),
  address: () => location.href.split("#")[0],
  draw: null,
};

/**
 * Show an explorer of `data` (what data.py makes) in an element. Its host says what link to start with (`start`), keeps
 * the link of what is on the screen (`keep`), has an `address` that links can be sent with, or null, and may `draw`:
 * ({model, variance, K, paths, seed}, told) => a promise of films, where `told` takes sentences on the way.
 *
 * Returns `go`, which takes another link, and `end`, after which nothing runs any more. Throws an Error with a sentence
 * for the reader if the data are not such.
 */
export function mount(root, data, host = PAGE) {
  let models = named(modelsOf(data));
  const added = new Set(); // names of models that the reader opened
  let { state, faults } = asked(host.start());
  let view = null;
  let drawn = null; // films that the host drew, and what was asked for
  let seed = 1; // of the next films that are drawn: those that were recorded have 0
  let hint = null; // once asked for: the best single move of the path on the screen
  let lastStop = null; // a drag, or several keys on one stop, are one move
  let waiting = null;
  let frame = null;

  // What the reader can do -------------------------------------------------------------------------------------------

  const act = {
    change(changes) {
      const anew = ["model", "variance", "K"].some((name) => name in changes && changes[name] !== state[name]);
      state = { ...state, ...(anew ? puzzle(changes, state, models) : changes) };
      if (anew || "view" in changes) hint = lastStop = null;
      tell("");
      redraw();
    },
    tell,
    copy,
    take: () => (lastStop = null),
    move,
    press: (stop, by) => move(stop, ownPath()[stop] + by),
    hint() {
      hint = hintFor(view);
      act.change({ hints: state.hints + 1 });
    },
    again() {
      const { [state.K]: _, ...mine } = state.mine;
      hint = lastStop = null;
      act.change({ mine, moves: 0, hints: 0, revealed: false });
    },
    day() {
      const found = puzzleOf(today(), models);
      if (!found) return tell("These models have no puzzle that is worth playing.");
      hint = lastStop = null;
      tell("");
      const { [found.K]: _, ...mine } = state.mine;
      state = { ...state, ...puzzle(found, state, models), mine: found.model === state.model ? mine : {} };
      redraw();
    },
    copyPuzzle() {
      const puzzle = linkOf({ ...state, mine: {}, moves: 0, hints: 0, revealed: false });
      send(puzzle, "Puzzle copied: the link holds the budget and the model, and none of your stops.");
    },
    async film() {
      const { rows } = look(state, models); // what is on the screen may be a frame behind
      const asked = { model: state.model, variance: state.variance, K: state.K, paths: pathsOf(rows), seed };
      tell("Drawing ...");
      try {
        drawn = { asked, films: await host.draw(asked, tell) };
        seed += 1;
        await opened(drawn.films);
        tell("");
        redraw();
      } catch (error) {
        tell(error.message);
      }
    },
    scene(by) {
      if (by > 0 && covered(view)) return act.change({ said: state.said + 1 });
      if (by < 0 && state.lecture && state.said > 0) return act.change({ said: state.said - 1 });
      if (state.scene + by > SCENES) return act.change({ view: "play" });
      if (state.scene + by >= 1) toScene(state.scene + by);
    },
  };

  function ownPath() {
    return pathOf(MINE, view.family, state);
  }

  function move(stop, t) {
    const path = [...ownPath()];
    const now = Math.max(path[stop - 1] + 1, Math.min(path[stop + 1] - 1, t));
    if (path[stop] === now) return;
    path[stop] = now;
    hint = null;
    act.change({ mine: { ...state.mine, [state.K]: path }, moves: state.moves + (stop === lastStop ? 0 : 1) });
    lastStop = stop;
  }

  function toScene(scene) {
    act.change({ view: "tour", ...sceneState(scene, state, models) });
    if (panelsOf(state)[0] === "film" && !matchMedia("(prefers-reduced-motion: reduce)").matches) {
      opened(models.get(state.model).films).then(() => requestAnimationFrame(pictures.film.start)); // after it is drawn
    }
  }

  // What is on the page ----------------------------------------------------------------------------------------------

  const pictures = {};
  const panels = {};
  const sayings = {};
  for (const [name, [title, make]] of Object.entries(PANELS)) {
    pictures[name] = make(act, host);
    sayings[name] = h("p", { class: "says" });
    panels[name] = h(
      "section",
      { class: `panel ${name}` },
      h("h2", {}, ...rich(title)),
      sayings[name],
      h("div", { class: "room" }, pictures[name].element),
    );
  }
  const headline = h("h1");
  const lead = h("div", { class: "lead" });
  const live = h("p", { class: "unseen", "aria-live": "polite" });
  const notice = h("p", { class: "notice", role: "alert" });
  const about = h("footer");
  const controls = controlsBar(act);
  const score = gameCard(act, host);
  const scene = sceneCard(act);
  const take = takeCard(act);
  const ways = Object.entries(VIEWS).map(([view, title]) =>
    button(title, () => (view === "tour" ? toScene(state.scene) : act.change({ view })), { "data-view": view }),
  );
  const lecture = button("Lecture", () => act.change({ lecture: !state.lecture, said: 0 }), {
    title: "Large type; arrow keys go through the tour, sentence by sentence",
  });
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = button("Dark / light", () => {
    const now = root.dataset.theme ?? (dark.matches ? "dark" : "light");
    root.dataset.theme = now === "dark" ? "light" : "dark";
  });
  const share = button("Copy link", () => send(linkOf(state), "Link copied: it holds all that you see."));
  const picker = h("input", { type: "file", accept: ".json", hidden: true, "aria-label": "Data of another model" });
  set(picker, { onchange: () => picker.files[0] && load(picker.files[0]) });
  const open = button("Open data", () => picker.click(), {
    title: "A JSON file of another model; it can also be dropped on the page",
  });

  const alone = host.address !== null; // a page, whose link can be sent
  const bar = h(
    "header",
    { class: "bar" },
    h("nav", { "aria-label": "Views" }, ...ways),
    h("div", { class: "tools" }, lecture, theme, ...(alone ? [open, picker, share] : [])),
  );
  const main = h(
    "main",
    {},
    headline,
    lead,
    controls.element,
    h(
      "div",
      { class: "board" },
      scene.element,
      score.element,
      h("div", { class: "column" }, panels.curve, panels.film),
      h("div", { class: "column" }, panels.ruler, panels.bars),
    ),
    take.element,
    notice,
    live,
  );
  root.classList.add("ddpm-explorer");
  root.replaceChildren(bar, main, about, definitions(root));

  // Drawing ----------------------------------------------------------------------------------------------------------

  function redraw() {
    frame ??= requestAnimationFrame(draw);
  }

  function draw() {
    frame = null;
    view = { ...look(state, models, drawn), hint };
    const { model, says } = view;
    root.dataset.view = state.view;
    root.classList.toggle("lecture", state.lecture);
    const there = { play: ["ruler", "bars"], tour: panelsOf(state), explore: Object.keys(PANELS) }[state.view];
    for (const [name, panel] of Object.entries(panels)) panel.hidden = !there.includes(name);
    score.element.hidden = state.view !== "play";
    scene.element.hidden = state.view !== "tour";
    take.element.hidden = state.view !== "explore";
    for (const way of ways) set(way, { "aria-current": way.dataset.view === state.view ? "page" : null });
    set(lecture, { "aria-pressed": String(state.lecture) });
    headline.textContent = says.headline;
    controls.draw(view, models);
    worded(lead, says.lead);
    worded(about, [says.about]);
    const quiet = state.view === "play" && !state.revealed; // the score says it all
    for (const [name, text] of Object.entries(sayings)) text.textContent = quiet ? "" : (says[name]?.join(" ") ?? "");
    const em = parseFloat(getComputedStyle(root).fontSize);
    const room = innerHeight / em - (state.lecture ? 26 : 31); // beside what else a scene has
    const tall = state.view === "tour" ? Math.max(1, Math.min(2, room / (there.length > 1 ? 14 : 11))) : 1;
    const widths = there.map((name) => panels[name].querySelector(".room").clientWidth);
    there.forEach((name, i) => pictures[name].draw(view, { width: widths[i], em, tall }));
    score.draw(view);
    scene.draw(view);
    take.draw(view);
    if (there.includes("ruler")) opened(model.films).then((any) => any && painted(model));
    clearTimeout(waiting);
    waiting = setTimeout(settle, QUIET);
  }

  const decoded = new Set(); // models whose films were decoded when the ruler was last drawn

  function painted(model) {
    if (!decoded.has(model)) redraw();
    decoded.add(model);
  }

  /** Once nothing has moved for a while. */
  function settle() {
    const texts = { play: score.text, tour: scene.text, explore: () => view.says.curve.join(" ") };
    live.textContent = texts[state.view]();
    host.keep(linkOf(state));
  }

  function tell(sentence) {
    if (notice.textContent !== sentence) notice.textContent = sentence;
  }

  function send(link, done) {
    const where = added.has(state.model)
      ? ` It needs a page that has the model ${state.model}: send its data, too.`
      : "";
    copy(`${host.address()}#${link}`, done + where);
  }

  async function copy(text, done) {
    try {
      await navigator.clipboard.writeText(text);
      tell(done);
    } catch {
      tell(`This browser does not let a page copy; here it is: ${text}`);
    }
  }

  async function load(file) {
    try {
      const opened = modelsOf(JSON.parse(await file.text()));
      for (const model of opened) model.name = free(model.name, models);
      const more = named(opened);
      const all = new Map([...models, ...more]);
      const first = { ...opening(more), view: "explore" };
      if (![...more].every((one) => sound(opening(new Map([one])), all))) throw new Error();
      for (const name of more.keys()) added.add(name);
      models = all;
      state = { ...first, lecture: state.lecture };
      hint = lastStop = null;
      tell("");
      redraw();
    } catch {
      tell(`${file.name} does not hold an explorer's data; what was here before is still shown.`);
    }
  }

  if (alone) {
    set(root, {
      ondragover: (event) => event.preventDefault(),
      ondrop(event) {
        event.preventDefault();
        if (event.dataTransfer.files[0]) load(event.dataTransfer.files[0]);
      },
    });
    addEventListener("hashchange", () => go(location.hash.slice(1)));
  }
  // On a page of its own the arrows go through the tour before anything has the focus.
  set(alone ? document : root, {
    onkeydown(event) {
      const pages = state.lecture ? { PageDown: 1, PageUp: -1 } : {}; // a presenter's keys; elsewhere they scroll
      const by = { ArrowRight: 1, ArrowLeft: -1, ...pages }[event.key];
      const others = event.altKey || event.ctrlKey || event.metaKey || event.shiftKey;
      if (state.view !== "tour" || !by || others || event.target.closest("input, select, .handle")) return;
      event.preventDefault();
      act.scene(by);
    },
  });
  const watch = new ResizeObserver(redraw);
  watch.observe(root);
  tell(faults.join(" "));
  draw();
  return { go, end };

  /** Show what another link asks for. */
  function go(link) {
    ({ state, faults } = asked(link));
    hint = lastStop = null;
    tell(faults.join(" "));
    redraw();
  }

  /** A scene without a budget has its own. */
  function asked(link) {
    const found = stateOf(link, models);
    if (found.state.view !== "tour" || new URLSearchParams(link).has("K")) return found;
    const { K } = sceneState(found.state.scene, found.state, models);
    return { ...found, state: { ...found.state, K } };
  }

  function end() {
    watch.disconnect();
    clearTimeout(waiting);
    cancelAnimationFrame(frame);
    pictures.film.stop();
  }
}

function named(models) {
  return new Map(models.map((model) => [model.name, model]));
}

/** The name, or one beside it that no model has yet. */
function free(name, models) {
  let now = name;
  for (let i = 2; models.has(now); i++) now = `${name} (${i})`;
  return now;
}

/** name -> timesteps of the paths that are shown. */
function pathsOf(rows) {
  return Object.fromEntries(rows.map(({ name, path }) => [name, path]));
}
