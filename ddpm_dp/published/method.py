"""What a published method is: a name, and a function that chooses paths."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from ddpm_dp.checks import whole
from ddpm_dp.models.denoiser import Denoiser

Paths = dict[int, np.ndarray]


@dataclass(frozen=True)
class Method:
    """One published way to choose timesteps.

    Attributes:
        name: what users write.
        words: what it minimises, in a line.
        source: who proposed it.
        choose: takes the denoiser, images in its dtype and on its device, the budgets, a seed and whether to show
            progress; answers for budgets below T.
    """

    name: str
    words: str
    source: str
    choose: Callable[[Denoiser, Tensor, Sequence[int], int, bool], Paths]

    def paths(
        self, denoiser: Denoiser, images: object, budgets: Sequence[int], *, seed: int = 0, progress: bool = True
    ) -> Paths:
        """The path [0, t_1, ..., T] of each budget K.

        Args:
            denoiser: a model or an exact denoiser; it is asked on its own device.
            images: training images, (n, *shape); a method that needs none does not look at them.
            budgets: the numbers of steps.
            seed: of all that is drawn. The same seed gives the same path on one device; elsewhere the network's
                rounding may tip a near tie.

        Raises ValueError for a class-conditional denoiser, images that do not fit it, or a budget outside 1..T.
        """
        if denoiser.n_classes is not None:
            raise ValueError(f"{self.name} has no labels to give to a class-conditional model; give it one without.")
        T = denoiser.noise.T
        asked = [whole(K, "K", most=T, what="steps") for K in budgets]
        below = [K for K in asked if K < T]  # T steps are all timesteps: nothing is left to choose
        chosen = self.choose(denoiser, denoiser.images(images), below, seed, progress) if below else {}
        return {K: chosen[K] if K < T else np.arange(T + 1) for K in asked}
