"""Problem set 3, a model of one's own. Its mistakes outside part 1 are graded without training (UNTRAINED)."""

from . import Mistake

# Never trained: the exact denoiser of the training points. It loses part 1, and serves all others.
UNTRAINED = "model = ddpm_dp.MixtureDenoiser(ddpm_dp.NoiseSchedule.cosine(100), data.train[:100].astype(float), 0.05)"

WRONG = [
    Mistake("never trained", {"model": UNTRAINED}, {"test_model"}),
    Mistake("hardly trained", {"model": ("steps=500", "steps=2")}, {"test_model"}),
    Mistake(
        "trained with another T",
        {"model": ("**small, steps=500", "T=60, steps=2")},
        {"test_model"},
    ),
    Mistake(
        "trained on the test points",
        {
            "model": "model = ddpm_dp.train(ddpm_dp.Dataset('swiss-roll', data.test, data.train, None), "
            "ddpm_dp.TrainConfig(T=100, width=64, depth=2, steps=2), device='cpu', progress=False)",
        },
        {"test_model"},
    ),
    Mistake(
        "the variance fitted to the points that judge it",
        {"measure_all": ('fitted=found["train"], ', "")},
        {"test_measure_all"},
    ),
    Mistake(
        "training points read for all others",
        {"measure_all": ("ddpm_dp.measure(denoiser, points", 'ddpm_dp.measure(denoiser, splits["train"]')},
        {"test_measure_all"},
    ),
    Mistake(
        "the model of part 1, whatever denoiser is given",
        {"measure_all": ("found = {", "denoiser = model\n    found = {")},
        {"test_measure_all"},
    ),
    Mistake(
        "the names of the lecture, whatever `splits` holds",
        {"measure_all": ("return found", 'return {"train": found["train"], "test": found["test"]}')},
        {"test_measure_all"},
    ),
    Mistake(
        "one doubling too many",
        {"choose": ("frontier.path(K)", "frontier.path(min(2 * K, train_stats.T // 2))")},
        {"test_choose"},
    ),
    Mistake("a fixed budget", {"choose": ("frontier.path(K)", "frontier.path(8)")}, {"test_choose"}),
    Mistake(
        "nats compared with bits",
        {
            "choose": (
                "ddpm_dp.bits_per_dim(frontier.nats(K) - frontier.nats(2 * K), train_stats.d)",
                "frontier.nats(K) - frontier.nats(2 * K)",
            )
        },
        {"test_choose"},
    ),
    Mistake(
        "even steps instead of a search",
        {"choose": ("return frontier.path(K)", "return ddpm_dp.STRIDES['even'](train_stats.noise, K)")},
        {"test_choose"},
    ),
    Mistake(
        "nats for bits",
        {"held_out": ("return ddpm_dp", "return price.total, price.standard_error\n    return ddpm_dp")},
        {"test_held_out"},
    ),
    Mistake(
        "always the analytic variance",
        {"held_out": ("(test_stats, variance)", '(test_stats, "analytic")')},
        {"test_held_out"},
    ),
    Mistake(
        "the error left in nats",
        {"held_out": ("ddpm_dp.bits_per_dim(price.standard_error, test_stats.d)", "price.standard_error")},
        {"test_held_out"},
    ),
    Mistake(
        "the prior left out",
        {"held_out": ("price.total, test_stats.d", "price.total - test_stats.mean(test_stats.prior)[0], test_stats.d")},
        {"test_held_out"},
    ),
    Mistake("the sign of the saving", {"gain": ("difference(other, path)", "difference(path, other)")}, {"test_gain"}),
    Mistake(
        "the errors of two prices on the same points, added up",
        {
            "gain": (
                'nats, error = ddpm_dp.step_costs(test_stats, "analytic").difference(other, path)',
                'costs = ddpm_dp.step_costs(test_stats, "analytic")\n    a, b = costs.of(path), costs.of(other)\n'
                "    nats, error = b.total - a.total, np.hypot(a.standard_error, b.standard_error)",
            )
        },
        {"test_gain"},
    ),
    Mistake(
        "no error bars",
        {
            "draw": (
                'ax.errorbar(budgets, bits[name], errors[name], label=name, marker="o", capsize=2)',
                "ax.plot(budgets, bits[name], label=name)",
            )
        },
        {"test_draw"},
    ),
    Mistake(
        "a band instead of error bars",
        {
            "draw": (
                'ax.errorbar(budgets, bits[name], errors[name], label=name, marker="o", capsize=2)',
                "ax.plot(budgets, bits[name], label=name)\n"
                "        ax.fill_between(budgets, bits[name] - errors[name], bits[name] + errors[name])",
            )
        },
        {"test_draw"},
    ),
    Mistake(
        "axes without names",
        {"draw": ('xlabel="steps K", ylabel="held-out bits/dim (density)"', "xlim=(1, 100)")},
        {"test_draw"},
    ),
    Mistake(
        "no legend, and numbers typed in",
        {
            "draw": ("ax.legend()", "pass"),
            "held_out": "def held_out(test_stats, path, variance):\n    return 0.42, 0.01",
        },
        {"test_draw", "test_held_out"},
    ),
]

