"""Block DCTs against scipy's, scores, and what cells may cost: `local`, `spectral`, `calibrated`."""

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.fft import dctn
from scipy.ndimage import uniform_filter

from ddpm_dp import (
    DenoisingStatistics,
    Measured,
    MixtureDenoiser,
    NoiseSchedule,
    load,
    load_dataset,
    measure,
    step_costs,
)
from ddpm_dp.measuring import fitting
from ddpm_dp.measuring.fitting import ScoreFit, evidence, in_cells
from ddpm_dp.measuring.observers import Scored, Setting
from ddpm_dp.processes import Processes
from ddpm_dp.statistics import Cells
from ddpm_dp.variances import DECODERS, FAMILIES
from ddpm_dp.variances.bases import COLOURS, AxisBlocks, BlockDct, blocks_for, images_last
from ddpm_dp.variances.decoders import NONE, LastStep
from ddpm_dp.variances.scores import (
    BINS,
    FEATURES,
    FINEST,
    HIGH,
    LOW,
    Guess,
    Score,
    Weights,
    cells_in,
)
from tests.conftest import draw
from tests.variances.small import TwoHeaded

EPS = np.finfo(float).eps
SHAPES = [((1, 8, 8), (4, 4)), ((3, 8, 12), (4, 6)), ((4, 6, 6), (3, 2)), ((6, 4), (2, 4)), ((5,), (1, 1))]


@pytest.mark.parametrize(("shape", "block"), SHAPES)
def test_coefficients_are_scipys_block_by_block(shape, block):
    images = np.random.default_rng(0).standard_normal((3, *shape))
    basis = BlockDct(shape, block)
    found = basis.coefficients(torch.from_numpy(images))
    planes = images.reshape(3, *basis.planes)
    if len(shape) == 3 and shape[0] == 3:
        planes = np.einsum("ac,nchw->nahw", COLOURS, planes)
    expected, (height, width) = np.empty_like(planes), block
    for i in range(0, planes.shape[2], height):
        for j in range(0, planes.shape[3], width):
            part = np.s_[:, :, i : i + height, j : j + width]
            expected[part] = dctn(planes[part], axes=(2, 3), norm="ortho")
    # sums of at most 72 products of numbers of size 1
    np.testing.assert_allclose(found.numpy(), expected.reshape(images.shape), rtol=0, atol=72 * EPS * 4)
    np.testing.assert_allclose(basis.images(found).numpy(), images, rtol=0, atol=144 * EPS * 4)
    np.testing.assert_allclose((found**2).sum().item(), (images**2).sum(), rtol=144 * EPS)


def test_blocks_that_do_not_divide_are_refused():
    with pytest.raises(
        ValueError, match=r"Blocks of \(5, 4\) do not divide images of shape \(1, 8, 8\); give divisors"
    ):
        BlockDct((1, 8, 8), (5, 4))


def test_a_block_for_every_size():
    assert blocks_for((3, 48, 64), (1, 4, 8)) == [(1, 1), (4, 4), (8, 8)]
    assert blocks_for((1, 29, 12), (1, 4, 8)) == [(1, 1), (1, 4), (1, 6)]
    assert blocks_for((7,), (1, 4, 8)) == [(1, 1)]


def test_bands_are_rounded_frequencies():
    assert BlockDct((1, 4, 4), (4, 4)).bands.tolist() == [[0, 1, 2, 3], [1, 1, 2, 3], [2, 2, 3, 4], [3, 3, 4, 4]]


def no_slopes(score):
    return torch.zeros(score.channels, score.bands, FEATURES)


def test_cells_stand_where_their_coefficients_stand():
    """A constant of one frequency and one channel puts those coefficients of all blocks, and no others, into a cell."""
    score = Score(BlockDct((2, 8, 12), (4, 6)))
    constants = torch.full((2, 4, 6), -99.0)
    constants[1, 2, 3] = 99.0
    cells = score.cells(Guess(torch.zeros(3, 2, 8, 12)), Weights(constants, no_slopes(score)))
    expected = np.zeros((3, 2, 8, 12), int)
    expected[:, 1, 2::4, 3::6] = BINS - 1
    assert np.array_equal(cells.numpy(), expected)
    whole = Weights(constants, no_slopes(score)).padded(9, 9, 20)  # as files keep it, with room for larger blocks
    assert torch.equal(score.cells(Guess(torch.zeros(3, 2, 8, 12)), whole), cells)


