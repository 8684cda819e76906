"""Problem set 2, dynamic programming."""

from . import Mistake

GREEDY = """
def NAME(L, K, rule):
    path = [0, len(L) - 1]
    while len(path) < K + 1:
        longer = [sorted([*path, n]) for n in range(1, len(L) - 1) if n not in path]
        path = min(longer, key=lambda path: sum(L[t, s] for s, t in itertools.pairwise(path)))
    return RESULT
"""

WRONG = [
    Mistake("rows and columns mixed up", {"price": ("L[t, s]", "L[s, t]")}, {"test_price"}),
    Mistake("no fee", {"price": (" + fee", "")}, {"test_price"}),
    Mistake(
        "one fee for the whole path",
        {"price": ("L[t, s] + fee for", "L[t, s] + fee / (len(path) - 1) ** 2 for")},
        {"test_price"},
    ),
    Mistake(
        "a step that may not be taken is free",
        {"price": ("itertools.pairwise(path))", "itertools.pairwise(path) if L[t, s] < np.inf)")},
        {"test_price"},
    ),
    Mistake(
        "off by one in K: K inner stops",
        {"brute_force": ("range(1, T), K - 1", "range(1, T), K")},
        {"test_brute_force"},
    ),
    Mistake(
        "the path does not end at T", {"brute_force": ("[0, *inner, T]", "[0, *inner, T - 1]")}, {"test_brute_force"}
    ),
    Mistake("steps longer than the gap only", {"brute_force": (">= gap", "> gap")}, {"test_brute_force"}),
    Mistake("a path of infinite price", {"brute_force": ("cost < least", "cost <= least")}, {"test_brute_force"}),
    Mistake(
        "greedy instead of trying all",
        {"brute_force": GREEDY.replace("NAME", "brute_force").replace("RESULT", "path")},
        {"test_brute_force"},
    ),
    Mistake(
        "greedy instead of dynamic programming",
        {
            "best_price": GREEDY.replace("NAME", "best_price").replace(
                "RESULT", "sum(L[t, s] for s, t in itertools.pairwise(path))"
            )
        },
        {"test_best_price"},
    ),
    Mistake("off by one in K: K - 1 layers", {"best_price": ("range(K)", "range(K - 1)")}, {"test_best_price"}),
    Mistake(
        "every timestep of layer 0 is free",
        {"best_price": ("np.full(len(L), np.inf)", "np.zeros(len(L))")},
        {"test_best_price"},
    ),
    Mistake(
        "at most K steps instead of exactly K",
        {"best_price": ("C = (C + L).min(axis=1)", "C = np.minimum(C, (C + L).min(axis=1))")},
        {"test_best_price"},
    ),
    Mistake("closed timesteps forgotten", {"best_price": ("C[list(closed)] = np.inf", "pass")}, {"test_best_price"}),
    Mistake(
        "recursion that never ends",
        {"best_price": "def best_price(L, K, closed):\n    while K > 0:\n        best = L.min()\n    return best"},
        {"test_best_price"},
    ),
    Mistake(
        "trying all paths where dynamic programming is asked for",
        {
            "best_price": "def best_price(L, K, closed):\n    T = len(L) - 1\n"
            "    inside = [t for t in range(1, T) if t not in closed]\n"
            "    paths = ([0, *inner, T] for inner in itertools.combinations(inside, K - 1))\n"
            "    return min((sum(L[t, s] for s, t in itertools.pairwise(path)) for path in paths), default=inf)"
        },
        {"test_best_price"},
    ),
    Mistake(
        "the library's solver, called",
        {
            "best_price": "from ddpm_dp import solve\n\n\ndef best_price(L, K, closed):\n    return solve(L).nats(K)",
            "all_budgets": "import ddpm_dp as d\n\n\ndef all_budgets(L, gap):\n    return d.solve(L).parents",
        },
        {"test_best_price", "test_all_budgets"},
    ),
    Mistake(
        "min instead of argmin",
        {"all_budgets": ("candidates.argmin(axis=1)", "np.nan_to_num(candidates.min(axis=1), posinf=0)")},
        {"test_all_budgets"},
    ),
    Mistake("a gap of one more", {"all_budgets": (">= gap", "> gap")}, {"test_all_budgets"}),
    Mistake(
        "rows and columns of C and D exchanged",
        {"all_budgets": ("return C, D", "return C.T, D.T")},
        {"test_all_budgets"},
    ),
    Mistake(
        "only the last two layers kept",
        {"all_budgets": ("    return C, D", "    C[:-2] = np.inf\n    return C, D")},
        {"test_all_budgets"},
    ),
    Mistake(
        "the answer to the visible test, typed in",
        {
            "all_budgets": "def all_budgets(L, gap):\n"
            "    C, D = np.full(L.shape, inf), np.zeros(L.shape, int)\n"
            "    C[0, 0], C[1, gap:], C[2:5, 4], D[2:5, 4] = 0, L[gap:, 0], (10, 6, 9), (1, 3, 3)\n"
            "    return C, D"
        },
        {"test_all_budgets"},
    ),
    Mistake(
        "the best path, wherever it goes",
        {
            "through": (
                "return walk(D, k, r) + walk(D_r, K - k, T)[1:] if cost < np.inf else None",
                "return walk(D, K, T)",
            )
        },
        {"test_through"},
    ),
    Mistake(
        "half of the steps before r", {"through": ("for k in range(1, K))", "for k in [K // 2])")}, {"test_through"}
    ),
    Mistake("r twice in the path", {"through": ("walk(D_r, K - k, T)[1:]", "walk(D_r, K - k, T)")}, {"test_through"}),
    Mistake("a path where there is none", {"through": (" if cost < np.inf else None", "")}, {"test_through"}),
    Mistake(
        "trying all, where that is too slow",
        {
            "through": "def through(L, K, r):\n    T, best, least = len(L) - 1, None, inf\n"
            "    for inner in itertools.combinations(range(1, T), K - 1):\n"
            "        path = [0, *inner, T]\n"
            "        cost = sum(L[t, s] for s, t in itertools.pairwise(path)) if r in path else inf\n"
            "        if cost < least:\n            best, least = path, cost\n    return best"
        },
        {"test_through"},
    ),
    Mistake("the least price, whatever the fee", {"best_budget": ("k * fee", "0 * fee")}, {"test_best_budget"}),
    Mistake(
        "the largest of equals",
        {"best_budget": ("np.argmin(C + k * fee)", "len(C) - 1 - np.argmin((C + k * fee)[::-1])")},
        {"test_best_budget"},
    ),
    Mistake("the gap forgotten", {"number_of_paths": ("K * (gap - 1)", "0")}, {"test_number_of_paths"}),
    Mistake("T for T - 1", {"number_of_paths": ("math.comb(left - 1", "math.comb(left")}, {"test_number_of_paths"}),
    Mistake(
        "a float instead of a whole number",
        {
            "number_of_paths": (
                "math.comb(left - 1, K - 1)",
                "round(math.exp(math.lgamma(left) - math.lgamma(K) - math.lgamma(left - K + 1)))",
            )
        },
        {"test_number_of_paths"},
    ),
    Mistake(
        "all paths in a list, to count them: more memory than there is",
        {
            "number_of_paths": "def number_of_paths(T, K, gap):\n"
            "    paths = list(itertools.combinations(range(1, T), K - 1))\n"
            "    return len([p for p in paths if min(np.diff([0, *p, T])) >= gap])"
        },
        {"test_number_of_paths"},
    ),
    Mistake(
        "arguments changed, endless printing, a renamed function",
        {
            "price": ("return sum(", "print('here ' * 100_000)\n    path = list(path)\n    return sum("),
            "brute_force": ("T, best", "L[:] = -L\n    T, best"),
            "through": ("def through", "def way"),
        },
        {"test_brute_force", "test_through"},
    ),
]

