"""Statistics: what one pass of a denoiser over data leaves behind, their file, and the rule of honest numbers."""

from ddpm_dp.statistics.cells import ALL, Cells
from ddpm_dp.statistics.decoding import DecoderCurve, DecoderPrices
from ddpm_dp.statistics.denoising import DenoisingStatistics
from ddpm_dp.statistics.groups import GROUPS, mean_of_groups
from ddpm_dp.statistics.images import COMMON, fingerprints, in_common
from ddpm_dp.statistics.measured import Measured, Origin, as_measured, refuse_in_common, require_chosen_on

__all__ = [
    "ALL",
    "COMMON",
    "GROUPS",
    "Cells",
    "DecoderCurve",
    "DecoderPrices",
    "DenoisingStatistics",
    "Measured",
    "Origin",
    "as_measured",
    "fingerprints",
    "in_common",
    "mean_of_groups",
    "refuse_in_common",
    "require_chosen_on",
]
