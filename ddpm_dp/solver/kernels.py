"""Compiled inner loops: C[k, t] = min over s < t of C[k-1, s] + L(t, s), for k = 2, 3, ..., K.

Every kernel fills the same two arrays, which `solve` allocates:
    parents[k, t]   the s that attains C[k, t], for 2 <= k < K and k <= t <= T, and for (K, T)
    values[k]       C[k, T], inf where no path of k finite steps exists
Layer 1 has no choice, C[1, t] = L(t, 0), and is the starting point here. From layer 2 on s = 0 is never a candidate.

No kernel runs in parallel or with fastmath (but for `fused`, below): infinities carry meaning, and the layers are
sequential. They release the GIL, so two problems solve on two cores in two threads.
"""

import math

import numpy as np
from numba import njit
from numpy.typing import NDArray

from ddpm_dp.compiling import compiled as compiled_with

Floats = NDArray[np.float64]
Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Parents = NDArray[np.unsignedinteger]

compiled = compiled_with()
inlined = njit(forceinline=True, nogil=True, error_model="numpy")  # a call costs a sixth of the time: arrays are wide


@inlined
def _less(x: float, y: float) -> float:
    return x if x < y else y  # compiles to one vector instruction, which min(x, y) with its care for nan does not


# A query's line is almost always a few places from the last query's: walk that far first, then bisect, so that
# no sequence of queries, however jumpy, costs more than O(log T) each.
WALK = 8


# Lines c + g x, for `AffineCosts` ------------------------------------------------------------------------------------
#
# The hull is a stack of lines in order of insertion (s ascending, g not increasing), as parallel arrays:
# line[p] = s, c[p], g[p], and cut[p] = the query x above which line p beats line p - 1. cut[0] = -inf; cuts ascend.
# On such a stack the best line for x is the last p with cut[p] < x, for queries in any order: nothing is assumed of x.


@inlined
def _push_line(line: Ints, c: Floats, g: Floats, cut: Floats, top: int, s: int, c_s: float, g_s: float) -> int:
    """Put line s on the hull, drop those that it makes useless, and return the new top."""
    x = -np.inf
    while top >= 0:
        # A division, not the cross-multiplied test: the quotient is needed anyway, as the cut that queries compare.
        x = (c_s - c[top]) / (g[top] - g_s)
        if x > cut[top]:
            break
        # Equal slopes and c = inf need no case of their own: a worse line gets x = inf and never wins, a better
        # one x = -inf, and equals nan, and drop the other.
        top -= 1
    if top < 0:
        x = -np.inf
    top += 1
    line[top] = s
    c[top] = c_s
    g[top] = g_s
    cut[top] = x
    return top


@inlined
def _find_line(cut: Floats, p: int, top: int, x: float) -> int:
    """Last p with cut[p] < x, sought from the previous answer p."""
    p = min(p, top)
    for _ in range(WALK):
        if cut[p] >= x:
            p -= 1
        elif p < top and cut[p + 1] < x:
            p += 1
        else:
            return p
    low, high = 0, top
    while low < high:
        p = (low + high + 1) // 2
        if cut[p] < x:
            low = p
        else:
            high = p - 1
    return low


@compiled
def affine_layers(
    first: Floats,
    a: Floats,
    b: Floats,
    g: Floats,
    h: Floats,
    sign: float,
    K: int,
    parents: Parents,
    values: Floats,
) -> None:
    """All layers for L(t, s) = a[t] + b[s] + g[s] h[t]; sign = -1 if g ascends (the same L, with -g and -h).

    The recursion runs on c[t] = C[k, t] + b[t], in the form c[t] = c[s] + (g[s] - g[t]) h[t] + L(t, t): equal
    in exact arithmetic, but a difference of neighbours (snr_s - snr_t) where a + g h cancels two large numbers.
    """
    T = len(first) - 1
    c = first + b
    line = np.empty(T, np.int32)
    hull_c, hull_g, cut = np.empty(T), np.empty(T), np.empty(T)
    for k in range(2, K):
        top, p = -1, 0
        c_s = c[k - 1]  # C[k - 1, t - 1], kept because c is overwritten in place
        for t in range(k, T + 1):
            top = _push_line(line, hull_c, hull_g, cut, top, t - 1, c_s, sign * g[t - 1])
            c_s = c[t]
            x = sign * h[t]
            p = _find_line(cut, p, top, x)
            parents[k, t] = line[p]
            c[t] = hull_c[p] + ((hull_g[p] - sign * g[t]) * x + (a[t] + b[t] + g[t] * h[t]))
        values[k] = c[T] - b[T]
    best = np.inf
    for s in range(K - 1, T):  # the last layer has one state
        total = c[s] + ((g[s] - g[T]) * h[T] + (a[T] + b[T] + g[T] * h[T]))
        if total < best:
            best = total
            parents[K, T] = s
    values[K] = best - b[T]


