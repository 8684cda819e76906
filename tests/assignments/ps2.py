"""Problem set 2, dynamic programming."""

from . import Mistake

GREEDY = """
def NAME(L, K):
    path = [0, len(L) - 1]
    while len(path) < K + 1:
        longer = [sorted([*path, n]) for n in range(1, len(L) - 1) if n not in path]
        path = min(longer, key=lambda path: sum(L[t, s] for s, t in itertools.pairwise(path)))
    return RESULT
"""

WRONG = [
    Mistake(
        "rows and columns mixed up",
        {"price": ("L[t, s]", "L[s, t]")},
        {"test_price"},
    ),
    Mistake(
        "off by one in K: K inner stops",
        {"brute_force": ("range(1, T), K - 1", "range(1, T), K")},
        {"test_brute_force"},
    ),
    Mistake(
        "the path does not end at T",
        {"brute_force": ("[0, *inner, T]", "[0, *inner, T - 1]")},
        {"test_brute_force"},
    ),
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
    Mistake(
        "off by one in K: K - 1 layers",
        {"best_price": ("range(K)", "range(K - 1)")},
        {"test_best_price"},
    ),
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
    Mistake(
        "recursion that never ends",
        {
            "best_price": "def best_price(L, K, t=None):\n"
            "    t = len(L) - 1 if t is None else t\n"
            "    while K > 0:\n"
            "        best = min(L[t, s] for s in range(len(L)))\n"
            "    return best"
        },
        {"test_best_price"},
    ),
    Mistake(
        "trying all paths where dynamic programming is asked for",
        {
            "best_price": "def best_price(L, K):\n    T = len(L) - 1\n"
            "    paths = ([0, *inner, T] for inner in itertools.combinations(range(1, T), K - 1))\n"
            "    return min(sum(L[t, s] for s, t in itertools.pairwise(path)) for path in paths)"
        },
        {"test_best_price"},
    ),
    Mistake(
        "the library's solver, called",
        {
            "best_price": "from ddpm_dp import solve\n\n\ndef best_price(L, K):\n    return solve(L, K).nats(K)",
            "all_budgets": "def all_budgets(L):\n"
            "    frontier = solve(L)\n"
            "    C = np.full(L.shape, np.inf)\n"
            "    C[:, -1] = frontier.values\n"
            "    return C, frontier.parents",
        },
        {"test_best_price", "test_all_budgets"},
    ),
    Mistake(
        "min instead of argmin",
        {"all_budgets": ("candidates.argmin(axis=1)", "candidates.min(axis=1)")},
        {"test_all_budgets"},
    ),
    Mistake(
        "ties ignored: the one and only place of the minimum",
        {
            "all_budgets": (
                "candidates.argmin(axis=1)",
                "[int(np.flatnonzero(row == row.min()).item()) if row.min() < np.inf else 0 for row in candidates]",
            )
        },
        {"test_all_budgets"},
    ),
    Mistake(
        "the answer to the visible test, typed in",
        {
            "all_budgets": "def all_budgets(L):\n"
            "    C, D = np.full(L.shape, inf), np.zeros(L.shape, int)\n"
            "    C[0, 0], C[1, 1:], C[2:5, 4], D[2:5, 4] = 0, L[1:, 0], (10, 6, 9), (1, 3, 3)\n"
            "    return C, D"
        },
        {"test_all_budgets"},
    ),
    Mistake(
        "the walk of the paper's Algorithm 2, as printed",
        {"walk_back": ("t = D.shape[1] - 1", "t = K")},
        {"test_walk_back"},
    ),
    Mistake(
        "the same layer at every step of the walk",
        {"walk_back": ("t = int(D[k, t])", "t = int(D[K, t])")},
        {"test_walk_back"},
    ),
    Mistake(
        "the walk one step too long, and never turned round",
        {"walk_back": ("return path[::-1]", "return [*path, 0]")},
        {"test_walk_back"},
    ),
    Mistake(
        "the error at s, and no inf",
        {"mse_table": ("np.where(width > 0, width * d * m[:, None], np.inf)", "np.abs(width) * d * m[None, :]")},
        {"test_mse_table"},
    ),
    Mistake(
        "the mean over dimensions instead of their sum; T instead of T - 1; half a layer forgotten",
        {"mse_table": ("width * d * m", "width * m"), "count": ("math.comb(T - 1, K - 1)", "math.comb(T, K)")},
        {"test_mse_table", "test_count"},
    ),
    Mistake(
        "a float instead of a whole number",
        {
            "count": (
                "math.comb(T - 1, K - 1)",
                "round(math.exp(math.lgamma(T) - math.lgamma(K) - math.lgamma(T - K + 1)))",
            )
        },
        {"test_count"},
    ),
    Mistake(
        "arguments changed, endless printing, a renamed function",
        {
            "price": ("return sum(", "print('here ' * 100_000)\n    L[np.isinf(L)] = 0\n    return sum("),
            "brute_force": ("T = len(L) - 1", "T = len(L) - 1\n    L[:] = -L"),
            "walk_back": ("def walk_back", "def walk"),
        },
        {"test_brute_force", "test_walk_back"},
    ),
]

SECOND = {
    "price": """
def price(L, path):
    path = np.array(path)
    return np.sum(L[path[1:], path[:-1]])
""",
    "brute_force": """
def brute_force(L, K):
    def down(t, k):
        if k == 0:
            return (0, (0,)) if t == 0 else (math.inf, None)
        options = [(math.inf, None)]
        for s in range(t):
            cost, path = down(s, k - 1)
            if path is not None:
                options.append((cost + L[t, s], (*path, t)))
        return min(options, key=lambda option: option[0])

    return np.array(down(len(L) - 1, K)[1])
""",
    "best_price": """
def best_price(L, K):
    T = len(L) - 1
    to_go = {T: 0.0}  # from the other end: the price of the k last steps, from t on
    for _ in range(K):
        before = {}
        for t, cost in to_go.items():
            for s in range(t):
                if cost + L[t, s] < before.get(s, inf):
                    before[s] = cost + L[t, s]
        to_go = before
    return to_go.get(0, inf)
""",
    "all_budgets": """
def all_budgets(L):
    T = len(L) - 1
    C = [[inf] * (T + 1) for _ in range(T + 1)]
    D = [[-1] * (T + 1) for _ in range(T + 1)]
    C[0][0] = 0
    for t in range(1, T + 1):
        for s in range(t):
            for k in range(s + 1):
                if C[k][s] + L[t, s] <= C[k + 1][t]:
                    C[k + 1][t], D[k + 1][t] = C[k][s] + L[t, s], s
    return C, D
""",
    "walk_back": """
def walk_back(D, K, t=None):
    t = D.shape[1] - 1 if t is None else t
    return [0] if K == 0 else [*walk_back(D, K - 1, D[K, t]), t]
""",
    "mse_table": """
def mse_table(m, d):
    L = np.full((len(m), len(m)), np.inf)
    for t in range(1, len(m)):
        for s in range(t):
            L[t, s] = (t - s) * d * m[t]
    return L
""",
    "count": """
def number_of_paths(T, K):
    total = 1
    for i in range(1, K):
        total = total * (T - i) // i
    return total


def dp_additions(T, K):
    return sum(range(T + 1)) * K
""",
}
