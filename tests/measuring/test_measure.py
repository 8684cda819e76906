"""The one pass: its numbers, its checkpoints, its memory and its refusals."""

import numpy as np
import pytest
import torch

from ddpm_dp import MixtureDenoiser, NoiseSchedule, Prediction, bits_per_dim, measure, solve, step_costs
from ddpm_dp.measuring import observers, survey
from ddpm_dp.measuring.survey import Survey
from ddpm_dp.variances import SCALAR
from tests.conftest import draw
from tests.statistics.same import same
from tests.variances.small import TwoHeaded


def test_error_is_the_exact_mmse_of_a_gaussian():
    """m_t of N(0, 0.25 I) is 0.25 sigma^2 / (0.25 alpha^2 + sigma^2), within 4 of its own standard errors."""
    gaussian = MixtureDenoiser(NoiseSchedule.cosine(50), np.zeros((1, 4)), std=0.5)
    stats = measure(gaussian, draw(gaussian, 3000, seed=0), progress=False)
    noise = gaussian.noise
    exact = 0.25 * noise.sigma2 / (0.25 * noise.abar + noise.sigma2)
    m, error = stats.mean(stats.squared_error)
    assert (np.abs(m - exact)[1:] < 4 * error[1:]).all() and error[1:].max() < 0.05 * exact.max()


def test_batches_do_not_matter_and_seeds_do(mixture, points):
    """Four batches, of which the last is not full, and whose ends are no ends of groups."""
    whole = measure(mixture, points[:300], progress=False)
    split = measure(mixture, points[:300], batch_size=77, progress=False)
    np.testing.assert_allclose(split.squared_error, whole.squared_error, rtol=1e-12)
    assert not np.allclose(measure(mixture, points[:300], seed=1, progress=False).m, whole.m)


def test_noise_of_an_image_depends_on_its_number_alone(mixture, points):
    """Image 0 alone, and as one of three (then a group by itself), has the same errors."""
    alone, among = (measure(mixture, points[:n], progress=False).squared_error[0] for n in (1, 3))
    np.testing.assert_allclose(alone, among, rtol=1e-12)


def test_statistics_of_another_model_are_refused(points, statistics):
    other = MixtureDenoiser(NoiseSchedule.linear(100), [[0.0, 0.0]], std=0.3)
    with pytest.raises(ValueError, match="measure this model"):
        measure(other, points, fitted=statistics, progress=False)


@pytest.mark.parametrize(
    ("images", "word"),
    [
        (np.zeros((3, 5)), "expected"),
        (np.zeros((0, 2)), "n >= 1"),
        (np.array([[0.0, np.nan]]), "NaN"),
    ],
)
def test_wrong_images_are_refused(mixture, images, word):
    with pytest.raises(ValueError, match=word):
        measure(mixture, images, progress=False)


@pytest.mark.parametrize("images", [np.array([[0.3, 0.0]]), np.array([[1.5, 0.0]]), np.array([[0.0, 255.0]])])
def test_images_off_the_grey_levels_are_refused(images):
    denoiser = MixtureDenoiser(NoiseSchedule.cosine(10), np.zeros((1, 2)), std=0, levels=5)
    with pytest.raises(ValueError, match="5 grey levels"):
        measure(denoiser, images, progress=False)


def test_a_model_that_answers_nan_is_refused_with_the_timestep(mixture, points):
    class Broken(MixtureDenoiser):
        def __call__(self, x_t, t):
            x0 = super().__call__(x_t, t).x0
            return Prediction(torch.where(t[:, None] == 7, torch.nan, x0))

    broken = Broken(mixture.noise, mixture.means.numpy(), mixture.std)
    with pytest.raises(ValueError, match="t = 7"):
        measure(broken, points[:10], progress=False)


def test_one_image_has_no_standard_error(mixture, points):
    price = step_costs(measure(mixture, points[:1], progress=False), "beta").of([0, 50, 100])
    assert np.isfinite(price.total) and price.standard_error == np.inf


@pytest.mark.parametrize("n", [3, 101, 2.5, True])
def test_an_impossible_number_of_timesteps_is_refused(mixture, points, n):
    with pytest.raises(ValueError, match="timesteps = "):
        measure(mixture, points[:10], timesteps=n, progress=False)


def test_interpolated_statistics_are_near_the_measured_ones(mixture, points, statistics):
    """A fifth of the timesteps: measured columns are the same to the last digit, the others within 2%."""
    few = measure(mixture, points, timesteps=20, progress=False)
    np.testing.assert_array_equal(few.squared_error[:, few.measured], statistics.squared_error[:, few.measured])
    np.testing.assert_allclose(few.m[1:], statistics.m[1:], rtol=0.02)
    for variance in SCALAR:
        full, quick = step_costs(statistics, variance), step_costs(few, variance)
        for K in (2, 5, 10, 25):
            chosen, best = solve(quick).path(K), solve(full).nats(K)
            assert full.of(chosen).total - best < 0.01  # nats, of two dimensions


