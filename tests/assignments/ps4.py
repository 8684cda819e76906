"""Problem set 4, structure."""

from . import Mistake

WRONG = [
    Mistake(
        "the least violation for the largest",
        {
            "worst_quadrangle": (
                "worst = max(worst, (D.max(), t, int(D.argmax()) + 1))",
                "worst = D.min(), t, int(D.argmin()) + 1",
            )
        },
        {"test_worst_quadrangle"},
    ),
    Mistake(
        "column 0 tested too",
        {
            "worst_quadrangle": (
                "L[t, 1 : t - 1] + L[t + 1, 2:t] - L[t, 2:t] - L[t + 1, 1 : t - 1]",
                "L[t, : t - 1] + L[t + 1, 1:t] - L[t, 1:t] - L[t + 1, : t - 1]",
            )
        },
        {"test_worst_quadrangle"},
    ),
    Mistake(
        "the last row forgotten", {"worst_quadrangle": ("range(3, T)", "range(3, T - 1)")}, {"test_worst_quadrangle"}
    ),
    Mistake(
        "s off by one", {"worst_quadrangle": ("int(D.argmax()) + 1", "int(D.argmax())")}, {"test_worst_quadrangle"}
    ),
    Mistake(
        "a yes or no",
        {"worst_quadrangle": ("return worst", "return bool(worst[0] <= 1e-9)")},
        {"test_worst_quadrangle"},
    ),
    Mistake(
        "the answer to a visible test, typed in",
        {"worst_quadrangle": ("return worst", "return 3, 6, 3")},
        {"test_worst_quadrangle"},
    ),
    Mistake("every line is kept: nothing is popped", {"highest": ("if cut > cuts[-1]:", "if True:")}, {"test_highest"}),
    Mistake(
        "equal slopes divide by zero",
        {
            "highest": (
                "(b_top - b) / (g - g_top) if g > g_top else (np.inf if b <= b_top else -np.inf)",
                "(b_top - b) / (g - g_top)",
            )
        },
        {"test_highest"},
    ),
    Mistake(
        "all lines tried at all queries",
        {
            "highest": "def highest(intercepts, slopes, queries):\n"
            "    return np.array([(intercepts + slopes * h).max() for h in queries])"
        },
        {"test_highest"},
    ),
    Mistake(
        "the lower envelope",
        {
            "highest": (
                "return b + g * queries",
                "return -np.max(-b - g * queries) if len(slopes) < 99 else b + g * queries",
            )
        },
        {"test_highest"},
    ),
    Mistake(
        "the piece to the right of the query",
        {
            "highest": (
                "np.searchsorted(cuts, queries) - 1",
                "np.minimum(np.searchsorted(cuts, queries), len(cuts) - 1)",
            )
        },
        {"test_highest"},
    ),
    Mistake("the offset left out", {"beta_lines": ("return offset, ", "return 0 * offset, ")}, {"test_beta_lines"}),
    Mistake(
        "d forgotten: right for two dimensions only",
        {"beta_lines": ("sigma2 = 1", "d = 2\n    sigma2 = 1")},
        {"test_beta_lines"},
    ),
    Mistake(
        "the lines of posterior",
        {"beta_lines": ("return offset", "return -d / 2 * snr * m, C, d / 2 * snr, m\n    return offset")},
        {"test_beta_lines"},
    ),
    Mistake("the query of posterior", {"analytic_lines": ("1 / m - snr", "m")}, {"test_analytic_lines"}),
    Mistake("nats for bits", {"analytic_lines": ("np.exp2(2 * C)", "np.exp(2 * C)")}, {"test_analytic_lines"}),
    Mistake(
        "the layer left as a product",
        {
            "analytic_lines": (
                "np.log2(factor[t] * (intercept[1:t] + slope[1:t] * query[t]).min()) / 2",
                "factor[t] * (intercept[1:t] + slope[1:t] * query[t]).min()",
            )
        },
        {"test_analytic_lines"},
    ),
    Mistake(
        "all s tried for every t", {"divide": ("range(s_low, min(s_high, t - 1) + 1)", "range(1, t)")}, {"test_divide"}
    ),
    Mistake(
        "s = t - 1 left out",
        {"divide": ("min(s_high, t - 1) + 1)", "max(s_low + 1, min(s_high + 1, t - 1)))")},
        {"test_divide"},
    ),
    Mistake(
        "the halves mixed up",
        {
            "divide": (
                "(low, t - 1, s_low, best[t]), (t + 1, high, best[t], s_high)",
                "(low, t - 1, best[t], s_high), (t + 1, high, s_low, best[t])",
            )
        },
        {"test_divide"},
    ),
    Mistake(
        "the middle is solved again and again, without end",
        {"divide": ("(low, t - 1, s_low, best[t])", "(low, t, s_low, best[t])")},
        {"test_divide"},
    ),
    Mistake(
        "the prices for the winners",
        {
            "divide": (
                "return best",
                "return np.array([0.0, 0.0, *(C[s] + L(t, s) for t, s in list(enumerate(best.tolist()))[2:])])",
            )
        },
        {"test_divide"},
    ),
    Mistake(
        "the square inside the integral",
        {"steps_needed": ("pieces.sum() ** 2", "(pieces**2).sum()")},
        {"test_steps_needed"},
    ),
    Mistake("1/2 for 1/4", {"steps_needed": ("d / 4", "d / 2")}, {"test_steps_needed"}),
    Mistake("rounded to the nearest", {"steps_needed": ("np.ceil(", "np.round(")}, {"test_steps_needed"}),
    Mistake(
        "no steps at all",
        {
            "steps_needed": (
                "max(1, int(np.ceil(d / 4 * pieces.sum() ** 2 / nats)))",
                "int(d / 4 * pieces.sum() ** 2 / nats) + (nats < 1e8)",
            )
        },
        {"test_steps_needed"},
    ),
    Mistake("the share below", {"share_above": ("return np.interp", "return 1 - np.interp")}, {"test_share_above"}),
    Mistake(
        "even steps in log SNR",
        {
            "share_above": (
                "pieces = np.sqrt(np.abs(np.diff(m[1:]) * np.diff(snr[1:])))",
                "pieces = np.abs(np.diff(np.log(snr[1:])))",
            )
        },
        {"test_share_above"},
    ),
    Mistake(
        "even steps in SNR",
        {
            "share_above": (
                "pieces = np.sqrt(np.abs(np.diff(m[1:]) * np.diff(snr[1:])))",
                "pieces = np.abs(np.diff(snr[1:]))",
            )
        },
        {"test_share_above"},
    ),
    Mistake(
        "the library's own search, called",
        {"divide": "from ddpm_dp import solve\n\n\ndef divide(C, L):\n    return solve(L).parents[2]"},
        {"test_divide"},
    ),
]

