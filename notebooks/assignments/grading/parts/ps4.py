"""Problem set 4, structure: what each part must do.

Tolerances are those of `checks.close`, for float32; the limits of parts 6 and 7 have those of their sums: 6,000 pieces
of an integral whose integrand is a power of the SNR are right to 1e-4.
"""

import checks
import numpy as np

LIBRARY = False  # the functions of ddpm_dp are off limits
SECONDS = 20  # of processor time for a cell
PRELOAD = ["numpy", "scipy.special", "matplotlib.pyplot", "torch"]  # what is slow to import, once for the class


def worst_quadrangle(yours, rng):
    for trial in range(30):
        T = int(rng.integers(5, 12))
        t = np.arange(T + 1.0)
        rising, falling = np.sort(rng.normal(size=T + 1)), -np.sort(-rng.normal(size=T + 1))
        numbers = np.outer(rising, falling) + rng.normal(size=(T + 1, 1)) + rng.normal(size=T + 1)
        if trial % 3 == 1:  # the place of the worst is at a corner of the triangle
            t_w, s_w = [(3, 1), (T - 1, 1), (T - 1, T - 3)][trial // 3 % 3]
            numbers[t_w + 1 :, s_w + 1 :] += 4
        elif trial % 3 == 2:
            numbers = rng.normal(size=(T + 1, T + 1))
        L = np.where(t[:, None] > t, numbers, np.inf)
        expected = max(
            (L[a, b] + L[a + 1, b + 1] - L[a, b + 1] - L[a + 1, b], a, b) for a in range(3, T) for b in range(1, a - 1)
        )
        given = yours("worst_quadrangle", L)
        checks.close(given, expected, f"worst_quadrangle (violation, t, s), T = {T}", "0 < s, s + 1 < t < T.")


def highest(yours, rng):
    for trial in range(20):
        n = int(rng.integers(1, 40))
        b, g, h = rng.normal(size=(3, n)) if trial % 2 else rng.integers(-3, 4, (3, n)).astype(float)  # parallel lines
        g, h = np.sort(g), rng.permutation(np.r_[h, -9, 9])
        checks.close(yours("highest", b, g, h), (b + np.outer(h, g)).max(axis=1), f"highest of {n} lines")
    n = 200_000  # tangents of the parabola h^2, all on the envelope, in between others that are not
    touch = np.sort(rng.uniform(-1, 1, n))
    below = np.where(np.arange(n) % 2, 0, rng.exponential(size=n))
    h = touch[1::2]
    answer = yours("highest", -(touch**2) - below, 2 * touch, h, seconds=10)
    checks.close(answer, h**2, "highest of 200,000 lines")


def chain(rng):
    T = int(rng.integers(3, 20))
    snr = np.r_[0, -np.sort(-rng.exponential(5, T))]
    return T, snr, np.r_[0, rng.uniform(0.05, 0.9, T) / (1 + snr[1:])], np.r_[np.inf, rng.normal(size=T)]


def spread_out(parts, names, T):
    """Arrays over timesteps, as float64; a number stands for an array that is the same everywhere."""
    assert parts is not None and len(parts) == len(names), f"Return {', '.join(names)}."
    return [np.broadcast_to(np.asarray(part, dtype=float), T + 1) for part in parts]


def beta_lines(yours, rng):
    for _ in range(10):
        T, snr, m, C = chain(rng)
        d, names = int(rng.integers(1, 10)), ("offset", "intercept", "slope", "query")
        offset, intercept, slope, query = spread_out(yours("beta_lines", C, snr, m, d), names, T)
        for t in range(2, T + 1):
            s = np.arange(1, t)
            rho = (1 + snr[s]) / (1 + snr[t])  # sigma_t^2 / sigma_s^2 = (1 + snr_s) / (1 + snr_t)
            price = d / 2 * (np.log(rho) + (1 + (snr[s] - snr[t]) * m[t]) / rho - 1)
            lines = offset[t] + intercept[s] + slope[s] * query[t]
            checks.close(lines, C[s] + price, f"your lines at t = {t} of T = {T}, d = {d}", "One for each s < t.")


def analytic_lines(yours, rng):
    names = ("factor", "intercept", "slope", "query", "layer")
    for _ in range(10):
        T, snr, m, C = chain(rng)
        answer = yours("analytic_lines", C, snr, m)
        factor, intercept, slope, query, layer = spread_out(answer, names, T)
        for t in range(2, T + 1):
            s = np.arange(1, t)
            total = C[s] + np.log2(1 + (snr[s] - snr[t]) * m[t]) / 2
            lines = factor[t] * (intercept[s] + slope[s] * query[t])
            checks.close(lines, 4**total, f"your lines at t = {t} of T = {T}", "What turns bits/dim into a product?")
            checks.close(layer[t], total.min(), f"the layer at t = {t} of T = {T}", "In bits/dim.")
        assert np.isinf(layer[:2]).all(), "The layer is inf at t = 0 and t = 1: no step with 0 < s < t ends there."


def divide(yours, rng):
    for T in (2, 3, *rng.integers(4, 30, 8).tolist(), 300):
        height, width = np.sort(rng.exponential(size=T + 1)), -np.sort(-rng.exponential(5, T + 1))
        C, calls = np.r_[np.inf, rng.normal(size=T) + 0.01 * np.arange(T)], []

        def price(t, s, width=width, height=height, calls=calls):
            assert 0 < s < t < len(width), f"L(t={t}, s={s}) was asked for: 0 < s < t <= T."
            calls.append((t, s))
            return float((width[s] - width[t]) * height[t])

        winners = checks.numbers(yours("divide", C, price, seconds=15), "your winners")
        assert winners.shape == (T + 1,), f"divide returns {winners.shape} winners, expected {(T + 1,)}."
        for t in range(2, T + 1):
            s = np.arange(1, t)
            totals = C[s] + (width[s] - width[t]) * height[t]
            w = int(winners[t])
            assert 0 < w < t, f"the winner at t = {t} is {w}, expected 0 < s < t."
            checks.close(totals[w - 1], totals.min(), f"the price of your winner at t = {t}, T = {T}")
        most = 16 * T  # T log2 T and some
        assert len(calls) <= most or T < 50, (
            f"You called L {len(calls):,} times for T = {T}, expected at most {most:,}."
        )


def power_law(rng):
    """An error m = snr^-p, for which the integrals have closed forms: of sqrt(p) snr^(-(p + 1) / 2)."""
    p, high, low = rng.uniform(0.3, 3), rng.uniform(50, 500), rng.uniform(0.1, 5)
    snr, e = np.r_[0, np.geomspace(high, low, 6000)], (1 - p) / 2
    e = e if abs(e) > 1e-6 else 1e-6

    def integral(above):
        return np.sqrt(p) * (high**e - above**e) / e

    return snr, np.r_[0, snr[1:] ** -p], integral, low


def steps_needed(yours, rng):
    for _ in range(10):
        snr, m, integral, low = power_law(rng)
        d, K = int(rng.integers(1, 10)), int(rng.integers(1, 100))
        nats = d / (4 * (K - rng.uniform(0.2, 0.8))) * integral(low) ** 2
        given = yours("steps_needed", snr, m, d, nats)
        assert given == K, f"steps_needed for d = {d}, {nats:.4f} nats is {given!r:.50}, expected {K}."
    assert yours("steps_needed", snr, m, 1, 1e9) == 1, "steps_needed for a billion nats: a path has at least one step."


def share_above(yours, rng):
    for _ in range(10):
        snr, m, integral, low = power_law(rng)
        x = float(np.exp(rng.uniform(np.log(low) + 0.3, np.log(snr[1]) - 0.3)))
        given = yours("share_above", snr, m, x)
        checks.close(
            given, integral(x) / integral(low), f"the share above {x:.3f}", "From snr[1] downwards.", rtol=1e-3
        )


PARTS = {
    "test_worst_quadrangle": worst_quadrangle,
    "test_highest": highest,
    "test_beta_lines": beta_lines,
    "test_analytic_lines": analytic_lines,
    "test_divide": divide,
    "test_steps_needed": steps_needed,
    "test_share_above": share_above,
}