def test_weights_of_an_earlier_version_are_refused():
    with pytest.raises(ValueError, match="lacks constants and slopes: an earlier version sorted in another way"):
        Weights.of({"block": np.ones(2), "weights": np.zeros((1, 1, 5))})


def test_slopes_that_an_earlier_version_did_not_have_count_for_nothing():
    score, rng = Score(BlockDct((1, 8, 8), (4, 4))), torch.Generator().manual_seed(0)
    slopes = torch.randn(1, score.bands, FEATURES, generator=rng)
    slopes[..., 6:] = 0
    constants, guess = torch.randn(1, 4, 4, generator=rng), Guess(torch.rand(3, 1, 8, 8, generator=rng))
    few, all_ = (score.of(guess, Weights(constants, each)) for each in (slopes[..., :6], slopes))
    assert torch.equal(few, all_) and few.std() > 0.1


@pytest.mark.parametrize("shape", [(5,), (1, 4, 6), (3, 4, 4)])
def test_a_row_is_what_a_sampler_finds_again(shape):
    """Errors in the cells that the file's maps tell, each family by itself; those of points are the same twice."""
    denoiser = TwoHeaded("v", shape)
    images = draw(denoiser, 80, seed=1)
    stats = measure(denoiser, images, batch_size=20, progress=False)
    eps = np.stack([np.random.Generator(np.random.Philox(key=[0, i])).standard_normal(shape) for i in range(80)])
    assert np.array_equal(stats.cells["local"].error, stats.cells["spectral"].error) == (len(shape) == 1)
    for name in ("local", "spectral"):
        cells, family = stats.cells[name], FAMILIES[name]
        for t in (1, 40, 100):
            noise = denoiser.noise
            xhat_0 = denoiser.at(torch.from_numpy(noise.alpha[t] * images + noise.sigma[t] * eps), t).x0
            basis = family.basis(shape, t, cells)
            energies = basis.coefficients(torch.from_numpy(images) - xhat_0) ** 2
            where = cells_in(basis, xhat_0, Weights.of({part: rows[t] for part, rows in cells.maps.items()}))
            mass, error = in_cells(where, energies, BINS) / images.size
            np.testing.assert_allclose(cells.mass[t], mass, rtol=0, atol=1e-12)
            np.testing.assert_allclose(cells.error[t], error, rtol=1e-9, atol=1e-15)


def test_colours_have_blocks_of_their_own():
    """Coefficients and cells of each axis are those of its own blocks; the map back undoes it."""
    rng = torch.Generator().manual_seed(0)
    images = torch.rand(2, 3, 8, 8, dtype=torch.float64, generator=rng) - 0.5
    basis = AxisBlocks.of((3, 8, 8), np.array([4, 4, 8, 8]))
    narrow, wide = BlockDct((3, 8, 8), (4, 4)), BlockDct((3, 8, 8), (8, 8))
    found = basis.coefficients(images)
    for axes, block in ((slice(0, 1), narrow), (slice(1, 3), wide)):
        alone, all_axes = block.coefficients(images, axes), block.coefficients(images)[:, axes]
        torch.testing.assert_close(alone, all_axes, rtol=0, atol=72 * EPS)
        assert torch.equal(found[:, axes], alone)
    torch.testing.assert_close(basis.images(found), images, rtol=0, atol=144 * EPS)
    weights = Weights(
        torch.randn(3, 8, 8, generator=rng), 0.1 * torch.randn(3, Score(wide).bands, FEATURES, generator=rng)
    )
    cells = cells_in(basis, images, weights)
    assert torch.equal(cells[:, :1], Score(narrow).cells(Guess(images), weights)[:, :1]) and len(cells.unique()) > 5
    assert torch.equal(cells[:, 1:], Score(wide).cells(Guess(images), weights)[:, 1:])
    alike = AxisBlocks.of((3, 8, 8), np.array([4, 4, 4, 4]))
    assert torch.equal(cells_in(alike, images, weights), Score(narrow).cells(Guess(images), weights))
    gray = AxisBlocks.of((1, 8, 8), np.array([4, 4]))
    assert torch.equal(gray.coefficients(images[:, :1]), BlockDct((1, 8, 8), (4, 4)).coefficients(images[:, :1]))


