"""Problem set 3, a model of one's own."""

from . import Mistake

WRONG = [
    Mistake(
        "hardly trained",
        {"model": ("steps=1000", "steps=2")},
        {"test_model"},
    ),
    Mistake(
        "trained with another T",
        {"model": ("T=100", "T=60")},
        {"test_model"},
    ),
    Mistake(
        "trained on the test points",
        {
            "model": (
                "model = ddpm_dp.train(data",
                "model = ddpm_dp.train(ddpm_dp.Dataset('two-moons', data.test, data.train, None)",
            )
        },
        {"test_model"},
    ),
    Mistake(
        "the variance fitted to the test points",
        {"measure_both": ("fitted=train_stats, ", "")},
        {"test_measure_both"},
    ),
    Mistake(
        "training points read as test points",
        {"measure_both": ("ddpm_dp.measure(denoiser, test", "ddpm_dp.measure(denoiser, train")},
        {"test_measure_both"},
    ),
    Mistake(
        "the model of part 1, whatever denoiser is given",
        {
            "measure_both": (
                "train_stats = ddpm_dp.measure(denoiser",
                "denoiser = model\n    train_stats = ddpm_dp.measure(denoiser",
            )
        },
        {"test_measure_both"},
    ),
    Mistake(
        "off by one in K",
        {"choose": ("path(K)", "path(K - 1) if K > 1 else [0, 1, train_stats.T]")},
        {"test_choose"},
    ),
    Mistake(
        "even steps instead of a search",
        {"choose": ("return ", "return ddpm_dp.STRIDES['even'](train_stats.noise, K)\n    ")},
        {"test_choose"},
    ),
    Mistake(
        "another reverse variance than the one that is priced",
        {"choose": ('"analytic"', '"beta"')},
        {"test_choose"},
    ),
    Mistake(
        "nats for bits",
        {
            "held_out": (
                "return ddpm_dp",
                "return price.total, price.standard_error\n    return ddpm_dp",
            )
        },
        {"test_held_out"},
    ),
    Mistake(
        "the price on training points reported as held out",
        {"held_out": ("step_costs(test_stats", "step_costs(train_stats")},
        {"test_held_out"},
    ),
    Mistake(
        "the error left in nats",
        {"held_out": ("ddpm_dp.bits_per_dim(price.standard_error, test_stats.d)", "price.standard_error")},
        {"test_held_out"},
    ),
    Mistake(
        "the sign of the saving",
        {"gain": ("costs.difference(other, path)", "costs.difference(path, other)")},
        {"test_gain"},
    ),
    Mistake(
        "the errors of two prices on the same points, added up",
        {
            "gain": (
                "nats, error = costs.difference(other, path)",
                "a, b = costs.of(path), costs.of(other)\n"
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
        "axes without names",
        {"draw": ('xlabel="steps K", ylabel="held-out bits/dim (density)"', "xlim=(1, 100)")},
        {"test_draw"},
    ),
    Mistake(
        "no legend, and numbers typed in",
        {
            "draw": ("ax.legend()", "pass"),
            "held_out": "def held_out(train_stats, test_stats, path):\n    return 0.42, 0.01",
        },
        {"test_draw", "test_held_out"},
    ),
]

SECOND = {
    "model": """
half = ddpm_dp.TrainConfig(T=100, width=64, depth=2, dropout=0, steps=1000, learning_rate=4e-3, ema=0.99)
first = ddpm_dp.train(data, half, progress=False)
model = ddpm_dp.train(data, half, start=first, progress=False)
""",
    "measure_both": """
def measure_both(denoiser, train, test):
    on = {}
    for name, points in {"train": train, "test": test}.items():
        on[name] = ddpm_dp.measure(denoiser, points, fitted=on.get("train"), seed=1, batch_size=500)
    return [on["train"], on["test"]]
""",
    "choose": """
def choose(train_stats, K):
    L = ddpm_dp.step_costs(train_stats).table()
    layers = [np.where(np.arange(len(L)) == 0, 0.0, np.inf)]
    for _ in range(K):
        layers.append((layers[-1] + L).min(axis=1))
    t, path = len(L) - 1, []
    for C in layers[-2::-1]:
        path, t = [t, *path], int((C + L[t]).argmin())
    return [0, *path]
""",
    "held_out": """
from ddpm_dp import Measured, compare


def held_out(train_stats, test_stats, path):
    table = compare(Measured(train_stats, test_stats), {"mine": {len(path) - 1: np.array(path)}}, "analytic")
    return table.bits["mine"][0], table.errors["mine"][0]
""",
    "gain": """
def gain(train_stats, test_stats, path, other):
    snr, per_group = test_stats.noise.snr, {}
    for name, stops in {"path": path, "other": other}.items():
        m = test_stats.fitted_m[stops[1]]
        total = test_stats.d / 2 * (np.log(2 * np.pi * m) + test_stats.squared_error[:, stops[1]] / m)
        for s, t in zip(stops[1:], stops[2:]):
            rho = 1 + (snr[s] - snr[t]) * train_stats.m[t]
            e2 = test_stats.squared_error[:, t]
            total += test_stats.d / 2 * (np.log(rho) + (1 + (snr[s] - snr[t]) * e2) / rho - 1)
        per_group[name] = total / test_stats.d / np.log(2)
    return test_stats.mean(per_group["other"] - per_group["path"])
""",
    "draw": """
def draw(ax, budgets, bits, errors):
    for name, values in bits.items():
        ax.plot(budgets, values, label=name)
        ax.vlines(budgets, values - errors[name], values + errors[name])
    ax.set_xlabel("number of steps")
    ax.set_ylabel("bits per dimension, held out")
    ax.legend()
""",
}