@pytest.mark.parametrize("second", ["v", "u"])
def test_interpolated_second_outputs(second, points):
    """Where y does not depend on t, the histogram between two measured timesteps is theirs, with its own error."""

    class Steady(MixtureDenoiser):
        def __call__(self, x_t, t):
            x0 = super().__call__(x_t, t).x0
            return Prediction(x0, **{second: torch.full_like(x_t, 0.25)})

    denoiser = Steady(NoiseSchedule.cosine(60), [[0.5, -0.2], [-0.4, 0.3]], std=0.15)
    denoiser.second = second
    few, full = (measure(denoiser, points[:500], timesteps=n, progress=False) for n in (15, 60))
    variance, cells = {"v": "learned", "u": "predicted"}[second], few.cells[second]
    np.testing.assert_allclose(cells.mass.sum(1)[1:], 1)
    np.testing.assert_allclose(cells.error.sum(1), few.m, rtol=1e-9)
    path = [0, 2, 17, 33, 60]
    assert step_costs(few, variance).of(path).total == pytest.approx(
        step_costs(full, variance).of(path).total, rel=0.02
    )


def checkpointed(mixture, points, file, **rest):
    return measure(mixture, points[:200], checkpoint=file, save_every=0, progress=False, **rest)


def interrupt(monkeypatch, at_t: int, error: BaseException) -> None:
    """Until `monkeypatch.undo()`, the denoiser raises that error at timestep at_t."""
    at = MixtureDenoiser.at

    def interrupted(self, x_t, t, labels):
        if t == at_t:
            raise error
        return at(self, x_t, t, labels)

    monkeypatch.setattr(MixtureDenoiser, "at", interrupted)