@pytest.mark.parametrize(("shape", "block"), SHAPES)
def test_features_are_what_their_names_say(shape, block):
    """Against scipy's filters and plain loops, in float64: logarithms of sums of some hundred positive numbers."""
    xhat_0 = 1.2 * torch.rand(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) - 0.6
    score = Score(BlockDct(shape, block))
    own, square, around, beside, contrast, room, *squares = (
        feature.expand(*score.layout, 3).reshape(*score.basis.planes, 3).movedim(-1, 0).numpy()
        for feature in score.features(Guess(xhat_0))
    )
    energies = (score.basis.coefficients(xhat_0) ** 2).reshape(3, *score.basis.planes).numpy()
    images, (height, width) = xhat_0.reshape(3, *score.basis.planes).numpy(), block
    channels = images.shape[1]
    padded = np.pad(images, [(0, 0), (0, 0), (1, 1), (1, 1)], constant_values=np.nan)
    inside = np.s_[:, :, 1:-1, 1:-1]
    sides = [np.roll(padded, by, axis)[inside] for axis in (2, 3) for by in (1, -1)]
    differences = sum(np.nan_to_num(abs(side - images)) for side in sides).mean(1, keepdims=True) / 4
    space = 1 - images**2
    if channels == 3 and len(shape) == 3:
        space = np.broadcast_to(space.mean(1, keepdims=True), images.shape)
    expected = {name: np.empty_like(images) for name in ("around", "beside", "contrast", "room")}
    for i in range(height):
        for j in range(width):
            here = np.s_[..., i::height, j::width]
            expected["around"][here] = uniform_filter(energies[here], (1, 1, 3, 3), mode="nearest")
    for i in range(0, images.shape[2], height):
        for j in range(0, images.shape[3], width):
            here = np.s_[..., i : i + height, j : j + width]
            expected["beside"][here] = uniform_filter(energies[here], (1, 1, 3, 3), mode="nearest")
            expected["contrast"][here] = differences[here].mean((2, 3), keepdims=True)
            expected["room"][here] = space[here].mean((2, 3), keepdims=True)
    slack = {"rtol": 0, "atol": 1e3 * EPS * 16}  # the logarithms are 16 at most
    np.testing.assert_allclose(own, np.log(energies + 1e-7), **slack)
    for found, feature in zip((square, *squares), (own, around, beside), strict=True):
        np.testing.assert_allclose(found, feature**2 / 10, **slack)
    np.testing.assert_allclose(around, np.log(expected["around"] + 1e-7), **slack)
    np.testing.assert_allclose(beside, np.log(expected["beside"] + 1e-7), **slack)
    np.testing.assert_allclose(contrast, np.log(expected["contrast"] + 1e-4), **slack)
    np.testing.assert_allclose(room, np.log(expected["room"] + 1e-3), **slack)


def test_what_is_kept_for_a_fit_is_scored_as_images_are():
    """`ScoreFit` sorts coefficients by frequency, a sampler where they stand: into the same cells."""
    score = Score(BlockDct((3, 8, 12), (4, 6)))
    rng = torch.Generator().manual_seed(0)
    xhat_0 = 2 * torch.rand(5, 3, 8, 12, dtype=torch.float64, generator=rng) - 1
    slopes, constants = (0.2 * torch.randn(3, *size, generator=rng) for size in ((score.bands, FEATURES), (4, 6)))
    weights = Weights(constants, slopes)
    guess = Guess(xhat_0)
    error = torch.rand(5, 3, 8, 12, dtype=torch.float64, generator=rng)
    features, energies = evidence(score, guess, images_last(error))
    band = torch.from_numpy(score.basis.bands.ravel())
    found = (slopes.double()[:, band, None] @ features)[:, :, 0] + constants.flatten(1)[..., None]
    expected = score.by_frequency(score.of(guess, weights)).reshape(found.shape)
    assert score.place(found).unique().numel() > 5
    torch.testing.assert_close(found, expected, rtol=0, atol=1e3 * EPS)
    squares = score.basis.coefficients(error) ** 2
    expected = [squares[:, :, i::4, j::6].movedim(0, -1).flatten(1) for i in range(4) for j in range(6)]
    torch.testing.assert_close(energies, torch.stack(expected, 1), rtol=0, atol=72 * EPS * 4)


