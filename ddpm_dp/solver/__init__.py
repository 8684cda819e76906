r"""Exact search for the best path of every budget. Knows numbers, not diffusion.

A path 0 = t_0 < t_1 < ... < t_K = T costs prior + sum_i L(t_i, t_{i-1}). The cheapest with K steps follows from

    C[k, t] = min over s < t of C[k-1, s] + L(t, s),    C[0, 0] = 0,  C[0, t > 0] = inf,

Algorithm 1 of Watson, Ho, Norouzi, Chan 2021, "Learning to Efficiently Sample from Diffusion Probabilistic Models"
(arXiv 2106.03802): O(T^2) numbers of input, O(T^2) work per layer k. `solve` needs less wherever the costs allow it:

    method      costs                                              input     work per layer
    envelope    `AffineCosts` with monotone g, `LogAffineCosts`    O(T)      O(T log T)
    prune       `CurveCosts`                                       O(T)      O(T log T), seen, not proved
    divide      a table that passes the adjacent Monge test,       O(T^2)    O(T log T)
                but for its first rows
    dense       any table                                          O(T^2)    O(T^2)

All four are exact: they return the same values to a relative 1e-11 (rounding; equal costs may tie between paths).
The Monge test allows each of its O(T^2) quadrangles a few ulps, as a computed table needs. What these add up to is
bounded (`kernels.doubts`), and "divide" keeps every step that could be best within that bound; "dense" trusts nothing,
and "prune" only that curves bend up no more than they say.

`costs.py`, `attached.py` and `searchable.py` say what can be searched, `methods.py` which method is for what,
`search.py` searches, `kernels.py` has the compiled loops, and `certificate.py` proves an answer without them.
"""

from ddpm_dp.solver.attached import AttachedCosts
from ddpm_dp.solver.certificate import Certificate, certify
from ddpm_dp.solver.costs import AffineCosts, CurveCosts, FormCosts, LogAffineCosts, TableCosts
from ddpm_dp.solver.search import Frontier, solve

__all__ = [
    "AffineCosts",
    "AttachedCosts",
    "Certificate",
    "CurveCosts",
    "FormCosts",
    "Frontier",
    "LogAffineCosts",
    "TableCosts",
    "certify",
    "solve",
]
