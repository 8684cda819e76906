"""Compiled sums over cells at the nodes of a curve's panels; `curves.py` says what they are for.

Both functions return the (N, n + 1) coefficients of G / (c delta) times `scale`, panel by panel and timestep by
timestep, and (N,) bounds of how much the price bends up. `start` (T + 2,) says where each timestep's panels begin.
E (P (n + 1),) and less = E - 1 are the nodes of panels 0 .. P - 1, the same for all t. The loops over the nodes of a
timestep are the inner ones: they are some 100, and run in vector lanes.

A bound holds for d^2 L / dx^2, x = E - 1, on a panel and beyond. That is a sum of f(x) h(x), where f falls and h > 0
falls to 0: at most f h at the panel's begin where f is positive there, elsewhere at most f there times h at its end.
Once no f is positive, the price is concave from there on, and no further panel is looked at.
"""

import math

import numpy as np
from numpy.typing import NDArray

from ddpm_dp.compiling import compiled as compiled_with
from ddpm_dp.solver.kernels import EDGES

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

LOG4 = math.log(4.0)

compiled = compiled_with(fastmath={"contract"})  # a * x + b rounds once, not twice
sums = compiled_with(fastmath={"contract", "reassoc", "nsz"})  # in vector lanes


@compiled
def rate_panels(
    rates: Floats,
    mass: Floats,
    error: Floats,
    c: Floats,
    start: Ints,
    scale: float,
    E: Floats,
    less: Floats,
    integral: Floats,
    coefficients: Floats,
) -> tuple[Floats, Floats]:
    """rho_b = 1 + k_b (E - 1): F = E sum_b p_b (k_b / rho_b)^2, and errors = sum_b e_b / (c rho_b).

    d^2 L / dx^2 = sum_b [p_b k_b^2 (1 - k_b x) - 2 k_b e_b / c] / rho_b^3.
    """
    panels, bend = np.empty((start[-1], len(coefficients))), np.zeros(start[-1])
    F, errors = np.empty((2, len(E)))
    k, weight, share = np.empty((3, rates.shape[1] + 1))
    for t in range(2, len(rates)):
        count = start[t + 1] - start[t]
        nodes = count * len(coefficients)
        F[:nodes], errors[:nodes] = 0, 0
        cells = 0
        for b in range(rates.shape[1]):
            if mass[t, b] > 0 or error[t, b] > 0:  # a histogram has many empty bins
                k[cells] = rates[t, b] / c[t]
                weight[cells], share[cells] = scale * mass[t, b], scale * error[t, b] / c[t]
                cells += 1
        bends = bend[start[t] : start[t + 1]]
        for p in range(count):
            bends[p], rising = _bend_of_rates(k[:cells], weight, share, EDGES[p] - 1, EDGES[p + 1] - 1)
            if rising == 0:
                break
        cells = _gathered(k, weight, share, cells)
        for b in range(cells):
            weight[b] *= k[b] ** 2
        k[cells], weight[cells], share[cells] = 0, 0, 0  # an empty one, so that they go in pairs
        for b in range(0, cells, 2):
            k0, weight0, share0 = k[b], weight[b], share[b]
            k1, weight1, share1 = k[b + 1], weight[b + 1], share[b + 1]
            for i in range(nodes):
                rho0, rho1 = 1 + k0 * less[i], 1 + k1 * less[i]
                q = 1 / (rho0 * rho1)  # one division, which takes longer than all the rest, for two
                q0, q1 = q * rho1, q * rho0
                F[i] += weight0 * (q0 * q0) + weight1 * (q1 * q1)
                errors[i] += share0 * q0 + share1 * q1
        for i in range(nodes):
            F[i] *= E[i]
        _fit(F, errors, less, integral, coefficients, panels[start[t] : start[t + 1]])
        _and_beyond(bends)
    return panels, bend


@sums
def _bend_of_rates(k: Floats, weight: Floats, share: Floats, begin: float, end: float) -> tuple[float, int]:
    """The bound for a panel and how many cells have f > 0 at its begin."""
    bend, rising = 0.0, 0
    for b in range(len(k)):
        f = k[b] * (weight[b] * k[b] * (1 - k[b] * begin) - 2 * share[b])
        inverse = 1 / (1 + k[b] * (begin if f > 0 else end))
        bend += f * inverse * inverse * inverse
        rising += 1 if f > 0 else 0
    return bend, rising