def errors_of_a_score(score, n, seed=0):
    """Gaussian errors whose variance is exp(a score), m_t being 1, as `ScoreFit` takes them; that score's weights."""
    rng = torch.Generator().manual_seed(seed)
    frequencies, channels = score.basis.bands.size, score.basis.planes[0]
    features = torch.randn(channels, frequencies, FEATURES, n, dtype=torch.float64, generator=rng)
    slopes = torch.rand(channels, score.bands, FEATURES, dtype=torch.float64, generator=rng) - 0.5
    constants = torch.randn(channels, frequencies, dtype=torch.float64, generator=rng)
    band = torch.from_numpy(score.basis.bands.ravel())
    guess = (slopes[:, band, None] @ features)[:, :, 0] + constants[..., None]
    normal = torch.randn(guess.shape, dtype=torch.float64, generator=rng)
    return features, guess.exp() * normal**2, Weights(constants.unflatten(1, score.basis.block), slopes)


def test_a_fit_finds_the_score_that_errors_have(monkeypatch):
    """Maximum likelihood: n observations tell a slope with a standard error of sqrt(2 / n), its features being
    standard normal; so do those of one frequency its constant. 6 of them, and half of what rounding leaves."""
    monkeypatch.setattr(fitting, "FLOOR", 0.0)
    monkeypatch.setattr(fitting, "ROUNDS", 10)
    score, n = Score(BlockDct((2, 4, 4), (4, 4))), 4000
    features, energies, true = errors_of_a_score(score, n)
    one, processes = torch.ones((), dtype=torch.float64), Processes(torch.device("cpu"))
    fit = ScoreFit(score, features.clone(), energies, one, processes)
    last, likeliest = fit.weights, fit.likeliest
    rounding = FINEST[1] / 2, (FINEST[0] + FEATURES * FINEST[1]) / 2
    of_band = np.bincount(score.basis.bands.ravel())[None, :, None] * n
    assert (abs(last.slopes - true.slopes).numpy() < 6 * np.sqrt(2 / of_band) + rounding[0]).all()
    assert (abs(last.constants - true.constants) < 6 * np.sqrt(2 / n) + rounding[1]).all()
    # Least squares of log e^2 have the variance pi^2 / 2 in place of 2.
    monkeypatch.setattr(fitting, "ROUNDS", 0)
    first = ScoreFit(score, features, energies, one, processes).weights
    errors = [(abs(each.slopes - true.slopes) ** 2).mean() for each in (first, last)]
    assert errors[1] < errors[0]
    none = Weights(torch.zeros(2, 4, 4), no_slopes(score))
    assert fit.price_of(likeliest) < fit.price == fit.price_of(first) < fit.price_of(none)


def test_a_fit_of_errors_that_are_all_zero_has_finite_weights():
    score = Score(BlockDct((1, 4, 4), (4, 4)))
    features, energies, _ = errors_of_a_score(score, 50)
    zero, processes = torch.zeros((), dtype=torch.float64), Processes(torch.device("cpu"))
    for kind in (torch.float32, torch.float64):
        fit = ScoreFit(score, features.to(kind, copy=True), 0 * energies.to(kind), zero, processes)
        slopes = fit.likeliest.slopes.double()
        assert all(torch.isfinite(part).all() for each in (fit._first, slopes) for part in (each, *fit._guessed(each)))


