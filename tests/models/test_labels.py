"""Class-conditional denoisers: measured, priced and sampled with labels, and never without."""

import numpy as np
import pytest

from ddpm_dp import DenoisingStatistics, MixtureDenoiser, ddim, measure, negative_elbo, sample, step_costs
from ddpm_dp.published import PUBLISHED
from tests.models.labelled import MEANS, Labelled, drawn

PATH = [0, 3, 10, 22, 50]


@pytest.mark.parametrize("shift", [0, 1])
def test_errors_and_prices_are_the_closed_forms(shift):
    """m_t = std^2 sigma^2 / (alpha^2 std^2 + sigma^2); a wrong label adds the square of (1 - alpha shrink) (mu - mu').

    `posterior` then costs d/2 delta m_t a step. All within 4 of their own standard errors.
    """
    model, (points, labels) = Labelled(), drawn(4000)
    wrong = (labels + shift) % len(MEANS)
    stats = measure(model, points, labels=wrong, progress=False)
    noise = model.noise
    spread = noise.abar * model.std**2 + noise.sigma2
    between = ((MEANS[labels] - MEANS[wrong]) ** 2).mean()
    exact = model.std**2 * noise.sigma2 / spread + (1 - noise.abar * model.std**2 / spread) ** 2 * between
    m, error = stats.mean(stats.squared_error)
    assert (np.abs(m - exact)[1:] < 4 * error[1:]).all()
    t, s = np.array(PATH[2:]), np.array(PATH[1:-1])
    price = step_costs(stats, "posterior").of(PATH)
    steps = (noise.snr[s] - noise.snr[t]) * exact[t]  # d = 2
    assert abs(price.steps[1:].sum() - steps.sum()) < 4 * price.standard_error
    assert stats.n_classes == 3


def test_guidance_costs_the_square_of_its_weight():
    """The error of a posterior mean is orthogonal to all that the label and x_t tell: m_t rises by w^2 E ||D||^2 / d,
    D the difference that the label makes. So m(2) - m(0) is 4 times m(1) - m(0), within 5 standard errors of that."""
    points, labels = drawn(4000)
    none, one, two = (
        measure(Labelled(w), points, labels=labels, timesteps=20, progress=False).squared_error for w in (0.0, 1.0, 2.0)
    )
    stats = measure(Labelled(), points, labels=labels, timesteps=20, progress=False)
    zero, error = stats.mean((two - none) - 4 * (one - none))
    rise, spread = stats.mean(one - none)
    assert (np.abs(zero)[1:] <= 5 * error[1:] + 1e-12).all()  # and rounding, where the label is told by x_t
    assert (rise[20:] > 5 * spread[20:]).all()


@pytest.mark.parametrize("guidance", [0.0, 1.5])
def test_a_price_is_what_simulation_says(guidance):
    """Other noise, other code: the difference is within 4 of both standard errors together."""
    model, (points, labels) = Labelled(guidance), drawn(3000)
    price = step_costs(measure(model, points, labels=labels, progress=False), "posterior", "fixed").of(PATH)
    simulated = negative_elbo(model, points, PATH, labels=labels, decoder="fixed", seed=1).sum(1)
    error = np.hypot(price.standard_error, simulated.std() / np.sqrt(len(points)))
    assert abs(price.total - simulated.mean()) < 4 * error


@pytest.mark.parametrize("sampler", [sample, ddim])
def test_samples_of_a_label_are_of_its_component(sampler):
    """Means, within 5 standard errors of a component's own spread, which no step exceeds."""
    labels = np.repeat([0, 1, 2], 400)
    points = sampler(Labelled(), range(51), 1200, labels=labels, progress=False).numpy()
    for label, mean in enumerate(MEANS):
        np.testing.assert_allclose(points[labels == label].mean(0), mean, atol=5 * 0.2 / 20)
    alike = sampler(Labelled(), PATH, 3, labels=2, progress=False)
    assert (alike == sampler(Labelled(), PATH, 3, labels=[2, 2, 2], progress=False)).all()


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (None, "was given no labels; give labels=, whole numbers from 0 to 2, one for each of 4 images"),
        ([0, 1, 2], r"Labels of shape \(3,\)"),
        ([0, 1, 2, 3], "Labels from 0 to 3"),
        ([0, 1, 2, -1], "Labels from -1 to 2"),
        ([0.0, 1.0, 2.0, 0.0], "type float64"),
        ([True] * 4, "type bool"),
    ],
)
def test_never_without_the_right_labels(labels, reason):
    points, model = np.zeros((4, 2)), Labelled()
    for run in (
        lambda: measure(model, points, labels=labels, progress=False),
        lambda: negative_elbo(model, points, PATH, decoder="fixed", labels=labels),
        lambda: sample(model, PATH, 4, labels=labels),
        lambda: ddim(model, PATH, 4, labels=labels),
    ):
        with pytest.raises(ValueError, match=reason) as refused:
            run()
        assert str(refused.value).count(". ") == 0  # one sentence


def test_who_has_no_labels_to_give_is_told():
    points = np.zeros((4, 2))
    with pytest.raises(ValueError, match="was given no labels"):
        Labelled().at(Labelled().images(points), 3)
    with pytest.raises(ValueError, match="has no labels to give"):
        PUBLISHED["gits"].paths(Labelled(), points, [3])
    with pytest.raises(ValueError, match="takes none; leave them out"):
        measure(MixtureDenoiser(Labelled().noise, MEANS, 0.2), points, labels=[0, 1, 2, 0], progress=False)


def test_labels_stay_with_their_images(tmp_path):
    """In batches, in a pilot run's first images, and in a checkpoint; and the file says that there were some."""
    model, (points, labels) = Labelled(), drawn(300)
    whole = measure(model, points, labels=labels, timesteps=10, progress=False)
    split = measure(model, points, labels=labels, timesteps=10, batch_size=77, progress=False)
    np.testing.assert_allclose(split.squared_error, whole.squared_error, rtol=1e-12)
    few = measure(model, points, labels=labels, timesteps=10, standard_error=0.2, progress=False)
    first = measure(model, points[: few.n], labels=labels[: few.n], timesteps=10, progress=False)
    assert few.n < 300
    np.testing.assert_array_equal(few.squared_error, first.squared_error)
    assert DenoisingStatistics.load(whole.save(tmp_path / "stats.npz")).n_classes == 3
    file = tmp_path / "rows"
    measure(model, points, labels=labels, timesteps=10, checkpoint=file, save_every=0, progress=False)
    with pytest.raises(ValueError, match="with another set of labels"):
        measure(model, points, labels=labels[::-1], timesteps=10, checkpoint=file, progress=False)
