"""Problem set 3, a model of one's own: what each part must do.

Denoisers, statistics and axes are no data: `HELPERS` makes them from data in the student's process, calls the
student's function, and makes data of what it returns. The trained model comes out as its file, which cannot run code,
and is judged here.
"""

import tempfile
from pathlib import Path

import checks
import numpy as np

LIBRARY = True  # to use ddpm_dp is the task
SECONDS = 60  # of processor time for a cell: training takes five
LIMIT = 0.95  # of the error of a trained model over that of a linear one: see `model`
PRELOAD = ["matplotlib.pyplot", "ddpm_dp.training.loop", "ddpm_dp.sampling", "grading.ready"]

HELPERS = '''
def _grader_parts(T, centres, std, train, test=None):
    """A denoiser and its statistics, on the points where the variance is fitted and on others."""
    import ddpm_dp

    noise = ddpm_dp.NoiseSchedule(ddpm_dp.NoiseSchedule.cosine(T + 3).abar[: T + 1])
    denoiser = ddpm_dp.MixtureDenoiser(noise, centres, std)
    fitted = None if train is None else ddpm_dp.measure(denoiser, train, progress=False)
    judged = None if test is None else ddpm_dp.measure(denoiser, test, fitted=fitted, progress=False)
    return denoiser, fitted, judged


def _grader_model():
    import pathlib
    import tempfile

    import numpy

    if not hasattr(globals().get("model"), "save"):
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder) / "model.safetensors"
        globals()["model"].save(file)
        return numpy.frombuffer(file.read_bytes(), "uint8")


def _grader_measure_all(T, centres, std, splits):
    denoiser, _, _ = _grader_parts(T, centres, std, None)
    answer = measure_all(denoiser, splits)
    return [denoiser.id, {
        name: {field: getattr(stats, field) for field in ("data_id", "model_id", "fitted_on", "fitted_m", "m", "n")}
        for name, stats in answer.items()
    }]


def _grader_choose(T, centres, std, train, bits):
    return choose(_grader_parts(T, centres, std, train)[1], bits)


def _grader_held_out(T, centres, std, train, test, path, variance):
    return held_out(_grader_parts(T, centres, std, train, test)[2], path, variance)


def _grader_gain(T, centres, std, train, test, path, other):
    return gain(_grader_parts(T, centres, std, train, test)[2], path, other)


def _grader_draw(budgets, bits, errors):
    import matplotlib.collections
    import matplotlib.pyplot

    figure, ax = matplotlib.pyplot.subplots()
    try:
        draw(ax, budgets, bits, errors)
        bars = [c for c in ax.collections if isinstance(c, matplotlib.collections.LineCollection)]
        legend = ax.get_legend()
        return {
            "lines": [[line.get_xdata(), line.get_ydata()] for line in ax.get_lines()],
            "bars": [segment for bar in bars for segment in bar.get_segments()],
            "labels": [ax.get_xlabel(), ax.get_ylabel()],
            "legend": [] if legend is None else [text.get_text() for text in legend.get_texts()],
        }
    finally:
        matplotlib.pyplot.close(figure)
'''


def toy(rng, d=2):
    """T, centres, std, and points of that mixture: fitted on, and others."""
    centres = rng.uniform(-0.7, 0.7, (3, d))
    train, test = (centres[rng.integers(3, size=n)] + 0.1 * rng.normal(size=(n, d)) for n in (60, 50))
    return int(rng.integers(12, 30)), centres, 0.1, train, test


def statistics(T, centres, std, train, test):
    """The same statistics, measured here. The schedule stops early, so that the prior's price counts."""
    import ddpm_dp

    noise = ddpm_dp.NoiseSchedule(ddpm_dp.NoiseSchedule.cosine(T + 3).abar[: T + 1])
    denoiser = ddpm_dp.MixtureDenoiser(noise, centres, std)
    fitted = ddpm_dp.measure(denoiser, train, progress=False)
    return fitted, ddpm_dp.measure(denoiser, test, fitted=fitted, progress=False)


def random_path(rng, T, K):
    return [0, *(int(t) for t in np.sort(rng.choice(np.arange(1, T), K - 1, replace=False))), T]


def group_nats(stats, path, variance="analytic"):
    """The price of a path for each group of held-out points, written out; stats.mean averages over groups."""
    t, s, snr = np.array(path[2:], int), np.array(path[1:-1], int), stats.noise.snr
    delta = snr[s] - snr[t]
    rho = {
        "posterior": np.ones(len(t)),
        "beta": stats.noise.sigma2[t] / stats.noise.sigma2[s],
        "analytic": 1 + delta * stats.fitted_m[t],
    }[variance]
    steps = np.log(rho) + (1 + delta * stats.squared_error[:, t]) / rho - 1
    m = stats.fitted_m[path[1]]
    decoder = np.log(2 * np.pi * m) + stats.squared_error[:, path[1]] / m
    return stats.prior + stats.d / 2 * (decoder + steps.sum(axis=1))


