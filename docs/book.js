// What the theme leaves out for those who use keys or a screen reader (tests/explorer/test_book_pages.py asks axe-core).

for (const head of document.querySelectorAll("thead")) if (!head.textContent.trim()) head.remove();
for (const code of document.querySelectorAll("pre")) if (code.scrollWidth > code.clientWidth) code.tabIndex = 0;
for (const [place, name] of [
  [".sidebar-drawer", "The course"],
  [".toc-drawer", "This page"],
]) {
  document.querySelector(place)?.setAttribute("aria-label", name);
}
// Sphinx makes a signature of several lines from a list of definitions that has no terms: lines they are.
for (const part of document.querySelectorAll("dt.sig dd, dt.sig dl")) {
  const line = document.createElement("div");
  line.className = part.matches("dd") ? "parameter" : "";
  line.append(...part.childNodes);
  part.replaceWith(line);
}
