"""Timestep paths as other publications choose them, for any denoiser and any budget: rivals of the exact search.

Each is its authors' procedure in this package's terms, x_t = alpha_t x_0 + sigma_t eps with a guess xhat_0(x_t); what
was shortened stands in its file. They all work on noise levels sigma = sigma_t / alpha_t from a largest one, where a
walk starts, to a smallest one, where it ends. Here T is the largest. The smallest is that of t = 1, and a path's 0
stands for it: no path needs both, as its last step ends in xhat_0 itself.
"""

from ddpm_dp.published.align_your_steps import ALIGN_YOUR_STEPS
from ddpm_dp.published.dm_nonuniform import DM_NONUNIFORM
from ddpm_dp.published.gits import GITS
from ddpm_dp.registry import Registry

PUBLISHED = Registry("method", [ALIGN_YOUR_STEPS, DM_NONUNIFORM, GITS])

__all__ = ["PUBLISHED"]