# exp(C / scale), for `LogAffineCosts` -------------------------------------------------------------------------------
#
# With E = exp((C - ref) / scale) a layer reads E_t = min over s of E_s (1 + (g_s - g_t) m_t): no exp, no log. Divided
# by m_t these are lines in the query 1 / m_t - g_t, of slope E_s. A line with E_i >= E_j, i < j is useless once j is
# there, because 1 + (g_i - g_t) m_t is the larger factor too: so slopes ascend on the hull, whatever the costs.
#
# Numbers. scale = d / 2 = 6144 at d = 12,288, where E = exp(C / 6144) keeps no more of a small C than eps * 6144 nats:
# so the arrays hold E - 1, with ref = the cheapest first step, below which no C can fall as steps cost >= 0. In
# E_t - 1 = (E_s - 1) + E_s x, x = (g_s - g_t) m_t, all terms are >= 0 and nothing cancels: each layer adds
# a relative error of a few eps to C - ref.
# scale = 1/2 at d = 1, where E = exp(2 C) leaves the float range at 355 nats: so a state is the pair (f, e) with
# E = f 2^(512 e), and f = E - 1 where e = 0. Wherever e > 0, E >= 2^512 and the 1 is beyond the last digit.

BLOCK = 512
BLOCK_LOG = BLOCK * math.log(2.0)


@inlined
def _push_factor(
    line: Ints,
    f: Floats,
    e: Ints,
    g: Floats,
    cut: Floats,
    top: int,
    s: int,
    f_s: float,
    e_s: int,
    g_s: float,
) -> int:
    """Put line s on the hull. Line p beats line p - 1 for queries 1 / m_t + (g[p] - g_t) < cut[p]; cut[0] = inf.

    Cuts are kept relative to g[p], so that only differences of g ever meet, and descend once that is undone.
    """
    y = np.inf
    while top >= 0:
        new = f_s if e_s == e[top] else f_s * math.ldexp(1.0, BLOCK * (e_s - e[top]))
        one = 1.0 if e[top] == 0 else 0.0
        gap = g[top] - g_s
        if new > f[top]:
            y = (one + f[top]) * gap / (new - f[top])
            if y + gap < cut[top]:
                break
        top -= 1
    if top < 0:
        y = np.inf
    top += 1
    line[top] = s
    f[top] = f_s
    e[top] = e_s
    g[top] = g_s
    cut[top] = y
    return top


@inlined
def _find_factor(cut: Floats, g: Floats, p: int, top: int, inverse_m: float, g_t: float) -> int:
    """Last p with 1 / m_t + (g[p] - g_t) < cut[p], sought from the previous answer p."""
    p = min(p, top)
    for _ in range(WALK):
        if p > 0 and inverse_m + (g[p] - g_t) >= cut[p]:
            p -= 1
        elif p < top and inverse_m + (g[p + 1] - g_t) < cut[p + 1]:
            p += 1
        else:
            return p
    low, high = 0, top
    while low < high:
        p = (low + high + 1) // 2
        if inverse_m + (g[p] - g_t) < cut[p]:
            low = p
        else:
            high = p - 1
    return low


@compiled
def log_affine_layers(
    first: Floats, ref: float, g: Floats, m: Floats, scale: float, K: int, parents: Parents, values: Floats
) -> None:
    """All layers for L(t, s) = scale log(1 + (g[s] - g[t]) m[t]), g not increasing; ref = min of first."""
    T = len(first) - 1
    f, e = np.empty(T + 1), np.zeros(T + 1, np.int32)
    for t in range(1, T + 1):
        z = (first[t] - ref) / scale
        if z < BLOCK_LOG or z == np.inf:
            f[t] = math.expm1(z)
        else:
            e[t] = int(z / BLOCK_LOG)
            f[t] = math.exp(z - e[t] * BLOCK_LOG)
    line = np.empty(T, np.int32)
    hull_f, hull_e, hull_g, cut = np.empty(T), np.empty(T, np.int32), np.empty(T), np.empty(T)
    for k in range(2, K + 1):
        top, p = -1, 0
        f_s, e_s = f[k - 1], e[k - 1]  # of state (k - 1, t - 1), kept because f and e are overwritten in place
        for t in range(k, T + 1):
            if f_s < np.inf:
                top = _push_factor(line, hull_f, hull_e, hull_g, cut, top, t - 1, f_s, e_s, g[t - 1])
            f_s, e_s = f[t], e[t]
            if top < 0:
                f[t] = np.inf
                continue
            if k == K and t < T:
                continue  # the last layer has one state
            p = _find_factor(cut, hull_g, p, top, 1.0 / m[t], g[t])
            parents[k, t] = line[p]
            one = 1.0 if hull_e[p] == 0 else 0.0
            f[t] = hull_f[p] + (one + hull_f[p]) * ((hull_g[p] - g[t]) * m[t])
            e[t] = hull_e[p]
            if f[t] > 2.0**BLOCK:
                f[t] *= 2.0**-BLOCK
                e[t] += 1
        values[k] = ref + scale * (math.log1p(f[T]) if e[T] == 0 else math.log(f[T]) + e[T] * BLOCK_LOG)