FEW = 12  # places instead of many cells
NEAR = 1.4  # the largest k over the smallest, of cells that go together
PLACES = -np.cos(np.pi * (np.arange(FEW) + 0.5) / FEW)  # Chebyshev's, in an interval from -1 to 1
CHEBYSHEV = np.cos(np.arange(FEW) * np.arccos(PLACES)[:, None]) * np.where(np.arange(FEW) > 0, 2, 1) / FEW


@compiled
def _gathered(k: Floats, weight: Floats, share: Floats, cells: int) -> int:
    """In place: neighbours whose k differ by less than the factor NEAR become FEW cells; returns how many are left.

    A sum of weight f(k) over many cells is one over FEW places, with weight l_j(k) gathered at place j, up to the error
    of interpolating f there, l_j being Lagrange's polynomials. The f are 1 / rho and (k / rho)^2, analytic but at a
    k <= 0, which is (NEAR + 1) / (NEAR - 1) = 6 half widths from the middle or more: relative to f the error falls as
    (6 + sqrt(35))^-FEW = 1e-13; 3e-13 in fact, for the square. The gathered weights are sums of cosines, which lose no
    digits, times sum_b weight_b T_m(k_b), where T_m(cos a) = cos(m a).
    """
    left, begin = 0, 0
    weights, shares = np.empty((2, FEW))
    T = np.ones((FEW, cells))  # T_m at the cells of one interval
    while begin < cells:
        least, most, end = k[begin], k[begin], begin + 1
        while end < cells and max(most, k[end]) <= NEAR * min(least, k[end]):
            least, most, end = min(least, k[end]), max(most, k[end]), end + 1
        middle, half, n = (least + most) / 2, (most - least) / 2, end - begin
        if n <= FEW or half == 0:
            for b in range(begin, end):
                k[left], weight[left], share[left] = k[b], weight[b], share[b]
                left += 1
        else:
            for b in range(n):
                T[1, b] = (k[begin + b] - middle) / half
            for m in range(2, FEW):
                for b in range(n):
                    T[m, b] = 2 * T[1, b] * T[m - 1, b] - T[m - 2, b]
            for m in range(FEW):
                weights[m], shares[m] = _two_sums(weight[begin:end], share[begin:end], T[m])
            for j in range(FEW):
                k[left], weight[left], share[left] = middle + half * PLACES[j], 0, 0
                for m in range(FEW):
                    weight[left] += CHEBYSHEV[j, m] * weights[m]
                    share[left] += CHEBYSHEV[j, m] * shares[m]
                left += 1
        begin = end
    return left


@sums
def _two_sums(weight: Floats, share: Floats, T: Floats) -> tuple[float, float]:
    weights, shares = 0.0, 0.0
    for b in range(len(weight)):
        weights += weight[b] * T[b]
        shares += share[b] * T[b]
    return weights, shares


