"""Problem set 4, structure."""

from . import Mistake

WRONG = [
    Mistake(
        "the Monge inequality the wrong way round",
        {"is_monge": ("(D > slack)", "(D < -slack)")},
        {"test_is_monge"},
    ),
    Mistake(
        "column 0 tested too",
        {
            "is_monge": (
                "L[t, 1 : t - 1] + L[t + 1, 2:t] - L[t, 2:t] - L[t + 1, 1 : t - 1]",
                "L[t, : t - 1] + L[t + 1, 1:t] - L[t, 1:t] - L[t + 1, : t - 1]",
            )
        },
        {"test_is_monge"},
    ),
    Mistake(
        "the last row forgotten",
        {"is_monge": ("range(3, T)", "range(3, T - 1)")},
        {"test_is_monge"},
    ),
    Mistake(
        "no allowance for rounding",
        {"is_monge": ("slack = 1e-9 * np.abs(L[np.isfinite(L)]).max()", "slack = 0")},
        {"test_is_monge"},
    ),
    Mistake(
        "the answers to the visible tests, typed in",
        {"is_monge": "def is_monge(L):\n    return L[2, 1] > 0"},
        {"test_is_monge"},
    ),
    Mistake(
        "the library's own test, called",
        {
            "is_monge": "from ddpm_dp import solve\n\n\ndef is_monge(L):\n"
            "    L = np.array(L)\n    L[1:, 0] = 0\n    return solve(L).method == 'divide'"
        },
        {"test_is_monge"},
    ),
    Mistake(
        "every line is kept: nothing is popped",
        {"lowest": ("if cut > cuts[-1]:", "if True:")},
        {"test_lowest"},
    ),
    Mistake(
        "equal slopes divide by zero",
        {
            "lowest": (
                "(b - b_top) / (g_top - g) if g < g_top else (np.inf if b >= b_top else -np.inf)",
                "(b - b_top) / (g_top - g)",
            )
        },
        {"test_lowest"},
    ),
    Mistake(
        "all lines tried at all queries",
        {
            "lowest": "def lowest(intercepts, slopes, queries):\n"
            "    return np.array([(intercepts + slopes * h).min() for h in queries])"
        },
        {"test_lowest"},
    ),
    Mistake(
        "the piece to the right of the query",
        {"lowest": ("np.searchsorted(cuts, queries) - 1", "np.minimum(np.searchsorted(cuts, queries), len(cuts) - 1)")},
        {"test_lowest"},
    ),
    Mistake(
        "the offset left out",
        {"posterior_lines": ("-d / 2 * snr * m", "0 * snr")},
        {"test_posterior_lines"},
    ),
    Mistake(
        "d forgotten: right for two dimensions only",
        {"posterior_lines": ("return -d / 2 * snr * m, C, d / 2 * snr, m", "return -snr * m, C, snr, m")},
        {"test_posterior_lines"},
    ),
    Mistake(
        "the query of posterior",
        {"analytic_lines": ("1 / m - snr", "m")},
        {"test_analytic_lines"},
    ),
    Mistake(
        "exp(C) for exp(2 C / d)",
        {"analytic_lines": ("np.exp(2 * C / d)", "np.exp(C)")},
        {"test_analytic_lines"},
    ),
    Mistake(
        "all s tried for every t",
        {"divide": ("range(s_low, min(s_high, t - 1) + 1)", "range(1, t)")},
        {"test_divide"},
    ),
    Mistake(
        "s = t - 1 left out",
        {"divide": ("min(s_high, t - 1) + 1)", "max(2, min(s_high + 1, t - 1)))")},
        {"test_divide"},
    ),
    Mistake(
        "the halves mixed up",
        {
            "divide": (
                "(low, t - 1, s_low, winner), (t + 1, high, winner, s_high)",
                "(low, t - 1, winner, s_high), (t + 1, high, s_low, winner)",
            )
        },
        {"test_divide"},
    ),
    Mistake(
        "the middle is solved again and again, without end",
        {"divide": ("(low, t - 1, s_low, winner)", "(low, t, s_low, winner)")},
        {"test_divide"},
    ),
    Mistake(
        "the square inside the integral",
        {"limit_gap": ("pieces.sum() ** 2", "(pieces**2).sum()")},
        {"test_limit_gap"},
    ),
    Mistake(
        "the integral over t: no width in SNR; 1/2 for 1/4",
        {
            "limit_gap": (
                "np.sqrt(np.abs(np.diff(m[1:]) * np.diff(snr[1:])))",
                "np.sqrt(np.abs(np.diff(m[1:]) / np.diff(snr[1:])))",
            )
        },
        {"test_limit_gap"},
    ),
    Mistake(
        "1/2 for 1/4",
        {"limit_gap": ("(4 * K)", "(2 * K)")},
        {"test_limit_gap"},
    ),
    Mistake(
        "even steps in SNR",
        {
            "place": (
                "np.interp(np.linspace(0, share[-1], K + 1), share, snr[1:])",
                "np.linspace(snr[1], snr[-1], K + 1)",
            )
        },
        {"test_place"},
    ),
    Mistake(
        "even steps in log SNR",
        {
            "place": (
                "np.interp(np.linspace(0, share[-1], K + 1), share, snr[1:])",
                "np.geomspace(snr[1], snr[-1], K + 1)",
            )
        },
        {"test_place"},
    ),
    Mistake(
        "K ends for K steps",
        {"place": ("share[-1], K + 1)", "share[-1], K)")},
        {"test_place"},
    ),
]

