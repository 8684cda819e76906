"""Decoders of grey levels: the curve that a pass measures, and every convention that is priced from it."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import ddpm_dp
from ddpm_dp import (
    DenoisingStatistics,
    Measured,
    NoiseSchedule,
    certify,
    compare,
    measure,
    negative_elbo,
    path_file,
    solve,
    step_costs,
)
from ddpm_dp.gaussians import discretised_log_likelihood
from ddpm_dp.measuring.decoding import PRIOR
from ddpm_dp.models.exact import MixtureDenoiser
from ddpm_dp.variances import DECODERS, FAMILIES
from ddpm_dp.variances.decoders import LastStep
from ddpm_dp.variances.fields import BOUNDS, FIELDS
from tests.variances.small import TwoHeaded

LEVELS = 17
NEAR = 1e-4  # bits/dim, or of a price above 1: what interpolation may cost


class Grey(TwoHeaded):
    """The small exact model, of images of grey levels; its second output is right for some pixels alone."""

    def __init__(self, second: str | None, shape: tuple[int, ...]):
        super().__init__(second, shape)
        self.levels = LEVELS

    def draws(self, n: int, seed: int) -> np.ndarray:
        x = torch.randn((n, *self.shape), generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        means = self.means.reshape(-1, *self.shape)
        chosen = torch.arange(n) % len(means)
        x = (means[chosen] + 0.4 * x).clamp(-1, 1)
        return (((x + 1) * (LEVELS - 1) / 2).round() * 2 / (LEVELS - 1) - 1).numpy()


SHAPES = {"one colour": (1, 4, 4), "three": (3, 4, 4)}


@pytest.fixture(
    scope="module", params=[("v", "one colour"), ("u", "one colour"), (None, "one colour"), (None, "three")]
)
def case(request):
    second, shape = request.param
    denoiser = Grey(second, SHAPES[shape])
    images = denoiser.draws(300, seed=1)
    train = measure(denoiser, images, progress=False)
    held_out = measure(denoiser, denoiser.draws(200, seed=2), fitted=train, progress=False)
    return denoiser, images, train, held_out


def family_of(denoiser):
    """The family whose `published` decoder reads v, where there is one."""
    return FAMILIES["learned" if denoiser.second == "v" else "analytic"]


STEPS = ((1, 2), (1, 60), (4, 5), (20, 70), (70, 0))  # t_1 and t_2, 0 for none


def answers(denoiser, images, t):
    """The denoiser's at x_t, on the draws of the pass."""
    streams = (np.random.Generator(np.random.Philox(key=[0, i])) for i in range(len(images)))
    eps = torch.from_numpy(np.stack([stream.standard_normal(denoiser.shape) for stream in streams]))
    return denoiser.at(denoiser.noise.alpha[t] * torch.from_numpy(images) + denoiser.noise.sigma[t] * eps, t)


def pixel_by_pixel(denoiser, images, train, statistics, decoder):
    """(t, after, nats from the curve, nats of each image with `discretised_log_likelihood`), where there are any."""
    family, x_0 = family_of(denoiser), torch.from_numpy(images)
    prices = decoder.prices(family, statistics)
    for t, after in STEPS:
        found = prices.mean(np.array([after]), np.array([t]))[0]
        if found < np.inf:
            answer = answers(denoiser, images, t)
            yield (
                t,
                after,
                found,
                decoder.decode(family, LastStep(denoiser.noise, t, after, denoiser.levels, train), x_0, answer),
            )