# Curves, for `CurveCosts` ---------------------------------------------------------------------------------------------

fused = compiled_with(fastmath={"contract"})  # a * x + b rounds once, not twice
fused_inline = njit(forceinline=True, nogil=True, error_model="numpy", fastmath={"contract"})


@fused_inline
def _on_panel(a: Floats, x: float, edge: float) -> float:
    """x P(x) on the panel edge <= 1 + x <= 4 edge, from its 16 coefficients; in pairs, so that sums need not wait."""
    w = 4.0 * (x - (edge - 1.0)) / ((1.0 + x) + 2.0 * edge)
    xi = w - 1.0
    xi2 = xi * xi
    xi4 = xi2 * xi2
    low = (a[1] + a[2] * xi) + xi2 * (a[3] + a[4] * xi) + xi4 * ((a[5] + a[6] * xi) + xi2 * (a[7] + a[8] * xi))
    high = (a[9] + a[10] * xi) + xi2 * (a[11] + a[12] * xi) + xi4 * ((a[13] + a[14] * xi) + xi2 * a[15])
    return x * (a[0] + w * (low + (xi4 * xi4) * high))


EDGES = 4.0 ** np.arange(512)  # of panels: all that float64 can hold


@fused_inline
def _panel(x: float) -> int:
    """Which panel 1 + x lies on: half its binary exponent, which are bits 52 to 62."""
    return int(((np.float64(1.0 + x).view(np.int64) >> 52) - 1023) >> 1)


@fused_inline
def _panel_of(t: int, x: float, start: Longs) -> int:
    """The same, but t's last one a rounding beyond its end."""
    return min(_panel(x), start[t + 1] - start[t] - 1)


@fused_inline
def _curve(t: int, x: float, start: Longs, panels: Floats) -> float:
    """L(t, s) where x = c[t] (g[s] - g[t])."""
    p = _panel_of(t, x, start)
    return _on_panel(panels[start[t] + p], x, EDGES[p])


@fused_inline
def _curve_row(t: int, g: Floats, c: Floats, start: Longs, panels: Floats, row: Floats) -> None:
    """row[s] = L(t, s) for 0 < s < t.

    E = 1 + c (g[s] - g[t]) falls while s rises, so this walks down t's panels: inside of one the coefficients stay, and
    the loop over s runs in vector lanes.
    """
    s, c_t, g_t = 1, c[t], g[t]
    for p in range(start[t + 1] - start[t] - 1, -1, -1):
        edge = EDGES[p]
        end = s if p > 0 else t  # the first s that is below this panel
        beyond = t
        while end < beyond:
            half = (end + beyond) // 2
            if 1.0 + c_t * (g[half] - g_t) < edge:
                beyond = half
            else:
                end = half + 1
        a = panels[start[t] + p]
        for i in range(s, end):
            row[i] = _on_panel(a, c_t * (g[i] - g_t), edge)
        s = end


@fused
def curve_table(first: Floats, g: Floats, c: Floats, start: Longs, panels: Floats, L: Floats) -> None:
    """Fill L[t, s], shape (T + 1, T + 1), inf where s >= t."""
    row = np.empty(len(first))  # a loop that writes to L itself might change what it reads, for all the compiler knows
    L[0] = np.inf
    for t in range(1, len(first)):
        _curve_row(t, g, c, start, panels, row)
        L[t, 0] = first[t]
        L[t, 1:t] = row[1:t]
        L[t, t:] = np.inf


@fused
def curve_steps(t: Longs, s: Longs, first: Floats, g: Floats, c: Floats, start: Longs, panels: Floats) -> Floats:
    """L(t[i], s[i]); inf where s >= t."""
    prices = np.empty(len(t))
    for i in range(len(t)):
        if s[i] >= t[i]:
            prices[i] = np.inf
        elif s[i] == 0:
            prices[i] = first[t[i]]
        else:
            prices[i] = _curve(t[i], c[t[i]] * (g[s[i]] - g[t[i]]), start, panels)
    return prices


