"""What every family of reverse variances must pass: `CHECKS`, functions of a `Case`.

Each compares with a calculation that shares nothing with the family's own prices but `log_rho`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from itertools import product
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal, kl_divergence

from ddpm_dp import DenoisingStatistics, Measured, measure, negative_elbo, sample, solve, step_costs
from ddpm_dp.statistics import ALL
from ddpm_dp.variances import DECODERS, FAMILIES, ReverseVariance, served
from ddpm_dp.variances.decoders import LastStep
from tests.conftest import draw
from tests.variances.small import TwoHeaded

N = 2000  # images, or points
HELD_OUT = 500
FEW = 20
SHAPES = [(2,), (3, 4, 4)]  # points, and images in colour
STEPS = [(2, 1), (40, 7), (90, 89), (100, 1), (100, 30)]
EPS = np.finfo(float).eps


class Passes(NamedTuple):
    """What was measured of a model: training images, a few of them, others with the training fit, a few without it."""

    train: DenoisingStatistics
    few: DenoisingStatistics
    held_out: DenoisingStatistics
    alone: DenoisingStatistics


@cache
def passes(output: str | None, shape: tuple[int, ...], families: tuple[str, ...]) -> Passes:
    """One pass serves all the families that there are."""
    denoiser = TwoHeaded(output, shape)
    images, others = draw(denoiser, N, seed=1), draw(denoiser, HELD_OUT, seed=2)
    train = measure(denoiser, images, progress=False)
    few = measure(denoiser, images[:FEW], progress=False)
    held_out = measure(denoiser, others, fitted=train, progress=False)
    return Passes(train, few, held_out, alone=measure(denoiser, others[:FEW], progress=False))


@dataclass(frozen=True)
class Case:
    """A family, an exact model that feeds it, and what was measured of it."""

    family: ReverseVariance
    folder: Path
    shape: tuple[int, ...] = (2,)
    given: DenoisingStatistics | None = None  # fitted to in place of `train`

    @cached_property
    def denoiser(self) -> TwoHeaded:
        return TwoHeaded(self.family.output, self.shape)

    @cached_property
    def points(self) -> np.ndarray:
        return draw(self.denoiser, N, seed=1)

    @property
    def measured(self) -> Passes:
        return passes(self.family.output, self.shape, tuple(FAMILIES))

    @property
    def train(self) -> DenoisingStatistics:
        return self.measured.train

    @property
    def held_out(self) -> DenoisingStatistics:
        return self.measured.held_out

    @property
    def d(self) -> int:
        return math.prod(self.shape)

    def eps(self, n: int) -> np.ndarray:
        """The noise that a pass with seed 0 gives to its first n images."""
        streams = (np.random.Generator(np.random.Philox(key=[0, i])) for i in range(n))
        return np.stack([stream.standard_normal(self.shape) for stream in streams])

    def covariances(self, t: int, s: int, x_t: torch.Tensor) -> torch.Tensor:
        """(n, d, d) covariance of p(x_s | x_t), from rho and the basis."""
        family, noise, denoiser = self.family.reading(self.denoiser.second), self.denoiser.noise, self.denoiser
        cells = family.fitted_cells(self.given or self.train, denoiser.id)
        rho = torch.as_tensor(family.log_rho(noise, t, s, cells, family.see(denoiser.at(x_t, t)))).exp()
        rho = rho * torch.ones_like(x_t)
        basis = family.basis(denoiser.shape, t, cells)
        rows = basis.coefficients(torch.eye(x_t[0].numel(), dtype=x_t.dtype).view(-1, *denoiser.shape)).flatten(1)
        tilde = float(noise.posterior(t, s).variance)
        return tilde * torch.einsum("ic,nc,jc->nij", rows, rho.flatten(1), rows)


def price_is_the_direct_kl(case: Case) -> None:
    """E KL(q(x_s | x_t, x_0) || p(x_s | x_t)) by torch.distributions, on other noise, within 4 standard errors."""
    abar, x_0 = case.denoiser.noise.abar, torch.from_numpy(case.points[:200])
    costs = step_costs(case.train, case.family.name)
    for t, s in STEPS:
        eps = torch.randn(x_0.shape, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
        x_t = math.sqrt(abar[t]) * x_0 + math.sqrt(1 - abar[t]) * eps
        xhat_0 = case.denoiser.at(x_t, t).x0
        keep = abar[t] / abar[s]
        c0 = math.sqrt(abar[s]) * (1 - keep) / (1 - abar[t])
        ct = math.sqrt(keep) * (1 - abar[s]) / (1 - abar[t])
        small = (1 - keep) * (1 - abar[s]) / (1 - abar[t])
        q = MultivariateNormal((c0 * x_0 + ct * x_t).flatten(1), small * torch.eye(case.d, dtype=torch.float64))
        p = MultivariateNormal((c0 * xhat_0 + ct * x_t).flatten(1), case.covariances(t, s, x_t))
        kl = kl_divergence(q, p).numpy()
        price, error = (float(x[0]) for x in case.train.mean(costs.between.of_groups(np.array([t]), np.array([s]))))
        assert abs(price - kl.mean()) < 4 * math.hypot(error, kl.std() / math.sqrt(len(kl))), (t, s)


def price_is_exact_on_the_draws_of_the_pass(case: Case) -> None:
    """The mean KL over the very x_t that were measured: to rounding where m_t is all that counts, else to the bins.

    Twenty images are twenty groups: each has its own price, exactly where one cell is asked. 256 bins of v or log u,
    over a range of 1 to 3, are h = 0.01 apart at most: h^2 / 8 times a second derivative of some ten times the price.
    That asks for a rho that is smooth in v or u: with so few images the errors that are fitted in bins jump, so those
    families have the direct KL alone.
    """
    if case.family.fitted and case.family.output:
        return
    few, noise, statistics = case.points[:FEW], case.denoiser.noise, case.measured.few
    case = replace(case, given=statistics)
    costs, exact = step_costs(statistics, case.family.name), case.family.reading(case.denoiser.second).output is None
    for t, s in STEPS:
        x_0 = torch.from_numpy(few)
        x_t = torch.from_numpy(noise.alpha[t] * few + noise.sigma[t] * case.eps(FEW))
        q = noise.posterior(t, s)
        covariance = case.covariances(t, s, x_t)
        off = (q.x0 * (x_0 - case.denoiser.at(x_t, t).x0)).flatten(1)[..., None]
        ratio = float(q.variance) * torch.linalg.inv(covariance)
        distance = (off.mT @ torch.linalg.solve(covariance, off)).flatten()
        trace = torch.diagonal(ratio, dim1=1, dim2=2).sum(1)
        kl = 0.5 * (trace + distance - case.d - torch.linalg.slogdet(ratio).logabsdet)
        price = costs.between.mean(np.array([t]), np.array([s]))[0]
        # d, the trace and the log-determinant cancel: an absolute error of some ulps of each
        rounding = 100 * case.d * EPS
        assert abs(price - kl.mean().item()) < (1e-10 if exact else 1e-3) * price + rounding, (t, s)
        groups = costs.between.of_groups(np.array([t]), np.array([s]))[:, 0]
        if case.family.cells == ALL:  # others take neighbouring cells together for groups
            np.testing.assert_allclose(groups, kl, rtol=1e-10, atol=rounding)


def standard_errors_are_those_of_the_spread(case: Case) -> None:
    """Of one size with that of single images: 32 groups know it to 1/8, and share their noise between timesteps."""
    path = [0, 2, 30, 31, 100]
    settings = {"variance": case.family.name, "statistics": case.train, "seed": 3}
    direct = negative_elbo(case.denoiser, case.points, path, **settings).sum(1)
    ratio = step_costs(case.train, case.family.name).of(path).standard_error / (direct.std() / math.sqrt(N))
    assert 1 / 3 < ratio < 3


def price_is_the_simulation(case: Case) -> None:
    """The sum of a path's prices, held out, against `negative_elbo`, within 3 standard errors of both.

    (On the images that it was fitted to, a family of 256 bins is cheaper than on other noise.)
    """
    path, points = [0, 2, 30, 31, 100], draw(case.denoiser, HELD_OUT, seed=2)
    settings = {"variance": case.family.name, "statistics": case.train, "seed": 3}
    direct = negative_elbo(case.denoiser, points, path, **settings).sum(1)
    price = step_costs(case.held_out, case.family.name).of(path)
    assert abs(direct.mean() - price.total) < 3 * math.hypot(price.standard_error, direct.std() / math.sqrt(HELD_OUT))


def groups_average_to_the_mean(case: Case) -> None:
    """The price of all images is the mean of the groups': L is linear in the squared errors.

    32 terms, in each of which log rho and 1 / rho - 1 nearly cancel (a hundredfold in the shortest step here).
    """
    costs, (t, s) = step_costs(case.train, case.family.name), np.array(STEPS).T
    of_all, of_groups = costs.between.mean(t, s), costs.between.of_groups(t, s)
    np.testing.assert_allclose(case.train.mean(of_groups)[0], of_all, rtol=1e3 * EPS)


def form_is_the_table(case: Case) -> None:
    """What `solve` takes in place of a table has the same prices, and the same optima."""
    costs = step_costs(case.train, case.family.name)
    form, table = costs.structure(), costs.table()
    if form is not None:
        # Lines add numbers as large as d/2 snr_1 m_t and d/2 |log sigma_1^2| that nearly cancel: an absolute error of
        # some ulps of those. Curves are good for 1e-9 of a step; a path's steps cost less than the one from T to 1.
        large = costs.statistics.d / 2 * (case.denoiser.noise.snr[1] * case.train.m.max() + 20)
        np.testing.assert_allclose(form.table(), table, rtol=1e-9, atol=8 * EPS * large)
        optima = solve(table).values[1:] + costs.prior
        np.testing.assert_allclose(solve(costs).values[1:], optima, rtol=1e-9, atol=1e-9 * table[-1, 1])
    for K in (1, 5, 20):
        best = solve(costs, 20)
        assert abs(best.nats(K) - costs.of(best.path(K)).total) < 1e-9 * abs(best.nats(K))


def sampler_has_the_priced_covariance(case: Case) -> None:
    """A step is linear in its noise z: its answers to all unit vectors are the root of its covariance."""
    t, s, d = case.denoiser.noise.T, 30, case.d
    x_t = torch.from_numpy(np.resize([0.4, -0.9], (1, *case.shape))).repeat(d + 1, *[1] * len(case.shape))
    states = {}
    draws = iter([x_t, torch.cat([torch.zeros(1, d), torch.eye(d)]).double().view(-1, *case.shape)])
    sample(
        case.denoiser,
        [0, s, t],
        d + 1,
        variance=case.family.name,
        statistics=case.train,
        randn=lambda shape: next(draws),
        callback=lambda s, x_s, xhat_0: states.update({s: x_s}),
        progress=False,
    )
    root = (states[s][1:] - states[s][0]).flatten(1)  # row i: the answer to unit vector i
    # Two states of size 1 are subtracted and multiplied: a dozen operations of one ulp each.
    torch.testing.assert_close(root.T @ root, case.covariances(t, s, x_t[:1])[0], rtol=0, atol=100 * EPS)


def decoders_are_priced_as_they_say(case: Case) -> None:
    """-log p(x_0 | x_t) on the draws of the pass, under every decoder: its price is the mean of what it says of images.

    Where bins of v or u are asked for, twenty images are too few (`price_is_exact_on_the_draws_of_the_pass`).
    """
    few, noise, statistics = case.points[:FEW], case.denoiser.noise, case.measured.few
    family, x_0 = case.family.reading(case.denoiser.second), torch.from_numpy(few)
    for t, decoder in product((1, 7), DECODERS.values()):
        prices = decoder.prices(family, statistics)
        found = prices.mean(np.array([20]), np.array([t]))[0]
        by_group = prices.of_groups(np.array([20]), np.array([t]))
        assert found == np.inf or abs(statistics.mean(by_group)[0][0] - found) <= 1e-9 * abs(found)
        prediction = case.denoiser.at(torch.from_numpy(noise.alpha[t] * few + noise.sigma[t] * case.eps(FEW)), t)
        ask = partial(decoder.decode, family, LastStep(noise, t, 20, None, statistics), x_0, prediction)
        if found == np.inf:
            with pytest.raises(ValueError, match="decodes from t = 1 alone"):
                ask()
        elif not (family.output and (decoder.attached or decoder.fitted)):
            nats = ask().mean().item()
            # The mean over 20 images, of terms up to a hundred times as large as the result.
            assert abs(found - nats) < 20 * 100 * EPS * max(1, abs(nats))


def held_out_prices_are_honest(case: Case) -> None:
    """What was fitted stays the training one; fitting it to held-out images would flatter, and is refused."""
    path, again = [0, 3, 30, 100], case.held_out.fitted_to(case.held_out)
    costs, refitted = (step_costs(each, case.family.name, "fixed") for each in (case.held_out, again))
    own, flattered = (step_costs(each, case.family.name).of(path).steps[0] for each in (case.held_out, again))
    assert flattered < own  # the decoder, whatever the family
    if case.family.fitted:
        assert refitted.of(path).total < costs.of(path).total
        train, held_out = (each.cells[case.family.cells] for each in (case.train, case.held_out))
        expected = train.fitted if train.output is None else held_out.fitted_to(train).fitted  # bins may lie elsewhere
        assert np.array_equal(held_out.fitted, expected) and held_out.same_way(train, case.train.measured)
    else:
        assert refitted.of(path).total == costs.of(path).total
    Measured(case.train, case.held_out)
    for train, held_out in (
        (case.train, case.measured.alone),
        (case.train, case.train),
        (case.held_out, case.held_out),
    ):
        try:
            Measured(train, held_out)
        except ValueError:
            continue
        raise AssertionError("a pair that flatters was accepted")


def file_keeps_the_prices(case: Case) -> None:
    """Written and read again: the same prices, but for what the file rounds: shares and errors to 18 bits."""
    file = case.train.save(case.folder / f"{case.family.name}.npz")
    again = DenoisingStatistics.load(file)
    before, after = (step_costs(each, case.family.name) for each in (case.train, again))
    np.testing.assert_allclose(after.of([0, 3, 30, 100]).steps, before.of([0, 3, 30, 100]).steps, rtol=2.0**-18)
    assert after.of([0, 3, 30, 100]).standard_error > 0


def a_missing_second_output_is_refused(case: Case) -> None:
    """Of a model without it, or with another one, in a sentence: pricing, sampling, simulating."""
    for other in (None, "v", "u"):
        denoiser, output = TwoHeaded(other, case.shape), case.family.reading(other).output
        statistics = measure(denoiser, case.points[:FEW], timesteps=10, progress=False)
        assert (case.family.name in served(statistics)) == (output in (None, other))
        if output in (None, other):
            continue
        for attempt in (
            lambda s=statistics: step_costs(s, case.family.name),
            lambda d=denoiser, s=statistics: sample(
                d, [0, 50, 100], 1, variance=case.family.name, statistics=s, progress=False
            ),
            lambda d=denoiser, s=statistics: negative_elbo(
                d, case.points[:5], [0, 50, 100], variance=case.family.name, statistics=s
            ),
        ):
            try:
                attempt()
            except ValueError as error:
                assert "output" in str(error), error
                continue
            raise AssertionError(f"{case.family.name} was answered without its second output")


CHECKS: list[Callable[[Case], None]] = [
    price_is_exact_on_the_draws_of_the_pass,
    price_is_the_direct_kl,
    price_is_the_simulation,
    standard_errors_are_those_of_the_spread,
    groups_average_to_the_mean,
    form_is_the_table,
    sampler_has_the_priced_covariance,
    decoders_are_priced_as_they_say,
    held_out_prices_are_honest,
    file_keeps_the_prices,
    a_missing_second_output_is_refused,
]
