"""The table of `make torture`: what is done to files and to commands, and what came of it.

A case is a function that yields, for each input, the name of its row and the outcome: REFUSED, IDENTICAL, or else a few
words of what is wrong.

    python -m tests.torture.table [inputs of each fault]
"""

import resource
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from unittest.mock import patch

from tqdm.auto import tqdm

from tests import places
from tests.torture.cases import Format, formats, inputs

REFUSED, IDENTICAL = "refused", "identical"
SECONDS, BYTES = 5.0, 1 << 29  # more than any of these small files may take

Case = Callable[
    [Path, int], Iterator[tuple[str, str]]
]  # a folder and n: the name of a fault, and what came of an input


@dataclass(frozen=True)
class Row:
    """One line of the table: `wrong` counts, by its words, what was neither refused nor identical."""

    name: str
    inputs: int
    refused: int
    identical: int
    wrong: dict[str, int]

    def __str__(self) -> str:
        words = "".join(f"\n      {number} x {what}" for what, number in self.wrong.items())
        wrong = sum(self.wrong.values())
        return f"{self.name:<40}{self.inputs:>8}{self.refused:>9}{self.identical:>11}{wrong:>7}{words}"


def outcome(format: Format, content: bytes, path: Path, expected: object) -> str:
    """What reading a changed file comes to."""
    path.write_bytes(content)
    began, most = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        found = IDENTICAL if format.read(path) == expected else "other values"
    except (ValueError, OSError) as error:
        text = str(error)
        # the file's name, one line, an end: a sentence for a reader
        sentence = path.name in text and "\n" not in text and text.endswith(".")
        found = REFUSED if sentence else f"no sentence: {text[:90]!r}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        found = f"{type(error).__name__}: {str(error)[:90]}"
    if time.monotonic() - began > SECONDS:
        return f"took {time.monotonic() - began:.0f} s"
    if resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - most > BYTES // 1024:
        return "took memory"
    return found


def files(folder: Path, n: int) -> Iterator[tuple[str, str]]:
    """Every format under every fault."""
    for format in formats(folder):
        expected, path = format.read(format.file), format.file.with_name(f"read {format.file.name}")
        assert format.read(format.file) == expected, "reading twice gives the same"
        for fault, content in inputs(format, n):
            yield f"{format.name}: {fault}", outcome(format, content, path, expected)


def table(n: int, cases: Iterable[Case] = (files,), progress: bool = False) -> list[Row]:
    """Run cases with n inputs of each fault."""
    found: dict[str, Counter[str]] = {}
    with (
        tempfile.TemporaryDirectory() as folder,
        tqdm(unit="input", disable=not progress) as bar,
        patch("os.fsync"),  # no power cut is tried here, and waiting for the disk takes ten times as long as the rest
    ):
        for number, case in enumerate(cases):
            for name, what in case(Path(folder) / str(number), n):
                found.setdefault(name, Counter())[what] += 1
                bar.update()
    return [
        Row(
            name, counts.total(), counts[REFUSED], counts[IDENTICAL],
            {what: number for what, number in counts.items() if what not in (REFUSED, IDENTICAL)},
        )
        for name, counts in found.items()
    ]  # fmt: skip


def main() -> int:
    rows = table(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, [files, *places.CASES], progress=True)
    print(f"{'format or fault':<40}{'inputs':>8}{'refused':>9}{'identical':>11}{'wrong':>7}")
    print(*rows, sep="\n")
    wrong = sum(sum(row.wrong.values()) for row in rows)
    print(f"\n{sum(row.inputs for row in rows):,} inputs, {wrong} wrong.")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
