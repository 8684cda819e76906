"""pretrained/: the list of sources, which needs neither torch nor diffusers."""

import subprocess
import sys

import pytest

import ddpm_dp
from ddpm_dp.pretrained import SOURCES


def test_listing_needs_neither_torch_nor_diffusers():
    code = "import sys, ddpm_dp.pretrained; print({'torch', 'diffusers'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize("source", SOURCES.values(), ids=SOURCES)
def test_a_source_is_called_as_it_says(source):
    """Its function is public, and so is what translates the path back."""
    name = source.call.partition("(")[0]
    assert source.function.__name__ == name and getattr(ddpm_dp, name) is source.function
    for translation in (word.partition("(")[0] for word in source.back.split() if "(" in word):
        assert callable(getattr(ddpm_dp, translation))