@pytest.mark.parametrize("fit", [True, False])
def test_an_interrupted_measurement_goes_on_to_the_same_numbers(mixture, points, tmp_path, monkeypatch, fit):
    fitted = None if fit else measure(mixture, points[200:400], progress=False)
    file = tmp_path / "rows"
    interrupt(monkeypatch, 41, KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        checkpointed(mixture, points, file, fitted=fitted)
    monkeypatch.undo()
    whole = measure(mixture, points[:200], fitted=fitted)
    interrupt(monkeypatch, 40, AssertionError("timestep 40 was done, and is asked for again"))
    assert same(checkpointed(mixture, points, file, fitted=fitted), whole)


@pytest.mark.parametrize("after", [False, True])
def test_ctrl_c_while_rows_are_fetched_neither_halves_nor_doubles_one(mixture, points, tmp_path, monkeypatch, after):
    """The interrupt falls before or after the row of t = 30 is kept, and what is kept is saved once more."""
    whole, once = measure(mixture, points[:200], progress=False), iter([True])

    class Rows(dict):
        def __setitem__(self, t, row):
            interrupted = t == 30 and next(once, False)
            if interrupted and not after:
                raise KeyboardInterrupt
            super().__setitem__(t, row)
            if interrupted:
                raise KeyboardInterrupt

    begin = Survey.__init__

    def beginning(self, *arguments):
        begin(self, *arguments)
        self.rows = Rows()

    monkeypatch.setattr(Survey, "__init__", beginning)
    with pytest.raises(KeyboardInterrupt):
        checkpointed(mixture, points, tmp_path / "rows")
    monkeypatch.undo()
    with np.load(tmp_path / "rows") as file:
        assert file["t"].tolist() == [*range(1, 31)]
    assert same(checkpointed(mixture, points, tmp_path / "rows"), whole)


def test_a_full_disk_loses_nothing_that_was_done(mixture, points, tmp_path, monkeypatch):
    savez, file, calls = np.savez, tmp_path / "rows", iter(range(1000))

    def full(*arguments, **arrays):
        savez(*arguments, **arrays)
        if next(calls) == 50:
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(np, "savez", full)
    with pytest.raises(OSError, match=r"could not be written \(No space left on device\); what stood there before is"):
        checkpointed(mixture, points, file)
    assert [path.name for path in tmp_path.iterdir()] == ["rows"]
    monkeypatch.undo()
    whole = measure(mixture, points[:200], progress=False)
    interrupt(monkeypatch, 50, AssertionError("timestep 50 was done, and is asked for again"))
    assert same(checkpointed(mixture, points, file), whole)


def test_a_broken_or_foreign_checkpoint_is_refused(mixture, points, statistics, tmp_path):
    file = tmp_path / "rows"
    checkpointed(mixture, points, file)
    other = MixtureDenoiser(NoiseSchedule.linear(100), mixture.means.numpy(), mixture.std)
    for change, what in (
        ({"seed": 1}, "seed"),
        ({"timesteps": 20}, "set of timesteps"),
        ({"fitted": statistics}, "set of training statistics"),
    ):
        with pytest.raises(ValueError, match=f"belongs to another measurement, with another {what}. Give the same"):
            checkpointed(mixture, points, file, **change)
    with pytest.raises(ValueError, match="another model"):
        checkpointed(other, points, file)
    with pytest.raises(ValueError, match="another set of images and another seed"):
        checkpointed(mixture, points[1:], file, seed=1)
    gridded = MixtureDenoiser(mixture.noise, mixture.means.numpy(), mixture.std, mixture.log_weights.exp().numpy())
    gridded.levels, gridded.id = 3, mixture.id
    with pytest.raises(ValueError, match="another set of images and another number of grey levels"):
        checkpointed(gridded, np.zeros((200, 2)), file)
    whole = file.read_bytes()
    for content in (whole[: len(whole) // 2], b"", statistics.save(tmp_path / "s.npz").read_bytes()):
        file.write_bytes(content)
        with pytest.raises(ValueError, match="not the whole checkpoint"):
            checkpointed(mixture, points, file)
        assert file.read_bytes() == content  # it is the reader's to delete


@pytest.mark.parametrize("times", [2, 4])
def test_only_as_many_images_as_the_standard_error_asks_for(mixture, points, statistics, times):
    """The error that comes out is the one asked for, within what 32 groups know of it."""

    def error(stats):
        return bits_per_dim(step_costs(stats, "analytic").of(range(101)).standard_error, 2)

    wanted = times * error(statistics)
    stats = measure(mixture, points, standard_error=wanted, progress=False)
    assert stats.n < len(points) and 0.6 * wanted < error(stats) < 1.3 * wanted
    assert stats.data_id == measure(mixture, points[: stats.n], timesteps=4, progress=False).data_id  # the first ones


def test_a_tiny_standard_error_takes_all_images(mixture, points):
    assert measure(mixture, points[:300], timesteps=4, standard_error=1e-200, progress=False).n == 300


@pytest.mark.parametrize("wanted", [0.0, -1.0, float("nan")])
def test_an_impossible_standard_error_is_refused(mixture, points, wanted):
    with pytest.raises(ValueError, match="standard_error = "):
        measure(mixture, points, standard_error=wanted, progress=False)


def test_batches_are_split_when_memory_runs_out(mixture, points, capsys):
    class Large(MixtureDenoiser):
        def __call__(self, x_t, t):
            if len(x_t) > 90:
                raise torch.OutOfMemoryError("CUDA out of memory")
            return super().__call__(x_t, t)

    large = Large(mixture.noise, mixture.means.numpy(), mixture.std, mixture.log_weights.exp().numpy())
    split = measure(large, points[:300], batch_size=200, progress=False)
    whole = measure(mixture, points[:300], progress=False)
    np.testing.assert_allclose(split.squared_error, whole.squared_error, rtol=1e-12)
    assert "going on with 50 images at once" in capsys.readouterr().out
    interruptible = pytest.MonkeyPatch()
    interrupt(interruptible, 1, torch.OutOfMemoryError("CUDA out of memory"))
    with pytest.raises(torch.OutOfMemoryError):
        measure(mixture, points[:10], progress=False)  # one image at once is too much: nothing helps
    interruptible.undo()


def test_a_checkpoint_of_other_cells_is_refused(tmp_path):
    """The same model with a second output more has more to remember: rows without it are of no use."""
    bare, with_v = TwoHeaded(None), TwoHeaded("v")
    assert bare.id == with_v.id
    images = draw(bare, 20, seed=0)
    measure(bare, images, timesteps=5, checkpoint=tmp_path / "rows", save_every=0, progress=False)
    with pytest.raises(ValueError, match="another set of cells"):
        measure(with_v, images, timesteps=5, checkpoint=tmp_path / "rows", progress=False)


def test_a_second_output_that_is_nan_is_refused_with_the_timestep(mixture, points):
    class Broken(TwoHeaded):
        def __call__(self, x_t, t):
            x0, v, _ = super().__call__(x_t, t)
            return Prediction(x0, v=torch.where(t[:, None] == 7, torch.nan, v))

    with pytest.raises(ValueError, match="t = 7"):
        measure(Broken("v"), points[:10], progress=False)


def test_a_checkpoint_of_another_form_is_refused(tmp_path, monkeypatch):
    """Of continuous data, too, which have no decoder's curves."""
    denoiser = TwoHeaded("v", (3, 4, 4))
    images = draw(denoiser, 50, seed=1)
    assert denoiser.levels is None
    measure(denoiser, images, timesteps=5, checkpoint=tmp_path / "rows", save_every=0, progress=False)
    monkeypatch.setattr(survey, "FORM", survey.FORM + 1)
    with pytest.raises(ValueError, match="form of the rows"):
        measure(denoiser, images, timesteps=5, checkpoint=tmp_path / "rows", progress=False)


def test_scores_are_fitted_to_no_more_than_are_asked_for(monkeypatch):
    """However many images there are: at least FEW coefficients, and not much more than twice as many."""
    monkeypatch.setattr(observers, "FEW", 300)
    kept = []

    class Counted(observers.ScoreFit):
        def __init__(self, *arguments):
            super().__init__(*arguments)
            kept.append(self.ratio.numel())

    monkeypatch.setattr(observers, "ScoreFit", Counted)
    denoiser = TwoHeaded("v", (1, 4, 4))
    for n in (40, 400, 4000):
        measure(denoiser, draw(denoiser, n, seed=1), timesteps=4, batch_size=64, progress=False)
        assert all(300 <= count <= 2 * 300 + 2 * 16 for count in kept)
        kept.clear()