SECOND = {
    "is_monge": """
def is_monge(L):
    inner = L[1:, 1:]
    corner = inner[1:, 1:] + inner[:-1, :-1] - inner[1:, :-1] - inner[:-1, 1:]
    corner = np.where(np.isfinite(corner), corner, -1.0)
    return not np.any(corner > np.abs(L[L < inf]).max() / 1e9)
""",
    "lowest": """
def lowest(intercepts, slopes, queries):
    order = np.argsort(queries)  # divide and conquer: the best line never moves back as the query grows
    b, g, h = np.asarray(intercepts), np.asarray(slopes), np.asarray(queries)[order]
    answer = np.empty(len(h))
    waiting = [(0, len(h) - 1, 0, len(b) - 1)]
    while waiting:
        low, high, first, last = waiting.pop()
        if low > high:
            continue
        if first == last:
            answer[low : high + 1] = b[first] + g[first] * h[low : high + 1]
            continue
        j = (low + high) // 2
        heights = b[first : last + 1] + g[first : last + 1] * h[j]
        best = int(heights.argmin())
        answer[j] = heights[best]
        waiting.append((low, j - 1, first, first + best))
        waiting.append((j + 1, high, first + best, last))
    back = np.empty(len(h))
    back[order] = answer
    return back
""",
    "posterior_lines": """
def posterior_lines(C, snr, m, d):
    snr, half = np.array(snr), m * d / 2
    return -snr * half, C + 0 * snr, snr, half
""",
    "analytic_lines": """
def analytic_lines(C, snr, m, d):
    E = np.exp(C * 2 / d)
    E = np.where(np.isfinite(E), E, 0)
    return 3 * m, E * snr / 3, E, (1 / np.where(m > 0, m, 1) - snr) / 3
""",
    "divide": """
def divide(C, L):
    size = len(C)
    best = [inf] * size

    def solve(ts, options):
        if not ts:
            return
        middle = len(ts) // 2
        t, winner = ts[middle], None
        for s in options:
            if s >= t:
                break
            total = C[s] + L(t, s)
            if winner is None or total <= best[t]:
                best[t], winner = total, s
        solve(ts[:middle], [s for s in options if s <= winner])
        solve(ts[middle + 1 :], [s for s in options if s >= winner])

    solve(list(range(2, size)), list(range(1, size)))
    return best
""",
    "limit_gap": """
def limit_gap(snr, m, d, K):
    slope = np.gradient(m[1:], snr[1:])
    root = np.sqrt(-slope)
    integral = np.sum((root[1:] + root[:-1]) / 2 * (snr[1:-1] - snr[2:]))
    return d * integral**2 / 4 / K
""",
    "place": """
def place(snr, m, K):
    x, y = snr[1:], m[1:]
    root = np.sqrt((y[1:] - y[:-1]) / (x[:-1] - x[1:]))
    covered = np.concatenate([[0.0], np.cumsum(root * (x[:-1] - x[1:]))])
    ends = [float(x[0])]
    for k in range(1, K):
        goal = covered[-1] * k / K
        i = int(np.flatnonzero(covered >= goal)[0])
        inside = (goal - covered[i - 1]) / (covered[i] - covered[i - 1])
        ends.append(float(x[i - 1] + inside * (x[i] - x[i - 1])))
    return [*ends, float(x[-1])]
""",
}
