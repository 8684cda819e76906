"""Every family passes the conformance suite; so does one that is written here; what is half-written is refused."""

from itertools import product

import numpy as np
import pytest
import torch

from ddpm_dp import measure, negative_elbo, sample, step_costs
from ddpm_dp.measuring.observers import OBSERVERS
from ddpm_dp.registry import Registry
from ddpm_dp.variances import FAMILIES, SCALAR, ReverseVariance, served
from ddpm_dp.variances.base import OneNumber
from ddpm_dp.variances.bases import Basis
from ddpm_dp.variances.decoders import Decoder
from tests.variances.conformance import CHECKS, SHAPES, Case
from tests.variances.small import TwoHeaded

each_check = pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)


READERS = {**FAMILIES, "calibrated by u": FAMILIES["calibrated"].reading("u")}


@pytest.fixture(scope="module", params=product(READERS, SHAPES), ids=lambda each: f"{each[0]}-{len(each[1])}d")
def case(request, tmp_path_factory):
    name, shape = request.param
    return Case(READERS[name], tmp_path_factory.mktemp("family"), shape)


@each_check
def test_family(case, check):
    check(case)


class Quarter(OneNumber):
    """A family for this test alone: a quarter of the way from `posterior` to `beta`, on a log scale."""

    name = "quarter"
    words = "rho = (sigma_t^2 / sigma_s^2)^(1/4)"
    source = "nobody"
    fitted = False

    def log_rho(self, noise, t, s, cells=None, seen=None):
        return np.log(noise.sigma2[t] / noise.sigma2[s]) / 4

    def form(self, statistics):
        return None


class Turned(Quarter):
    """A family for this test alone: its basis is turned by 30 degrees, its two rho differ, and follow what it sees."""

    name = "turned"

    def see(self, prediction):
        return (1 + prediction.x0.mean(1, keepdim=True) ** 2) * torch.tensor([1.0, 3.0], dtype=torch.float64)

    def basis(self, shape, t, cells):
        return Turn()

    def log_rho(self, noise, t, s, cells=None, seen=None):
        return seen.log()


class Turn(Basis):
    name = "turn"
    MATRIX = torch.tensor([[0.75**0.5, 0.5], [-0.5, 0.75**0.5]], dtype=torch.float64)

    def coefficients(self, images):
        return images @ self.MATRIX.T

    def images(self, coefficients):
        return coefficients @ self.MATRIX


@pytest.fixture
def with_more(monkeypatch):
    """The registry, with the families of this test at its end."""
    for family in (Quarter(), Turned()):
        monkeypatch.setitem(FAMILIES._entries, family.name, family)


@each_check
def test_a_family_in_one_file_passes_too(with_more, tmp_path, check):
    check(Case(FAMILIES.named("quarter"), tmp_path))


def test_a_family_has_its_own_basis(with_more, tmp_path):
    """The sampler's covariance, and the direct bound, take it from the family; a price from pixels is another one."""
    case = Case(FAMILIES.named("turned"), tmp_path)
    x_t = torch.tensor([[0.4, -0.9]], dtype=torch.float64)
    assert abs(case.covariances(100, 30, x_t)[0, 0, 1]) > 0.1  # not diagonal in pixels
    next(check for check in CHECKS if check.__name__ == "sampler_has_the_priced_covariance")(case)
    few, t, s = case.points[:50], 100, 30
    direct = negative_elbo(case.denoiser, few, [0, s, t], variance="turned", decoder="fixed", seed=4)[:, 2]
    rng, noise = torch.Generator().manual_seed(4), case.denoiser.noise
    torch.randn((50, 2), generator=rng, dtype=torch.float64)  # the step from s to 0 comes first
    x_0 = torch.from_numpy(few)
    x_t = noise.alpha[t] * x_0 + noise.sigma[t] * torch.randn((50, 2), generator=rng, dtype=torch.float64)
    q = noise.posterior(t, s)
    p = torch.distributions.MultivariateNormal(
        q.x0 * case.denoiser.at(x_t, t).x0 + q.xt * x_t, case.covariances(t, s, x_t)
    )
    exact = torch.distributions.MultivariateNormal(q.x0 * x_0 + q.xt * x_t, q.variance * torch.eye(2).double())
    expected = torch.distributions.kl_divergence(exact, p)
    # d log-determinants and quadratic forms of size 1 to 10, a few dozen operations each
    np.testing.assert_allclose(direct, expected, rtol=1e-12, atol=1e-13)


def test_every_family_has_an_observer_of_its_cells():
    """Cells of a new kind take a second file: who fills them while measuring."""
    assert {family.cells for family in FAMILIES.values()} <= OBSERVERS.keys()


def test_a_half_written_family_is_refused_when_it_is_defined():
    with pytest.raises(TypeError, match="NoPrice lacks fitted, form, log_rho, which every"):

        class NoPrice(OneNumber):
            name, words, source = "no-price", "rho = ?", "nobody"

    with pytest.raises(TypeError, match="Bare lacks name, words, source, output, cells, fitted, .*prices"):

        class Bare(ReverseVariance):
            pass

    with pytest.raises(ValueError, match="second output = 'w' is not known; expected one of v, u"):

        class Unheard(Quarter):
            output = "w"

    with pytest.raises(TypeError, match="Wide lacks words, source, decode, prices, why_not, which every Decoder owes"):

        class Wide(Decoder):
            name = "wide"


def test_an_unknown_family_is_refused_everywhere(mixture, statistics):
    sentence = f"variance = 'large' is not known; expected one of {', '.join(FAMILIES)}"
    with pytest.raises(ValueError, match=sentence):
        step_costs(statistics, "large")
    with pytest.raises(ValueError, match=sentence):
        sample(mixture, [0, 100], 1, variance="large")


def test_two_families_of_one_name_are_refused():
    with pytest.raises(ValueError, match="variance = 'quarter' is there twice"):
        Registry("variance", [Quarter(), Quarter()])


def test_a_family_is_never_priced_as_another(with_more, tmp_path):
    """Reviews of the first edition: a new family silently had the prices of `analytic`."""
    case = Case(FAMILIES.named("quarter"), tmp_path)
    totals = {name: step_costs(case.train, name).of([0, 3, 30, 100]).total for name in (*SCALAR, "quarter")}
    assert len(set(totals.values())) == len(totals)


def test_served_families_are_those_of_both_measurements(statistics):
    with_v = measure(TwoHeaded("v"), [[0.1, 0.2]], timesteps=5, progress=False)
    anyone = {*SCALAR, "local", "spectral"}
    assert {*served(statistics)} == anyone and {*served(with_v)} == {*anyone, "learned", "calibrated"}
    assert {*served(with_v, statistics)} == anyone


def test_what_a_family_lacks_is_told(monkeypatch, mixture, statistics):
    class Bands(Quarter):
        name, cells, fitted = "bands", "bands", True

    class Elsewhere(Quarter):
        name = "elsewhere"

        def basis(self, shape, t, cells):
            return Turn()

    for family in (Bands(), Elsewhere()):
        monkeypatch.setitem(FAMILIES._entries, family.name, family)
    for name, sentence in {
        "bands": "variance = 'bands' needs the cells 'bands', which were not measured",
        "elsewhere": "variance = 'elsewhere' needs cells in the basis 'turn'; these are in 'pixels'",
    }.items():
        assert name not in served(statistics)
        with pytest.raises(ValueError, match=sentence):
            step_costs(statistics, name)
    with pytest.raises(ValueError, match="variance = 'bands' needs the cells 'bands'"):
        sample(mixture, [0, 50, 100], 1, variance="bands", statistics=statistics, progress=False)
