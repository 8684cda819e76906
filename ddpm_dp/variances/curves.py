r"""Prices as curves: for each t, L(t, s) as a few polynomials of one number, whatever the number of cells.

For B cells with mass p_b, error e_b and a rho_b of their own, and delta = snr_s - snr_t, a step costs

    L(t, s) = d/2 G,    G = sum_b p_b [log rho_b + 1 / rho_b - 1]  +  delta sum_b e_b / rho_b.

All rho_b of one t are functions of E = 1 + c delta, with c >= 0 a number of that t:

    rate_form       rho_b = 1 + delta u_b = 1 + k_b (E - 1),  k_b = u_b / c,  c the largest u_b (so k_b <= 1)
    exponent_form   rho_b = (sigma_t^2 / sigma_s^2)^v_b = E^v_b,  c = sigma_t^2   (1 + sigma_t^2 delta is that quotient)

so G / (c delta) is a smooth function of E alone. `CurveCosts` holds it as one polynomial for each panel
4^p <= E < 4^(p+1), in xi = 3 (E - m) / (E + m) with m = 2 4^p, which runs from -1 to 1. Here they are made: sums over
cells at 16 Chebyshev nodes xi = -cos(pi i / 15) of each panel, and nothing else ever touches the cells. (Many cells
whose rates are close are summed at 12 places instead, which changes a step by 3e-13 at most: see `panels.py`.) No
logarithm is taken: with B = sum_b p_b [log rho_b + 1 / rho_b - 1] and z = log E,

    dB/dz = (E - 1) F,    F = E sum_b p_b (k_b / rho_b)^2      or      F = sum_b p_b v_b (1 - 1 / rho_b) / (E - 1),

so B is the integral of F's interpolant with the weight E - 1; F and all sums are positive, and nothing cancels.

**Error.** Relative to G, below 1e-9; 6e-12 in practice. Interpolation is linear, and G / (c delta) is a sum with
positive weights of 1 / rho and of B / (E - 1) of single cells: so it cannot be worse than for the worst single cell,
and those have one parameter, k or v in [0, 1], through which a test walks. Why it is so small: on a panel
xi = 3 tanh(z / 2), z counted from the panel's middle. As |1 - k + k E| >= (1 - k + k |E|) cos(arg E / 2), a cell's
functions are analytic but where E <= 0, that is where xi is real and beyond -3 or 3; elsewhere of the size they have
at |E|. The largest ellipse with foci -1 and 1 that stays clear of that has rho = 3 + sqrt(8), and the error of
interpolation at n + 1 nodes falls as rho^-n: 3e-12 for n = 15 (Trefethen 2019, Approximation Theory and Approximation
Practice, theorem 8.2; 1 / E attains it). Nodes at both ends make neighbouring panels agree where they meet, and keep
the error relative where B, which begins with delta^2, is all there is (3e-10 at worst).
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import numpy as np
from numpy.polynomial import chebyshev
from numpy.typing import NDArray

from ddpm_dp.noise import NoiseSchedule
from ddpm_dp.solver import CurveCosts

Floats = NDArray[np.float64]
Panels = Callable[[NDArray[np.int64]], tuple[Floats, Floats]]  # of all t, from where each one's begin
DEGREE = 15
PART = 2**14  # timesteps whose cells are looked at together
NODES = -np.cos(np.pi * np.arange(DEGREE + 1) / DEGREE)


def rate_form(
    noise: NoiseSchedule, d: int, rates: Floats, mass: Floats, error: Floats
) -> Callable[[Floats], CurveCosts]:
    """The form of a family with rho_b = 1 + (snr_s - snr_t) u_b in cell b.

    noise, d: the schedule, and the dimensions of an image.
    rates: (T + 1, B) the u_b >= 0 of each timestep. mass, error: (T + 1, B) as in `Cells`; row 0 is not read.

    Returns a function of the decoder's prices, (T + 1,) nats, as `ReverseVariance.form` does. The curves are made when
    it is first called, and once: half a ns or less for each timestep, cell and node, of which 16 serve a factor 4 of E.

    Raises ValueError if a rate times the SNR of t = 1 is beyond 1e149 or so.

    One cell is `analytic`:

    >>> noise, m = NoiseSchedule.cosine(50), np.full((51, 1), 0.2)
    >>> costs = rate_form(noise, 2, rates=m, mass=np.ones((51, 1)), error=m)(np.zeros(51))
    >>> bool(np.isclose(costs.of_steps(30, 10), np.log1p((noise.snr[10] - noise.snr[30]) * 0.2), rtol=1e-9))
    True
    """
    g = _finite_snr(noise)
    # Where all rates are 0, or so small that no step notices: a c that keeps E in the first panel.
    most = [rates[i].max(1, where=(mass[i] > 0) | (error[i] > 0), initial=0) for i in _some(len(mass))]
    c = np.maximum(np.concatenate(most), 1 / np.maximum(g[1] - g, 1e-300))

    def panels(start: NDArray[np.int64]) -> tuple[Floats, Floats]:
        from ddpm_dp.variances.panels import rate_panels  # here: importing numba takes time that names need not

        nodes = _nodes(start)
        return _together(start, lambda i, begin: rate_panels(rates[i], mass[i], error[i], c[i], begin, d / 2, *nodes))

    return _form(g, c, panels)


def exponent_form(
    noise: NoiseSchedule, d: int, low: Floats, high: Floats, mass: Floats, error: Floats
) -> Callable[[Floats], CurveCosts]:
    """The form of a family with rho_b = (sigma_t^2 / sigma_s^2)^v_b, v_b evenly spaced from low[t] to high[t].

    noise, d: the schedule, and the dimensions of an image.
    low, high: (T + 1,) the first and the last v_b, in [0, 1]. mass, error: (T + 1, B) as in `Cells`; row 0 is not
        read.

    Returns a function of the decoder's prices, as `rate_form` does.

    All v = 0 is `posterior`:

    >>> noise, zero, m = NoiseSchedule.cosine(50), np.zeros(51), np.full((51, 1), 0.2)
    >>> costs = exponent_form(noise, 2, zero, zero, mass=np.ones((51, 1)), error=m)(np.zeros(51))
    >>> bool(np.isclose(costs.of_steps(30, 10), (noise.snr[10] - noise.snr[30]) * 0.2, rtol=1e-9))
    True
    """

    def panels(start: NDArray[np.int64]) -> tuple[Floats, Floats]:
        from ddpm_dp.variances.panels import exponent_panels

        nodes, c = _nodes(start), noise.sigma2
        return _together(
            start, lambda i, begin: exponent_panels(low[i], high[i], mass[i], error[i], c[i], begin, d / 2, *nodes)
        )

    return _form(_finite_snr(noise), noise.sigma2, panels)


def _finite_snr(noise: NoiseSchedule) -> Floats:
    snr = noise.snr.copy()
    snr[0] = 0  # never used: s = 0 is the decoder's
    return snr


def _form(g: Floats, c: Floats, panels: Panels) -> Callable[[Floats], CurveCosts]:
    """The panels are made once, when the form is first used."""
    with np.errstate(over="ignore"):
        reach = np.log1p(c * (g[1] - g)) / np.log(4)
    if reach[1:].max() > 249:
        t = 1 + int(np.argmax(reach[1:]))
        raise ValueError(
            f"The largest rate of t = {t} is {c[t]}, more than float64 can search: check the cells' errors."
        )
    counts = np.where(np.arange(len(g)) < 2, 0, np.floor(reach + 1e-9).astype(np.int64) + 1)
    start = np.concatenate([[0], np.cumsum(counts)])
    made = cache(lambda: panels(start))
    return lambda first: CurveCosts(first, g, c, start, *made())


def _some(entries: int) -> list[slice]:
    """All timesteps in parts: of a histogram at T = 10^6 not all rows can be there at once."""
    return [slice(t, min(t + PART, entries)) for t in range(0, entries, PART)]


def _together(
    start: NDArray[np.int64], panels: Callable[[slice, NDArray[np.int64]], tuple[Floats, Floats]]
) -> tuple[Floats, Floats]:
    """The panels of all timesteps, made part by part: (timesteps, where each one's begin) -> those of the part.

    A part begins with two timesteps that the functions of `panels.py` pass over, as they do t = 0 and 1.
    """
    made, bends = np.empty((start[-1], DEGREE + 1)), np.empty(start[-1])

    def make(part: slice) -> None:
        t, end = part.start + 2, part.stop + 2
        own = slice(start[t], start[end])
        made[own], bends[own] = panels(slice(t - 2, end), np.maximum(start[t - 2 : end + 1] - start[t], 0))

    with ThreadPoolExecutor(4) as pool:  # compiled functions let go of the GIL; each part takes some 100 MB
        for _ in pool.map(make, _some(len(start) - 3)):  # t = 2 to T
            pass
    return made, bends


def _nodes(start: NDArray[np.int64]) -> tuple[Floats, Floats, Floats, Floats]:
    """What all timesteps share: E at the nodes of one panel after the other, E - 1 there, and matrices.

    Those of each panel, (P, n + 1, n + 1), turn F at its nodes into B at its nodes less B at its first; the last one
    turns values of a polynomial at the nodes into the coefficients that `CurveCosts` holds. Both are transposed.
    """
    edge = 4.0 ** np.arange(np.diff(start).max())[:, None]

    def less(xi: Floats) -> Floats:
        """E - 1 on each panel: its first node is exactly 4^p."""
        return (edge - 1) + 3 * edge * (1 + xi) / (3 - xi)

    # Gauss's rule from the first node to each of the others, exact to rounding for polynomials times this weight.
    points, weights = np.polynomial.legendre.leggauss(20)
    half = (1 + NODES[1:, None]) / 2
    xi = half * (1 + points) - 1
    dz = half * weights * 6 / (9 - xi**2)  # z = log m + 2 artanh(xi / 3)
    weight = (less(xi.ravel()).reshape(-1, *xi.shape) * dz)[:, :, None]
    interpolant = chebyshev.chebvander(xi, DEGREE) @ np.linalg.inv(chebyshev.chebvander(NODES, DEGREE))
    integral = np.zeros((len(edge), DEGREE + 1, DEGREE + 1))
    integral[:, 1:] = (weight @ interpolant)[:, :, 0]

    # a_1 + a_2 xi + ... goes through the quotients (P - a_0) / w of the nodes beyond the first, where w = 1 + xi.
    quotient = np.diag(1 / (1 + NODES[1:])) @ np.eye(DEGREE + 1)[1:]
    quotient[:, 0] = -1 / (1 + NODES[1:])
    coefficients = np.vstack([np.eye(DEGREE + 1)[0], np.linalg.inv(np.vander(NODES[1:], increasing=True)) @ quotient])
    return (
        (1 + less(NODES)).ravel(),
        less(NODES).ravel(),
        np.ascontiguousarray(integral.transpose(0, 2, 1)),
        np.ascontiguousarray(coefficients.T),
    )
