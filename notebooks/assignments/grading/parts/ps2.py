"""Problem set 2, dynamic programming: what each part must do.

Prices are of size 1 and paths have up to 60 steps: a sum in float32 is right to 1e-5, ten times less than the tolerance
of `checks.close`. The best of random paths differs from the second best by far more; where two tie, either is right.
"""

import itertools

import checks
import numpy as np

LIBRARY = False  # the functions of ddpm_dp are off limits
SECONDS = 20  # of processor time for a cell
PRELOAD = ["numpy", "scipy.special", "matplotlib.pyplot", "torch"]  # what is slow to import, once for the class


def random_table(rng, T, ties=False, holes=0.0):
    numbers = rng.integers(0, 4, (T + 1, T + 1)) if ties else rng.normal(size=(T + 1, T + 1))
    L = np.where(np.tri(T + 1, k=-1) > 0, numbers, np.inf)
    L[rng.random(L.shape) < holes] = np.inf  # steps that may not be taken
    return L


def all_paths(T, K, gap=1):
    for inner in itertools.combinations(range(1, T), K - 1):
        path = np.array([0, *inner, T])
        if np.diff(path).min() >= gap:
            yield path


def cost(L, path):
    return L[path[1:], path[:-1]].sum()


def least(L, K, gap=1, through=None, closed=()):
    """By enumeration: the lowest price of a path under the rules, inf if there is none."""
    paths = (p for p in all_paths(len(L) - 1, K, gap) if through in (None, *p) and not set(p) & set(closed))
    return min((cost(L, path) for path in paths), default=np.inf)


def price(yours, rng):
    for trial in range(20):
        T, fee = int(rng.integers(2, 40)), float(rng.uniform(0.1, 2))
        L = random_table(rng, T, holes=0.2 * (trial % 2))
        inner = np.sort(rng.choice(np.arange(1, T), int(rng.integers(0, T - 1)), replace=False)) if T > 1 else []
        stops = [0, *(int(t) for t in inner), T]
        hint = "Is a step that may not be taken free? Is there a fee for each?"
        expected = cost(L, np.array(stops)) + fee * (len(stops) - 1)
        checks.close(yours("price", L, stops, fee), expected, f"price of {stops}", hint)


def brute_force(yours, rng):
    for trial in range(16):
        T, gap = int(rng.integers(2, 9)), int(rng.integers(1, 4))
        L = random_table(rng, T, ties=trial % 2 == 0, holes=0.2 * (trial % 3))
        for K in range(1, T + 1):
            best, given = least(L, K, gap), yours("brute_force", L, K, gap)
            case = f"T = {T}, K = {K}, gap = {gap}"
            if best == np.inf:
                assert given is None, f"{case}: there is no path, expected None; yours is {given!r:.100}."
                continue
            path = np.array(checks.path(given, K, T))
            assert np.diff(path).min() >= gap, f"{case}: your path {path.tolist()} has a step that is too short."
            checks.close(
                cost(L, path), best, f"{case}: the price of your path {path.tolist()}", "There is a cheaper one."
            )


def best_price(yours, rng):
    for trial in range(12):
        T = int(rng.integers(2, 9))
        L = random_table(rng, T, holes=0.2 * (trial % 3))
        closed = [t for t in range(1, T) if rng.random() < 0.25]
        for K in range(1, T + 1):
            case = f"best_price, T = {T}, K = {K}, closed {closed}"
            checks.close(yours("best_price", L, K, closed), least(L, K, closed=closed), case)
    # Long chains, whose answer is known: (t - s)^2 is cheapest in equal steps.
    t = np.arange(121)
    squares = np.where(t[:, None] > t, np.subtract.outer(t, t) ** 2.0, np.inf)
    for K in rng.choice([20, 24, 30, 40, 60], 2, replace=False).tolist():
        checks.close(yours("best_price", squares, K, []), 120**2 / K, f"best_price of (t - s)^2, T = 120, K = {K}")