def test_cells_are_counted_and_added_up():
    rng = np.random.default_rng(0)
    cells, energies = rng.integers(0, 7, (5, 40)), rng.random((5, 40)).astype(np.float32)
    mass, error = in_cells(torch.from_numpy(cells), torch.from_numpy(energies), 9)
    for cell in range(9):
        assert mass[cell] == (cells == cell).sum()
        np.testing.assert_allclose(error[cell], energies[cells == cell].astype(float).sum(), rtol=200 * EPS)


def test_blocks_that_are_too_few_are_not_tried():
    """10 images of 16x16 have 160 blocks of 4x4 and 40 of 8x8; 70 have 70 of 16x16. White errors suit none."""
    denoiser = TwoHeaded("v", (1, 16, 16))
    for n, largest in ((10, 4), (70, 16)):
        setting = Setting(
            denoiser.noise,
            None,
            denoiser.shape,
            np.bincount(np.arange(n) % 32),
            torch.device("cpu"),
            Processes(torch.device("cpu")),
            None,
        )
        assert [max(blocks) for blocks in Scored(setting).candidates["spectral"]] == [(largest, largest)]
    few = measure(denoiser, draw(denoiser, 10, seed=1), timesteps=5, progress=False)
    assert few.cells["spectral"].maps["block"].max() <= 4


def test_training_statistics_of_an_earlier_file_sort_as_they_did():
    """Format 5 had maps of weights that were no whole numbers, and six slopes."""
    denoiser = TwoHeaded("v", (1, 4, 4))
    train = measure(denoiser, draw(denoiser, 200, seed=1), timesteps=6, progress=False)
    others = draw(denoiser, 60, seed=2)

    def held_out(change):
        cells = {name: change(each) if "slopes" in each.maps else each for name, each in train.cells.items()}
        return measure(denoiser, others, fitted=replace(train, cells=cells), timesteps=6, progress=False)

    def of_format_5(cells, slopes=FEATURES):
        weights = Weights.of(cells.maps)
        maps = {"constants": weights.constants.numpy(), "slopes": weights.slopes[..., :slopes].numpy()}
        return replace(cells, maps={**cells.maps, **maps})

    now, then, before = (held_out(change) for change in (lambda x: x, of_format_5, partial(of_format_5, slopes=6)))
    t = now.measured
    assert np.array_equal(now.cells["spectral"].error, then.cells["spectral"].error)
    assert before.cells["spectral"].maps["slopes"].shape[-1] == 6
    np.testing.assert_allclose(before.cells["spectral"].error[t].sum(1), now.m[t], rtol=1e-9)
    with pytest.raises(ValueError, match="has 9 slopes, this version 8: update ddpm_dp"):
        Weights.of({"constants": np.zeros((1, 1, 1)), "slopes": np.zeros((1, 1, 9))})


def test_a_score_is_right_on_average():
    """The likelihood asks that e^2 / (m_t exp(score)) has the mean 1, after `FLOOR` was added: also where m_t is tiny,
    or all would be in the first cell.

    Within half the width of a cell, a quarter in the logarithm: cells tell no more. All these images were fitted to.
    """
    digits = load_dataset("digits").train[:200]
    stats = measure(load("digits"), digits, timesteps=12, progress=False)
    t, middles = stats.measured, LOW + (np.arange(BINS) + 0.5) * (HIGH - LOW) / BINS
    for name in ("local", "spectral"):
        cells = stats.cells[name]
        ratio = cells.error[t] / stats.fitted_m[t, None] + fitting.FLOOR * cells.mass[t]
        found = (ratio * np.exp(-middles)).sum(1)
        assert stats.fitted_m[t].min() < 1e-4 and (abs(np.log(found)) < 0.25 / 2).all()


@pytest.fixture(scope="module", params=[(2,), (3, 4, 4)])
def statistics(request):
    denoiser = TwoHeaded("v", request.param)
    return measure(denoiser, draw(denoiser, 400, seed=1), progress=False)


