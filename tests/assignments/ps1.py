"""Problem set 1, the ELBO."""

from . import Mistake

WRONG = [
    Mistake(
        "the KL the wrong way round",
        {
            "kl": (
                "np.log(v2 / v1) - 1 + (v1 + (mu1 - mu2) ** 2) / v2",
                "np.log(v1 / v2) - 1 + (v2 + (mu1 - mu2) ** 2) / v1",
            )
        },
        {"test_kl"},
    ),
    Mistake(
        "standard deviations for variances",
        {"kl": ("return 0.5", "v1, v2 = v1**2, v2**2\n    return 0.5")},
        {"test_kl"},
    ),
    Mistake(
        "the posterior of a single timestep, whatever s is",
        {"posterior": ("keep = abar[t] / abar[s]", "keep = abar[t] / abar[t - 1]")},
        {"test_posterior"},
    ),
    Mistake(
        "alpha-bar for alpha",
        {"posterior": ("np.sqrt(abar[s])", "abar[s]")},
        {"test_posterior"},
    ),
    Mistake(
        "the SNR upside down",
        {
            "rho": (
                "abar[s] / (1 - abar[s]), abar[t] / (1 - abar[t])",
                "(1 - abar[s]) / abar[s], (1 - abar[t]) / abar[t]",
            )
        },
        {"test_rho"},
    ),
    Mistake(
        "the ratio of beta upside down",
        {"rho": ("(1 - abar[t]) / (1 - abar[s])", "(1 - abar[s]) / (1 - abar[t])")},
        {"test_rho"},
    ),
    Mistake(
        "snr_t - snr_s in the price",
        {"step_price": ("snr_s - snr_t", "snr_t - snr_s")},
        {"test_step_price"},
    ),
    Mistake(
        "the price of one dimension, and nats for bits",
        {"step_price": ("d / 2", "1 / 2"), "bits_per_dim": ("(d * np.log(2))", "d")},
        {"test_step_price", "test_bits_per_dim"},
    ),
    Mistake(
        "bits for nats, the wrong way",
        {"bits_per_dim": ("nats / (d * np.log(2))", "nats * np.log(2) / d")},
        {"test_bits_per_dim"},
    ),
    Mistake(
        "the difference of two ndtr: no mass in the tail",
        {"decoder": ("a, b = log_ndtr(high), log_ndtr(low)", "return -np.log(ndtr(high) - ndtr(low))")},
        {"test_decoder_tail"},
    ),
    Mistake(
        "float32, and a floor under the mass",
        {
            "decoder": (
                "a, b = log_ndtr(high), log_ndtr(low)",
                "return -np.log(np.maximum(ndtr(np.float32(high)) - ndtr(np.float32(low)), 1e-12))",
            )
        },
        {"test_decoder_tail", "test_decoder"},
    ),
    Mistake(
        "closed outer bins",
        {"decoder": ("np.where(x < -1 + half, -np.inf, (x - half - mean) / sd)", "(x - half - mean) / sd")},
        {"test_decoder"},
    ),
    Mistake(
        "bins twice as wide",
        {"decoder": ("half, sd = 1 / (levels - 1)", "half, sd = 2 / (levels - 1)")},
        {"test_decoder", "test_decoder_tail"},
    ),
    Mistake(
        "the prior forgotten",
        {"negative_elbo": ("prior + sum", "sum")},
        {"test_negative_elbo"},
    ),
    Mistake(
        "the first step forgotten",
        {"negative_elbo": ("zip(path[:-1], path[1:]", "zip(path[1:-1], path[2:]")},
        {"test_negative_elbo"},
    ),
    Mistake(
        "the answers of the visible tests, typed in",
        {
            "bits_per_dim": "def bits_per_dim(nats, d):\n    return 1 if d == 1 else 4",
            "negative_elbo": "def negative_elbo(path, L, prior):\n    return 5.5 if len(path) == 2 else 3.5",
        },
        {"test_bits_per_dim", "test_negative_elbo"},
    ),
    Mistake(
        "the library's formula, called",
        {
            "posterior": "import ddpm_dp\n\n\ndef posterior(abar, t, s):\n"
            "    return ddpm_dp.NoiseSchedule(abar).posterior(t, s)"
        },
        {"test_posterior"},
    ),
    Mistake(
        "a cell that never ends, between the others",
        {"step_price": "while True:\n    pass"},
        {"test_step_price"},
    ),
    Mistake(
        "an answer and its test deleted, another renamed, the first test deleted",
        {"rho": None, "test_rho": None, "bits_per_dim": ("def bits_per_dim", "def bits"), "test_kl": None},
        {"test_rho", "test_bits_per_dim"},
    ),
    Mistake(
        "an exception, and a cell that does not parse",
        {"kl": ("return 0.5", "return 1 / 0"), "posterior": "def posterior(abar, t, s)\n    return"},
        {"test_kl", "test_posterior"},
    ),
]

SECOND = {
    "kl": """
def kl(mu1, v1, mu2, v2):
    entropy = np.log(2 * np.pi * np.e * v1) / 2
    cross = np.log(2 * np.pi * v2) / 2 + v1 / (2 * v2) + np.square(mu1 - mu2) / (2 * v2)
    return cross - entropy
""",
    "posterior": """
def posterior(abar, t, s):
    if s == 0:
        return [1, 0, 0]
    precision = 1 / (1 - abar[s]) + (abar[t] / abar[s]) / (1 - abar[t] / abar[s])
    x_0 = abar[s] ** 0.5 / (1 - abar[s]) / precision
    x_t = (abar[t] / abar[s]) ** 0.5 / (1 - abar[t] / abar[s]) / precision
    return [x_0, x_t, 1 / precision]
""",
    "rho": """
def snr(a):
    return 1 / (1 / a - 1)


def rho(variance, abar, m, t, s):
    print("called with", variance, t, s)
    return {
        "posterior": 1,
        "beta": (1 - abar[t]) / (1 - abar[s]),
        "analytic": 1 + (snr(abar[s]) - snr(abar[t])) * m[t],
    }[variance]
""",
    "step_price": """
def step_price(rho, snr_s, snr_t, m_t, d):
    each = np.log(rho) / 2 + 1 / (2 * rho) - 0.5 + (snr_s - snr_t) * m_t / (2 * rho)
    return np.multiply(each, d)
""",
    "bits_per_dim": """
def bits_per_dim(nats, d):
    return np.log2(np.e) * nats / d
""",
    "decoder": """
from scipy.stats import norm


def one(x, mean, variance, levels):
    level, sd = round((x + 1) / 2 * (levels - 1)), variance**0.5
    edges = np.r_[-np.inf, (np.linspace(-1, 1, levels)[:-1] + 1 / (levels - 1) - mean) / sd, np.inf]
    low, high = edges[level], edges[level + 1]
    if low > 0:
        low, high = -high, -low
    big, small = norm.logcdf(high), norm.logcdf(low)
    return -(big + np.log(-np.expm1(small - big)))


decoder_nats = np.vectorize(one)
""",
    "negative_elbo": """
def negative_elbo(path, L, prior):
    total, s = prior, 0
    for t in path:
        if t:
            total += L[t][s]
        s = t
    return total
""",
}