@fused
def curve_pass(first: Floats, g: Floats, c: Floats, start: Longs, panels: Floats, multiplier: float) -> Floats:
    """F[t] = min over s < t of F[s] + L(t, s) + multiplier, F[0] = 0: every step of every t, for `certify`."""
    row, F, lanes = np.empty(len(first)), np.zeros(len(first)), np.empty(16)
    for t in range(1, len(first)):
        _curve_row(t, g, c, start, panels, row)
        row[0] = first[t]
        lanes[:] = np.inf
        whole = t // 16 * 16
        for s in range(0, whole, 16):
            for j in range(16):  # 16 minima that do not wait for each other
                lanes[j] = _less(F[s + j] + row[s + j], lanes[j])
        least = lanes.min()
        for s in range(whole, t):
            least = _less(F[s] + row[s], least)
        F[t] = least + multiplier
    return F


# Any table, dense ---------------------------------------------------------------------------------------------------
#
# One layer at a time, every entry of L is read for one addition and one comparison, and memory binds. Instead,
# LAYERS layers advance together (vector lanes, j) for ROWS timesteps at a time: the (min, +) form of a blocked
# triangular solve, in which the table is read once per LAYERS layers and the adders bind.

LAYERS = 64  # layers per pass over the table: v is (T + 1) * LAYERS floats
ROWS = 16  # timesteps t that share a run of v: their running minima (16 KiB) and the run (4 KiB) stay in L1 cache
COLUMNS = 64  # s per packed tile of the table: copied first, else each short read of a table row waits for memory
RUN = 8  # s per pass over the lanes. Only the run of the minimum is recorded; its s is found again at the end


@inlined
def _run_of_eight(low: Floats, where: Floats, v: Floats, step: Floats, s: float, lanes: int) -> None:
    """low[j] = min(low[j], v[i, j] + step[i] over the 8 rows i of v); where[j] = s if that changed it."""
    a0, a1, a2, a3, a4, a5, a6, a7 = step[0], step[1], step[2], step[3], step[4], step[5], step[6], step[7]
    for j in range(lanes):
        # Pairs, not a chain, so that the eight do not wait for each other; constant offsets, so that it vectorises.
        x01 = _less(v[j] + a0, v[j + LAYERS] + a1)
        x23 = _less(v[j + 2 * LAYERS] + a2, v[j + 3 * LAYERS] + a3)
        x45 = _less(v[j + 4 * LAYERS] + a4, v[j + 5 * LAYERS] + a5)
        x67 = _less(v[j + 6 * LAYERS] + a6, v[j + 7 * LAYERS] + a7)
        x = _less(_less(x01, x23), _less(x45, x67))
        where[j] = s if x < low[j] else where[j]
        low[j] = _less(x, low[j])


@compiled
def dense_layers(L: Floats, K: int, parents: Parents, values: Floats) -> None:
    """All layers for any table L of shape (T + 1, T + 1). parents is filled for k = K too."""
    T = len(L) - 1
    layer = L[:, 0].copy()  # C[k0 - 1, .], where k0 is the first layer of a block
    v = np.empty((T + 1) * LAYERS)  # v[s * LAYERS + j] = C[k0 - 1 + j, s]
    low, where = np.empty((ROWS, LAYERS)), np.empty((ROWS, LAYERS))  # where holds s as a float, to share the mask
    tile = np.empty((ROWS, COLUMNS))
    for k0 in range(2, K + 1, LAYERS):
        lanes = min(LAYERS, K + 1 - k0)
        vectors = (lanes + 7) // 8 * 8  # whole vectors: the spare lanes stay inf
        v[:] = np.inf
        v[(k0 - 1) * LAYERS :: LAYERS] = layer[k0 - 1 :]
        for t0 in range(k0, T + 1, ROWS):
            rows = min(ROWS, T + 1 - t0)
            known = k0 - 1 + (t0 - k0 + 1) // RUN * RUN  # s below this go in runs, the few up to t - 1 one by one
            low[:], where[:] = np.inf, 0
            for s0 in range(k0 - 1, known, COLUMNS):
                s1 = min(s0 + COLUMNS, known)
                tile[:rows, : s1 - s0] = L[t0 : t0 + rows, s0:s1]
                for s in range(s0, s1, RUN):
                    run = v[s * LAYERS : (s + RUN) * LAYERS]
                    for r in range(rows):
                        _run_of_eight(low[r], where[r], run, tile[r, s - s0 : s - s0 + RUN], float(s), vectors)
            for r in range(rows):
                t = t0 + r
                for s in range(known, t):
                    for j in range(lanes):
                        x = v[s * LAYERS + j] + L[t, s]
                        where[r, j] = s if x < low[r, j] else where[r, j]
                        low[r, j] = _less(x, low[r, j])
                v[t * LAYERS + 1 : t * LAYERS + lanes] = low[r, : lanes - 1]
                layer[t] = low[r, lanes - 1]
            for j in range(lanes):
                for r in range(rows):
                    t, s = t0 + r, int(where[r, j])
                    while s < known and v[s * LAYERS + j] + L[t, s] != low[r, j]:
                        s += 1  # the same sum of the same floats: it is found within its run
                    parents[k0 + j, t] = s
        values[k0 : k0 + lanes] = low[rows - 1, :lanes]  # row T is the last of the last ROWS


