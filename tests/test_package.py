"""The package as its users meet it: names, and what an import costs."""

import subprocess
import sys

import pytest

import ddpm_dp


def modules_after(code: str) -> set[str]:
    """What Python has imported when it has run a line."""
    printing = f"{code}; print(*sys.modules)"
    return set(subprocess.check_output([sys.executable, "-c", f"import sys, {printing}"], text=True).split())


def test_solving_needs_no_torch():
    """`import ddpm_dp`, pricing and solving must not pull in torch, whose import takes seconds."""
    code = (
        "ddpm_dp; ddpm_dp.NoiseSchedule.cosine(10); ddpm_dp.step_costs; ddpm_dp.solve; ddpm_dp.STRIDES;"
        "ddpm_dp.DenoisingStatistics"
    )
    assert "torch" not in modules_after(code)
    assert not {"torch", "numba", "matplotlib", "sklearn"} & modules_after("ddpm_dp")


def test_the_command_line_answers_before_anything_heavy_is_imported():
    assert not {"torch", "numba", "scipy", "matplotlib", "sklearn"} & modules_after("ddpm_dp.cli")


def test_every_public_name_exists():
    for name in ddpm_dp.__all__:
        assert getattr(ddpm_dp, name) is not None, name
    with pytest.raises(AttributeError, match="no_such_name"):
        ddpm_dp.no_such_name  # noqa: B018
