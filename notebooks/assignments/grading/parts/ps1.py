"""Problem set 1, the ELBO: what each part must do.

Tolerances are those of `checks.close`: 1e-4, since float32 answers are right. Random numbers are such that no correct
formula loses more than two digits to cancellation, and that a wrong one is off by far more.
"""

import checks
import numpy as np

LIBRARY = False  # the functions of ddpm_dp are off limits
SECONDS = 20  # of processor time for a cell
PRELOAD = ["numpy", "scipy.special", "matplotlib.pyplot", "torch"]  # what is slow to import, once for the class


def kl_bits(yours, rng):
    for d in (1, 2, 5):
        mu, v = rng.normal(size=(2, 6, d)), rng.uniform(0.2, 3, (2, 6, d))
        # The definition: the expectation of log p - log q under P, by Gauss-Hermite quadrature, exact for polynomials.
        nodes, weights = np.polynomial.hermite_e.hermegauss(8)
        x = mu[0][..., None] + np.sqrt(v[0])[..., None] * nodes
        log_p, log_q = (
            -((x - m[..., None]) ** 2) / (2 * w[..., None]) - np.log(2 * np.pi * w[..., None]) / 2
            for m, w in zip(mu, v, strict=True)
        )
        expected = ((log_p - log_q) @ weights / weights.sum()).sum(1) / np.log(2)
        what = f"kl_bits of 6 pairs in {d} dimensions"
        checks.close(yours("kl_bits", mu[0], v[0], mu[1], v[1]), expected, what, "In bits, P first, one number a pair.")
        alone = yours("kl_bits", mu[0][0], v[0][0], mu[1][0], v[1][0])
        checks.close(alone, expected[0], f"kl_bits of one pair in {d} dimensions", "A number for arrays of shape (d,).")


def posterior(yours, rng):
    for trial in range(20):
        a = np.r_[1, np.cumprod(rng.uniform(0.6, 0.95, 9))] if trial % 3 else np.ones(10)
        s = np.zeros(10)
        for t in range(1, 10):  # a chain: every step adds noise
            s[t] = np.sqrt((a[t] / a[t - 1]) ** 2 * s[t - 1] ** 2 + rng.uniform(0.1, 0.6))
        early, late = (int(t) for t in np.sort(rng.choice(10, 2, replace=False)))
        # x_early and x_late given x_0 are jointly Gaussian; condition the one on the other.
        cov, var_late = a[late] / a[early] * s[early] ** 2, s[late] ** 2
        c_t = cov / var_late
        expected = [a[early] - c_t * a[late], c_t, s[early] ** 2 - cov**2 / var_late]
        kind = "a = 1" if trial % 3 == 0 else "a shrinking signal"
        hint = "Condition one Gaussian on another; early may be 0."
        checks.close(yours("posterior", a, s, late, early), expected, f"posterior({late}, {early}), {kind}", hint)


def best_rho(yours, rng):
    for _ in range(20):
        delta, m, low = rng.uniform(0.1, 5), rng.uniform(0.05, 2), rng.uniform(0.5, 4)
        high = low * rng.uniform(1.2, 4)
        grid = np.linspace(low, high, 200_001)
        price = np.log(grid) + (1 + delta * m) / grid
        given = yours("best_rho", delta, m, low, high)
        checks.close(given, grid[price.argmin()], f"best_rho({delta:.4f}, {m:.4f}, {low:.4f}, {high:.4f})")
    three = rng.uniform(0.1, 3, 3)
    wide = yours("best_rho", three, np.full(3, 0.5), np.full(3, 1e-6), np.full(3, 1e6))
    checks.close(wide, 1 + three / 2, "best_rho of three steps at once, hardly bounded", "Arrays of one shape.")


def step_price(yours, rng):
    for _ in range(20):
        cells, d = int(rng.integers(1, 5)), int(rng.integers(1, 300))
        snr_t, m, rho = rng.uniform(0.1, 2), rng.uniform(0.01, 0.5, cells), rng.uniform(0.5, 4, cells)
        snr_s = snr_t + rng.uniform(0.5, 5)
        share = rng.dirichlet(np.full(cells, 2.0))
        # The KL divergence itself, for variances tilde and rho tilde and means that differ by sqrt(delta m tilde).
        tilde = 0.3
        apart = (snr_s - snr_t) * m * tilde
        kl = [0.5 * (np.log(r) - 1 + (tilde + x) / (r * tilde)) for r, x in zip(rho, apart, strict=True)]
        expected = d * np.dot(share, kl)
        given = yours("step_price", rho, snr_s, snr_t, m, share, d)
        checks.close(given, expected, f"step_price of {cells} cells, d = {d}", "Shares, d/2, snr_s above snr_t.")