@pytest.mark.parametrize("decoder", DECODERS.values(), ids=lambda each: each.name)
def test_a_price_is_the_mean_over_the_pixels_of_the_pass(case, decoder):
    """Pixel by pixel, in every group: to NEAR."""
    denoiser, images, train, _ = case
    prices, groups = decoder.prices(family_of(denoiser), train), torch.arange(len(images)) % len(train.counts)
    for t, after, found, nats in pixel_by_pixel(denoiser, images, train, train, decoder):
        unit = train.d * np.log(2)
        assert abs(found - nats.mean().item()) / unit < NEAR * max(1, found / unit), (t, after)
        by_group = prices.of_groups(np.array([after]), np.array([t]))[:, 0]
        exact = torch.zeros(len(train.counts), dtype=torch.float64).index_add_(0, groups, nats).numpy() / train.counts
        # Groups are priced at fewer variances: their spread, a standard error, is good to a tenth.
        assert np.std(by_group - exact) < 0.1 * np.std(exact) + NEAR * unit, (t, after)
        assert abs(train.mean(by_group[:, None])[0][0] - found) < 1e-6 * found + 1e-9


def test_a_few_held_out_images_are_priced_at_the_training_fit(case):
    """However far their own best variances lie from it: pixel by pixel, one image and seven."""
    denoiser, _, train, _ = case
    for n in (1, 7):
        images = denoiser.draws(n, seed=3)
        held_out = Measured(train, measure(denoiser, images, fitted=train, progress=False)).judge
        for name, decoder in DECODERS.items():
            for t, after, found, nats in pixel_by_pixel(denoiser, images, train, held_out, decoder):
                unit = train.d * np.log(2)
                assert abs(found - nats.mean().item()) / unit < NEAR * max(1, found / unit), (name, n, t, after)


class Wild(Grey):
    """Five grey levels; an xhat_0 that nobody clipped, or that is nearly x_0 itself; v of any size."""

    def __init__(self, times: float):
        super().__init__("v", (1, 4, 4))
        self.times, self.levels = times, 5
        self.id = f"times {times}"

    def draws(self, n: int, seed: int) -> np.ndarray:
        return (2 * super().draws(n, seed)).round() / 2

    def __call__(self, x_t, t):
        answer = super().__call__(x_t, t)
        exact = (2 * x_t / self.noise.alpha[int(t[0])]).round().clamp(-2, 2) / 2  # at t = 1 the level itself
        x0 = self.times * answer.x0 if self.times > 1 else exact + self.times * (answer.x0 - exact)
        return answer._replace(x0=x0, v=2.5 * answer.v - 0.7)


@pytest.mark.parametrize("times", [12, 1e-3])
def test_large_and_tiny_errors_and_any_v(times):
    """Errors beyond the range of images, variances below the first node, v outside of [0, 1].

    To 3e-3 of the price, or 2e-4 nats.
    """
    denoiser = Wild(times)
    images = denoiser.draws(100, seed=1)
    train = measure(denoiser, images, progress=False)
    assert times == 12 or train.fitted_m[1] < 0.1 * np.exp(train.curves["all"].low[1, 0])
    assert times < 1 or train.fitted_m[70] > 4
    for name, decoder in DECODERS.items():
        for t, after, found, nats in pixel_by_pixel(denoiser, images, train, train, decoder):
            assert found == pytest.approx(nats.mean().item(), rel=3e-3, abs=2e-4), (name, t, after)


def test_errors_that_cannot_be_priced_are_refused():
    with pytest.raises(ValueError, match="misses images in .* by more than 1,000"):
        measure(Wild(1e4), Wild(1e4).draws(20, seed=1), progress=False)


def test_the_fit_is_what_a_search_over_all_variances_finds(case):
    """Each class's own pixels and PRIOR more that are as all are, priced one by one at 400 variances."""
    denoiser, images, train, _ = case
    grid = torch.linspace(-12, 3, 400, dtype=torch.float64)
    for name, curve in train.curves.items():
        if name == BOUNDS.name:
            continue
        for t in (4, 20, 70):
            answer, x_0 = answers(denoiser, images, t), torch.from_numpy(images)
            maps = {part: rows[t] for part, rows in curve.maps.items()}
            kind = FIELDS[name].class_of(answer, maps).expand(x_0.shape).flatten()
            nats = -discretised_log_likelihood(x_0.flatten(), answer.x0.flatten(), grid.exp()[:, None], LEVELS)
            total = torch.zeros((len(grid), curve.nats.shape[1]), dtype=torch.float64).index_add_(1, kind, nats)
            goal = total + PRIOR / x_0.numel() * total.sum(1, keepdim=True)
            place = (torch.from_numpy(curve.fitted[t]) - grid[0]) / (grid[1] - grid[0])
            left = place.long().clamp(0, len(grid) - 2)
            ends = torch.stack([goal.gather(0, (left + i)[None])[0] for i in (0, 1)])
            # At least as good as the nearest of the grid, but for what interpolation costs.
            assert (ends.min(0).values <= goal.min(0).values * (1 + 1e-3) + 1e-6).all(), (name, t)


