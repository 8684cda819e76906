"""The command line: train | measure | solve | evaluate | sample, each reading what the last wrote; and a few more.

What can be chosen, and the words for it, come from the registries. Importing these takes longer than all else before an
answer, so each command imports what it needs, and only the commands that were asked for do.
"""

import argparse
import errno
import io
import os
import shlex
import sys
from collections.abc import Callable, Container
from dataclasses import fields
from pathlib import Path
from typing import Any, NoReturn

from ddpm_dp import __version__
from ddpm_dp.memory import ran_out
from ddpm_dp.registry import Registry

EXAMPLE = """\
the whole way, file by file:
  ddpm-dp train digits --out out/model.safetensors
  ddpm-dp measure out/model.safetensors digits --split train --out out/train.npz
  ddpm-dp measure out/model.safetensors digits --split test --fitted out/train.npz --out out/test.npz
  ddpm-dp solve out/train.npz --variance analytic --out out/paths.json
  ddpm-dp evaluate out/test.npz out/paths.json
  ddpm-dp sample out/model.safetensors out/paths.json -K 32 --statistics out/train.npz --out out/samples.png
or in one go:
  ddpm-dp demo --out out
and several models side by side:
  ddpm-dp report fashion-mnist
or as a page to play with, which needs no Python to open:
  ddpm-dp explorer digits --out out/explorer.html
or what made the models that ship:
  ddpm-dp experiment digits --out out/digits
"""

Options = argparse.Namespace


class UsageError(ValueError):
    """A command line that cannot be read. `command` is the command, or None."""

    def __init__(self, command: str | None, message: str):
        super().__init__(message)
        self.command = command


