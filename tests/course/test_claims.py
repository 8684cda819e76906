"""The reader of sentences finds what is wrong, and lets pass what is right."""

import pytest

from tests.course.claims import RULES, contradictions

WRONG = {
    "more than": "it costs 0.09 bits/dim, more than 0.1",
    "less than": "it costs 0.127, less than 0.1",
    "as much as": "it costs 0.10, as much as 0.2",
    "rises": "the price rises from 3.2 to 1.1",
    "falls": "The price falls from $1{,}000$ bits to 4,000",
    "between": "between 4 and 3 steps",
    "part of": "in 29 of 28 pairs",
}

RIGHT = {
    "more than": "it costs 0.127 bits/dim, more than 0.1",
    "less than": "16 steps, fewer than 32",
    "as much as": "it costs 0.10, as much as 0.1",
    "rises": "the price rises from 1.1 bits/dim to 3.2",
    "falls": "The price falls from $4{,}000$ bits to 1,000",
    "between": "between 3 and 4 steps",
    "part of": "in 19 of 28 pairs",
}


@pytest.mark.parametrize("rule", RULES)
def test_each_rule_finds_a_contradiction(rule):
    assert len(list(contradictions(WRONG[rule]))) == 1
    assert not list(contradictions(RIGHT[rule]))


@pytest.mark.parametrize("text", ["nan bits", "-0.00 more", "1 steps cost", "{name} wins", "it is None"])
def test_what_no_reader_should_meet(text):
    assert list(contradictions(text))


@pytest.mark.parametrize("text", ["11 steps", "0.1 steps", "-0.05 bits", "from 1 to 3 steps", "nanoseconds", "x_{t}"])
def test_what_is_right_passes(text):
    assert not list(contradictions(text))
