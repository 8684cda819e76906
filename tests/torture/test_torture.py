"""A changed file is refused in a sentence, or says the same: the short form of `make torture`, and its full one."""

import pytest

from tests.torture.table import table


def wrong(n: int) -> list[str]:
    return [str(row) for row in table(n) if row.wrong]


def test_changed_files_are_refused_or_the_same():
    assert not wrong(17)  # of each of three faults: 51 a format


@pytest.mark.nightly
def test_many_changed_files_are_refused_or_the_same():
    assert not wrong(2000)