# A Monge table, divide and conquer ----------------------------------------------------------------------------------


ROUNDING = 8 * float(np.finfo(np.float64).eps)  # relative error allowed to an entry of the table, and to a sum with one


@compiled
def last_rough(L: Floats) -> int:
    """The last t with L[t, s] + L[t+1, s+1] > L[t, s+1] + L[t+1, s] for some s, 0 < s < s + 1 < t; 0 if there is none.

    Rows beyond it are Monge among themselves. An infinite L[t, s], 0 < s < t, counts as well. The decoder column s = 0
    takes no part, as layer 1 alone uses it.
    Tolerance: what rounding does to a table that is Monge in exact arithmetic. What it lets through adds up over many
    quadrangles: `doubts` says to how much.
    """
    T = len(L) - 1
    for t in range(T, 1, -1):
        wrong = 0
        for s in range(1, t):
            wrong += 1 if L[t, s] == np.inf else 0
        for s in range(1, t - 1 if t < T else 1):
            straight, crossed = L[t, s] + L[t + 1, s + 1], L[t, s + 1] + L[t + 1, s]
            size = abs(L[t, s]) + abs(L[t + 1, s + 1]) + abs(L[t, s + 1]) + abs(L[t + 1, s])
            wrong += 1 if straight - crossed > ROUNDING * size else 0
        if wrong > 0:
            return t
    return 0


PAIRS = 8  # pairs of rows that `doubts` looks at together: each waits for its own running maximum alone


@compiled
def doubts(L: Floats, rough: int) -> tuple[Floats, Floats]:
    """By how much the rows after `rough` may fail to be Monge, and how much of that rounding explains; (T + 1,) both.

    No rectangle of rows t < t', rough < t, and columns s < s' < t has L[t, s] + L[t', s'] - L[t, s'] - L[t', s] above
    doubt[s], this function's own rounding included. With D[s] = L[t', s] - L[t, s] that is D[s'] - D[s], and the
    largest over s' comes from a running maximum. Not for all pairs of rows: those 2^j apart, from multiples of 2^j on,
    will do, as every range of rows is made of them, at most two of each j, and their rectangles add up. So T^2 steps
    instead of T^3.

    A rectangle of a table that is Monge in exact arithmetic fails by no more than ROUNDING of its four entries.
    """
    T = len(L) - 1
    doubt, most, high = np.zeros(T + 1), np.empty((T + 1, PAIRS)), np.empty(PAIRS)
    levels, span = 0, 1
    tiny = 2 * np.finfo(np.float64).eps  # D is a difference of two floats, rounded once; its bounds once more
    while rough + 1 + span <= T:
        most[:] = 0
        pairs = (T - rough - 1) // span
        for n in range(0, pairs, PAIRS):
            count = min(PAIRS, pairs - n)
            top = rough + 1 + n * span
            high[:] = -np.inf
            for j in range(1, count):
                a, b = L[top + j * span], L[top + (j + 1) * span]
                for s in range(top + j * span - 1, top - 1, -1):
                    D = b[s] - a[s]
                    high[j] = _more(D + tiny * abs(D), high[j])
                    most[s, j] = _more(high[j] - (D - tiny * abs(D)), most[s, j])
            for s in range(top - 1, 0, -1):
                for j in range(count):
                    D = L[top + (j + 1) * span, s] - L[top + j * span, s]
                    high[j] = _more(D + tiny * abs(D), high[j])
                    most[s, j] = _more(high[j] - (D - tiny * abs(D)), most[s, j])
        levels += 1
        for s in range(1, T + 1):
            doubt[s] += 2 * most[s].max()
        span *= 2
    largest = np.zeros(T + 1)
    for t in range(rough + 1, T + 1):
        for s in range(1, t):
            largest[s] = _more(abs(L[t, s]), largest[s])
    for s in range(T - 1, 0, -1):
        largest[s] = _more(largest[s], largest[s + 1])
    return doubt, 2 * levels * 4 * ROUNDING * largest


@inlined
def _more(x: float, y: float) -> float:
    return x if x > y else y