SECOND = {
    "price": """
def price(L, path, fee):
    total, s = fee * (len(path) - 1), path.pop(0)
    while path:
        t = path.pop(0)
        total, s = total + L[t, s], t
    return total
""",
    "brute_force": """
def brute_force(L, K, gap):
    def down(t, k):
        if k == 0:
            return (0, (0,)) if t == 0 else (math.inf, None)
        options = [(math.inf, None)]
        for s in range(t - gap + 1):
            cost, path = down(s, k - 1)
            if path is not None:
                options.append((cost + L[t, s], (*path, t)))
        return min(options, key=lambda option: option[0])

    cost, path = down(len(L) - 1, K)
    return None if cost == math.inf else np.array(path)
""",
    "best_price": """
def best_price(L, K, closed):
    T = len(L) - 1
    to_go = {T: 0.0}  # from the other end: the price of the k last steps, from t on
    for _ in range(K):
        before = {}
        for t, cost in to_go.items():
            for s in range(t):
                if s not in closed and cost + L[t, s] < before.get(s, inf):
                    before[s] = cost + L[t, s]
        to_go = before
    return to_go.get(0, inf)
""",
    "all_budgets": """
def all_budgets(L, gap):
    T = len(L) - 1
    C = [[inf] * (T + 1) for _ in range(T + 1)]
    D = [[-1] * (T + 1) for _ in range(T + 1)]
    C[0][0] = 0
    for t in range(1, T + 1):
        for s in range(t - gap + 1):
            for k in range(s + 1):
                if C[k][s] + L[t, s] <= C[k + 1][t]:
                    C[k + 1][t], D[k + 1][t] = C[k][s] + L[t, s], s
    return C, D
""",
    "through": """
def through(L, K, r):
    size = len(L)
    L = L.copy()
    for s in range(r):  # no step may jump over r
        L[r + 1 :, s] = inf
    layers, parents = [np.where(np.arange(size) == 0, 0.0, inf)], []
    for _ in range(K):
        totals = layers[-1] + L
        layers.append(totals.min(axis=1))
        parents.append(totals.argmin(axis=1))
    if layers[-1][-1] == inf:
        return None
    path = [size - 1]
    for parent in parents[::-1]:
        path.insert(0, parent[path[0]])
    return tuple(path)
""",
    "best_budget": """
def best_budget(C, fees):
    totals = np.asarray(C)[:, None] + np.arange(len(C))[:, None] * np.asarray(fees)
    return totals.argmin(axis=0)
""",
    "number_of_paths": """
def number_of_paths(T, K, gap):
    total, free = 1, T - K * gap  # what is free is dealt out to K steps
    if free < 0:
        return 0
    for i in range(1, K):
        total = total * (free + i) // i
    return total
""",
}