@compiled
def exponent_panels(
    low: Floats,
    high: Floats,
    mass: Floats,
    error: Floats,
    c: Floats,
    start: Ints,
    scale: float,
    E: Floats,
    less: Floats,
    integral: Floats,
    coefficients: Floats,
) -> tuple[Floats, Floats]:
    """rho_b = E^v_b: F = sum_b p_b v_b (1 - 1 / rho_b) / (E - 1), and errors = sum_b e_b / (c rho_b).

    With v_b = low + b h, 1 / rho_b = E^-low r^b and r = E^-h: polynomials in r, by Horner's rule. So is

        sum_b p_b v_b (1 - r^b) = (1 - r) sum_b r^b (p_{b+1} v_{b+1} + p_{b+2} v_{b+2} + ...),

    which keeps the digits that 1 - r^b loses where h log E is small.

    d^2 L / dx^2 = f / E^2 - sum_b v_b e_b / c [(1 - v_b) E + 1 + v_b] / rho_b / E^2, f = sum_b p_b v_b [(1 + v_b) /
    rho_b - 1]: what is subtracted falls too.
    """
    bins, size = mass.shape[1], len(coefficients)
    panels, bend = np.empty((start[-1], size)), np.zeros(start[-1])
    F, errors, r, rise, first, begin = np.empty((6, len(E)))  # r as above, and 1 - r; E^-low, and 1 - E^-low
    up, flat, steep = np.empty((3, bins))
    share, after = np.zeros((2, bins + 1))  # after: of p v, what is beyond a bin; one more, empty, if odd
    for t in range(2, len(mass)):
        count = start[t + 1] - start[t]
        nodes = count * size
        h = (high[t] - low[t]) / max(bins - 1, 1)
        _powers(h, less, size, r[:nodes], rise[:nodes])
        _powers(low[t], less, size, first[:nodes], begin[:nodes])
        total, squares = 0.0, 0.0  # of p v, in the end of all bins; of p v^2, which is F where E = 1
        for b in range(bins - 1, -1, -1):
            v, weight = low[t] + b * h, scale * mass[t, b]
            share[b], after[b] = scale * error[t, b] / c[t], total
            total += weight * v
            squares += weight * v * v
            up[b], flat[b], steep[b] = weight * v * (1 + v), share[b] * v * (1 + v), share[b] * v * (1 - v)
        F[:nodes], errors[:nodes] = 0, 0
        for b in range((bins - 1) // 2 * 2, -1, -2):  # in pairs: half as often to memory
            share0, after0, share1, after1 = share[b], after[b], share[b + 1], after[b + 1]
            for i in range(nodes):
                F[i] = (F[i] * r[i] + after1) * r[i] + after0
                errors[i] = (errors[i] * r[i] + share1) * r[i] + share0
        for i in range(nodes):
            above = begin[i] * total + first[i] * rise[i] * F[i]
            F[i] = above / less[i] if less[i] > 0 else squares
            errors[i] *= first[i]
        _fit(F, errors, less, integral, coefficients, panels[start[t] : start[t + 1]])
        rise_at = up.sum()
        for p in range(count):
            f, end = rise_at - total, EDGES[p + 1]
            if f <= 0:
                break
            rise_at, flat_at, steep_at = _at_edge(up, flat, steep, end**-h, end ** -low[t])
            bend[start[t] + p] = f / EDGES[p] ** 2 - (flat_at + steep_at * end) / end**2
        _and_beyond(bend[start[t] : start[t + 1]])
    return panels, bend


@compiled
def _at_edge(up: Floats, flat: Floats, steep: Floats, r: float, first: float) -> tuple[float, float, float]:
    """The three sums over bins, each with its 1 / rho_b = first r^b."""
    a, b, c = 0.0, 0.0, 0.0
    for i in range(len(up) - 1, -1, -1):
        a, b, c = a * r + up[i], b * r + flat[i], c * r + steep[i]
    return first * a, first * b, first * c


@compiled
def _powers(v: float, less: Floats, size: int, power: Floats, rise: Floats) -> None:
    """E^-v and 1 - E^-v at the nodes of all panels, with all their digits: E is 4^p times a node of the first panel."""
    for i in range(size):
        rise[i] = -math.expm1(-v * math.log1p(less[i]))
        power[i] = 1 - rise[i]
    for p in range(1, len(power) // size):
        begin, above = math.exp(-v * p * LOG4), -math.expm1(-v * p * LOG4)
        for i in range(size):
            rise[p * size + i] = above + begin * rise[i]
            power[p * size + i] = begin * power[i]


@compiled
def _fit(F: Floats, errors: Floats, less: Floats, integral: Floats, coefficients: Floats, panels: Floats) -> None:
    """From F and errors at the nodes of all panels of a timestep: its polynomials."""
    count = len(coefficients)
    B, begin = np.empty(count), 0.0  # and B where a panel begins
    for p in range(len(panels)):
        B[:], panels[p] = begin, 0
        for j in range(count):  # column by column: sums in vector lanes, none waits for the one before
            for i in range(count):
                B[i] += integral[p, j, i] * F[p * count + j]
        begin = B[-1]
        for j in range(count):
            node = p * count + j
            value = errors[node] + (B[j] / less[node] if less[node] > 0 else 0.0)
            for i in range(count):
                panels[p, i] += coefficients[j, i] * value


@compiled
def _and_beyond(bend: Floats) -> None:
    """From a bound for each panel to one for it and all beyond, at least 0."""
    most = 0.0
    for p in range(len(bend) - 1, -1, -1):
        most = max(most, bend[p])
        bend[p] = most
