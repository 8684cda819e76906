// Elements, and numbers as a reader writes them.

/** An HTML element; an attribute `onclick` and its like is a listener. */
export function h(tag, attributes = {}, ...children) {
  const element = set(document.createElement(tag), attributes);
  element.append(...children);
  return element;
}

/** An SVG element. */
export function svg(tag, attributes = {}, ...children) {
  const element = set(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes);
  element.append(...children);
  return element;
}

/** Change attributes; false, null and undefined take one away. */
export function set(element, attributes) {
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (value === false || value === null || value === undefined) element.removeAttribute(name);
    else element.setAttribute(name, value === true ? "" : value);
  }
  return element;
}

export function button(text, onclick, attributes = {}) {
  return h("button", { type: "button", onclick, ...attributes }, text);
}

/** A menu: `fill` gives it new choices, as [value, text]. */
export function menu(label, onchange) {
  const select = h("select", { "aria-label": label, onchange: () => onchange(select.value) });
  const element = h("label", { class: "field" }, h("span", {}, label), select);
  let before = "";
  function fill(choices, chosen) {
    const now = JSON.stringify(choices);
    if (now !== before) select.replaceChildren(...choices.map(([value, text]) => h("option", { value }, text)));
    before = now;
    select.value = chosen;
  }
  return { element, fill };
}

/** 1,000 */
export function count(n) {
  return n.toLocaleString("en-US");
}

export function steps(n) {
  return n === 1 ? "1 step" : `${count(n)} steps`;
}

/** Bits/dim, to 1/1000; prices of bad paths are long enough without. */
export function bits(value) {
  return Math.abs(value) < 100 ? value.toFixed(3) : count(Math.round(value));
}

/** Two figures, of a positive number: 0.051, 2.7, 51, 5,100. */
export function roughly(value) {
  if (value >= 99.5) return count(Number(value.toPrecision(2)));
  return value >= 9.95 ? value.toFixed(0) : value >= 0.995 ? value.toFixed(1) : String(Number(value.toPrecision(2)));
}

/** "0.130 more than even steps", "0.020 less than even steps" or "the same as even steps". */
export function against(difference, other) {
  if (Math.abs(difference) < 0.0005) return `the same as ${other}`;
  return `${bits(Math.abs(difference))} ${difference > 0 ? "more" : "less"} than ${other}`;
}