def against_linear(trained, data, rng):
    """The error of a denoiser over that of the best linear one on held-out points, where there is little noise."""
    import torch

    noise, spread = trained.noise, np.linalg.eigvalsh(np.cov(data.train.T))
    snr = noise.snr
    t = np.flatnonzero((snr > 50) & (snr < 2000))
    assert len(t), "Your noise schedule has no timestep with little noise, snr between 50 and 2,000."
    x_0, logs = torch.from_numpy(np.asarray(data.test, dtype=float)), []
    for k in t.tolist():
        eps = torch.from_numpy(rng.standard_normal((2, *x_0.shape)))
        with torch.no_grad():
            guesses = [trained.at((noise.alpha[k] * x_0 + noise.sigma[k] * e).to(trained.dtype), k).x0 for e in eps]
        error = np.mean([float(((x_0 - guess) ** 2).mean()) for guess in guesses])
        logs.append(np.log(error / np.mean(spread / (1 + snr[k] * spread))))
    return float(np.exp(np.mean(logs)))


def model(yours, rng):
    """The error of the handed-in weights over that of the best linear denoiser, where there is little noise.

    Measured with `against_linear` and `train` of tests/test_assignments.py, seeds counted from 0. 500 steps: 0.859
    (200 draws of the test's random numbers: standard deviation 0.005, from 0.846 to 0.871), and with three more seeds
    0.857, 0.864 and 0.873 (10 draws each, as in what follows). 1,000 steps: 0.772. 200 steps: 0.922 and 0.914. 100
    steps: 1.006, 1.000 and 1.001 (standard deviations 0.005 to 0.007). 2 steps: 1.051 and 1.050. So the nearest mean
    of sound trainings is some 15 such deviations below LIMIT, and that of unsound ones 7 above.
    """
    import ddpm_dp

    raw = yours("_grader_model", seconds=10)
    assert isinstance(raw, np.ndarray) and raw.dtype == np.uint8, "There is no trained `model`: see ddpm_dp.train."
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.safetensors"
        file.write_bytes(raw.tobytes())
        try:
            trained = ddpm_dp.load(file, device="cpu")  # builds no network that the file does not hold
        except ValueError as error:
            raise AssertionError(f"Your `model` cannot be saved and loaded: {error}") from None
    data = ddpm_dp.load_dataset("swiss-roll")
    assert trained.shape == data.shape, f"Your model is of data of shape {trained.shape}, expected {data.shape}."
    assert trained.noise.T == 100, f"Your model has T = {trained.noise.T} timesteps, expected 100."
    from ddpm_dp.files import fingerprint

    trained_on = trained.about.get("data_id", "")
    assert trained_on != fingerprint(data.test), (
        "Your model was trained on the test points: nothing is held out any more."
    )
    ratio = against_linear(trained, data, rng)
    said = f"On held-out points your error is {ratio:.2f} times that of a linear denoiser, expected less than {LIMIT}."
    assert ratio < LIMIT, said


def measure_all(yours, rng):
    import ddpm_dp

    for names in (["train", "test"], ["test", "train", "other"], ["a", "b", "train"]):
        T, centres, std, _, _ = toy(rng)
        splits = {
            name: centres[rng.integers(3, size=n)] + std * rng.normal(size=(n, 2))
            for name, n in zip(names, rng.integers(40, 90, len(names)).tolist(), strict=True)
        }
        model_id, found = yours("_grader_measure_all", T, centres, std, splits, seconds=20)
        assert set(found) == set(names), f"measure_all has the names {sorted(found)}, expected {sorted(names)}."
        denoiser = ddpm_dp.MixtureDenoiser(ddpm_dp.NoiseSchedule.cosine(T), centres, std)
        data_id = {
            name: ddpm_dp.measure(denoiser, points, progress=False, timesteps=4).data_id
            for name, points in splits.items()
        }
        for name, points in splits.items():
            assert found[name]["data_id"] == data_id[name], f"{name!r} does not come from its {len(points)} points."
            assert found[name]["model_id"] == model_id, f"{name!r} is of another model: use the argument `denoiser`."
            said = f"{name!r} has its variance fitted on other points than the training ones: give fitted=."
            assert found[name]["fitted_on"] == data_id["train"], said
            checks.close(found[name]["fitted_m"], found["train"]["m"], f"the m_t that {name!r} uses")


