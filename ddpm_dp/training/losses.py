"""What training lowers: one small class per loss. To add one, write a subclass of `Loss` and name it in `LOSSES`.

Nothing here imports torch before a loss is computed: the command line lists the names.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ddpm_dp.registry import Registry, Whole

if TYPE_CHECKING:
    from torch import Tensor

    from ddpm_dp.models.trained import Model

# Share of the second output's loss where it rides along with L_simple (Nichol & Dhariwal 2021, section 3.1).
LAMBDA = 1e-3


@dataclass(frozen=True)
class Answer:
    """What a network in training says of noisy images x_t = alpha_t x_0 + sigma_t eps.

    Attributes:
        model: whose noise schedule and grey levels they are.
        x_0: (batch, *shape) the images, each at its timestep t, (batch,).
        alpha, sigma: alpha_t and sigma_t, (batch, 1, ...).
        residual: (batch, *shape) eps - eps_hat, so that x_0 - xhat_0 is -sigma_t / alpha_t times it.
        second: (batch, *shape) the second output, where there is one.
    """

    model: Model
    x_0: Tensor
    t: Tensor
    alpha: Tensor
    sigma: Tensor
    residual: Tensor
    second: Tensor | None

    def without_gradient_to_the_mean(self) -> Answer:
        """The same, for a term that trains the second output alone."""
        return replace(self, residual=self.residual.detach())


class Loss(Whole, abstract=True):
    """A training loss: one number for each image, averaged over its coordinates.

    A subclass sets all attributes and defines `of`.

    Attributes:
        name: what users write, `TrainConfig(loss="...")`.
        words: the loss in a formula, or in a few words.
        source: who proposed it.
        output: the second output that it trains, a name in `OUTPUTS`, or None.
        importance: whether timesteps are drawn by importance, because the loss differs by orders of magnitude between
            them (`timesteps.py`); else uniformly.
    """

    name: str
    words: str
    source: str
    output: str | None
    importance: bool = False

    def __call__(
        self, model: Model, network: Callable[[Tensor, Tensor], Tensor], x_0: Tensor, t: Tensor, eps: Tensor
    ) -> Tensor:
        """The loss of each image, (batch,), when `network` sees it noised by eps.

        Args:
            model: says how the network's numbers are read; its own weights are not used.
            network: of the model's architecture: the one in training.
            x_0: (batch, *shape) images in [-1, 1], each at its timestep t, (batch,), 1..T.
            eps: (batch, *shape) white noise.
        """
        from ddpm_dp.models.trained import at

        alpha, sigma = (at(values, t, x_0) for values in (model.noise.alpha, model.noise.sigma))
        eps_hat, *second = model.outputs(network, alpha * x_0 + sigma * eps, t)
        return self.of(Answer(model, x_0, t, alpha, sigma, eps - eps_hat, second[0] if second else None))

    @abstractmethod
    def of(self, answer: Answer) -> Tensor:
        """The loss of each image, (batch,), of what the network answered."""


class Simple(Loss):
    """(eps - eps_hat)^2."""

    name = "simple"
    words = "(eps - eps_hat)^2"
    source = "Ho et al. 2020, eq. 14"
    output = None

    def of(self, answer: Answer) -> Tensor:
        return squared_error(answer)


class Hybrid(Loss):
    """simple + 0.001 vlb, where vlb trains v alone: no gradient to eps_hat."""

    name = "hybrid"
    words = "simple + 0.001 vlb, where vlb trains v alone"
    source = "Nichol & Dhariwal 2021, eq. 16"
    output = "v"

    def of(self, answer: Answer) -> Tensor:
        return squared_error(answer) + bound(answer.without_gradient_to_the_mean(), LAMBDA)


class Vlb(Loss):
    """T L(t, t - 1), the t-th term of the bound, in nats, T times."""

    name = "vlb"
    words = "T L(t, t - 1), the bound itself, which trains v too"
    source = "Nichol & Dhariwal 2021, eq. 4-7"
    output = "v"
    importance = True

    def of(self, answer: Answer) -> Tensor:
        return bound(answer)


class Predicted(Loss):
    """simple + 0.001 1/2 [log u + e^2 / u], e = x_0 - xhat_0, which trains u alone; its minimum is u = E[e^2 | x_t]."""

    name = "predicted"
    words = "simple + 0.001 1/2 [log u + e^2 / u], which trains u alone"
    source = "after Bao et al. 2022, Extended-Analytic-DPM"
    output = "u"

    def of(self, answer: Answer) -> Tensor:
        u = answer.second
        assert u is not None, "a model that is trained with this loss has u"
        residual = answer.without_gradient_to_the_mean().residual
        e2 = (answer.sigma / answer.alpha * residual).clamp(-2, 2) ** 2  # x_0 and xhat_0 both lie in [-1, 1]
        return squared_error(answer) + LAMBDA * 0.5 * (u.log() + e2 / u).flatten(1).mean(1)


def squared_error(answer: Answer) -> Tensor:
    """(eps - eps_hat)^2 of each image, (batch,)."""
    return (answer.residual**2).flatten(1).mean(1)


def bound(answer: Answer, share: float = 1) -> Tensor:
    """`share` times T L(t, t - 1) of each image, (batch,), in nats per dimension."""
    from ddpm_dp.training.bound import bound_term

    model, v = answer.model, answer.second
    assert v is not None, "a model that is trained with this loss has v"
    return share * model.noise.T * bound_term(model.noise, answer.x_0, answer.t, answer.residual, v, model.levels)


LOSSES: Registry[Loss] = Registry("loss", [Simple(), Hybrid(), Vlb(), Predicted()])