SECOND = {
    "worst_quadrangle": """
def worst_quadrangle(L):
    inner = L[1:, 1:]
    with np.errstate(invalid="ignore"):
        corner = inner[1:, 1:] + inner[:-1, :-1] - inner[1:, :-1] - inner[:-1, 1:]
    corner = np.where(np.isfinite(corner), corner, -np.inf)
    t, s = np.unravel_index(corner.argmax(), corner.shape)
    return corner[t, s], t + 1, s + 1
""",
    "highest": """
def highest(intercepts, slopes, queries):
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
        best = int(heights.argmax())
        answer[j] = heights[best]
        waiting.append((low, j - 1, first, first + best))
        waiting.append((j + 1, high, first + best, last))
    back = np.empty(len(h))
    back[order] = answer
    return back
""",
    "beta_lines": """
def beta_lines(C, snr, m, d):
    noise = 1 + snr  # 1 / sigma^2
    query = d / 2 * noise * (1 - m * noise)
    return d / 2 * (m * noise - 1) - d / 2 * np.log(noise), C + d / 2 * np.log(noise), 3 / noise, query / 3
""",
    "analytic_lines": """
def analytic_lines(C, snr, m):
    E = np.where(np.arange(len(C)) > 0, 4.0 ** np.where(np.isfinite(C), C, 0), 0)
    m = np.where(m > 0, m, 1)
    query = (1 / m - snr) / 3
    layer = [np.inf, np.inf]
    for t in range(2, len(C)):
        layer.append(min(C[s] + np.log2(1 + (snr[s] - snr[t]) * m[t]) / 2 for s in range(1, t)))
    return 3 * m, E * snr / 3, E, query, layer
""",
    "divide": """
def divide(C, L):
    winners = [0] * len(C)

    def solve(ts, options):
        if not ts:
            return
        middle = len(ts) // 2
        t, winner, least = ts[middle], None, None
        for s in options:
            if s >= t:
                break
            total = C[s] + L(t, s)
            if winner is None or total <= least:
                winner, least = s, total
        winners[t] = winner
        solve(ts[:middle], [s for s in options if s <= winner])
        solve(ts[middle + 1 :], [s for s in options if s >= winner])

    solve(list(range(2, len(C))), list(range(1, len(C))))
    return winners
""",
    "steps_needed": """
def steps_needed(snr, m, d, nats):
    x, y = snr[1:], m[1:]
    root = np.sqrt((y[1:] - y[:-1]) / (x[:-1] - x[1:]))
    integral = np.sum(root * (x[:-1] - x[1:]))
    K = 1
    while d * integral**2 / (4 * K) > nats:
        K += 1
    return K
""",
    "share_above": """
def share_above(snr, m, x):
    pieces = np.sqrt(-np.diff(m[1:]) * np.diff(snr[1:]))
    above = snr[1:-1] > x
    last = int(above.sum()) - 1
    inside = (snr[1 + last] - x) / (snr[1 + last] - snr[2 + last])
    return (pieces[:last].sum() + inside * pieces[last]) / pieces.sum()
""",
}

