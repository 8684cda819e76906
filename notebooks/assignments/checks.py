"""What the tests of all problem sets share: an answer is judged in words.

The same comparisons serve the tests that you run and those that grade, so what passes here for rounding passes there.
Tolerance: 1e-4 of the expected number, or 1e-5 where that is smaller. float32 keeps 7 digits, and no correct answer
here loses more than two of them; a wrong formula is off by far more.
"""

import numpy as np

RTOL, ATOL = 1e-4, 1e-5


def guard(name, namespace):
    """The function called `name`, to be called with copies of arrays and lists, so that it cannot change the test's."""
    function = namespace.get(name)
    assert callable(function), f"There is no function called {name}: run the cell that defines it, and keep its name."

    def call(*arguments):
        return function(*(a.copy() if hasattr(a, "copy") else a for a in arguments))

    return call


def numbers(yours, what):
    """An answer as an array of float64: numbers, lists, NumPy or PyTorch. Asserts that it is that, without NaN."""
    assert yours is not None, f"{what} is None: does your function end with a return?"
    if hasattr(yours, "detach"):
        yours = yours.detach().cpu()
    try:
        given = np.asarray(yours, dtype=float)
    except (TypeError, ValueError):
        raise AssertionError(f"{what} should be a number or an array of numbers; yours is {yours!r:.200}.") from None
    assert not np.isnan(given).any(), f"{what} is not a number (NaN)."
    return given


def close(yours, expected, what, hint="", rtol=RTOL, atol=ATOL):
    """Assert that a number or an array is the expected one (inf where inf is expected)."""
    given, expected = numbers(yours, what), np.asarray(expected, dtype=float)
    assert given.shape == expected.shape, f"{what} has shape {given.shape}, expected {expected.shape}. {hint}"
    wrong = ~np.isclose(given, expected, rtol=rtol, atol=atol)
    if wrong.any():
        place = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = f"[{', '.join(map(str, place))}]" if place else ""
        raise AssertionError(f"{what}{where} is {given[place]:.7g}, expected {expected[place]:.7g}. {hint}")


def path(yours, K, T):
    """Assert that this is a path of K steps from 0 to T, and return it as a list of whole numbers."""
    given = numbers(yours, "Your path").ravel().tolist()
    assert all(np.isfinite(given)) and all(t == int(t) for t in given), (
        f"A path holds whole timesteps; yours is {given}."
    )
    assert len(given) != K + 2, f"Your path {given} has K + 1 = {K + 1} steps: did you count the 0?"
    assert len(given) == K + 1, f"Your path {given} has {len(given) - 1} steps, expected K = {K}: K + 1 timesteps."
    assert given[0] != T or given[-1] != 0, f"Your path {given} runs downwards: write it from 0 up to T."
    assert given[0] == 0, f"Your path {given} starts at {given[0]:g}: every path starts at 0."
    assert given[-1] == T, f"Your path {given} ends at {given[-1]:g}, expected T = {T}, where sampling starts."
    assert (np.diff(given) > 0).all(), f"Your path {given} must rise at every step."
    return [int(t) for t in given]
