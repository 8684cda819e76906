"""Problem set 1, the ELBO: what each part must do."""

import checks
import numpy as np

LIBRARY = False  # the functions of ddpm_dp are off limits
SECONDS = 20  # of processor time for a cell


def kl(yours, rng):
    for _ in range(20):
        mu1, mu2, v1, v2 = rng.normal(), rng.normal(), *rng.uniform(0.2, 3, 2)
        x, h = np.linspace(mu1 - 14 * v1**0.5, mu1 + 14 * v1**0.5, 20_001, retstep=True)
        log_p = -((x - mu1) ** 2) / (2 * v1) - np.log(2 * np.pi * v1) / 2
        log_q = -((x - mu2) ** 2) / (2 * v2) - np.log(2 * np.pi * v2) / 2
        integral = (np.exp(log_p) * (log_p - log_q)).sum() * h
        checks.close(yours("kl", mu1, v1, mu2, v2), integral, f"kl({mu1}, {v1}, {mu2}, {v2})", rtol=1e-6, atol=1e-9)
    grid = rng.uniform(0.5, 2, (4, 3))
    ratio = 0.5 * (grid - 1 - np.log(grid))
    checks.close(yours("kl", 0.0, grid, 0.0, np.ones(3)), ratio, "kl of arrays that broadcast")


def posterior(yours, rng):
    for _ in range(20):
        some = np.r_[1, np.cumprod(rng.uniform(0.5, 0.99, 9))]
        s, t = np.sort(rng.choice(10, 2, replace=False))
        # x_s and x_t given x_0 are jointly Gaussian; condition the one on the other.
        cov, var_t = np.sqrt(some[t] / some[s]) * (1 - some[s]), 1 - some[t]
        c_t = cov / var_t
        expected = [np.sqrt(some[s]) - c_t * np.sqrt(some[t]), c_t, (1 - some[s]) - cov**2 / var_t]
        checks.close(
            yours("posterior", some, t, s), expected, f"posterior(t={t}, s={s}) (c_0, c_t, variance)", atol=1e-10
        )


def rho(yours, rng):
    for _ in range(20):
        some, m = np.r_[1, np.cumprod(rng.uniform(0.5, 0.95, 9))], np.r_[0, rng.uniform(0.01, 1, 9)]
        s, t = np.sort(1 + rng.choice(9, 2, replace=False))
        tilde = (1 - some[t] / some[s]) * (1 - some[s]) / (1 - some[t])
        checks.close(yours("rho", "posterior", some, m, t, s), 1, "rho of 'posterior'")
        checks.close(
            yours("rho", "beta", some, m, t, s) * tilde, 1 - some[t] / some[s], "rho of 'beta' times the posterior's"
        )
        # The best variance of all: that of q plus the mean squared distance of the two means.
        c_0 = np.sqrt(some[s]) * (1 - some[t] / some[s]) / (1 - some[t])
        best = (tilde + c_0**2 * m[t]) / tilde
        checks.close(yours("rho", "analytic", some, m, t, s), best, f"rho of 'analytic' at t = {t}, s = {s}")


def step_price(yours, rng):
    for _ in range(20):
        d = int(rng.integers(1, 8))
        some, e = np.r_[1, np.cumprod(rng.uniform(0.5, 0.95, 9))], rng.normal(size=d)
        s, t = np.sort(1 + rng.choice(9, 2, replace=False))
        wide = rng.uniform(0.5, 3)
        # The KL itself, of both densities, for a denoiser whose error is e, whatever x_t is.
        keep, share = some[t] / some[s], (1 - some[s]) / (1 - some[t])
        tilde, c_0 = (1 - keep) * share, np.sqrt(some[s]) * (1 - keep) / (1 - some[t])
        kl_of_each = 0.5 * (np.log(wide) - 1 + 1 / wide + (c_0 * e) ** 2 / (wide * tilde))
        snr = some[1:] / (1 - some[1:])
        price = yours("step_price", wide, snr[s - 1], snr[t - 1], (e**2).mean(), d)
        checks.close(price, kl_of_each.sum(), f"step_price, rho = {wide}, t = {t}, s = {s}, d = {d}")
    many = rng.uniform(0.1, 1, 5)
    checks.close(yours("step_price", 1.0, 7.0, 3.0, many, 2), 4 * many, "step_price of an array of errors")


def bits_per_dim(yours, rng):
    for _ in range(10):
        levels, d = int(rng.integers(2, 300)), int(rng.integers(1, 4000))  # d pixels of so many equal grey levels
        checks.close(
            yours("bits_per_dim", d * np.log(levels), d), np.log2(levels), f"bits_per_dim({d} log {levels}, {d})"
        )


def decoder(yours, rng):
    nodes, weights = np.polynomial.legendre.leggauss(40)
    for _ in range(20):
        n = int(rng.integers(3, 40))
        mean, variance = rng.uniform(-1, 1), rng.uniform(0.05, 1) ** 2
        grey = np.linspace(-1, 1, n)
        half = 1 / (n - 1)
        inner = grey[1:-1, None] + half * nodes
        mass = (np.exp(-((inner - mean) ** 2) / (2 * variance)) @ weights) * half / np.sqrt(2 * np.pi * variance)
        sure = mass > 1e-10
        given = np.exp(-np.asarray(yours("decoder_nats", grey, np.full(n, mean), variance, n)))
        checks.close(given[1:-1][sure], mass[sure], f"masses, mean {mean}, variance {variance}, {n} levels", rtol=1e-4)
        checks.close(given.sum(), 1, "the sum of all masses", rtol=1e-8)


def decoder_tail(yours, rng):
    for _ in range(20):
        n, sd, side = int(rng.integers(5, 40)), rng.uniform(0.005, 0.02), rng.choice([-1, 1])
        mean, x = -side * rng.uniform(0.7, 1), side * (1 - 2 / (n - 1))  # an inner bin at the other end
        a = (abs(x - mean) - 1 / (n - 1)) / sd  # its nearer edge, in standard deviations
        z = np.linspace(0, 40 / a, 4001)  # the density beyond the edge, without its value at the edge
        far = np.exp(-a * z - z**2 / 2)
        expected = a**2 / 2 + np.log(2 * np.pi) / 2 - np.log(((far[1:] + far[:-1]) / 2).sum() * z[1])
        checks.close(
            yours("decoder_nats", x, mean, sd**2, n),
            expected,
            f"x = {x}, mean = {mean}, sd = {sd}, {n} levels",
            rtol=1e-5,
        )


def negative_elbo(yours, rng):
    for _ in range(20):
        size = int(rng.integers(4, 30))
        L = np.where(np.tri(size, k=-1) > 0, rng.normal(size=(size, size)), np.inf)
        stops = rng.random(size) < 0.5
        stops[[0, -1]] = True
        steps = np.zeros((size, size), dtype=bool)  # mark the steps in a table as large as L
        steps[np.flatnonzero(stops)[1:], np.flatnonzero(stops)[:-1]] = True
        prior, stops = rng.normal(), np.flatnonzero(stops)
        checks.close(yours("negative_elbo", stops, L, prior), L[steps].sum() + prior, f"the price of {stops.tolist()}")
        checks.close(
            yours("negative_elbo", stops.tolist(), L, prior),
            L[steps].sum() + prior,
            f"the price of {stops.tolist()}, a list",
        )


PARTS = {
    "test_kl": kl,
    "test_posterior": posterior,
    "test_rho": rho,
    "test_step_price": step_price,
    "test_bits_per_dim": bits_per_dim,
    "test_decoder": decoder,
    "test_decoder_tail": decoder_tail,
    "test_negative_elbo": negative_elbo,
}