@compiled
def divide_layers(L: Floats, rough: int, doubt: Floats, K: int, parents: Parents, values: Floats) -> None:
    """All layers for a table that is Monge from row rough + 1 on, but for `doubt`.

    The rows up to `rough` are searched one by one. Beyond, the best s never falls as t rises: for rough < t < t' and
    s < s' < t, L(t', s') - L(t', s) <= L(t, s') - L(t, s) + doubt[s], and what is added to a column, C[k-1, s], finite
    or not, changes nothing about it. So an s that is worse at t than a later s' by more than doubt[s] is worse at every
    t' too, and an s' that is worse at t' than an earlier s by more than doubt[s] is worse at every t.

    Level by level, so without recursion: every t of a level is searched between the answers of its neighbours above.
    These hand on the first and the last s that could be best, in spite of the doubt and of rounding, which can hide
    which s is best at one t and matter at the next (1e25 + 1 = 1e25 + 0): no candidate is lost, however large the
    doubt. A state without a finite candidate hands on t - 1: all s < t are then infinite, so no later t wants one of
    them.
    """
    T = len(L) - 1
    old, new = L[:, 0].copy(), np.empty(T + 1)
    first, last = np.empty(T + 1, np.int32), np.empty(T + 1, np.int32)
    for k in range(2, K + 1):
        begin = max(k, rough + 1)
        for t in range(k, begin):
            best, best_s = np.inf, k - 1
            for s in range(k - 1, t):
                x = old[s] + L[t, s]
                if x < best:
                    best, best_s = x, s
            new[t], parents[k, t] = best, best_s
        stride = 1
        while stride < T + 1 - begin:
            stride *= 2
        while stride > 0:
            for t in range(begin + stride - 1, T + 1, 2 * stride):
                start = first[t - stride] if t - stride >= begin else k - 1
                stop = max(start, min(last[t + stride], t - 1)) if t + stride <= T else t - 1
                best, best_s = np.inf, stop
                for s in range(start, stop + 1):
                    x = old[s] + L[t, s]
                    if x < best:
                        best, best_s = x, s
                if best == np.inf:
                    start = stop
                elif stride > 1:  # the last level, half of all t, has nobody to hand on to
                    ceiling = best + ROUNDING * (abs(old[best_s]) + abs(L[t, best_s]))
                    while not _at_most(old[start], L[t, start], ceiling + doubt[start]):
                        start += 1
                    while not _at_most(old[stop], L[t, stop], ceiling + doubt[best_s]):
                        stop -= 1
                new[t], parents[k, t], first[t], last[t] = best, best_s, start, stop
            stride //= 2
        values[k] = new[T]
        old, new = new, old


@inlined
def _at_most(x: float, y: float, ceiling: float) -> bool:
    """Whether x + y <= ceiling, were it not for rounding."""
    return x + y - ROUNDING * (abs(x) + abs(y)) <= ceiling


# Curves without a table: branch and bound ----------------------------------------------------------------------------
#
# min over s of C[s] + L(t, s), where most s are never looked at. Over a block of neighbouring s, from a to b, C is
# above a line: C[s] >= low + slope (g[s] - g[b]). L(t, s) as a function of g[s] bends up no more than the panels say;
# mostly not at all. A concave function is least at an end of an interval, and one whose second derivative is at most
# `bend` falls below its chord by at most bend / 8 times the squared width: with x = c (g[s] - g[t]),
#
#     C[s] + L(t, s)  >=  low + min(L(t, b), slope (g[a] - g[b]) + L(t, a))  -  bend (x_a - x_b)^2 / 8.
#
# The bound is off by the square of the block's width, so a block falls out once it is about as wide as it is far from
# the best s: the blocks that are looked at are some 10 of each width, whatever T is.
#
# Neighbouring t want nearly the same blocks, so LANES of them go together, each in its lane of a vector: a block falls
# out when its bound says so in all lanes. The prices of one s then differ in t, and their coefficients are turned once
# for each group and panel, so that lanes are neighbours in memory.

LANES = 32  # fewer share less of the work, more open more blocks; tried: 16, 32 and 64
LEAF = 4  # blocks are of 2^j places and one more, which is the next block's first; these are priced place by place
SLACK = 4e-9  # a curve is known to a relative 1e-9: at both ends of a block, and inside of it


@fused
def _lines(C: Floats, g: Floats, offset: Longs, low: Floats, slope: Floats) -> None:
    """A line below C on each block; that of block i of 2^j places is entry offset[j] + i. Not for blocks beyond T."""
    for j in range(LEAF, len(offset)):
        for i in range((len(C) - 1) >> j):
            a, b = max(i << j, 1), (i + 1) << j
            start, end = a, b  # of what is finite, as far as the ends tell
            while start < b and C[start] == np.inf:
                start += 1
            while end > start and C[end] == np.inf:
                end -= 1
            tilt = (C[start] - C[end]) / (g[start] - g[end]) if g[start] > g[end] else 0.0
            least = np.inf
            for s in range(start, end + 1):
                least = _less(C[s] - tilt * (g[s] - g[b]), least)
            low[offset[j] + i], slope[offset[j] + i] = least, tilt


