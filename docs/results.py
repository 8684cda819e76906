"""Reports as the book shows them: benchmarks/results/*.txt, printed by `ddpm-dp report`, become tables of pages.

`picks` is from the .json file that `benchmarks/picks.py` writes.

No number is computed here. Computing a report takes minutes, so the book shows what is stored, and
tests/course/test_tables.py holds it against prices from the shipped statistics.
"""

import json
import re
from dataclasses import dataclass
from pathlib import Path

RESULTS = Path(__file__).parents[1] / "benchmarks" / "results"
NUMBER = r"[+-]?\d+\.\d{3}"
CELL = rf"(?:{NUMBER} \(\d+\.\d{{3}}\)|-)"
BITS = re.compile(rf"^(\w+) +(\d+)  (\w+) +(even|quadratic|DP) +({CELL}(?: +{CELL})*)$", re.M)
GAPS = re.compile(rf"^(\w+) +(\d+)  (\w+) +((?:{CELL} +){{6}})(\d+|> 256) +(\d+)$", re.M)
DECODERS = re.compile(rf"^(\w+) +(\w+) +(\w+) +((?:{NUMBER} +){{4}})((?:{CELL} *){{3}})$", re.M)
LOSSES = ("hybrid", "vlb")  # those of the paper's headline: Nichol & Dhariwal's, T = 4,000
# From the paper's abstract; its tables were not at hand when this was written.
PAPER = ["Watson et al. 2021", "ImageNet 64x64", "", "4,000", "", "", "", "less than 0.1", "at most 32"]


@dataclass(frozen=True)
class Report:
    """What a report says, cell by cell, as it was printed.

    models: how each was trained. held_out: the sentence about images and decoder. columns: the budgets.
    bits: cells of (model, T, variance, path). gaps: for (model, T, variance) three cells against all T, three against
    the best, and the fewest steps within 0.1 of either. decoders: for (model, variance, decoder) four numbers and three
    cells. conventions: what each decoder is.
    """

    models: dict[str, str]
    held_out: str
    columns: list[str]
    bits: dict[tuple[str, str, str, str], list[str]]
    gaps: dict[tuple[str, str, str], list[str]]
    decoders: dict[tuple[str, str, str], list[str]]
    conventions: dict[str, str]


def read(name: str) -> Report:
    """Read the report of a folder of models, `fashion-mnist` say.

    Raises ValueError for a file in which a line of a table was not understood.
    """
    text = (RESULTS / f"{name}.txt").read_text()
    opening, head, rest = text.split("\n\n", 2)
    lines = rest.splitlines()
    held_out = head.split(" Decoder")[0].rstrip(".")
    decoder = head.split(": ")[-1]
    report = Report(
        models=dict(re.findall(r"^  (\w+): (.+)$", opening, re.M)),
        held_out=f"{held_out}. Decoder: {decoder}.",
        columns=lines[0].split()[4:],
        bits={found.groups()[:4]: re.findall(CELL, found[5]) for found in BITS.finditer(rest)},
        gaps={f.groups()[:3]: [*re.findall(CELL, f[4]), f[5], f[6]] for f in GAPS.finditer(rest)},
        decoders={f.groups()[:3]: [*f[4].split(), *re.findall(CELL, f[5])] for f in DECODERS.finditer(rest)},
        conventions=dict(re.findall(r"^  (\w+): (.+)$", rest, re.M)),
    )
    read_lines = len(report.bits) + len(report.gaps) + len(report.decoders)
    if read_lines != sum(line.split(" ")[0] in report.models for line in lines):
        raise ValueError(f"{name}.txt has lines that are no rows of a known table; see `ddpm_dp.reporting.report`.")
    return report


def table(columns: list[str], rows: list[list[str]]) -> str:
    return "\n".join("| " + " | ".join(row) + " |" for row in [columns, ["---"] * len(columns), *rows])