@pytest.mark.parametrize("variance", ["calibrated", "local", "spectral"])
def test_no_step_costs_more_than_under_one_number(statistics, variance):
    """On the images that all were fitted to: `analytic` <= `posterior` and `beta`, and cells <= `analytic` (Jensen).

    For a few ulps of the terms that cancel. (Bins with less than 1e-5 of the mass are not fitted by themselves; with so
    few images none is: a single coordinate is more.)
    """
    t, s = np.triu_indices(100, 1)[::-1]
    t, s = t + 1, s + 1
    prices = {
        name: step_costs(statistics, name).between.mean(t, s) for name in (variance, "analytic", "posterior", "beta")
    }
    slack = 1e3 * EPS * statistics.d
    assert (prices[variance] <= prices["analytic"] + slack).all()
    assert (prices["analytic"] <= np.minimum(prices["posterior"], prices["beta"]) + slack).all()


@given(st.integers(0, 10**6))
def test_splitting_a_cell_never_raises_a_fitted_price_and_merging_equals_costs_nothing(statistics, seed):
    rng = np.random.default_rng(seed)
    whole, cells = statistics, statistics.cells["local"]
    split_mass, split_error = rng.random(cells.mass.shape), rng.random(cells.mass.shape)
    t, s = np.array([100, 60, 2]), np.array([1, 59, 1])

    def price(mass_share, error_share):
        parts = (cells.mass * mass_share, cells.mass * (1 - mass_share))
        errors = (cells.error * error_share, cells.error * (1 - error_share))
        new = replace(
            cells,
            mass=np.concatenate(parts, 1),
            error=np.concatenate(errors, 1),
            mass_of_group=None,
            error_of_group=None,
            fitted=None,
        )
        new = replace(new, fitted=new.own)
        return step_costs(replace(whole, cells={**whole.cells, "local": new}), "local").between.mean(t, s)

    before = price(np.ones_like(split_mass), np.ones_like(split_error))
    slack = 1e3 * EPS * statistics.d
    assert (price(split_mass, split_error) <= before + slack).all()
    np.testing.assert_allclose(price(split_mass, split_mass), before, rtol=0, atol=slack)


def test_spectral_finds_a_covariance_that_pixels_hide():
    """Images whose errors are all in one frequency of a block: `spectral` is cheaper than any diagonal of pixels."""
    basis = BlockDct((1, 8, 8), (8, 8))
    waves = torch.zeros(2, 1, 8, 8, dtype=torch.float64)
    waves[0, 0, 1, 0], waves[1, 0, 1, 0] = 3.0, -3.0
    denoiser = MixtureDenoiser(NoiseSchedule.cosine(50), basis.images(waves).numpy(), std=0.01)
    statistics = measure(denoiser, draw(denoiser, 200, seed=1), progress=False)
    spectral, local, analytic = (
        step_costs(statistics, name).of([0, 10, 50]).steps[1] for name in ("spectral", "local", "analytic")
    )
    assert spectral < 0.7 * local and local <= analytic * (1 + 1e-12)
    assert statistics.cells["spectral"].maps["block"][50].tolist() == [8, 8]


def test_fewer_timesteps_of_held_out_statistics_keep_the_training_fit():
    """Their bins lie elsewhere between measured timesteps: the fit is taken from the training statistics again."""
    denoiser = TwoHeaded("v")
    train = measure(denoiser, draw(denoiser, 200, seed=1), progress=False)
    held_out = measure(denoiser, draw(denoiser, 200, seed=2), fitted=train, progress=False)
    judge = Measured(train, held_out.at_timesteps(held_out.measured[::3])).judge
    for name, cells in judge.cells.items():
        expected = train.cells[name].fitted if cells.output is None else cells.fitted_to(train.cells[name]).fitted
        assert np.array_equal(cells.fitted, expected)
    assert Measured(train, held_out.of_groups(np.arange(4))).judge.cells["v"].fitted is not None