def all_budgets(yours, rng):
    for trial in range(10):
        T, gap = int(rng.integers(2, 8)), 1 + trial % 3
        L = random_table(rng, T, ties=trial % 2 == 0)
        answer = yours("all_budgets", L, gap)
        assert answer is not None and len(answer) == 2, "all_budgets returns the two tables C and D."
        C, D = checks.numbers(answer[0], "C"), checks.numbers(answer[1], "D")
        expected = np.full((T + 1, T + 1), np.inf)
        expected[0, 0] = 0
        for t, k in itertools.product(range(1, T + 1), repeat=2):
            expected[k, t] = least(L[: t + 1, : t + 1], k, gap)
        checks.close(C, expected, f"C, T = {T}, gap = {gap}", "Rows are k, columns are t.")
        assert D.shape == C.shape, f"D has shape {D.shape}, expected {C.shape}."
        for k, t in np.argwhere(np.isfinite(expected) & (np.arange(T + 1)[:, None] > 0)):
            s = int(D[k, t])
            assert 0 <= s <= t - gap, f"D[{k}, {t}] is {s}, expected a timestep at least {gap} below {t}."
            checks.close(expected[k - 1, s] + L[t, s], expected[k, t], f"the price over your parent D[{k}, {t}] = {s}")


def through(yours, rng):
    for trial in range(12):
        T = int(rng.integers(3, 9))
        L = random_table(rng, T, ties=trial % 2 == 0, holes=0.25 * (trial % 3))
        for K in range(2, T + 1):
            r = int(rng.integers(1, T))
            best, given = least(L, K, through=r), yours("through", L, K, r)
            case = f"T = {T}, K = {K}, through {r}"
            if best == np.inf:
                assert given is None, f"{case}: there is no path, expected None; yours is {given!r:.100}."
                continue
            path = np.array(checks.path(given, K, T))
            assert r in path, f"{case}: your path {path.tolist()} does not stop there."
            checks.close(
                cost(L, path), best, f"{case}: the price of your path {path.tolist()}", "There is a cheaper one."
            )
    # A chain whose answer is known: (t - s)^2, through a timestep of the equal steps.
    t, K = np.arange(101), int(rng.choice([20, 25]))
    squares = np.where(t[:, None] > t, np.subtract.outer(t, t) ** 2.0, np.inf)
    r = 100 // K * int(rng.integers(1, K))
    path = checks.path(yours("through", squares, K, r), K, 100)
    assert r in path, f"T = 100, K = {K}: your path does not stop at {r}."
    checks.close(cost(squares, np.array(path)), 100**2 / K, f"T = 100, K = {K}, through {r}: the price of your path")


def best_budget(yours, rng):
    for _ in range(10):
        T = int(rng.integers(3, 40))
        C = np.r_[np.inf, 20 * np.sort(rng.exponential(size=T))[::-1] + rng.normal(size=T)]
        C[rng.random(T + 1) < 0.2] = np.inf
        C[1] = 30.0
        fees = rng.uniform(0, 8, 5)
        expected = [min(range(1, T + 1), key=lambda k: (C[k] + k * fee, k)) for fee in fees]
        checks.close(yours("best_budget", C, fees), expected, "best_budget", "The least C[k] + k fee.")
    flat = np.array([np.inf, 4.0, 3.0, 2.0, 1.0])
    checks.close(yours("best_budget", flat, np.array([1.0])), [1], "best_budget where all tie", "The smallest of them.")


def number_of_paths(yours, rng):
    for _ in range(12):
        T, gap = int(rng.integers(2, 12)), int(rng.integers(1, 4))
        K = int(rng.integers(1, T + 1))
        count = sum(1 for _ in all_paths(T, K, gap))
        given = yours("number_of_paths", T, K, gap)
        assert given == count, f"number_of_paths({T}, {K}, {gap}) is {given!r:.100}, expected {count}."
    T, K, gap = int(rng.integers(3000, 5000)), int(rng.integers(20, 60)), int(rng.integers(2, 9))
    # Pascal's rule with whole numbers, exact, on what is left when gap - 1 timesteps are taken out of every step.
    row = [1]
    for _ in range(T - K * (gap - 1) - 1):
        row = [1, *(a + b for a, b in zip(row[:60], row[1:60], strict=False)), *([1] if len(row) < 60 else [])]
    given = yours("number_of_paths", T, K, gap)
    assert isinstance(given, int), (
        f"number_of_paths({T}, {K}, {gap}) is a {type(given).__name__}: whole numbers, no floats."
    )
    assert given == row[K - 1], f"number_of_paths({T}, {K}, {gap}) is not exact."


PARTS = {
    "test_price": price,
    "test_brute_force": brute_force,
    "test_best_price": best_price,
    "test_all_budgets": all_budgets,
    "test_through": through,
    "test_best_budget": best_budget,
    "test_number_of_paths": number_of_paths,
}