STYLES = {
    "torch, float32": {
        "price": """
import torch


def price(L, path, fee):
    L, path = torch.as_tensor(L, dtype=torch.float32), torch.as_tensor(path)
    return (L[path[1:], path[:-1]] + fee).sum()
""",
        "brute_force": """
import torch


def brute_force(L, K, gap):
    L, T = torch.as_tensor(L, dtype=torch.float32), len(L) - 1
    inner = torch.combinations(torch.arange(1, T), K - 1) if K > 1 else torch.zeros((1, 0), dtype=torch.long)
    paths = torch.nn.functional.pad(torch.nn.functional.pad(inner, (1, 0)), (0, 1), value=T)
    paths = paths[(paths.diff(dim=1) >= gap).all(dim=1)]
    if not len(paths):
        return None
    costs = L[paths[:, 1:], paths[:, :-1]].sum(dim=1)
    return paths[costs.argmin()] if costs.min() < torch.inf else None
""",
        "best_price": """
import torch


def best_price(L, K, closed):
    L = torch.as_tensor(L, dtype=torch.float32)
    C = torch.full((len(L),), torch.inf)
    C[0] = 0
    for _ in range(K):
        C = (C + L).amin(dim=1)
        C[torch.tensor(closed, dtype=torch.long)] = torch.inf
    return C[-1]
""",
        "all_budgets": """
import torch


def all_budgets(L, gap):
    L = torch.as_tensor(L, dtype=torch.float32)
    t = torch.arange(len(L))
    L = torch.where(t[:, None] - t >= gap, L, torch.inf)
    C, D = [torch.where(t == 0, 0.0, torch.inf)], [0 * t]
    for _ in range(1, len(L)):
        values, parents = (C[-1] + L).min(dim=1)
        C.append(values)
        D.append(parents)
    return torch.stack(C), torch.stack(D)
""",
        "through": """
import torch


def through(L, K, r):
    L = torch.as_tensor(L, dtype=torch.float32)
    t = torch.arange(len(L))
    L = torch.where((t[:, None] > r) & (t < r), torch.inf, L)
    C, parents = torch.where(t == 0, 0.0, torch.inf), []
    for _ in range(K):
        C, parent = (C + L).min(dim=1)
        parents.append(parent)
    path = [len(L) - 1]
    for parent in reversed(parents):
        path.append(parent[path[-1]].item())
    return torch.tensor(path[::-1]) if C[-1] < torch.inf else None
""",
        "best_budget": """
import torch


def best_budget(C, fees):
    C, fees = torch.as_tensor(C, dtype=torch.float32), torch.as_tensor(fees, dtype=torch.float32)
    return torch.tensor([int((C + torch.arange(len(C)) * fee).argmin()) for fee in fees])
""",
        "number_of_paths": """
def number_of_paths(T, K, gap):
    left = T - K * (gap - 1)
    return math.comb(left - 1, K - 1) if left >= K else 0
""",
    },
    "lists, loops and recursion": {
        "price": """
def price(L, path, fee):
    L = L.tolist()
    total = 0
    for i in range(len(path) - 1):
        total = total + L[path[i + 1]][path[i]] + fee
    return total
""",
        "brute_force": """
def brute_force(L, K, gap):
    L, T, found = L.tolist(), len(L) - 1, []
    for inner in itertools.combinations(range(1, T), K - 1):
        path = [0, *inner, T]
        if all(t - s >= gap for s, t in zip(path, path[1:])):
            found.append((sum(L[t][s] for s, t in zip(path, path[1:])), path))
    found = [entry for entry in found if entry[0] < inf]
    return min(found)[1] if found else None
""",
        "best_price": """
import functools


def best_price(L, K, closed):
    L = L.tolist()

    @functools.cache
    def C(k, t):
        if k == 0:
            return 0.0 if t == 0 else inf
        if t in closed or t < k:
            return inf
        return min(C(k - 1, s) + L[t][s] for s in range(t))

    return C(K, len(L) - 1)
""",
        "all_budgets": """
def all_budgets(L, gap):
    T = len(L) - 1
    C, D = [[0.0] + [inf] * T], [[None] * (T + 1)]
    for k in range(1, T + 1):
        row, parents = [inf] * (T + 1), [0] * (T + 1)
        for t in range(1, T + 1):
            for s in range(0, t - gap + 1):
                if C[k - 1][s] + L[t][s] < row[t]:
                    row[t], parents[t] = C[k - 1][s] + L[t][s], s
        C.append(row)
        D.append(parents)
    D[0] = [0] * (T + 1)
    return [C, D]
""",
        "through": """
def through(L, K, r):
    L, T = L.tolist(), len(L) - 1
    layer = {(0, False): (0.0, (0,))}  # (timestep, has r been seen): the cheapest way there
    for _ in range(K):
        after = {}
        for (s, seen), (cost, way) in layer.items():
            for t in range(s + 1, T + 1):
                key, total = (t, seen or t == r), cost + L[t][s]
                if total < after.get(key, (inf,))[0]:
                    after[key] = total, (*way, t)
        layer = after
    return list(layer[T, True][1]) if (T, True) in layer else None
""",
        "best_budget": """
def best_budget(C, fees):
    answer = []
    for fee in fees:
        best = 1
        for k in range(2, len(C)):
            if C[k] + k * fee < C[best] + best * fee:
                best = k
        answer.append(best)
    return answer
""",
        "number_of_paths": """
def number_of_paths(T, K, gap):
    ways = 1  # Pascal's rule, along a row
    free = T - K * gap
    for i in range(K - 1):
        ways = ways * (free + K - 1 - i) // (i + 1)
    return ways if free >= 0 else 0
""",
    },
}

