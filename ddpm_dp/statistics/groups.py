"""Groups of images: an image is in one group at all timesteps, and the spread of groups gives standard errors."""

import numpy as np

GROUPS = 32  # at most so many; a standard error from their spread is good to 1/8 of itself


def mean_of_groups(per_group: np.ndarray, counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over images of a (G, ...) array of means over `counts` images, and its standard error (inf if G = 1)."""
    weight = counts / counts.sum()
    mean = np.tensordot(weight, per_group, 1)
    G = len(weight)
    if G == 1:
        return mean, np.full_like(mean, np.inf)
    with np.errstate(invalid="ignore"):  # inf - inf in the decoder's unused column 0
        spread = np.tensordot(weight**2, (per_group - mean) ** 2, 1)
    return mean, np.sqrt(spread * G / (G - 1))