def bits_per_dim(yours, rng):
    for _ in range(10):
        levels, shape = int(rng.integers(2, 300)), [int(n) for n in rng.integers(1, 12, int(rng.integers(2, 5)))]
        nats = np.log(levels) * np.prod(shape)  # every number one of so many equal grey levels
        checks.close(yours("bits_per_dim", nats, shape), np.log2(levels), f"bits_per_dim({nats:.3f}, {shape})")


def decoder_nats(yours, rng):
    nodes, weights = np.polynomial.legendre.leggauss(60)
    for _ in range(20):
        n = int(rng.integers(3, 30))
        levels = np.cumsum(rng.uniform(0.05, 0.3, n))
        mean, variance = rng.uniform(levels[0], levels[-1]), rng.uniform(0.1, 1) ** 2
        edges = (levels[1:] + levels[:-1]) / 2
        centre, half = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
        x = centre[:, None] + half[:, None] * nodes
        density = np.exp(-((x - mean) ** 2) / (2 * variance)) / np.sqrt(2 * np.pi * variance)
        mass = density @ weights * half  # of the inner bins
        nats = yours("decoder_nats", np.arange(n), np.full(n, mean), variance, levels)
        given = np.exp(-checks.numbers(nats, "the nats of all levels"))
        sure = mass > 1e-4
        what = f"the masses of inner levels, {n} levels, mean {mean:.4f}, variance {variance:.4f}"
        checks.close(given[1:-1][sure], mass[sure], what, "Half way to both neighbours.")
        checks.close(given.sum(), 1, "the sum of all masses", "The outer bins are open.")


def decoder_nats_tail(yours, rng):
    for _ in range(20):
        n, sd, side = int(rng.integers(5, 40)), rng.uniform(0.005, 0.02), int(rng.choice([-1, 1]))
        grey = np.linspace(-1, 1, n)
        index = n - 2 if side > 0 else 1  # an inner bin at the end that is far from the mean
        mean = -side * rng.uniform(0.7, 1)
        a = (abs(grey[index] - mean) - 1 / (n - 1)) / sd  # its nearer edge, in standard deviations
        z = np.linspace(0, 40 / a, 4001)  # the density beyond the edge, without its value at the edge
        far = np.exp(-a * z - z**2 / 2)
        expected = a**2 / 2 + np.log(2 * np.pi) / 2 - np.log(((far[1:] + far[:-1]) / 2).sum() * z[1])
        what = f"level {index} of {n}, mean {mean:.4f}, standard deviation {sd:.4f}"
        checks.close(yours("decoder_nats", index, mean, sd**2, grey), expected, what, "See the hint on the tail.")


decoder_nats_tail.answer = "decoder_nats"


def negative_elbo(yours, rng):
    for _ in range(20):
        size = int(rng.integers(4, 30))
        L = np.where(np.tri(size, k=-1) > 0, rng.normal(size=(size, size)), np.inf)
        inner = np.sort(rng.choice(np.arange(1, size - 1), int(rng.integers(0, size - 2)), replace=False))
        stops, prior = [0, *inner.tolist(), size - 1], float(rng.normal())
        steps = np.zeros((size, size), dtype=bool)  # mark the steps in a table as large as L
        steps[stops[1:], stops[:-1]] = True
        t, s = np.unravel_index(np.where(steps, L, -np.inf).argmax(), L.shape)
        expected = [L[steps].sum() + prior, t, s]
        hint = "The sum and the prior; then t and s of the most expensive step."
        checks.close(yours("negative_elbo", stops, L, prior), expected, f"negative_elbo of {stops}", hint)


PARTS = {
    "test_kl_bits": kl_bits,
    "test_posterior": posterior,
    "test_best_rho": best_rho,
    "test_step_price": step_price,
    "test_bits_per_dim": bits_per_dim,
    "test_decoder_nats": decoder_nats,
    "test_decoder_nats_tail": decoder_nats_tail,
    "test_negative_elbo": negative_elbo,
}
