"""paths.py: paths in the form that other libraries take, without torch."""

import subprocess
import sys

import numpy as np
import pytest

from ddpm_dp import to_diffusers, to_improved_diffusion


def test_paths_go_out_counted_from_0():
    assert to_diffusers([0, 3, 10, 1000]) == [999, 9, 2] and to_diffusers(range(4)) == [2, 1, 0]
    assert to_improved_diffusion(np.array([0, 3, 10, 1000])) == {2, 9, 999}
    for wrong in ([], [3, 10], [0, 10, 3], [0, 1.5], [999, 9, 2], 7):
        with pytest.raises(ValueError, match="path"):
            to_diffusers(wrong)


def test_translating_a_path_needs_no_torch():
    code = "import sys, ddpm_dp; print(ddpm_dp.to_diffusers([0, 3, 10, 1000]), 'torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[999, 9, 2] False\n"