SECOND = {
    "model": """
half = ddpm_dp.TrainConfig(T=100, width=64, depth=2, steps=250, batch_size=512, learning_rate=1e-2, ema=0.99)
first = ddpm_dp.train(data, half, progress=False)
model = ddpm_dp.train(data, half, start=first, progress=False)
""",
    "measure_all": """
def measure_all(denoiser, splits):
    train = ddpm_dp.measure(denoiser, splits["train"], seed=1, batch_size=50, progress=False)
    return {
        name: train if name == "train" else ddpm_dp.measure(denoiser, points, fitted=train, seed=1, progress=False)
        for name, points in splits.items()
    }
""",
    "choose": """
def choose(train_stats, bits):
    L = ddpm_dp.step_costs(train_stats).table()
    T = len(L) - 1
    layers = [np.where(np.arange(T + 1) == 0, 0.0, np.inf)]
    for _ in range(T):
        layers.append((layers[-1] + L).min(axis=1))
    K = 1
    while 2 * (2 * K) <= T and (layers[K][T] - layers[2 * K][T]) / train_stats.d / np.log(2) >= bits:
        K = 2 * K
    t, path = T, []
    for C in layers[K - 1 :: -1]:
        path, t = [t, *path], int((C + L[t]).argmin())
    return [0, *path]
""",
    "held_out": """
def held_out(test_stats, path, variance):
    price = ddpm_dp.step_costs(test_stats, variance).of(path)
    to_bits = 1 / (test_stats.d * np.log(2))
    return np.array([price.total, price.standard_error]) * to_bits
""",
    "gain": """
def gain(test_stats, path, other):
    snr, per_group = test_stats.noise.snr, {}
    for name, stops in {"path": path, "other": other}.items():
        m = test_stats.fitted_m[stops[1]]
        total = test_stats.d / 2 * (np.log(2 * np.pi * m) + test_stats.squared_error[:, stops[1]] / m)
        for s, t in zip(stops[1:], stops[2:]):
            rho = 1 + (snr[s] - snr[t]) * test_stats.fitted_m[t]
            e2 = test_stats.squared_error[:, t]
            total += test_stats.d / 2 * (np.log(rho) + (1 + (snr[s] - snr[t]) * e2) / rho - 1)
        per_group[name] = total / test_stats.d / np.log(2)
    saved, error = test_stats.mean(per_group["other"] - per_group["path"])
    return saved, error, saved / error
""",
    "draw": """
def draw(ax, budgets, bits, errors):
    for name, values in bits.items():
        ax.plot(budgets, values, label=name)
        ax.vlines(budgets, values - errors[name], values + errors[name])
    ax.set_xlabel("Number Of Steps")
    ax.set_ylabel("Bits per Dimension, held out")
    ax.legend()
""",
}

