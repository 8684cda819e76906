// Axes: from numbers to pixels and back, and the marks that fit.

/** The left end of a picture's rows, and where their names stand: before the row, or above it if there is no room. */
export function rowNames(width, em) {
  const narrow = width < 32 * em;
  return { left: (narrow ? 1.8 : 6.2) * em, above: narrow ? 1.1 * em : 0 };
}

/** Ticks at round numbers, about `wanted` of them, from low to high. */
export function roundTicks(low, high, wanted) {
  const rough = (high - low) / wanted;
  const power = 10 ** Math.floor(Math.log10(rough));
  const gap = [1, 2, 5, 10].map((factor) => factor * power).find((each) => each >= rough);
  const ticks = [];
  for (let i = Math.ceil(low / gap); i * gap <= high; i++) ticks.push(Number((i * gap).toPrecision(12)));
  return ticks;
}

/** Those marks, in order, that stand at least `gap` pixels from the one before. */
export function spaced(marks, place, gap) {
  let last = -Infinity;
  return marks.filter((mark) => {
    const far = Math.abs(place(mark) - last) >= gap;
    if (far) last = place(mark);
    return far;
  });
}

/** Heights near the wanted ones, at least `gap` apart, within low .. high: for labels at the ends of curves. */
export function apart(wanted, gap, low, high) {
  const order = wanted.map((_, i) => i).sort((a, b) => wanted[a] - wanted[b]);
  const placed = [...wanted];
  order.forEach((i, rank) => {
    placed[i] = Math.max(placed[i], low, rank ? placed[order[rank - 1]] + gap : low);
  });
  let limit = high;
  for (const i of order.reverse()) {
    placed[i] = Math.min(placed[i], limit);
    limit = placed[i] - gap;
  }
  return placed;
}
