"""Problem set 1, the ELBO."""

from . import Mistake

WRONG = [
    Mistake(
        "the KL the wrong way round",
        {"kl_bits": ("nats = 0.5", "mu1, v1, mu2, v2 = mu2, v2, mu1, v1\n    nats = 0.5")},
        {"test_kl_bits"},
    ),
    Mistake(
        "standard deviations for variances",
        {"kl_bits": ("nats = 0.5", "v1, v2 = v1**2, v2**2\n    nats = 0.5")},
        {"test_kl_bits"},
    ),
    Mistake("nats for bits", {"kl_bits": (" / np.log(2)", "")}, {"test_kl_bits"}),
    Mistake("one number for all pairs", {"kl_bits": ("nats.sum(axis=-1)", "nats.sum()")}, {"test_kl_bits"}),
    Mistake(
        "every process keeps the variance, as the course's does",
        {"posterior": ("added = s[late] ** 2 - ratio**2 * s[early] ** 2", "added = 1 - ratio**2")},
        {"test_posterior"},
    ),
    Mistake(
        "the posterior of a single timestep, whatever early is",
        {"posterior": ("ratio = a[late] / a[early]", "ratio = a[late] / a[late - 1]")},
        {"test_posterior"},
    ),
    Mistake(
        "s taken for a variance",
        {"posterior": ("ratio = a[late]", "s = np.sqrt(s)\n    ratio = a[late]")},
        {"test_posterior"},
    ),
    Mistake("no bounds", {"best_rho": ("np.clip(1 + delta * m, low, high)", "1 + delta * m")}, {"test_best_rho"}),
    Mistake("the 1 forgotten", {"best_rho": ("1 + delta * m", "delta * m")}, {"test_best_rho"}),
    Mistake(
        "snr_t - snr_s in the price",
        {"step_price": ("snr_s - snr_t", "snr_t - snr_s")},
        {"test_step_price"},
    ),
    Mistake("the shares forgotten", {"step_price": ("share * (", "(")}, {"test_step_price"}),
    Mistake(
        "the mean error for each cell's own",
        {"step_price": ("delta * m", "delta * (share * m).sum()")},
        {"test_step_price"},
    ),
    Mistake(
        "the price of one dimension; bits of one image",
        {"step_price": ("d / 2", "1 / 2"), "bits_per_dim": ("np.prod(shape)", "np.prod(shape[1:])")},
        {"test_step_price", "test_bits_per_dim"},
    ),
    Mistake(
        "bits for nats, the wrong way",
        {"bits_per_dim": ("(np.prod(shape) * np.log(2))", "np.prod(shape) * np.log(2)")},
        {"test_bits_per_dim"},
    ),
    Mistake(
        "the difference of two ndtr: no mass in the tail",
        {"decoder_nats": ("a, b = log_ndtr(high), log_ndtr(low)", "return -np.log(ndtr(high) - ndtr(low))")},
        {"test_decoder_nats_tail"},
    ),
    Mistake(
        "a floor under the mass",
        {
            "decoder_nats": (
                "a, b = log_ndtr(high), log_ndtr(low)",
                "return -np.log(np.maximum(ndtr(high) - ndtr(low), 1e-12))",
            )
        },
        {"test_decoder_nats_tail"},
    ),
    Mistake(
        "closed outer bins",
        {
            "decoder_nats": (
                "np.r_[-np.inf, (levels[1:] + levels[:-1]) / 2, np.inf]",
                "np.interp(np.arange(len(levels) + 1) - 0.5, np.arange(len(levels)), levels)",
            )
        },
        {"test_decoder_nats"},
    ),
    Mistake(
        "levels that are equally spaced",
        {
            "decoder_nats": (
                "(levels[1:] + levels[:-1]) / 2",
                "levels[:-1] + (levels[-1] - levels[0]) / (len(levels) - 1) / 2",
            )
        },
        {"test_decoder_nats"},
    ),
    Mistake(
        "a variance taken for a standard deviation",
        {"decoder_nats": ("np.sqrt(variance)", "variance")},
        {"test_decoder_nats", "test_decoder_nats_tail"},
    ),
    Mistake("the prior forgotten", {"negative_elbo": ("prior + sum", "sum")}, {"test_negative_elbo"}),
    Mistake(
        "the first step forgotten",
        {"negative_elbo": ("zip(path[:-1], path[1:])", "zip(path[1:-1], path[2:])")},
        {"test_negative_elbo"},
    ),
    Mistake("s and t exchanged", {"negative_elbo": ("steps), t, s", "steps), s, t")}, {"test_negative_elbo"}),
    Mistake(
        "the answers of the visible tests, typed in",
        {
            "bits_per_dim": "def bits_per_dim(nats, shape):\n    return 1 if len(shape) == 2 else 4",
            "best_rho": "def best_rho(delta, m, low, high):\n    return np.clip(2.5, low, high)",
        },
        {"test_bits_per_dim", "test_best_rho"},
    ),
    Mistake(
        "the library's formula, called; and its name in a cell",
        {
            "posterior": "import ddpm_dp\n\n\ndef posterior(a, s, late, early):\n"
            "    return ddpm_dp.NoiseSchedule(a**2).posterior(late, early)",
            "kl_bits": ("def kl_bits", "import ddpm_dp\nfrom ddpm_dp import gaussians as g\n\n\ndef kl_bits"),
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
        {
            "best_rho": None,
            "test_best_rho": None,
            "bits_per_dim": ("def bits_per_dim", "def bits"),
            "test_kl_bits": None,
        },
        {"test_best_rho", "test_bits_per_dim"},
    ),
    Mistake(
        "an exception, and a cell that does not parse",
        {"kl_bits": ("nats = 0.5", "nats = 1 / 0"), "posterior": "def posterior(a, s, late, early)\n    return"},
        {"test_kl_bits", "test_posterior"},
    ),
    Mistake(
        "one number where three are asked for, words, a set",
        {
            "posterior": "def posterior(a, s, late, early):\n    return 1.0",
            "negative_elbo": "def negative_elbo(path, L, prior):\n    return 'much'",
            "bits_per_dim": "def bits_per_dim(nats, shape):\n    return {nats}",
        },
        {"test_posterior", "test_negative_elbo", "test_bits_per_dim"},
    ),
]

SECOND = {
    "kl_bits": """
def kl_bits(mu1, v1, mu2, v2):
    entropy = np.log2(2 * np.pi * np.e * v1) / 2
    cross = (np.log(2 * np.pi * v2) + (v1 + np.square(mu1 - mu2)) / v2) / 2 / np.log(2)
    return np.einsum("...d->...", cross - entropy)
""",
    "posterior": """
def posterior(a, s, late, early):
    if early == 0:
        return [1, 0, 0]
    step = a[late] / a[early]
    added = s[late] ** 2 - step**2 * s[early] ** 2
    precision = 1 / s[early] ** 2 + step**2 / added
    return [a[early] / s[early] ** 2 / precision, step / added / precision, 1 / precision]
""",
    "best_rho": """
def best_rho(delta, m, low, high):
    best = 1 + np.multiply(delta, m)
    print("called with", delta, m)
    return np.where(best < low, low, np.where(best > high, high, best))
""",
    "step_price": """
def step_price(rho, snr_s, snr_t, m, share, d):
    each = np.log(rho) / 2 + 1 / (2 * rho) - 0.5 + (snr_s - snr_t) * m / (2 * rho)
    return np.dot(each, share) * d
""",
    "bits_per_dim": """
def bits_per_dim(nats, shape):
    for size in shape:
        nats = nats / size
    return np.log2(np.e) * nats
""",
    "decoder_nats": """
from scipy.stats import norm


def one(index, mean, variance, levels):
    edges = [-np.inf, *((g + h) / 2 for g, h in zip(levels[:-1], levels[1:])), np.inf]
    low, high = ((edges[index + i] - mean) / variance**0.5 for i in (0, 1))
    if low > 0:
        low, high = -high, -low
    big, small = norm.logcdf(high), norm.logcdf(low)
    return -(big + np.log(-np.expm1(small - big)))


decoder_nats = np.vectorize(one, excluded={3})
""",
    "negative_elbo": """
def negative_elbo(path, L, prior):
    total, worst, s = prior, None, path.pop(0)
    while path:
        t = path.pop(0)
        total += L[t][s]
        if worst is None or L[t][s] > L[worst]:
            worst = t, s
        s = t
    return total, *worst
""",
}

STYLES = {
    "torch, float32": {
        "kl_bits": """
import torch
from torch.distributions import Normal, kl_divergence


def kl_bits(mu1, v1, mu2, v2):
    mu1, v1, mu2, v2 = (torch.as_tensor(x, dtype=torch.float32) for x in (mu1, v1, mu2, v2))
    return kl_divergence(Normal(mu1, v1.sqrt()), Normal(mu2, v2.sqrt())).sum(-1) / torch.log(torch.tensor(2.0))
""",
        "posterior": """
import torch


def posterior(a, s, late, early):
    a, s = torch.as_tensor(a, dtype=torch.float32), torch.as_tensor(s, dtype=torch.float32)
    ratio = a[late] / a[early]
    c_t = ratio * s[early] ** 2 / s[late] ** 2
    return a[early] - c_t * a[late], c_t, (s[late] ** 2 - ratio**2 * s[early] ** 2) * s[early] ** 2 / s[late] ** 2
""",
        "best_rho": """
import torch


def best_rho(delta, m, low, high):
    delta, m, low, high = (torch.as_tensor(x, dtype=torch.float32) for x in (delta, m, low, high))
    return torch.minimum(torch.maximum(1 + delta * m, low), high)
""",
        "step_price": """
import torch


def step_price(rho, snr_s, snr_t, m, share, d):
    rho, m, share = (torch.as_tensor(x, dtype=torch.float32) for x in (rho, m, share))
    return d * (share * (rho.log() - 1 + (1 + (snr_s - snr_t) * m) / rho)).sum() / 2
""",
        "bits_per_dim": """
import torch


def bits_per_dim(nats, shape):
    return torch.tensor(nats, dtype=torch.float32) / torch.tensor(list(shape)).prod() / torch.tensor(2.0).log()
""",
        "decoder_nats": """
import torch


def decoder_nats(index, mean, variance, levels):
    levels, mean = (torch.as_tensor(x, dtype=torch.float32) for x in (levels, mean))
    inf = torch.tensor([torch.inf])
    edges = torch.cat([-inf, (levels[1:] + levels[:-1]) / 2, inf])
    index = torch.as_tensor(index)
    low, high = ((edges[index + i] - mean) / variance**0.5 for i in (0, 1))
    right = low + high > 0
    low, high = torch.where(right, -high, low), torch.where(right, -low, high)
    a, b = torch.special.log_ndtr(high), torch.special.log_ndtr(low)
    return -(a + torch.log1p(-torch.exp(b - a)))
""",
        "negative_elbo": """
import torch


def negative_elbo(path, L, prior):
    path, L = torch.as_tensor(path), torch.as_tensor(L, dtype=torch.float32)
    steps = L[path[1:], path[:-1]]
    worst = steps.argmax()
    return steps.sum() + prior, path[worst + 1], path[worst]
""",
    },
    "lists, loops and math": {
        "kl_bits": """
import math


def kl_bits(mu1, v1, mu2, v2):
    if hasattr(mu1[0], "__len__"):
        return [kl_bits(*pair) for pair in zip(mu1, v1, mu2, v2)]
    nats = 0.0
    for m, v, n, w in zip(mu1, v1, mu2, v2):
        nats += (math.log(w / v) - 1 + (v + (m - n) ** 2) / w) / 2
    return nats / math.log(2)
""",
        "posterior": """
def posterior(a, s, late, early):
    cov = a[late] / a[early] * s[early] ** 2  # of x_early and x_late, given x_0
    gain = cov / s[late] ** 2
    return a[early] - gain * a[late], gain, s[early] ** 2 - gain * cov
""",
        "best_rho": """
def best_rho(delta, m, low, high):
    if hasattr(delta, "__len__"):
        return [best_rho(*each) for each in zip(delta, m, low, high)]
    return min(max(1 + delta * m, low), high)
""",
        "step_price": """
import math


def step_price(rho, snr_s, snr_t, m, share, d):
    price = 0
    for b in range(len(rho)):
        price += share[b] * (math.log(rho[b]) + (1 + (snr_s - snr_t) * m[b]) / rho[b] - 1)
    return price * d / 2
""",
        "bits_per_dim": """
import math


def bits_per_dim(nats, shape):
    return nats / math.prod(shape) / math.log(2)
""",
        "decoder_nats": """
import math

from scipy.special import log_ndtr


def decoder_nats(index, mean, variance, levels):
    if hasattr(index, "__len__"):
        return [decoder_nats(i, mu, variance, levels) for i, mu in zip(index, mean)]
    sd = math.sqrt(variance)
    low = -math.inf if index == 0 else ((levels[index - 1] + levels[index]) / 2 - mean) / sd
    high = math.inf if index == len(levels) - 1 else ((levels[index] + levels[index + 1]) / 2 - mean) / sd
    if low > 0:
        low, high = -high, -low
    a, b = float(log_ndtr(high)), float(log_ndtr(low))
    return -a - math.log1p(-math.exp(b - a))
""",
        "negative_elbo": """
def negative_elbo(path, L, prior):
    L = L.tolist()
    total, worst = 0, None
    for i in range(1, len(path)):
        total += L[path[i]][path[i - 1]]
        if worst is None or L[path[i]][path[i - 1]] > L[worst[0]][worst[1]]:
            worst = (path[i], path[i - 1])
    return [total + prior, worst[0], worst[1]]
""",
    },
}

PASTED = {
    "kl_bits": """
def kl_bits(mu1, v1, mu2, v2):
    return 0.5 * (np.log(v2 / v1) - 1 + (v1 + (mu1 - mu2) ** 2) / v2)
""",
    "posterior": """
def posterior(a, s, late, early):
    abar, t, s = a**2, late, early
    keep = abar[t] / abar[s]
    share = (1 - abar[s]) / (1 - abar[t])
    return np.sqrt(abar[s]) * (1 - keep) / (1 - abar[t]), np.sqrt(keep) * share, (1 - keep) * share
""",
    "best_rho": """
def best_rho(delta, m, low, high):
    return 1 + delta * m
""",
    "step_price": """
def step_price(rho, snr_s, snr_t, m_t, share, d):
    delta = snr_s - snr_t
    return d / 2 * (np.log(rho) + (1 + delta * m_t) / rho - 1)
""",
    "bits_per_dim": """
def bits_per_dim(nats, d):
    return nats / (d * np.log(2))
""",
    "decoder_nats": """
from scipy.special import log_ndtr


def decoder_nats(x, mean, variance, levels):
    x, mean = np.broadcast_arrays(np.asarray(x, dtype=float), np.asarray(mean, dtype=float))
    half, sd = 1 / (levels - 1), np.sqrt(variance)
    low = np.where(x < -1 + half, -np.inf, (x - half - mean) / sd)
    high = np.where(x > 1 - half, np.inf, (x + half - mean) / sd)
    mirror = low + high > 0
    low, high = np.where(mirror, -high, low), np.where(mirror, -low, high)
    a, b = log_ndtr(high), log_ndtr(low)
    return -(a + np.log1p(-np.exp(b - a)))
""",
    "negative_elbo": """
def negative_elbo(path, L, prior):
    return prior + sum(L[t, s] for s, t in zip(path[:-1], path[1:], strict=True))
""",
}