PASTED = {
    "price": """
def price(L, path, fee=None):
    return sum(L[t, s] for s, t in itertools.pairwise(path))
""",
    "brute_force": """
def brute_force(L, K, gap=None):
    T = len(L) - 1
    paths = ([0, *inner, T] for inner in itertools.combinations(range(1, T), K - 1))
    return min(paths, key=lambda path: sum(L[t, s] for s, t in itertools.pairwise(path)))
""",
    "best_price": """
def best_price(L, K, closed=None):
    C = np.full(len(L), np.inf)
    C[0] = 0
    for _ in range(K):
        C = (C + L).min(axis=1)
    return C[-1]
""",
    "all_budgets": """
def all_budgets(L, gap=None):
    size = len(L)
    C, D = np.full((size, size), np.inf), np.zeros((size, size), dtype=int)
    C[0, 0] = 0
    for k in range(1, size):
        candidates = C[k - 1] + L
        C[k], D[k] = candidates.min(axis=1), candidates.argmin(axis=1)
    return C, D
""",
    "through": """
def dynamic_program(L, K_max):
    size = len(L)
    C = np.full((K_max + 1, size), np.inf)
    D = np.zeros((K_max + 1, size), dtype=int)
    C[0, 0] = 0
    for k in range(1, K_max + 1):
        candidates = C[k - 1] + L
        D[k] = candidates.argmin(axis=1)
        C[k] = candidates.min(axis=1)
    return C, D


def walk_back(D, K):
    path = [D.shape[1] - 1]
    for k in range(K, 0, -1):
        path.append(int(D[k, path[-1]]))
    return path[::-1]


def through(L, K, r):
    return walk_back(dynamic_program(L, K)[1], K)
""",
    "best_budget": """
def best_budget(C, fees):
    return np.argmin(C)
""",
    "number_of_paths": """
def number_of_paths(T, K, gap=None):
    return math.comb(T - 1, K - 1)
""",
}