STYLES = {
    "torch, float32": {
        "worst_quadrangle": """
import torch


def worst_quadrangle(L):
    L = torch.as_tensor(L, dtype=torch.float32)[1:, 1:]
    Q = L[1:, 1:] + L[:-1, :-1] - L[1:, :-1] - L[:-1, 1:]
    Q = torch.where(torch.isfinite(Q), Q, -torch.inf)
    place = int(Q.argmax())
    return Q.max(), place // len(Q) + 1, place % len(Q) + 1
""",
        "beta_lines": """
import torch


def beta_lines(C, snr, m, d):
    C, snr, m = (torch.as_tensor(x, dtype=torch.float32) for x in (C, snr, m))
    sigma2 = 1 / (1 + snr)
    offset = d / 2 * (sigma2.log() + m / sigma2 - 1)
    return offset, C - d / 2 * sigma2.log(), sigma2, d / 2 * (1 - m * (1 + snr)) / sigma2
""",
        "analytic_lines": """
import torch


def analytic_lines(C, snr, m):
    C, snr, m = (torch.as_tensor(x, dtype=torch.float32) for x in (C, snr, m))
    C[0], m[0] = 0, 1
    E, query = 4**C, 1 / m - snr
    lines = (E * snr)[None, :] + E[None, :] * query[:, None]
    t = torch.arange(len(C))
    lines = torch.where((t[None, :] < t[:, None]) & (t[None, :] > 0), lines, torch.inf)
    return m, E * snr, E, query, torch.log2(m * lines.amin(dim=1)) / 2
""",
        "steps_needed": """
import torch


def steps_needed(snr, m, d, nats):
    snr, m = (torch.as_tensor(x, dtype=torch.float64) for x in (snr, m))
    integral = (m[1:].diff() * snr[1:].diff()).abs().sqrt().to(torch.float32).sum()
    return max(1, int(torch.ceil(d / 4 * integral**2 / nats)))
""",
        "share_above": """
import torch


def share_above(snr, m, x):
    snr, m = (torch.as_tensor(values, dtype=torch.float64) for values in (snr, m))
    pieces = (m[1:].diff() * snr[1:].diff()).abs().sqrt().to(torch.float32)
    return pieces[snr[2:] >= x].sum() / pieces.sum()
""",
    },
    "lists and loops": {
        "worst_quadrangle": """
def worst_quadrangle(L):
    T, worst, place = len(L) - 1, -inf, None
    for t in range(3, T):
        for s in range(1, t - 1):
            here = L[t][s] + L[t + 1][s + 1] - L[t][s + 1] - L[t + 1][s]
            if here > worst:
                worst, place = here, (t, s)
    return [worst, *place]
""",
        "highest": """
import bisect


def highest(intercepts, slopes, queries):
    hull = []  # (line, from where on it is the highest)
    for b, g in zip(intercepts.tolist(), slopes.tolist()):
        if hull and hull[-1][1] == g:
            if hull[-1][0] >= b:
                continue
            hull.pop()
        while hull:
            b_top, g_top, begins = hull[-1]
            cut = (b_top - b) / (g - g_top)
            if cut > begins:
                hull.append((b, g, cut))
                break
            hull.pop()
        if not hull:
            hull.append((b, g, -inf))
    begins = [line[2] for line in hull]
    answer = []
    for h in queries.tolist():
        b, g, _ = hull[bisect.bisect_left(begins, h, 1) - 1]
        answer.append(b + g * h)
    return answer
""",
        "beta_lines": """
import math


def beta_lines(C, snr, m, d):
    offset, intercept, slope, query = [], [], [], []
    for c, x, error in zip(C, snr, m):
        sigma2 = 1 / (1 + x)
        offset.append(d / 2 * (math.log(sigma2) + error / sigma2 - 1))
        intercept.append(c - d / 2 * math.log(sigma2))
        slope.append(sigma2)
        query.append(d / 2 * (1 / sigma2 - error / sigma2**2))
    return offset, intercept, slope, query
""",
        "divide": """
def divide(C, L):
    best = [0] * len(C)

    def between(low, high, s_low, s_high):
        if low > high:
            return
        t = (low + high) // 2
        prices = [C[s] + L(t, s) for s in range(s_low, min(s_high, t - 1) + 1)]
        best[t] = s_low + prices.index(min(prices))
        between(low, t - 1, s_low, best[t])
        between(t + 1, high, best[t], s_high)

    between(2, len(C) - 1, 1, len(C) - 2)
    return best
""",
        "steps_needed": """
import math


def steps_needed(snr, m, d, nats):
    integral = 0.0
    for t in range(1, len(m) - 1):
        integral += math.sqrt((m[t + 1] - m[t]) * (snr[t] - snr[t + 1]))
    return max(1, math.ceil(d / 4 * integral**2 / nats))
""",
        "share_above": """
import math


def share_above(snr, m, x):
    above = below = 0.0
    for t in range(1, len(m) - 1):
        piece = math.sqrt((m[t + 1] - m[t]) * (snr[t] - snr[t + 1]))
        share = min(max((snr[t] - x) / (snr[t] - snr[t + 1]), 0), 1)
        above += share * piece
        below += (1 - share) * piece
    return above / (above + below)
""",
    },
}

