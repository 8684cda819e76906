"""The package as its users meet it: names, and what an import costs."""

import subprocess
import sys

import pytest

import ddpm_dp
from ddpm_dp import cli

(COMMANDS,) = ([*each.choices] for each in cli._parser()._actions if each.dest == "command")
HEAVY = {"torch", "numba", "scipy", "matplotlib", "sklearn", "tqdm", "shtab", "importlib.metadata", "urllib.request"}


def modules_after(code: str) -> set[str]:
    """What Python has imported when it has run a line."""
    printing = f"{code}; print(*sys.modules)"
    said = subprocess.check_output([sys.executable, "-c", f"import sys, {printing}"], text=True)
    return set(said.splitlines()[-1].split())


def test_solving_needs_no_torch():
    """`import ddpm_dp`, pricing and solving must not pull in torch, whose import takes seconds."""
    code = (
        "ddpm_dp; ddpm_dp.NoiseSchedule.cosine(10); ddpm_dp.step_costs; ddpm_dp.solve; ddpm_dp.STRIDES;"
        "ddpm_dp.DenoisingStatistics"
    )
    assert "torch" not in modules_after(code)
    assert not {"numpy", *HEAVY} & modules_after("ddpm_dp")


def test_a_model_is_loaded_as_soon_as_torch_is():
    """torch's own lazy imports take as long again; arithmetic on its device "meta" is one way to have them."""
    assert not {"sympy", "torch._dynamo"} & modules_after("ddpm_dp; ddpm_dp.load('digits')")


@pytest.mark.parametrize(
    ("command_lines", "unneeded"),
    [
        (["--help", "--version", "slove"], {"numpy", "ddpm_dp.files"}),  # no registry is asked
        ([f"{command} --help" for command in COMMANDS], set()),
        ([f"{command} --no-such-option" for command in COMMANDS], set()),
    ],
)
def test_the_command_line_answers_before_anything_heavy_is_imported(command_lines, unneeded):
    """Help and refusals, each of which is printed: reading the names in registries takes numpy at most."""
    code = f"""contextlib, ddpm_dp.cli
for line in {command_lines}:
    with contextlib.suppress(SystemExit):
        ddpm_dp.cli.main(line.split())
None"""
    assert not {*unneeded, *HEAVY} & modules_after(code)


def test_every_public_name_exists():
    for name in ddpm_dp.__all__:
        assert getattr(ddpm_dp, name) is not None, name
    with pytest.raises(AttributeError, match="no_such_name"):
        ddpm_dp.no_such_name  # noqa: B018
