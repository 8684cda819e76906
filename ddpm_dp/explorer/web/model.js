// What a page knows of models: best paths, and the price of any other. `data.py` wrote it, and says what it means.

const TYPES = { f8: Float64Array, f4: Float32Array, u2: Uint16Array, u4: Uint32Array, i2: Int16Array, i4: Int32Array };
const FILE = /^(ddpm_dp\.shipped\()?"[^"\\\n]*"\)?$/;
export const DP = "DP";
export const MINE = "yours";

/** The bytes that base64 stands for. (`Uint8Array.from` takes ten times as long.) */
export function bytesOf(base64) {
  const text = atob(base64);
  const bytes = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) bytes[i] = text.charCodeAt(i);
  return bytes;
}

function decoded({ type, values }) {
  return new TYPES[type](bytesOf(values).buffer);
}

/** The models of a page's data. Throws an Error whose message is a sentence for the reader. */
export function modelsOf(data) {
  if (data?.format !== 1 || !Array.isArray(data.models) || data.models.length === 0) {
    throw new Error("This file is no explorer's data; make one with: ddpm-dp explorer FOLDER --out data.json");
  }
  const arrays = data.arrays.map(decoded);
  return data.models.map((model) => new Model(model, arrays)).filter(isWhole);
}

/** True. Throws an Error unless a model has all that a page asks of it. */
function isWhole({ T, budgets, films, families, knots, logSnr, errors }) {
  const [first] = families.values();
  const rows = knots.n.reduce((sum, n) => sum + n, 0);
  const own = [...families.values()].flatMap((family) => [
    ...Object.values(family.bits).map((bits) => bits.length === budgets && bits.every(Number.isFinite)),
    ...Object.values(family.lengths).map((lengths) => lengths.length === (budgets * (budgets + 1)) / 2),
    ...Object.keys(family.lengths).map((name) => family.path(name, budgets).at(-1) === T),
    family.error.length === budgets,
    ...[family.train, family.judge].map(({ between, first }) => between.length === rows && first.length === T + 1),
  ]);
  const filmed = (K) => Number.isInteger(K) && 1 <= K && K <= budgets;
  const named = (name) => Object.hasOwn(first.bits, name);
  const fits = [
    Number.isInteger(T) && Number.isInteger(budgets) && 1 <= budgets && budgets <= T,
    logSnr.length === T + 1 && errors.length === T + 1 && knots.s.length === rows,
    films === null || (films.budgets.every(filmed) && films.paths.every(named) && Number.isInteger(films.seeds)),
    ...own,
  ];
  if (!fits.every(Boolean)) throw new Error("Some numbers of a model are missing.");
  return true;
}

/** One model: its noise, the handcrafted paths, and a `Family` for each reverse variance. */
export class Model {
  constructor(data, arrays) {
    Object.assign(this, { name: data.name, T: data.T, d: data.d, shape: data.shape, levels: data.levels });
    this.images = data.images;
    this.file = FILE.test(data.file) ? data.file : '"train.npz"'; // Python that names its training statistics
    this.budgets = data.budgets;
    this.films = data.films ?? null;
    this.logSnr = arrays[data.logSnr];
    this.errors = arrays[data.errors];
    this.reach = data.reach;
    const { t, n, s, unit } = data.knots;
    this.knots = { t: arrays[t], n: arrays[n], s: arrays[s], unit };
    this.strides = Object.fromEntries(Object.entries(data.strides).map(([name, i]) => [name, arrays[i]]));
    this.families = new Map(data.families.map((family) => [family.name, new Family(this, family, arrays)]));
  }

  /** z of a step from t to s > 0: log(1 + C_t (snr_s - snr_t)). */
  z(t, s) {
    const gain = Math.exp(this.logSnr[t]) * Math.expm1(this.logSnr[s] - this.logSnr[t]);
    return Math.log1p(this.reach * this.errors[t] * gain);
  }

  /** The standard deviation of the noise in x_t / alpha_t, in grey levels (or in units of continuous data). */
  noise(t) {
    const sigma = Math.exp(-this.logSnr[t] / 2);
    return this.levels === null ? sigma : (sigma * (this.levels - 1)) / 2;
  }
}