def appendix(name: str) -> str:
    """All tables of a report: bits/dim by model, what few steps cost more than all, and the decoders."""
    report = read(name)
    parts = [report.held_out.replace("p(x_0 | x_t)", "$p(x_0 \\mid x_t)$")]
    for model, training in report.models.items():
        rows = {key: cells for key, cells in report.bits.items() if key[0] == model}
        T = next(iter(rows))[1]
        parts.append(f"### {name}: {model}\n\n{training}.")
        parts.append(
            table(
                ["variance", "path", *report.columns[:-1], f"all {int(T):,}"],
                [[f"`{variance}`", path, *cells] for (_, _, variance, path), cells in rows.items()],
            )
        )
    parts.append(
        f"### {name}: more than all, more than the best\n\nWhat the DP path of $K$ steps costs more than all $T$, and "
        "than the best DP path of up to 256 steps, with the standard error of the difference on the same images; and "
        "the fewest steps within 0.1 bits/dim of one and the other."
    )
    few = ["K = 8", "K = 16", "K = 32"]
    parts.append(
        table(
            [
                "model",
                "variance",
                *(f"{K}, all" for K in few),
                *(f"{K}, best" for K in few),
                "fewest, all",
                "fewest, best",
            ],
            [[model, f"`{variance}`", *cells] for (model, _, variance), cells in report.gaps.items()],
        )
    )
    parts.append(
        f"### {name}: every decoder\n\nPaths chosen and priced with the same decoder; bits/dim, and what few steps "
        "cost more than all $T$ under it. For each model the variance that is cheapest in 8 steps for training images."
    )
    parts.append(
        table(
            ["model", "variance", "decoder", *few, "all", *(f"{K}, more" for K in few)],
            [[m, f"`{variance}`", f"`{decoder}`", *cells] for (m, variance, decoder), cells in report.decoders.items()],
        )
    )
    parts.append("\n".join(f"- `{decoder}`: {escaped(words)}" for decoder, words in report.conventions.items()))
    return "\n\n".join(parts)


def gaps(name: str) -> str:
    """What few steps cost more than all, by variance; L_hybrid."""
    rows = [[f"`{v}`", *cells[:3], cells[6]] for (model, _, v), cells in read(name).gaps.items() if model == LOSSES[0]]
    return table(["variance", "K = 8", "K = 16", "K = 32", "fewest within 0.1"], rows)


def decoders(name: str) -> str:
    """What few steps cost more than all under the same decoder, and what all of them cost; L_hybrid, `spectral`."""
    found = read(name).decoders.items()
    rows = [[f"`{d}`", *cells[4:], cells[3]] for (model, v, d), cells in found if (model, v) == (LOSSES[0], "spectral")]
    return table(["decoder", "K = 8", "K = 16", "K = 32", "all 4,000, bits/dim"], rows)


def escaped(words: str) -> str:
    return re.sub(r"([_^~|*])", r"\\\1", words)


def headline() -> str:
    """The paper's headline beside ours: what few steps cost more than all, with the paper's variance and with ours."""
    rows = [PAPER]
    for name, data in (("tiny-imagenet-64", "Tiny ImageNet, 64x64"), ("fashion-mnist", "Fashion-MNIST, 28x28")):
        for (model, T, variance), cells in read(name).gaps.items():
            if model in LOSSES and variance in ("learned", "spectral"):
                rows.append(["here", data, model, f"{int(T):,}", f"`{variance}`", *cells[:3], cells[6]])
    return table(["source", "data", "loss", "T", "variance", "K = 8", "K = 16", "K = 32", "fewest within 0.1"], rows)


def by_loss(name: str, variance: str) -> str:
    """In the form of the paper's table: a row for each training loss and path, a column for each budget."""
    report = read(name)
    return table(
        ["loss", "T", "path", *report.columns],
        [[loss, f"{int(T):,}", path, *cells] for (loss, T, own, path), cells in report.bits.items() if own == variance],
    )


def picks() -> str:
    """Ten timesteps as a user would pick them: bits/dim and Frechet distances, and what they were measured with."""
    found = json.loads((RESULTS / "picks.json").read_text())
    variances = [*found["all timesteps"]]

    def cell(row: dict[str, float]) -> str:
        return f"{row['bits']:.3f} ({row['bits_error']:.3f})"

    def distance(row: dict[str, float]) -> str:
        return f"{row['limit']:.2f} ({row['standard_error']:.2f})"

    rows = [
        [name, *(cell(row[v]) for v in variances), *(distance(row[sampler]) for sampler in (*variances, "DDIM"))]
        for name, row in found["rows"].items()
    ]
    T = f"all {found['T']:,} timesteps"
    rows.append([T, *(cell(found["all timesteps"][v]) for v in variances), *["-"] * (len(variances) + 1)])
    rows.append(["real training images", *["-"] * len(variances), *[distance(found["floor"])] * (len(variances) + 1)])
    columns = [
        "timesteps",
        *(f"bits/dim, `{variance}`" for variance in variances),
        *(f"Frechet, `{variance}`" for variance in variances),
        "Frechet, DDIM",
    ]
    told = "; ".join(f"`{variance}`: {escaped(words)}" for variance, words in found["decoder"].items())
    about = (
        f"`python benchmarks/picks.py -n {found['n']}`: {found['training']}; {found['n']:,} samples a cell, seed "
        f"{found['seed']}, against {found['real']} held-out digits, in pixels, without the bias of so few samples. In "
        f"brackets: standard errors. Decoder: {told}."
    )
    return f"{table(columns, rows)}\n\n{about}"
