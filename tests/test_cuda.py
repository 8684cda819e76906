"""The same numbers on a GPU as on the CPU. Without a CUDA device these tests are skipped; `make cuda` runs them.

Tolerances. Networks are float32: a product of n terms is off by some sqrt(n) 6e-8 relative, and tens of layers add up,
so two devices that sum in another order differ by less than 1e-4 of the size of an output. Convolutions in TF32,
cuDNN's default, keep 10 bits: 5e-4 a layer, less than 1e-2 in all. m_t is a mean of squares: its error is at most twice
that of the output, relative to root mean square sizes, and hardly any of it where errors have changing signs.
"""

from dataclasses import replace

import numpy as np
import pytest
import torch

import ddpm_dp
from ddpm_dp import DenoisingStatistics, bits_per_dim, ddim, measure, negative_elbo, sample, solve, step_costs
from ddpm_dp.published import PUBLISHED
from ddpm_dp.published.align_your_steps import distances
from ddpm_dp.quality import load_classifier
from ddpm_dp.variances import served
from tests.conftest import interrupt_training
from tests.training.small import TINY, weights

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device here")
MODELS = ["digits", "fashion-mnist/hybrid", "tiny-imagenet-64/hybrid"]
FLOAT32, TF32 = 1e-4, 1e-2


@pytest.fixture(params=[False, True], ids=["float32", "tf32"])
def precision(request):
    """The relative error of an output that the GPU's arithmetic allows."""
    before = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = request.param
    yield TF32 if request.param else FLOAT32
    torch.backends.cudnn.allow_tf32 = before


def images_for(model, n):
    """Draws on the model's grey levels; it need not know them."""
    grey = np.random.default_rng(0).integers(0, model.levels, (n, *model.shape))
    return 2 * grey / (model.levels - 1) - 1


@pytest.mark.parametrize("name", MODELS)
def test_statistics_are_those_of_the_cpu(name, precision):
    """Same noise by (seed, image), so m_t and all prices agree; the paths need not, where two prices are equal."""
    there, here = ddpm_dp.load(name, "cuda"), ddpm_dp.load(name, "cpu")
    images = images_for(here, 8)
    gpu, cpu = (measure(model, images, timesteps=12, progress=False) for model in (there, here))
    assert there.device.type == "cuda"
    np.testing.assert_allclose(gpu.m[1:], cpu.m[1:], rtol=2 * precision)
    for variance in served(cpu):
        price = [step_costs(stats, variance) for stats in (gpu, cpu)]
        path = solve(price[1], 8).path(8)
        bits = [float(bits_per_dim(costs.of(path).total, cpu.d)) for costs in price]
        assert abs(bits[0] - bits[1]) < 2 * precision, variance  # 1/2 log2 of a ratio of errors, and smaller


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("variance", ["posterior", "spectral"])
def test_a_seed_draws_the_same_samples(name, variance, precision):
    stats = DenoisingStatistics.load(ddpm_dp.shipped(f"{name}/train.npz"))
    path = solve(step_costs(stats, variance), 4).path(4)
    options = {"variance": variance, "statistics": stats, "seed": 0, "progress": False}
    gpu, cpu = (sample(ddpm_dp.load(name, device), path, 4, **options) for device in ("cuda", "cpu"))
    # The median: a block at the border of two classes of `spectral` may fall into the other, with other noise.
    assert torch.isfinite(gpu).all() and (gpu - cpu).abs().median() < 10 * precision


def test_a_seed_draws_the_same_ddim_samples(precision):
    path = [0, 100, 300, 700, 1000]
    gpu, cpu = (ddim(ddpm_dp.load("digits", device), path, 8, seed=0, progress=False) for device in ("cuda", "cpu"))
    torch.testing.assert_close(gpu, cpu, rtol=0, atol=10 * precision)


@pytest.mark.parametrize("variance", ["analytic", "spectral", "learned"])
def test_the_simulated_bound_is_that_of_the_cpu(variance, precision):
    name = "fashion-mnist/hybrid"
    stats = DenoisingStatistics.load(ddpm_dp.shipped(f"{name}/train.npz"))
    path, bits = solve(step_costs(stats, variance), 6).path(6), []
    for device in ("cuda", "cpu"):
        model = ddpm_dp.load(name, device)
        nats = negative_elbo(model, images_for(model, 4), path, variance=variance, statistics=stats, seed=0)
        bits.append(bits_per_dim(nats.sum(1).mean(), stats.d))
    assert abs(bits[0] - bits[1]) < 2 * precision


def test_published_methods_see_the_same_guesses(precision):
    """Guesses lie in [-1, 1] and are off by `precision`: so the square of a difference of two is off by 8 of it."""
    grid, found = np.array([1, 50, 300, 1000]), []
    for device in ("cuda", "cpu"):
        model = ddpm_dp.load("digits", device)
        found.append(distances(model, model.images(images_for(model, 8)), grid, seed=0))
    np.testing.assert_allclose(found[0], found[1], rtol=0, atol=8 * precision * 64)


@pytest.mark.parametrize("name", PUBLISHED)
def test_published_methods_run_on_the_models_device(name):
    model = ddpm_dp.load("digits", "cuda")
    path = PUBLISHED[name].paths(model, images_for(model, 8), [4], progress=False)[4]
    assert len(ddpm_dp.as_path(path, 1000)) == 5


def test_the_classifier_sees_the_same(precision):
    images = np.random.default_rng(0).uniform(-1, 1, (600, 1, 28, 28))
    gpu, cpu = (load_classifier().to(device).features(images) for device in ("cuda", "cpu"))
    assert abs(gpu - cpu).max() < precision * abs(cpu).max()


def test_training_learns_and_its_file_is_the_same_model_on_a_cpu(tmp_path):
    digits = ddpm_dp.load_dataset("digits")
    short, longer = (ddpm_dp.train(digits, replace(TINY, steps=n), device="cuda", progress=False) for n in (10, 400))
    there = longer.save(tmp_path / "model.safetensors")
    here = ddpm_dp.load(there, "cpu")
    assert longer.device.type == "cuda" and here.id == longer.id
    errors = [measure(model, digits.test[:100], progress=False).m[10] for model in (short, here)]
    assert errors[1] < errors[0]  # 400 steps know more than 10


def test_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path, monkeypatch):
    data = ddpm_dp.load_dataset("swiss-roll")
    whole = ddpm_dp.train(data, TINY, device="cuda", progress=False)
    file = tmp_path / "run.checkpoint"
    interrupt_training(monkeypatch, 37)
    with pytest.raises(KeyboardInterrupt):
        ddpm_dp.train(data, TINY, checkpoint=file, save_every=10, device="cuda", progress=False)
    monkeypatch.undo()
    resumed = ddpm_dp.train(data, TINY, checkpoint=file, device="cuda", progress=False)
    torch.testing.assert_close(
        weights(resumed), weights(whole), rtol=0, atol=1e-6
    )  # a sum may be taken in another order