/** One reverse variance of a model. */
export class Family {
  constructor(model, data, arrays) {
    this.model = model;
    Object.assign(this, { name: data.name, words: data.words, source: data.source, decoder: data.decoder });
    this.all = { bits: data.all[0], error: data.all[1] };
    this.lengths = { ...model.strides, [DP]: arrays[data.paths] };
    this.bits = Object.fromEntries(Object.entries(data.bits).map(([name, i]) => [name, arrays[i]]));
    this.error = arrays[data.error];
    this.chosenAt = arrays[data.chosenAt];
    this.train = new Prices(model, data.prices.train, arrays);
    this.judge = data.prices.heldOut === null ? this.train : new Prices(model, data.prices.heldOut, arrays);
  }

  /** The names of paths that are known for every budget: handcrafted ones, and the best. */
  get names() {
    return Object.keys(this.lengths);
  }

  /** [0, t_1, ..., T]: the path of that name with K steps. */
  path(name, K) {
    const start = (K * (K - 1)) / 2;
    const path = [0];
    for (const length of this.lengths[name].subarray(start, start + K)) path.push(path.at(-1) + length);
    return path;
  }
}

/** What steps cost the training images, or the held-out ones. */
export class Prices {
  constructor(model, data, arrays) {
    this.model = model;
    this.prior = data.prior;
    this.bitsPerNat = 1 / (model.d * Math.LN2);
    this.first = arrays[data.first];
    this.between = arrays[data.between];
    this.rows = null;
  }

  /** Nats of the step from t to s. */
  step(t, s) {
    if (s === 0) return this.first[t];
    this.rows ??= rowsOf(this.model, this.between);
    const { t: knots } = this.model.knots;
    const z = this.model.z(t, s);
    const i = Math.max(upperBound(knots, t) - 1, 0);
    const left = cubic(this.rows[i], z);
    if (knots[i] === t) return z * Math.exp(left);
    const weight = Math.log(t / knots[i]) / Math.log(knots[i + 1] / knots[i]);
    return z * Math.exp((1 - weight) * left + weight * cubic(this.rows[i + 1], z));
  }

  /** Bits/dim of each step of a path, the decoder's first. */
  steps(path) {
    return path.slice(1).map((t, i) => this.#bits(this.step(t, path[i])));
  }

  /** Bits/dim of a whole path. */
  of(path) {
    return this.steps(path).reduce((sum, bits) => sum + bits, this.priorBits);
  }

  /** Bits/dim that every path pays at T. */
  get priorBits() {
    return this.#bits(this.prior);
  }

  #bits(nats) {
    return nats * this.bitsPerNat;
  }
}

/**
 * For each knot t the z of its s, ascending, and f there. data.py wrote them with s ascending, so z falls, and f as
 * differences: from the one before, or where a row begins, from the first of the row before.
 */
function rowsOf(model, between) {
  const { t: knots, n, s: below, unit } = model.knots;
  let place = 0;
  let first = 0;
  return Array.from(knots, (t, i) => {
    const row = { z: [], f: [] };
    first += between[place];
    for (let k = 0, sum = first; k < n[i]; k++, place++) {
      if (k > 0) sum += between[place];
      row.z.push(model.z(t, below[place]));
      row.f.push(sum * unit);
    }
    return { z: row.z.reverse(), f: row.f.reverse() };
  });
}

/** A cubic through the four places nearest to z; with fewer places a polynomial through all. */
function cubic({ z: places, f: values }, z) {
  const n = Math.min(4, places.length);
  const start = Math.min(Math.max(upperBound(places, z) - 2, 0), places.length - n);
  let sum = 0;
  for (let i = start; i < start + n; i++) {
    let weight = 1;
    for (let j = start; j < start + n; j++) if (j !== i) weight *= (z - places[j]) / (places[i] - places[j]);
    sum += weight * values[i];
  }
  return sum;
}

/** How many of an ascending list are at most x. */
export function upperBound(list, x) {
  let low = 0;
  let high = list.length;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] <= x) low = middle + 1;
    else high = middle;
  }
  return low;
}