@fused
def _prices(
    s: int, t: Longs, fewest: int, g: Floats, lanes: Floats, start: Longs, panels: Floats, turned: Floats, L: Floats
) -> int:
    """L[i] = L(t[i], s), inf where s >= t[i]; returns the first panel that one of them is on.

    lanes[0] and lanes[1] hold c and g of the t, which have `fewest` panels or more. turned[p, j, i] is a_j of panel p
    of t[i]; turned[p, 0, 0] is NaN before it was needed.
    """
    g_s, lane = g[s], range(len(L))  # a length that the compiler does not know: it would unroll the loops, not widen
    p = _panel(lanes[0, 0] * max(g_s - lanes[1, 0], 0.0))
    astray = 1
    if p < fewest:
        if np.isnan(turned[p, 0, 0]):
            for i in lane:
                for j in range(16):
                    turned[p, j, i] = panels[start[t[i]] + p, j]
        astray, edge, beyond = 0, EDGES[p], EDGES[p + 1]
        for i in lane:
            gap = g_s - lanes[1, i]
            x = lanes[0, i] * (gap if gap > 0.0 else 0.0)
            E = 1.0 + x
            astray += 0 if (E >= edge) & (E < beyond) else 1
            # As `_on_panel`, whose slices would keep this loop out of vector lanes.
            w = 4.0 * (x - (edge - 1.0)) / (E + 2.0 * edge)
            xi = w - 1.0
            xi2 = xi * xi
            xi4 = xi2 * xi2
            low = (turned[p, 1, i] + turned[p, 2, i] * xi) + xi2 * (turned[p, 3, i] + turned[p, 4, i] * xi)
            low += xi4 * ((turned[p, 5, i] + turned[p, 6, i] * xi) + xi2 * (turned[p, 7, i] + turned[p, 8, i] * xi))
            high = (turned[p, 9, i] + turned[p, 10, i] * xi) + xi2 * (turned[p, 11, i] + turned[p, 12, i] * xi)
            high += xi4 * ((turned[p, 13, i] + turned[p, 14, i] * xi) + xi2 * turned[p, 15, i])
            L[i] = x * (turned[p, 0, i] + w * (low + (xi4 * xi4) * high))
    if astray > 0:
        for i in lane:
            x = lanes[0, i] * max(g_s - lanes[1, i], 0.0)
            L[i] = _curve(t[i], x, start, panels)
            p = min(p, max(_panel_of(t[i], x, start), 0))  # where all prices are 0, a t may have no panel
    if s >= t[0]:
        for i in lane:
            L[i] = L[i] if s < t[i] else np.inf
    return p


@fused_inline
def _block_may_win(
    line: float, rise: float, L_a: Floats, L_b: Floats, bends: Floats, width: float, best: Floats
) -> bool:
    """Whether the bound of a block is below `best` in any lane; `width` is squared."""
    lanes = 0
    for i in range(len(L_a)):
        fall = SLACK * (L_a[i] + L_b[i]) + bends[i] * width
        lanes += 1 if line + _less(L_b[i], rise + L_a[i]) - fall < best[i] else 0
    return lanes > 0


@fused_inline
def _last_block_may_win(
    line: float,
    rise: float,
    slope: float,
    g_a: float,
    g_b: float,
    lanes: Floats,
    L_a: Floats,
    bends: Floats,
    best: Floats,
) -> bool:
    """The same for a block that ends at or beyond t: s = t, where the price is 0, is then the end of what counts."""
    open_lanes = 0
    for i in range(len(L_a)):
        g_t = lanes[1, i]
        fall = SLACK * L_a[i] + bends[i] * (g_a - g_t) ** 2
        bound = line + _less(slope * (g_t - g_b), rise + L_a[i]) - fall
        open_lanes += 1 if (bound < best[i]) & (L_a[i] < np.inf) else 0
    return open_lanes > 0


@fused_inline
def _place_may_win(C: float, part: float, L_a: Floats, L_b: Floats, bends: Floats, width: float, best: Floats) -> bool:
    """The same for one place, `part` of the way from b to a: L there is above the chord."""
    lanes = 0
    for i in range(len(L_a)):
        fall = SLACK * (L_a[i] + L_b[i]) + bends[i] * width
        lanes += 1 if C + (L_b[i] + part * (L_a[i] - L_b[i])) - fall < best[i] else 0
    return lanes > 0