STYLES = {
    "torch, float32": {
        "choose": """
import torch


def choose(train_stats, bits):
    frontier = ddpm_dp.solve(ddpm_dp.step_costs(train_stats, "analytic"))
    nats = torch.tensor([frontier.nats(K) if K else torch.inf for K in range(train_stats.T + 1)], dtype=torch.float32)
    for K in (1, 2, 4, 8, 16, 32):
        if 4 * K > train_stats.T or (nats[K] - nats[2 * K]) / train_stats.d / torch.tensor(2.0).log() < bits:
            return torch.tensor(list(frontier.path(K)))
""",
        "held_out": """
import torch


def held_out(test_stats, path, variance):
    price = ddpm_dp.step_costs(test_stats, variance).of(path)
    nats = torch.tensor([price.total, price.standard_error], dtype=torch.float32)
    return nats / test_stats.d / torch.tensor(2.0).log()
""",
        "gain": """
import torch


def gain(test_stats, path, other):
    nats, error = ddpm_dp.step_costs(test_stats, "analytic").difference(other, path)
    saved, error = torch.tensor([nats, error], dtype=torch.float32) / test_stats.d / torch.tensor(2.0).log()
    return saved, error, saved / error
""",
        "draw": """
import torch


def draw(ax, budgets, bits, errors):
    for name in bits:
        ax.errorbar(budgets, torch.tensor(bits[name]), yerr=torch.tensor(errors[name]), label=f"path: {name}", fmt="-s")
    ax.set_xlabel("K")
    ax.set_ylabel("BITS/DIM")
    ax.figure.legend() if False else ax.legend(loc="best")
""",
    },
    "lists and loops": {
        "choose": """
def choose(train_stats, bits):
    costs = ddpm_dp.step_costs(train_stats, "analytic")
    K, T = 1, train_stats.T
    while 2 * K <= T // 2:
        here, there = ddpm_dp.solve(costs, K), ddpm_dp.solve(costs, 2 * K)
        if (here.nats(K) - there.nats(2 * K)) / (train_stats.d * np.log(2)) < bits:
            break
        K *= 2
    return [int(t) for t in ddpm_dp.solve(costs, K).path(K)]
""",
        "gain": """
import math


def gain(test_stats, path, other):
    nats, error = ddpm_dp.step_costs(test_stats, "analytic").difference(other, path)
    scale = test_stats.d * math.log(2)
    return [nats / scale, error / scale, (nats / scale) / (error / scale)]
""",
        "draw": """
def draw(ax, budgets, bits, errors):
    for name in bits:
        xs, ys, es = list(budgets), list(bits[name]), list(errors[name])
        ax.plot(xs, ys, label=name)
        for x, y, e in zip(xs, ys, es):
            ax.vlines(x, y - e, y + e)
    ax.set(xlabel="budget", ylabel="bits per dim")
    ax.legend()
""",
    },
}

PASTED = {
    "measure_all": """
def measure_all(denoiser, splits):
    train_stats = ddpm_dp.measure(denoiser, splits["train"], progress=False)
    return train_stats, ddpm_dp.measure(denoiser, splits["test"], fitted=train_stats, progress=False)
""",
    "choose": """
def choose(train_stats, K):
    return ddpm_dp.solve(ddpm_dp.step_costs(train_stats, "analytic"), K).path(K)
""",
    "held_out": """
def held_out(test_stats, path, variance=None):
    price = ddpm_dp.step_costs(test_stats, "analytic").of(path)
    return ddpm_dp.bits_per_dim(price.total, test_stats.d), ddpm_dp.bits_per_dim(price.standard_error, test_stats.d)
""",
    "gain": """
def gain(test_stats, path, other):
    costs = ddpm_dp.step_costs(test_stats, "analytic")
    nats, error = costs.difference(other, path)
    return ddpm_dp.bits_per_dim(nats, test_stats.d), ddpm_dp.bits_per_dim(error, test_stats.d)
""",
    "draw": """
def draw(ax, budgets, bits, errors):
    for name in bits:
        ax.errorbar(budgets, bits[name], errors[name], label=name, marker="o", capsize=2)
    ax.set(xscale="log", xlabel="steps K", ylabel="held-out bits/dim (density)")
    ax.legend()
""",
}