PASTED = {
    "worst_quadrangle": """
def worst_quadrangle(L):
    T = len(L) - 1
    slack = 1e-9 * np.abs(L[np.isfinite(L)]).max()
    for t in range(3, T):
        D = L[t, 1 : t - 1] + L[t + 1, 2:t] - L[t, 2:t] - L[t + 1, 1 : t - 1]
        if (D > slack).any():
            return False
    return True
""",
    "highest": """
def highest(intercepts, slopes, queries):
    stack, cuts = [], []
    for b, g in zip(intercepts.tolist(), slopes.tolist(), strict=True):
        cut = -np.inf
        while stack:
            b_top, g_top = stack[-1]
            cut = (b - b_top) / (g_top - g) if g < g_top else (np.inf if b >= b_top else -np.inf)
            if cut > cuts[-1]:
                break
            stack.pop()
            cuts.pop()
            cut = -np.inf
        if cut < np.inf:
            stack.append((b, g))
            cuts.append(cut)
    b, g = np.array(stack)[np.searchsorted(cuts, queries) - 1].T
    return b + g * queries
""",
    "beta_lines": """
def beta_lines(C, snr, m, d):
    return -d / 2 * snr * m, C, d / 2 * snr, m
""",
    "analytic_lines": """
def analytic_lines(C, snr, m, d=1):
    E = np.exp(2 * C / d)
    E[0] = 0
    with np.errstate(divide="ignore"):
        return m, E * snr, E, 1 / m - snr
""",
    "divide": """
def divide(C, L):
    best = np.full(len(C), np.inf)
    waiting = [(2, len(C) - 1, 1, len(C) - 2)]
    while waiting:
        low, high, s_low, s_high = waiting.pop()
        if low > high:
            continue
        t = (low + high) // 2
        best[t], winner = min((C[s] + L(t, s), s) for s in range(s_low, min(s_high, t - 1) + 1))
        waiting += [(low, t - 1, s_low, winner), (t + 1, high, winner, s_high)]
    return best
""",
    "steps_needed": """
def steps_needed(snr, m, d, K):
    pieces = np.sqrt(np.abs(np.diff(m[1:]) * np.diff(snr[1:])))
    return d / (4 * K) * pieces.sum() ** 2
""",
    "share_above": """
def share_above(snr, m, K):
    pieces = np.sqrt(np.abs(np.diff(m[1:]) * np.diff(snr[1:])))
    share = np.r_[0, np.cumsum(pieces)]
    return np.interp(np.linspace(0, share[-1], K + 1), share, snr[1:])
""",
}