def gaussian_in_a_basis(noise: NoiseSchedule, basis: BlockDct, variances: np.ndarray) -> DenoisingStatistics:
    """Exact statistics of N(0, Phi^T diag(variances) Phi) and its exact denoiser: one cell a coefficient, no sampling.

    Coefficient j has Var[c_j | x_t] = lambda_j / (1 + lambda_j snr_t) at every x_t.
    """
    d, T = len(variances), noise.T
    error = np.zeros((T + 1, d))
    error[1:] = variances / (1 + variances * noise.snr[1:, None]) / d
    mass = np.full((T + 1, d), 1 / d)
    mass[0] = 0
    maps = {"block": np.tile(basis.block, (T + 1, 1)), "constants": np.zeros((T + 1, 1, 4, 4))}
    each = Cells("spectral", mass, error, fitted=error * d, basis=basis.name, maps=maps)
    m, one = error.sum(1), np.array([1])
    # KL(q(x_T | x_0) || N(0, I)) = 1/2 sum_j [alpha^2 E c_j^2 + sigma^2 - log sigma^2 - 1]
    prior = ((noise.abar[T] * (variances - 1)) - np.log(noise.sigma2[T])).sum() / 2
    return DenoisingStatistics(
        noise=noise,
        shape=basis.shape,
        levels=None,
        counts=one,
        cells={"all": Cells.one(m[None], one, m), "spectral": each},
        prior=np.array([prior]),
        model_id="exact",
        data_id="exact",
        fitted_on="exact",
        seed=0,
        measured=np.arange(1, T + 1),
    )


@given(st.lists(st.floats(1e-3, 4), min_size=16, max_size=16), st.sets(st.integers(1, 199), max_size=12))
def test_every_path_of_a_gaussian_in_the_basis_has_its_exact_likelihood(variances, between):
    """-ELBO = E -log p(x_0) on any path, since p(x_0 | x_t) is Gaussian with that covariance: nothing is lost anywhere.

    E -log p(x_0) = 1/2 sum_j [log(2 pi lambda_j) + 1], and x_T is not N(0, I): the model's own marginal there costs
    1/2 sum_j [y - log(1 + y)] with y = abar_T (lambda_j - 1). Terms of size 10 for each coefficient, some ten steps.
    """
    noise, variances = NoiseSchedule.cosine(200), np.array(variances)
    statistics = gaussian_in_a_basis(noise, BlockDct((1, 4, 4), (4, 4)), variances)
    y = noise.abar[-1] * (variances - 1)
    exact = (np.log(2 * np.pi * variances) + 1 + y - np.log1p(y)).sum() / 2
    price = step_costs(statistics, "spectral").of([0, *sorted(between), 200])
    assert abs(price.total - exact) < 1e-9


def test_the_decoder_of_continuous_data_is_the_gaussian_of_the_cells():
    """The fitted decoder's price, and what it says of images, on data that is Gaussian in the basis but not in pixels.

    Against torch's MultivariateNormal with the covariance that the sampler would have, on the draws of the pass.
    """
    denoiser = MixtureDenoiser(NoiseSchedule.cosine(50), np.zeros((1, 1, 4, 4)), std=0.3)
    points, t = draw(denoiser, 40, seed=1), 20
    statistics = measure(denoiser, points, progress=False)
    family, cells = FAMILIES["spectral"], statistics.cells["spectral"]
    eps = np.stack([np.random.Generator(np.random.Philox(key=[0, i])).standard_normal((1, 4, 4)) for i in range(40)])
    noise = denoiser.noise
    answer = denoiser.at(torch.from_numpy(noise.alpha[t] * points + noise.sigma[t] * eps), t)
    basis, rates = family.basis((1, 4, 4), t, cells), family.rates(t, cells, answer.x0)
    rows = basis.coefficients(torch.eye(16, dtype=torch.float64).view(16, 1, 4, 4)).flatten(1)
    covariance = torch.einsum("ic,nc,jc->nij", rows, rates.flatten(1), rows)
    normal = torch.distributions.MultivariateNormal(answer.x0.flatten(1), covariance)
    expected = -normal.log_prob(torch.from_numpy(points).flatten(1))
    fitted, at = DECODERS["fitted"], np.array([t])
    decoded = fitted.decode(family, LastStep(noise, t, NONE, None, statistics), torch.from_numpy(points), answer)
    torch.testing.assert_close(decoded, expected, rtol=1e-10, atol=1e-10)
    first = fitted.prices(family, statistics).mean(at, at)[0]
    assert abs(first - expected.mean().item()) < 1e-10 * max(1, abs(first))
    assert "in each cell" in fitted.in_words(family, None) and "grey levels" in fitted.in_words(family, 256)