def test_the_fitted_decoder_is_the_cheapest_on_training_images(case):
    """At every first timestep, whatever comes after; the search for the best variance is good to 1e-9 of its price."""
    denoiser, _, train, held_out = case
    t = np.arange(1, train.T + 1)
    fitted = step_costs(train, family_of(denoiser).name)
    for name in DECODERS:
        prices = DECODERS[name].prices(family_of(denoiser), train)
        for after in {0} if not DECODERS[name].attached else {0, 30, 100}:
            there = (t < after) | (after == 0)
            other = prices.mean(np.full(there.sum(), after), t[there])
            least = train.mean(fitted.first)[0][1:][there]
            assert (least <= other * (1 + 1e-6) + 1e-9).all(), name
    # On other images it may lose a little: each class was fitted to thousands of pixels.
    both = Measured(train, held_out)
    for name in DECODERS:
        own, other = (step_costs(both.judge, "analytic", each) for each in ("fitted", name))
        path = solve(step_costs(both.train, "analytic"), 8).path(8)
        worse = (own.of(path).total - other.of(path).total) / (held_out.d * np.log(2))
        assert worse < 0.003, name


@pytest.mark.parametrize("decoder", DECODERS)
def test_prices_are_the_simulation(case, decoder):
    """Both ends of a path that has all decoders, on held-out images and other noise: within 4 standard errors."""
    denoiser, _, train, held_out = case
    variance, path = family_of(denoiser).name, [0, 1, 30, 100]
    direct = negative_elbo(
        denoiser, denoiser.draws(200, seed=2), path, variance=variance, decoder=decoder, statistics=train, seed=4
    )
    costs = step_costs(held_out, variance, decoder)
    first = (
        costs.first[:, 1] if costs.attached is None else costs.attached.of_groups(np.array([30]), np.array([1]))[:, 0]
    )
    price, error = (each[0] for each in held_out.mean(first[:, None]))
    spread = direct[:, 1].std(ddof=1) / np.sqrt(200)
    assert abs(direct[:, 1].mean() - price) < 4 * np.hypot(error, spread) + NEAR * held_out.d


def test_an_attached_decoder_is_searched_exactly(case):
    """Every path of three steps at most, by brute force, and the certificate."""
    denoiser, _, train, _ = case
    few = measure(denoiser, denoiser.draws(40, seed=1), timesteps=20, progress=False)
    costs = step_costs(few, family_of(denoiser).name, "published")
    found, T = solve(costs, 3), train.T
    every = {
        1: [costs.of([0, T]).total],
        2: [costs.of([0, t, T]).total for t in range(1, T)],
    }
    middle = costs.between.mean
    pairs = np.array([(s, t) for t in range(2, T) for s in range(1, t)])
    three = costs.attached.mean(pairs[:, 1], pairs[:, 0]) + middle(pairs[:, 1], pairs[:, 0])
    three += middle(np.full(len(pairs), T), pairs[:, 1]) + costs.prior
    every[3] = list(three)
    for K, prices in every.items():
        assert found.nats(K) == pytest.approx(min(prices), rel=1e-9)
        assert costs.of(found.path(K)).total == pytest.approx(found.nats(K), rel=1e-9)
        proof = certify(costs, found, K)
        assert proof.value == pytest.approx(found.nats(K), rel=1e-9) and proof.lower_bound <= proof.value * (1 + 1e-9)
        assert not proof.convex or proof.is_optimal
    with pytest.raises(ValueError, match="a table L\\[t, s\\] cannot hold"):
        costs.table()