@fused
def prune_layers(
    first: Floats,
    g: Floats,
    c: Floats,
    start: Longs,
    panels: Floats,
    bend: Floats,
    K: int,
    parents: Parents,
    values: Floats,
) -> None:
    """All layers for `CurveCosts`, without a table."""
    T = len(first) - 1
    old, new = first.copy(), np.empty(T + 1)
    old[0] = np.inf
    offset = np.zeros(64, np.int64)
    top = LEAF  # the level of the one block that holds all t
    while (1 << top) <= T:
        offset[top + 1] = offset[top] + (T >> top)
        top += 1
    offset = offset[: top + 1]
    low, slope = np.empty((2, offset[top] + 1))
    depth = max(np.diff(start).max(), 1)
    t, lanes, turned = np.empty(LANES, np.int64), np.empty((2, LANES)), np.empty((depth, 16, LANES))
    best, best_s, bends = np.empty(LANES), np.empty(LANES), np.empty((depth, LANES))
    # A stack of the blocks that are left to look at. prices[j] is of the middle of the last block of level j that was
    # split: an end of all that wait inside of it, until the next one of level j is split. So a block keeps of which
    # level its ends are. The first block is split at s = 1, and all are to the right of that.
    level, block, from_a, from_b = np.empty((4, 2 * top), np.int64)
    prices, panel = np.empty((top + 2, LANES)), np.zeros(top + 2, np.int64)
    for k in range(2, K + 1):
        _lines(old, g, offset, low, slope)
        new[:] = np.inf
        guess = k - 1
        for t0 in range(k if k < K else T, T + 1, LANES):
            count = min(LANES, T + 1 - t0)
            last, fewest = t0 + count - 1, depth
            for i in range(count):
                t[i] = t0 + i
                lanes[0, i], lanes[1, i] = c[t[i]], g[t[i]]
                own = start[t[i] + 1] - start[t[i]]
                fewest = min(fewest, own)
                for p in range(depth):
                    bends[p, i] = bend[start[t[i]] + min(p, own - 1)] * lanes[0, i] ** 2 / 8
            turned[:, 0, 0] = np.nan
            best[:], best_s[:] = np.inf, guess
            level[0], block[0], from_a[0], from_b[0], waiting = top + 1, 0, top + 1, top + 1, 1
            while waiting > 0:
                waiting -= 1
                j, n, end_a, end_b = level[waiting], block[waiting], from_a[waiting], from_b[waiting]
                a, b = max(n << j, 1), (n + 1) << j
                width = 0.0  # where places have no bound
                L_a, L_b, bends_b = prices[end_a, :count], prices[end_b, :count], bends[panel[end_b]]
                if b <= T:
                    node = offset[j] + n
                    rise = slope[node] * (g[a] - g[b])
                    line = low[node] - ROUNDING * (abs(low[node]) + abs(rise))
                    if low[node] == np.inf:
                        continue
                    if b < t0:
                        width = (g[a] - g[b]) ** 2
                        if not _block_may_win(line, rise, L_a, L_b, bends_b, width, best):
                            continue
                    elif not _last_block_may_win(line, rise, slope[node], g[a], g[b], lanes, L_a, bends[0], best):
                        continue
                middle = (2 * n + 1) << (j - 1) if j <= top else 1
                row = prices[j, :count]
                for s in range(a + 1, min(b, last)) if j == LEAF else range(middle, min(middle + 1, last)):
                    C = old[s]
                    if j == LEAF and C == np.inf:
                        continue
                    if j == LEAF and width > 0:
                        part = (g[s] - g[b]) / (g[a] - g[b])
                        if not _place_may_win(C - ROUNDING * abs(C), part, L_a, L_b, bends_b, width, best):
                            continue
                    panel[j] = _prices(s, t, fewest, g, lanes, start, panels, turned, row)
                    place = float(s)
                    for i in range(count):
                        total = C + row[i]
                        best_s[i] = place if total < best[i] else best_s[i]
                        best[i] = _less(total, best[i])
                if j == LEAF:
                    continue
                right = middle < last and j <= top
                if right and middle > guess:  # what is nearer to the guess goes on top
                    level[waiting], block[waiting], from_a[waiting], from_b[waiting] = j - 1, 2 * n + 1, j, end_b
                    waiting += 1
                level[waiting], block[waiting], from_a[waiting], from_b[waiting] = j - 1, 2 * n, end_a, j
                waiting += 1
                if right and middle <= guess:
                    level[waiting], block[waiting], from_a[waiting], from_b[waiting] = j - 1, 2 * n + 1, j, end_b
                    waiting += 1
            for i in range(count):
                new[t0 + i], parents[k, t0 + i] = best[i], int(best_s[i])
            guess = int(best_s[count - 1])
        values[k] = new[T]
        old, new = new, old
