"""The explorer's page without a kernel, read as text."""

import pytest

from ddpm_dp.explorer.frames import frames


def test_frames_need_no_kernel(digits):
    page = frames(digits, [2, 4, 8, 32], samples=None)
    assert page.count('class="ddpm-slide"') == 4 and page.count(" hidden>") == 3 and "<script" not in page
    assert len(page) < 200_000 and "32 steps of 1,000" in page and "http" not in page
    with pytest.raises(ValueError, match="start = 32"):
        frames(digits, [2, 4])