def test_a_file_keeps_the_curves(case, tmp_path):
    """To float32; of the groups' prices, which are for standard errors, 10 bits."""
    denoiser, _, train, held_out = case
    for name, before in (("train", train), ("test", held_out)):
        after = DenoisingStatistics.load(before.save(tmp_path / f"{name}.npz"))
        for decoder in DECODERS:
            one, two = (
                step_costs(each, family_of(denoiser).name, decoder).of([0, 1, 9, 100]) for each in (before, after)
            )
            np.testing.assert_allclose(two.steps, one.steps, rtol=1e-5)
            np.testing.assert_allclose(two.standard_error, one.standard_error, rtol=0.01)
    Measured.load(tmp_path / "train.npz", tmp_path / "test.npz")


def test_a_thin_measurement_of_held_out_images_goes_with_a_full_one(case):
    """Where both were measured, the fit is the same; between, each is filled in."""
    denoiser, _, train, held_out = case
    thin = measure(denoiser, denoiser.draws(200, seed=2), fitted=train, timesteps=25, progress=False)
    both = Measured(train, thin)
    path = [0, *thin.measured[[3, 9, 20]], 100]
    for decoder in DECODERS:
        one, two = (step_costs(each, "analytic", decoder).of(path).total for each in (both.judge, held_out))
        assert one == pytest.approx(two, rel=1e-9), decoder


def test_what_was_fitted_to_is_told(case):
    """Held-out images fitted to themselves are fitted anew; those measured before there was a fit cannot be priced."""
    denoiser, _, train, held_out = case
    again = held_out.fitted_to(held_out)
    for name, curve in again.curves.items():
        as_trained = held_out.curves[name].mean(np.arange(held_out.T + 1), train.curves[name].fitted)
        assert (curve.training <= as_trained * (1 + 1e-6) + 1e-9).all()
        assert not np.allclose(curve.fitted[20], train.curves[name].fitted[20], rtol=1e-3)
    bare = replace(
        train, curves={name: replace(curve, fitted=None, training=None) for name, curve in train.curves.items()}
    )
    early = measure(denoiser, denoiser.draws(50, seed=4), fitted=bare, timesteps=5, progress=False)
    with pytest.raises(ValueError, match="did not have when these were measured; measure these again"):
        step_costs(Measured(train, early).judge, "analytic")


@pytest.mark.parametrize("part", ["low", "nats", "of_group", "group_low", "fitted", "training"])
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_changed_number_is_refused(case, part, value):
    curve = case[2].curves["all"]
    values = getattr(curve, part).copy()
    values[(slice(None),) * (part == "of_group") + (9,)] = value
    with pytest.raises(ValueError, match=f"has {part} that are not finite at t = 9"):
        replace(curve, **{part: values})


def test_part_of_the_images_and_timesteps(case):
    """Half of the groups are fitted anew; fewer timesteps keep what was measured there."""
    _, images, train, _ = case
    half = train.of_groups(np.arange(16))
    assert half.n == sum(i % 32 < 16 for i in range(len(images)))
    everybody = train.of_groups(np.arange(32))  # 300 images: groups of 10 and of 9
    for name, curve in train.curves.items():
        np.testing.assert_allclose(everybody.curves[name].nats, curve.nats, rtol=1e-12)
    for name, curve in half.curves.items():
        assert curve.fitted.shape == train.curves[name].fitted.shape and np.isfinite(curve.fitted).all()
    thin = train.at_timesteps(np.array([1, 2, 5, 10, 30, 60, 100]))
    np.testing.assert_allclose(thin.curves["all"].nats[[1, 30]], train.curves["all"].nats[[1, 30]])
    np.testing.assert_allclose(thin.curves["all"].fitted[[1, 30]], train.curves["all"].fitted[[1, 30]], atol=1e-6)