def choose(yours, rng):
    import ddpm_dp

    for trial in range(6):
        T, centres, std, train, test = toy(rng)
        fitted, _ = statistics(T, centres, std, train, test)
        costs = ddpm_dp.step_costs(fitted, "analytic")
        L, C, values = costs.table(), np.where(np.arange(T + 1) == 0, 0.0, np.inf), [np.inf]
        for _ in range(T):
            C = (C + L).min(axis=1)
            values.append(C[T])
        doublings = [K for K in (1, 2, 4, 8, 16) if 2 * K <= T]
        saved = {K: (values[K] - values[2 * K]) / (2 * np.log(2)) for K in doublings}
        among = sorted(saved.values())
        cut = int(rng.integers(len(among) - 1)) if trial % 2 else len(among) - 2
        bits = (among[cut] + among[cut + 1]) / 2  # between two savings, so that rounding cannot decide
        if trial % 2 == 0:  # and near the lower one: who compares nats, 1.4 times as many, goes on
            bits = min(bits, among[cut] + 0.05 * abs(among[cut]))
        K = next((K for K in doublings if saved[K] < bits), doublings[-1])
        path = checks.path(yours("_grader_choose", T, centres, std, train, bits, seconds=20), K, T)
        price = sum(L[t, s] for s, t in zip(path, path[1:], strict=False))
        said = f"T = {T}, K = {K}: your path costs {price:.4f} nats, the best one {values[K]:.4f}."
        assert price < values[K] + 1e-4, said


def held_out(yours, rng):
    for d, variance in ((1, "posterior"), (2, "beta"), (3, "analytic"), (2, "analytic")):
        T, *rest = toy(rng, d)
        path = random_path(rng, T, int(rng.integers(1, 6)))
        answer = yours("_grader_held_out", T, *rest, path, variance, seconds=20)
        assert answer is not None and len(answer) == 2, (
            "held_out returns two numbers: bits/dim and their standard error."
        )
        _, stats = statistics(T, *rest)
        expected = np.array(stats.mean(group_nats(stats, path, variance))) / (d * np.log(2))
        hint = "Bits, not nats? Divided by d? Which variance? With the prior and the decoder?"
        checks.close(answer, expected, f"(price, standard error) of {path} under {variance}, d = {d}", hint)


def gain(yours, rng):
    for _ in range(3):
        T, *rest = toy(rng)
        path, other = random_path(rng, T, 5), random_path(rng, T, 5)
        _, stats = statistics(T, *rest)
        saved = group_nats(stats, other) - group_nats(stats, path)
        expected, error = np.array(stats.mean(saved)) / (2 * np.log(2))
        answer = yours("_grader_gain", T, *rest, path, other, seconds=20)
        assert answer is not None and len(answer) == 3, "gain returns the saving, its standard error, and their ratio."
        hint = "Above 0 if `path` is cheaper; difference first, group by group, then its error."
        checks.close(answer, [expected, error, expected / error], f"the gain of {path} over {other}", hint)


def draw(yours, rng):
    for names in (["even", "best", "mine"], ["DP", "even"]):
        budgets = [int(K) for K in np.sort(rng.choice(np.arange(1, 99), 5, replace=False))]
        bits, errors = ({name: rng.uniform(0.5, 3, 5) for name in names} for _ in range(2))
        drawn = yours("_grader_draw", budgets, bits, {name: error / 10 for name, error in errors.items()}, seconds=20)
        lines = [np.array(line, dtype=float) for line in drawn["lines"] if len(line[0]) == len(line[1]) == 5]
        for name in names:
            wanted = np.array([budgets, bits[name]])
            assert any(np.allclose(line, wanted) for line in lines), (
                f"There is no line of bits[{name!r}] at the budgets."
            )
            for K, value, error in zip(budgets, bits[name], errors[name] / 10, strict=True):
                ends = [[K, value - error], [K, value + error]]
                found = any(
                    np.shape(bar) == (2, 2) and np.allclose(np.sort(bar, axis=0), ends) for bar in drawn["bars"]
                )
                assert found, f"{name!r} has no error bar from bits - error to bits + error at K = {K}."
            named = any(name.lower() in text.lower() for text in drawn["legend"])
            assert named, f"The legend does not name {name!r}."
        x, y = (label.lower() for label in drawn["labels"])
        assert "step" in x or "k" in x.split() or "budget" in x, f"The x axis is called {x!r}: steps?"
        assert "bit" in y and "dim" in y, f"The y axis is called {y!r}, expected the unit, bits/dim."


PARTS = {
    "test_model": model,
    "test_measure_all": measure_all,
    "test_choose": choose,
    "test_held_out": held_out,
    "test_gain": gain,
    "test_draw": draw,
}