def main(arguments: list[str] | None = None) -> int:
    """Run one command. A wrong input ends with one sentence and exit status 2, not with a traceback.

    Where nobody reads on (`ddpm-dp ... | head -1`), it ends without a word, as other programs do; 141 is what a shell
    says of those.
    """
    command, lower = None, ""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # it is not under pytest, in a notebook or in a window without console
            stream.reconfigure(errors="backslashreplace")  # the name of a file may not fit the terminal's alphabet
    try:
        arguments = sys.argv[1:] if arguments is None else arguments
        options = _parser(arguments).parse_args(arguments)
        command, lower = options.command, options.lower
        options.run(options)
        print(end="", flush=True)  # here, where it can still be told; sys.stdout may be None
    except (ValueError, OSError, ImportError, FloatingPointError) as error:
        if _nobody_reads(error):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # where Python's last flush goes
            return 141
        command = error.command if isinstance(error, UsageError) else command
        print(f"ddpm-dp {command}: {error}" if command else f"ddpm-dp: {error}", file=sys.stderr)
        return 2
    except (MemoryError, RuntimeError) as error:
        if not ran_out(error):
            raise
        print(f"ddpm-dp {command}: memory ran out; lower {lower}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    return 0


def _nobody_reads(error: Exception) -> bool:
    """Whether the reader of a pipe has gone. Windows may call that an invalid argument, and names no file then."""
    windows = os.name == "nt" and isinstance(error, OSError) and error.errno == errno.EINVAL and error.filename is None
    return windows or isinstance(error, BrokenPipeError)


def train(options: Options) -> None:
    from ddpm_dp.datasets import load_dataset
    from ddpm_dp.experiments.jobs import train_to
    from ddpm_dp.models.trained import load
    from ddpm_dp.training.config import TrainConfig

    config = TrainConfig(**{field.name: getattr(options, field.name) for field in fields(TrainConfig)})
    data = load_dataset(options.data, path=options.data_path, size=options.size)
    start = load(options.start, options.device) if options.start else None
    inputs = [*_model_files(options.start, options.out), *_data_files(options)]
    train_to(options.out, data, config, start, options.half, options.device, inputs, options.overwrite)
    beside = options.out.parent / "train.npz"
    _next(options, "measure", options.out, *_data_words(options), "--split", "train", "--out", beside)


def _model_files(model: str | None, out: Path) -> list[Path]:
    """The files of a model that is an input: one, that of a shipped name, or all of a diffusers folder."""
    from ddpm_dp.files import DATA

    if model is None:
        return []
    return [Path(model), DATA / model / "model.safetensors", *([out] if _inside(out, Path(model)) else [])]


def _data_files(options: Options) -> list[Path]:
    """The files of a data set that is an input: a zip; of a folder, `--out` if it would be read from there."""
    from ddpm_dp.datasets.images import IMAGE_SUFFIXES

    if options.data_path is None:
        return []
    read = options.out.suffix.lower() in (*IMAGE_SUFFIXES, ".zip", ".gz")
    return [options.data_path, *([options.out] if read and _inside(options.out, options.data_path) else [])]


def _inside(file: Path, folder: Path) -> bool:
    return folder.is_dir() and file.resolve().is_relative_to(folder.resolve())


def measure(options: Options) -> None:
    from ddpm_dp.datasets import load_dataset
    from ddpm_dp.experiments.jobs import measure_to
    from ddpm_dp.files import fingerprint
    from ddpm_dp.models.trained import Model
    from ddpm_dp.statistics import DenoisingStatistics

    model = _load(options)
    trained_on = model.about.get("dataset") if isinstance(model, Model) else options.data  # others do not say
    if trained_on != options.data:
        raise ValueError(
            f"{options.model} was trained on {trained_on}, not on {options.data}; measure it on {trained_on}."
        )
    data = load_dataset(options.data, path=options.data_path, size=options.size)
    if isinstance(model, Model) and model.about.get("data_id") != fingerprint(data.train):
        raise ValueError(
            f"{options.model} was trained on other images of {trained_on} than these (or cut to another --size); give "
            "it those."
        )
    if not isinstance(model, Model):
        model.levels = data.levels
    images, labels = {"train": (data.train, data.train_labels), "test": (data.test, data.test_labels)}[options.split]
    fitted = DenoisingStatistics.load(options.fitted) if options.fitted else None
    measure_to(
        options.out,
        model,
        images[: options.images],
        fitted,
        options.timesteps,
        options.standard_error,
        options.seed,
        options.batch_size,
        options.split,
        [
            *_model_files(options.model, options.out),
            *_data_files(options),
            *([options.fitted] if options.fitted else []),
        ],
        options.overwrite,
        _labels(options, model, data.classes, labels),
    )
    beside = options.out.parent
    if options.fitted:
        _next(options, "solve", options.fitted, "--held-out", options.out, "--out", beside / "paths.json")
    else:  # held-out images that were fitted to themselves lack the training images
        again = ("train",) if options.split == "test" else ("test", "--fitted", options.out)
        which = [options.model, *(["--diffusers"] if options.diffusers else []), *_data_words(options)]
        more = {"--guidance": options.guidance, "--timesteps": options.timesteps}
        which += [word for flag, value in more.items() if value is not None for word in (flag, value)]
        _next(options, "measure", *which, "--split", *again, "--out", beside / f"{again[0]}.npz")


def _data_words(options: Options) -> list[Any]:
    """The data set as a command line names it."""
    more = {"--data-path": options.data_path, "--size": options.size}
    return [options.data, *(word for flag, value in more.items() if value is not None for word in (flag, value))]


def _next(options: Options, *words: object) -> None:
    """Print the command that goes on from here; one process of many does."""
    from ddpm_dp.processes import Processes, usable_device

    if Processes(usable_device(options.device)).main:
        _say_next(*words)


def _say_next(*words: object) -> None:
    print(f"next: {shlex.join(['ddpm-dp', *map(str, words)])}")


def _labels(options: Options, model: Any, classes: tuple[str, ...], labels: Any) -> Any:
    """The images' labels for a class-conditional model, and None for another."""
    from ddpm_dp.processes import Processes

    if model.n_classes is None:
        return None
    if len(classes) != model.n_classes:
        raise ValueError(
            f"{options.model} is class-conditional, with {model.n_classes} classes, and {options.data} has "
            f"{len(classes) or 'no'} classes; expected a folder of images with a sub-folder for each class."
        )
    if Processes(model.device).main:
        print(f"Labels: {', '.join(f'{i} = {name}' for i, name in enumerate(classes))}.")
    return labels[: options.images]


def _load(options: Options) -> Any:
    """The model of a file, of a shipped name, or else a diffusers pipeline: a folder or hub id."""
    from ddpm_dp.files import DATA
    from ddpm_dp.models.trained import load, shipped_models
    from ddpm_dp.processes import usable_device

    folder = Path(options.model)
    ours = folder.is_file() or (DATA / folder / "model.safetensors").is_file()
    if not ours and not options.diffusers and not (folder / "model_index.json").is_file():
        raise FileNotFoundError(
            f"{options.model} is neither a model file, nor a shipped model ({', '.join(shipped_models())}), nor the "
            "folder of a diffusers pipeline; if it is a hub id, add --diffusers."
        )
    if ours and options.guidance is not None:
        raise ValueError(f"--guidance {options.guidance} is for class-conditional models, and {options.model} is none.")
    if ours:
        return load(options.model, options.device)
    from ddpm_dp.pretrained.pipelines import from_diffusers

    return from_diffusers(options.model, guidance=options.guidance).to(usable_device(options.device))


def solve(options: Options) -> None:
    from ddpm_dp.files import claimed
    from ddpm_dp.objectives import OBJECTIVES
    from ddpm_dp.reporting.compare import BUDGETS
    from ddpm_dp.reporting.publish import card_of, path_file, publish
    from ddpm_dp.solver import solve as run
    from ddpm_dp.statistics import Measured

    inputs = [file for file in (options.statistics, options.held_out) if file]
    with claimed(options.out, inputs), claimed(card_of(options.out), inputs):
        measured = Measured.load(options.statistics, options.held_out)
        T = measured.train.T
        budgets = [*dict.fromkeys(options.budgets or [K for K in BUDGETS if K <= T] or range(1, T + 1))]
        costs = OBJECTIVES[options.objective].costs(measured.train, options.variance, options.decoder)
        best = run(costs, max(budgets))
        chosen = {K: best.path(K) for K in budgets}
        file = path_file(measured, chosen, options.variance, options.objective, options.decoder)
        card = publish(file, options.out, options.overwrite)
    if measured.doubt:
        print(f"Held-out bits/dim: {measured.doubt}")
    print(
        f"Wrote {options.out}: the best path for K = {', '.join(map(str, budgets))}; {card.name} tells how to use it."
    )
    if options.held_out:
        _say_next("evaluate", options.held_out, options.out, "--fitted", options.statistics)
    else:
        _to_samples(options.out, max(budgets), options.statistics)


def _to_samples(paths: Path, K: int, statistics: Path | None) -> None:
    """Print the command that draws samples; which model it was, a file of statistics or of paths does not know."""
    fitted, picture = statistics or "TRAIN.npz", paths.with_name("samples.png")
    _say_next("sample", "MODEL", paths, "-K", K, "--statistics", fitted, "--out", picture)


def evaluate(options: Options) -> None:
    from ddpm_dp import strides
    from ddpm_dp.paths import PathFile
    from ddpm_dp.reporting.compare import compare
    from ddpm_dp.statistics import DenoisingStatistics, Measured

    held_out: Any = DenoisingStatistics.load(options.statistics)
    if options.fitted:
        held_out = Measured(DenoisingStatistics.load(options.fitted), held_out).held_out
    chosen = PathFile.load(options.paths)
    measured = Measured(chosen, held_out)
    paths = {
        "even": {K: strides.even(held_out.noise, K) for K in chosen.paths},
        "quadratic": {K: strides.quadratic(held_out.noise, K) for K in chosen.paths},
        "DP": chosen.paths,
    }
    print(compare(measured, paths, chosen.variance, chosen.decoder))
    _to_samples(options.paths, max(chosen.paths), options.fitted)


def sample(options: Options) -> None:
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    from ddpm_dp.files import claimed, finished
    from ddpm_dp.paths import PathFile
    from ddpm_dp.reporting import plotting
    from ddpm_dp.sampling import sample as run
    from ddpm_dp.statistics import DenoisingStatistics, require_chosen_on

    model = _load(options)
    chosen = PathFile.load(options.paths)
    if chosen.model_id != model.id:
        raise ValueError(f"{options.paths} was chosen for another model than {options.model}; solve for this one.")
    if options.K not in chosen.paths:
        raise ValueError(
            f"{options.paths} has no path of {options.K} steps, only K = {', '.join(map(str, chosen.paths))}."
        )
    statistics = DenoisingStatistics.load(options.statistics) if options.statistics else None
    if statistics:
        require_chosen_on(statistics, chosen)
    path = chosen.paths[options.K]
    settings = {"model": model.id, "path": path.tolist(), "n": options.n, "seed": options.seed}
    given, n = options.labels, options.n
    labels = None if given is None else [given[i % len(given)] for i in range(n)]
    settings |= {
        "labels": labels,
        "variance": chosen.variance,
        "statistics": statistics.data_id if statistics else None,
    }
    inputs = [*_model_files(options.model, options.out), options.paths, options.statistics]
    with claimed(options.out, [file for file in inputs if file]):
        if options.out.suffix.lower() != ".png":
            raise ValueError(f"--out {options.out}; expected the name of a .png file, which is what this will be.")
        if finished(options.out, options.overwrite, lambda: plotting.settings_of(options.out) == settings):
            print(f"{options.out} is finished: samples of these very settings. Nothing to do.")
            return
        images = run(model, path, n, variance=chosen.variance, statistics=statistics, labels=labels, seed=options.seed)
        figure, ax = plt.subplots(figsize=(6, 6))
        if len(model.shape) == 3:
            plotting.image_grid(ax, images, columns=-int(-(options.n**0.5) // 1))
        else:
            x, y = images.numpy().T
            ax.scatter(x, y, s=4)
            ax.set(xlabel="x", ylabel="y", aspect="equal")
        plotting.save(figure, options.out, settings)
    print(f"Wrote {options.out}: {options.n} samples in {options.K} steps.")


def report(options: Options) -> None:
    from ddpm_dp.files import DATA
    from ddpm_dp.reporting.report import report as run

    print(run(options.folder if options.folder.is_dir() else DATA / options.folder))


def explorer(options: Options) -> None:
    import webbrowser

    from ddpm_dp.explorer.bundle import MODELS, write_page
    from ddpm_dp.explorer.data import VARIANCES
    from ddpm_dp.explorer.source import Source
    from ddpm_dp.files import claimed

    names = options.models or MODELS
    with claimed(options.out, [file for name in names for file in Source.files(name)]):
        sources = [Source.named(name) for name in names]
        written = write_page(options.out, sources, tuple(options.variances or VARIANCES), options.overwrite)
    print(
        f"Wrote {written}: {', '.join(source.name for source in sources)}. Open it in any browser; it needs no network."
    )
    if options.open:
        webbrowser.open(written.resolve().as_uri())


def experiment(options: Options) -> None:
    from ddpm_dp.experiments import EXPERIMENTS
    from ddpm_dp.experiments.run import run

    run(EXPERIMENTS[options.name], options.out or Path("out") / options.name, options.data_path, options.device)


def demo(options: Options) -> None:
    from ddpm_dp.reporting.demo import demo as run
    from ddpm_dp.training.config import TrainConfig

    run(options.out, TrainConfig(steps=options.steps), options.device, options.overwrite)


class _Parser(argparse.ArgumentParser):
    """A parser whose complaints are one sentence, as all others are."""

    def exit(self, status: int = 0, message: str | None = None) -> NoReturn:
        print(end="", flush=True)  # help, too, may be piped
        super().exit(status, message)

    def parse_args(self, args: Any = None, namespace: Any = None) -> Any:
        """As argparse's own, but that what nobody asked for is told by the command that was called."""
        options, unknown = self.parse_known_args(args, namespace)
        if unknown:
            command = options.command
            raise UsageError(command, f"unrecognized arguments: {' '.join(unknown)}; see {self.prog} {command} --help.")
        return options

    def error(self, message: str) -> NoReturn:
        raise UsageError(self.prog.partition(" ")[2] or None, f"{message}; see {self.prog} --help.")


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} was given; expected a whole number, 1 or more")
    return int(text)


def _seed(text: str) -> int:
    if not text.isdecimal() or int(text) >= 2**64:
        raise argparse.ArgumentTypeError(f"{text!r} was given; expected a whole number from 0 to 2^64 - 1")
    return int(text)


def _choice(sub: argparse.ArgumentParser, flag: str, registry: Registry[Any], help: str, **rest: Any) -> None:
    """An argument that is a name in a registry; its help has the words for each."""
    default = "; default: %(default)s" if "default" in rest else ""
    words = "; ".join(f"{name}: {entry.words}" for name, entry in registry.items()).replace("%", "%%")
    sub.add_argument(flag, choices=[*registry], help=f"{help}{default}. {words}", **rest)


class _Completion(argparse.Action):
    """Print the script that completes command lines in one of the shells, and end."""

    def __call__(self, parser: argparse.ArgumentParser, namespace: Options, shell: Any, option: Any = None) -> None:
        import shtab

        print(shtab.complete(_parser(), shell))
        parser.exit()


def _parser(asked: Container[str] | None = None) -> argparse.ArgumentParser:
    """The parser; of the commands that are not among `asked` it knows the names alone. None: all are asked for."""
    parser = _Parser(
        prog="ddpm-dp",
        description="Choose the K of T timesteps of a trained DDPM that maximise its ELBO.",
        epilog=EXAMPLE,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--completion",
        action=_Completion,
        choices=("bash", "zsh", "tcsh"),
        help="print a script for your shell, for its start-up file",
    )
    commands = parser.add_subparsers(dest="command", required=True)
    examples = {line.split()[1]: line.strip() for line in EXAMPLE.splitlines() if line.startswith("  ")}

    def command(run: Callable[[Options], None], text: str, lower: str) -> argparse.ArgumentParser | None:
        """A command, if its arguments are asked for; `lower` says what to lower where memory is too small for it."""
        example = examples[run.__name__]
        sub = commands.add_parser(run.__name__, help=text, description=text, epilog=f"example: {example}")
        sub.set_defaults(run=run, lower=lower)
        return sub if asked is None or run.__name__ in asked else None

    def data_path_option(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "--data-path",
            type=Path,
            help="where fashion-mnist's files, or the folder or zip of images, are; sub-folders there are classes",
        )

    def data_options(sub: argparse.ArgumentParser) -> None:
        from ddpm_dp.datasets import DATASETS

        _choice(sub, "data", DATASETS, "the data set")
        data_path_option(sub)
        sub.add_argument("--size", type=int, help="side to which images are cropped and resized")

    def device_option(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--device", help="cpu, cuda or mps; by itself: the best there is")

    def overwrite_option(sub: argparse.ArgumentParser) -> None:
        sub.add_argument("--overwrite", action="store_true", help="replace another file of that name; never an input")

    def out_option(sub: argparse.ArgumentParser, what: str) -> None:
        sub.add_argument("--out", type=Path, required=True, help=what)
        overwrite_option(sub)

    def model_options(sub: argparse.ArgumentParser) -> None:
        sub.add_argument(
            "model", help="a .safetensors file, a shipped model's name, or the folder of a diffusers model"
        )
        sub.add_argument("--diffusers", action="store_true", help="the model is a diffusers model's hub id")
        sub.add_argument(
            "--guidance",
            type=float,
            metavar="W",
            help="classifier-free guidance, (1 + W) eps(label) - W eps(none), of a diffusers model whose last label "
            "stands for none; part of the model: give the same to `measure` and `sample`",
        )

    if sub := command(
        train,
        "train a DDPM; interrupted, the same command goes on from its last checkpoint",
        "--batch-size, --width, --depth or --T",
    ):
        from ddpm_dp.models.architectures import NETWORKS
        from ddpm_dp.noise import SCHEDULES
        from ddpm_dp.training.config import WORDS, TrainConfig
        from ddpm_dp.training.losses import LOSSES

        data_options(sub)
        out_option(sub, "the model's .safetensors file")
        sub.add_argument(
            "--start", help="a model of the same network whose weights to begin with: a file, or a shipped name"
        )
        sub.add_argument("--half", action="store_true", help="write the weights with 16 bits")
        registries: dict[str, Registry[Any]] = {"schedule": SCHEDULES, "network": NETWORKS, "loss": LOSSES}
        for field in fields(TrainConfig):
            flag = f"--{field.name.replace('_', '-')}"
            if field.name in registries:
                _choice(sub, flag, registries[field.name], f"the {field.name}", default=field.default)
            else:
                text = f"{WORDS[field.name]}; default: %(default)s"
                sub.add_argument(flag, type=type(field.default), default=field.default, help=text)
        device_option(sub)

    if sub := command(
        measure,
        "measure a model's denoising error; interrupted, the same command goes on where it was",
        "--batch-size, --images or --timesteps",
    ):
        model_options(sub)
        data_options(sub)
        sub.add_argument("--split", choices=("train", "test"), default="train", help="default: train")
        sub.add_argument("--fitted", type=Path, help="for held-out images: the training statistics")
        sub.add_argument("--images", type=_positive, help="use only the first so many images")
        sub.add_argument(
            "--standard-error",
            type=float,
            help="use only as many images as give bits/dim this standard error, about 0.01",
        )
        sub.add_argument(
            "--timesteps", type=_positive, help="measure at so many timesteps, interpolate the others; a tenth will do"
        )
        sub.add_argument("--seed", type=_seed, default=0, help="of the noise; default: 0")
        sub.add_argument("--batch-size", type=_positive, default=2048, help="images per evaluation; default: 2048")
        out_option(sub, "the statistics' .npz file")
        device_option(sub)

    if sub := command(solve, "find the best path for each budget, exactly", "the largest of --budgets"):
        from ddpm_dp.objectives import OBJECTIVES
        from ddpm_dp.variances import DECODERS, FAMILIES

        sub.add_argument("statistics", type=Path, help="what `measure` wrote, of training images")
        _choice(sub, "--variance", FAMILIES, "the reverse variance", default="analytic")
        _choice(sub, "--decoder", DECODERS, "the variance of the last step, p(x_0 | x_t)", default="fitted")
        _choice(sub, "--objective", OBJECTIVES, "what the paths minimise", default="elbo")
        sub.add_argument(
            "--held-out", type=Path, help="what `measure --split test` wrote: adds held-out bits/dim to the file"
        )
        sub.add_argument("--budgets", type=int, nargs="+", metavar="K", help="default: 4 8 16 32 64 128 256, up to T")
        out_option(sub, "the paths' .json file; a card to publish with it, .card.md, is written beside")

    if sub := command(
        evaluate,
        "price chosen and handcrafted paths on held-out images, in bits/dim",
        "the number of timesteps that were measured",
    ):
        sub.add_argument("statistics", type=Path, help="what `measure --split test --fitted ...` wrote")
        sub.add_argument("paths", type=Path, help="what `solve` wrote")
        sub.add_argument(
            "--fitted", type=Path, help="the training statistics; families with cells, as `spectral`, need them"
        )

    if sub := command(sample, "sample along a path and write a picture", "-n"):
        model_options(sub)
        sub.add_argument("paths", type=Path, help="what `solve` wrote")
        sub.add_argument("-K", type=int, required=True, help="how many steps")
        sub.add_argument("-n", type=_positive, default=64, help="how many samples; default: 64")
        sub.add_argument("--statistics", type=Path, help="the training statistics; `analytic` variance needs them")
        sub.add_argument(
            "--labels",
            type=int,
            nargs="+",
            metavar="Y",
            help="the samples' classes, 0, 1, ..., for a class-conditional model; fewer than -n are taken in turn",
        )
        sub.add_argument("--seed", type=_seed, default=0, help="default: 0")
        out_option(sub, "the picture's .png file")
        device_option(sub)

    if sub := command(
        report,
        "the paper's Table 3: every path, budget and reverse variance, for several models",
        "the number of models in the folder",
    ):
        sub.add_argument("folder", type=Path, help="fashion-mnist, or a folder with a folder for each model")

    if sub := command(
        explorer,
        "a page to play with: drag the steps, see what they cost and make, beat the DP",
        "the number of models",
    ):
        from ddpm_dp.variances import FAMILIES

        sub.add_argument(
            "models",
            nargs="*",
            metavar="model",
            help="a shipped model, or a folder with train.npz and, where there are any, test.npz and "
            "model.safetensors; default: four that ship",
        )
        sub.add_argument(
            "--variances",
            nargs="+",
            choices=[*FAMILIES],
            help="the reverse variances on the page, the simplest first; default: posterior analytic learned spectral",
        )
        out_option(
            sub, "the page, an .html file; with a name that ends in .json, its data alone, for `Open data` on a page"
        )
        sub.add_argument("--open", action="store_true", help="and open it in the browser")

    if sub := command(
        experiment,
        "train and measure all models of an experiment; interrupted, it goes on where it was",
        "the batch size in its .toml file",
    ):
        from ddpm_dp.experiments import EXPERIMENTS

        _choice(sub, "name", EXPERIMENTS, "the experiment")
        data_path_option(sub)
        sub.add_argument("--out", type=Path, help="folder to write to; default: out/NAME")
        device_option(sub)

    if sub := command(
        demo, "the whole job on the digits data set, 2 to 5 minutes on two CPU cores", "nothing: close other programs"
    ):
        sub.add_argument("--out", type=Path, default=Path("out"), help="folder to write to; default: out")
        overwrite_option(sub)
        sub.add_argument("--steps", type=int, default=6000, help="training steps; default: 6000")
        device_option(sub)
    return parser