def test_one_group_where_shares_leap_has_no_negative_price():
    """Of the shipped digits one group has no error above half a grey level at small t, and the others have a few."""
    train = ddpm_dp.DenoisingStatistics.load(ddpm_dp.shipped("digits/train.npz"))
    shares = train.curves["all"].of_group[:, 3]
    assert (shares == 0).any() and (shares > 0).any(), "the case that this test is for"
    for group in range(len(train.counts)):
        assert (train.of_groups(np.array([group])).curves["all"].nats >= 0).all()


def test_what_a_decoder_lacks_is_told(case, statistics):
    _, _, train, _ = case
    bare = DenoisingStatistics(**{name: getattr(train, name) for name in train.__dataclass_fields__} | {"curves": {}})
    with pytest.raises(ValueError, match="decoder = 'fitted' needs the decoder's curve"):
        step_costs(bare, "analytic")
    with pytest.raises(ValueError, match="decoder = 'wide' is not known; expected one of fitted, analytic"):
        step_costs(train, "analytic", "wide")
    denoiser = MixtureDenoiser(train.noise, [[0.0, 0.0]], std=0.3)
    with pytest.raises(ValueError, match="decoder='fitted' is fitted; give statistics="):
        negative_elbo(denoiser, [[0.1, 0.2]], [0, 50, 100])


def test_a_path_that_a_decoder_cannot_end_has_no_price(case):
    """`bao` knows t_1 = 1 alone: a table leaves such a place empty, a file of paths is refused."""
    _, _, train, held_out = case
    paths = {2: np.array([0, 30, 100]), 3: np.array([0, 1, 30, 100])}
    table = str(compare(Measured(train, held_out), {"mine": paths}, "beta", "bao"))
    assert [line.split()[1] == "-" for line in table.splitlines()[-2:]] == [True, False]
    with pytest.raises(ValueError, match="The path of K = 2 steps has no price under decoder = 'bao'.*its t_1 is 30"):
        path_file(Measured(train), paths, "beta", decoder="bao")


def test_a_decoder_says_what_it_is():
    words = {name: DECODERS["published"].in_words(FAMILIES[name], 256) for name in ("learned", "analytic")}
    assert words["learned"].endswith("and sigma^2, as v says") and "as v says" not in words["analytic"]
    spectral = DECODERS["fitted"].in_words(FAMILIES["spectral"], None)
    assert spectral == "Gaussian, density of continuous data, variance m_b in each cell as fitted on training data"


def test_every_curve_has_its_field(case):
    _, _, train, _ = case
    assert train.curves.keys() <= FIELDS.keys() and "all" in train.curves
    for name, curve in train.curves.items():
        assert curve.nats.shape[1] == FIELDS[name].classes


def test_bao_is_what_analytic_dpms_evaluator_prints():
    """Bits/dim by `nelbo_naive_ddpm` of Analytic-DPM (Bao et al. 2022) for an exact denoiser, written down once.

    Its even steps from 1 to T, the same images and noise. Its normal distribution function is an approximation by tanh,
    which is worth 1.2e-4 here; with an exact one it prints 5.636975, 5.525950, 7.705543 and 7.058041.
    """
    rng, noise = np.random.default_rng(0), NoiseSchedule.linear(100)
    means = rng.integers(0, 256, (6, 1, 8, 8)) * 2 / 255 - 1
    denoiser = MixtureDenoiser(noise, means, std=0.05, levels=256)
    images = means[rng.integers(6, size=64)] + 0.05 * rng.standard_normal((64, 1, 8, 8))
    images = np.round((images.clip(-1, 1) + 1) * 127.5) / 127.5 - 1
    statistics = measure(denoiser, images, seed=5, progress=False)
    printed = {("posterior", 5): 5.636857, ("posterior", 10): 5.525831, ("beta", 5): 7.705423, ("beta", 10): 7.057922}
    for (variance, K), bits in printed.items():
        path = [0, *(round(1 + i * 99 / (K - 1)) for i in range(K))]
        total = step_costs(statistics, variance, "bao").of(path).total
        assert total / (64 * np.log(2)) == pytest.approx(bits, abs=2e-4)
