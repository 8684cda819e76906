"""datasets/: values on their grids, and what all sources have in common; see the files of each for the rest."""

import inspect
import subprocess
import sys

import numpy as np
import pytest

from ddpm_dp.datasets import DATASETS, load_dataset
from ddpm_dp.datasets.base import from_levels
from tests.datasets.same import assert_same


def test_importing_needs_neither_torch_nor_the_libraries_that_only_some_data_need():
    code = "import sys, ddpm_dp.datasets; print({'torch', 'sklearn', 'PIL'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "set()\n"


@pytest.mark.parametrize("source", DATASETS.values(), ids=DATASETS)
def test_a_source_declares_what_its_reader_takes(source):
    parameters = inspect.signature(source.read).parameters
    assert parameters.keys() == source.options.keys()
    for name, option in source.options.items():
        assert option.needed == (parameters[name].default is inspect.Parameter.empty)


@pytest.mark.parametrize("name", [name for name, source in DATASETS.items() if not source.options])
def test_what_needs_no_file_is_a_fixed_split_of_what_its_words_say(name):
    """The same each time; float32 in [-1, 1], on the grid of its grey levels; nothing on both sides of the split."""
    data, again = load_dataset(name), load_dataset(name)
    assert_same(data, again)
    assert data.name == name and f"{len(data.train):,} + {len(data.test):,}" in DATASETS[name].words
    assert str(data.shape) in DATASETS[name].words
    for part in (data.train, data.test):
        assert part.shape[1:] == data.shape and part.dtype == np.float32 and np.abs(part).max() <= 1
        if data.levels is not None:
            grey = np.rint((part + 1) * (data.levels - 1) / 2).astype(int)
            np.testing.assert_array_equal(part, from_levels(grey, data.levels))
    assert not {x.tobytes() for x in data.train} & {x.tobytes() for x in data.test}


@pytest.mark.parametrize("levels", [17, 256])
def test_a_grey_level_survives_the_way_to_float_and_back(levels):
    grey = np.arange(levels)
    x = from_levels(grey, levels)
    np.testing.assert_array_equal(x, np.float32(2 * grey / (levels - 1) - 1))
    np.testing.assert_array_equal(np.rint((x + 1) * (levels - 1) / 2), grey)
    assert (x.dtype, x[0], x[-1]) == (np.float32, -1, 1)


@pytest.mark.parametrize(
    "name, arguments, error, says",
    [
        ("mnist", {}, ValueError, "data set = 'mnist' is not known; expected one of digits, fashion-mnist"),
        ("images", {"size": 8}, ValueError, "images needs path="),
        ("images", {"path": "."}, ValueError, "images needs path="),
        ("images", {"path": "no/such/place", "size": 8}, FileNotFoundError, "nothing at no/such/place"),
        ("fashion-mnist", {"path": "no/such/place"}, FileNotFoundError, "nothing at no/such/place"),
        ("images", {"path": "no/such/place"}, FileNotFoundError, "nothing at no/such/place"),
        ("fashion-mnist", {"size": 28}, ValueError, "takes no size"),
        (
            "digits",
            {"path": "."},
            ValueError,
            "digits takes no path; leave out path = .* ask for one of fashion-mnist, images",
        ),
        ("digits", {"size": 8}, ValueError, "digits takes no size; leave out size = 8, or ask for one of images"),
    ],
)
def test_wrong_arguments_are_refused_in_a_sentence(name, arguments, error, says):
    with pytest.raises(error, match=says):
        load_dataset(name, **arguments)
