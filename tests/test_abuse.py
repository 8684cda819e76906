"""What students' notebooks have done to graders, or might: damaged files, endless loops, attacks.

A file's damage is tried on problem set 1; what a cell does, in a student's process alone, which takes no grading.
"""

import json
import os
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest

from tests.assignments import COURSE
from tests.test_assignments import answers, graded, hand_in, lost, points, ways

import grading.answers  # isort: skip
from grading.answers import Answers, Cell  # isort: skip
from grading.data import pack, unpack  # isort: skip
from grading.grade import grade  # isort: skip
from grading.hand_ins import NotGradable, made_whole, marks, read  # isort: skip
from grading.grade import source_of  # isort: skip

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="the walls are Linux's")


def mostly_nightly(cases, *kept: str) -> list:
    """Cases for `parametrize`, of which all but a few are tried at night only."""
    return [pytest.param(case, marks=() if case in kept else pytest.mark.nightly) for case in cases]


# Files: what is repaired, and what is not -----------------------------------------------------------------------------


def damaged(file: Path, how: str) -> Path:
    """The right hand-in of problem set 1, in one of the states that hand-ins arrive in."""
    notebook = nbformat.read(file, as_version=4)
    cells = notebook.cells
    if how == "a copied answer cell":
        place = next(i for i, cell in enumerate(cells) if marks(cell).get("grade_id") == "posterior")
        cells.insert(place + 1, nbformat.from_dict({**cells[place], "id": "copy"}))
    elif how == "shuffled":
        cells.reverse()
    elif how == "no marks":
        for cell in cells:
            cell.metadata.clear()
    elif how == "marks that are none":
        for number, cell in enumerate(cells):
            cell.metadata["nbgrader"] = [[], {"grade_id": ["kl_bits"]}, "x", None, {"grade_id": None}][number % 5]
    elif how == "another kernel":
        notebook.metadata = {"kernelspec": {"name": "ir", "display_name": "R", "language": "R"}}
    elif how == "edited tests":
        for cell in cells:
            if "import checks" in cell.source:
                cell.source = "import checks\nchecks.close = lambda *a, **k: None\nraise SystemExit"
    elif how == "no tests":
        notebook.cells = [cell for cell in cells if not marks(cell).get("locked")]
    elif how == "an old format":
        file.write_text(
            json.dumps(
                {
                    "nbformat": 3,
                    "nbformat_minor": 0,
                    "metadata": {},
                    "worksheets": [
                        {
                            "cells": [
                                {
                                    "cell_type": "code",
                                    "input": c.source,
                                    "language": "python",
                                    "outputs": [],
                                    "metadata": {},
                                }
                                if c.cell_type == "code"
                                else {"cell_type": "markdown", "source": c.source, "metadata": {}}
                                for c in cells
                            ]
                        }
                    ],
                }
            )
        )
        return file
    elif how == "half a character":
        cells.append(nbformat.v4.new_code_cell("PLACE"))
    nbformat.write(notebook, file)
    if how == "cut off":
        text = file.read_text()
        file.write_text(text[: text.rindex("why_a_sum")])
    elif how == "a byte-order mark":
        file.write_bytes(b"\xef\xbb\xbf" + file.read_bytes())
    elif how == "half a character":
        file.write_text(file.read_text().replace("PLACE", "x = '\\ud800'"))
    return file


@pytest.mark.slow
@pytest.mark.parametrize(
    "how, repaired",
    [
        ("a copied answer cell", "there are 2 cells 'posterior'"),
        pytest.param("shuffled", "another order", marks=pytest.mark.nightly),
        pytest.param("no marks", "lost its mark", marks=pytest.mark.nightly),
        pytest.param("marks that are none", "lost its mark", marks=pytest.mark.nightly),
        pytest.param("another kernel", None, marks=pytest.mark.nightly),
        pytest.param("edited tests", None, marks=pytest.mark.nightly),
        pytest.param("no tests", None, marks=pytest.mark.nightly),
        ("cut off", "damaged or cut off"),
        pytest.param("an old format", "lost its mark", marks=pytest.mark.nightly),
        pytest.param("a byte-order mark", None, marks=pytest.mark.nightly),
        pytest.param("half a character", None, marks=pytest.mark.nightly),
    ],
)
def test_what_can_be_repaired_costs_nothing(how, repaired, tmp_path):
    file = damaged(hand_in("ps1", answers("ps1"), tmp_path / "other name.IPYNB"), how)
    result = grade("ps1", file, ways("ps1"))
    assert lost(result) == {}
    assert repaired is None or any(repaired in repair for repair in result.repairs), result.repairs
    nbformat.write(result.notebook, tmp_path / "back.ipynb")  # can be handed back


@pytest.mark.parametrize(
    "text",
    ["", "no notebook", "[1, 2]", '{"cells": 3}', '{"cells": [3]}', "[" * 100_000, '{"cells": [{"source": {}}]}'],
)
def test_what_cannot_be_read_is_not_graded_and_is_not_0_points(text, tmp_path):
    (file := tmp_path / "ps1.ipynb").write_text(text)
    with pytest.raises(NotGradable):
        made_whole(source_of("ps1"), *read(file))


@pytest.mark.slow
def test_scratch_work_harms_nobody_and_may_help(tmp_path):
    notebook = nbformat.read(hand_in("ps1", answers("ps1"), tmp_path / "ps1.ipynb"), as_version=4)
    scratch = ["sum = 0\nlist = []\nmax = 3.0", "np.e = 0", "raise SystemExit", "helper = np.log"]
    for source in scratch[::-1]:
        notebook.cells.insert(1, nbformat.v4.new_code_cell(source))
    for cell in notebook.cells:
        if marks(cell).get("grade_id") == "bits_per_dim":
            cell.source = "def bits_per_dim(nats, shape):\n    return nats / sum([np.prod(shape) * helper(2)])"
    nbformat.write(notebook, tmp_path / "ps1.ipynb")
    assert lost(grade("ps1", tmp_path / "ps1.ipynb", ways("ps1"))) == {}


# Notebooks that go for points -----------------------------------------------------------------------------------------

EMPTY_BUT = {
    "input transformers": 'get_ipython().input_transformers_cleanup.append(lambda lines: ["pass\\n"])',
    "patched checks": "import checks\nchecks.close = checks.guard = checks.numbers = lambda *a, **k: 0",
    "patched numpy": "import numpy\nnumpy.isclose = numpy.allclose = lambda *a, **k: numpy.array(True)",
    "patched builtins": "import builtins\nbuiltins.AssertionError = KeyError\nbuiltins.callable = lambda f: True",
    "stripped asserts": "import ast\nast.Assert = ast.Pass\nimport sys\nsys.flags = None",
    "stack frames": """
import sys
frame = sys._getframe()
while frame:
    frame.f_globals.update(close=print)
    frame = frame.f_back
""",
    "a patched grader": """
import sys
for name, module in list(sys.modules.items()):
    if name.startswith("grading"):
        module.pack = lambda value: b'["value", 1]'
""",
}


@pytest.mark.slow
@pytest.mark.nightly
def test_an_empty_notebook_gets_nothing_whatever_it_patches(tmp_path):
    for name, source in EMPTY_BUT.items():
        result = graded("ps1", {"kl_bits": source}, tmp_path)
        assert set(lost(result)) == set(points("ps1")), name


@pytest.mark.slow
def test_who_patches_after_answering_loses_no_more_than_is_patched(tmp_path):
    """A tampered process can spoil the answers in it, and those only: here all but one answer come before."""
    result = graded("ps1", answers("ps1") | {"negative_elbo": "import os\nos._exit(0)"}, tmp_path)
    assert set(lost(result)) == {"test_negative_elbo"}
    assert "ended the process" in lost(result)["test_negative_elbo"]


# What a student's process may do --------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def processes():
    return ways("ps1")


def outcome(processes, source: str, call: str = "", *arguments, library=False, seconds=2.0):
    """What a cell that fails says, or what the call of one of its functions returns or says."""
    answers = Answers(processes, [Cell("cell", source, False)], library=library, seconds=5)
    try:
        answers._start()
        if answers.ran["cell"].error or not call:
            return answers.ran["cell"].error or answers.ran["cell"].printed
        return answers(call, *arguments, seconds=seconds)
    except AssertionError as said:
        return str(said)
    finally:
        answers.close()


PARTS, SOURCE = COURSE / "grading" / "parts" / "ps1.py", COURSE / "source" / "ps1" / "ps1.ipynb"
READING = {
    "open": f"open({str(PARTS)!r})",
    "the source": f"open({str(SOURCE)!r})",
    "import": f"import sys\nsys.path.insert(0, {str(COURSE)!r})\nimport grading.parts.ps1",
    "below a folder": f"import os\nos.open('parts/ps1.py', 0, dir_fd=os.open({str(PARTS.parents[1])!r}, 0))",
    "a link": f"import os\nos.link({str(PARTS)!r}, 'x')\nopen('x')",
    "a symbolic link": f"import os\nos.symlink({str(PARTS)!r}, 'x')\nopen('x')",
    "C": f"import ctypes\nassert ctypes.CDLL(None).open({os.fsencode(PARTS)!r}, 0) >= 0",
    "torch": f"import torch\ntorch.from_file({str(PARTS)!r}, size=20, dtype=torch.uint8)",
    "numpy": f"import numpy\nnumpy.fromfile({str(PARTS)!r}, 'uint8')",
    "a database": f"import sqlite3\nsqlite3.connect({str(COURSE / 'gradebook.db')!r}).execute('create table a (b)')",
    "the library": "import sys\nsys.meta_path.pop(0)\nimport ddpm_dp",
    "home": "import os, pathlib\n[open(p) for p in pathlib.Path(os.path.expanduser('~')).iterdir() if p.is_file()][0]",
    "the lecturer's memory": f"open('/proc/{os.getpid()}/mem', 'rb')",
    "the lecturer's environment": f"open('/proc/{os.getpid()}/environ')",
    "its own first environment": "open('/proc/self/environ')",
    "the parent's memory": "import os\nopen(f'/proc/{os.getppid()}/mem', 'rb')",
}
DOING = {
    "a program": "import subprocess\nsubprocess.run(['true'])",
    "a program, by os": "import os\nos.system('true')",
    "a program, from C": "import ctypes\nassert ctypes.CDLL(None).system(b'exit 0') == 0",
    "a process": "import os\nos.fork()",
    "a pool": "from multiprocessing import Pool\nPool(2)",
    "a signal": "import os\nos.kill(os.getppid(), 9)",
    "a signal, from C": "import ctypes, os\nassert ctypes.CDLL(None).kill(os.getppid(), 0) == 0",
    "a socket": "import socket\nsocket.socket()",
    "a socket, from C": "import ctypes\nassert ctypes.CDLL(None).socket(1, 1, 0) >= 0",
    "writing": f"open({str(COURSE / 'left.txt')!r}, 'w')",
    "removing": f"import os\nos.remove({str(COURSE / 'STUDENTS.md')!r})",
}


@linux
@pytest.mark.slow
@pytest.mark.parametrize("how", mostly_nightly(READING, "C", "import", "the parent's memory"))
def test_what_is_closed_cannot_be_read(how, processes):
    said = outcome(processes, READING[how] + "\nprint('LEAKED')")
    assert "LEAKED" not in said and "Error" in said, said


@linux
@pytest.mark.slow
@pytest.mark.parametrize("how", mostly_nightly(DOING, "a program, from C", "a signal, from C", "a socket, from C"))
def test_nothing_is_started_called_stopped_or_written(how, processes):
    said = outcome(processes, DOING[how] + "\nprint('done')")
    assert "done" not in said and "Error" in said, said
    assert (COURSE / "STUDENTS.md").is_file() and not (COURSE / "left.txt").exists()


@linux
@pytest.mark.slow
def test_rights_of_files_stay_as_they_are(processes):
    before = (COURSE / "STUDENTS.md").stat().st_mode
    outcome(processes, f"import os\nos.chmod({str(COURSE / 'STUDENTS.md')!r}, 0)")
    assert (COURSE / "STUDENTS.md").stat().st_mode == before


@pytest.mark.slow
def test_a_process_knows_no_test_and_no_secret_of_the_environment(processes, monkeypatch):
    known = outcome(processes, "import sys, os\ndef f(): return [sorted(sys.modules), dict(os.environ)]", "f")
    assert [name for name in known[0] if name.split(".")[0] in ("grading", "checks", "tests", "ddpm_dp")] == [
        "grading", "grading.data", "grading.walls", "grading.worker",
    ]  # fmt: skip
    assert "HOME" in os.environ and "HOME" not in known[1]


@pytest.mark.slow
def test_the_library_can_be_named_and_not_called(processes):
    named = "import ddpm_dp\nfrom ddpm_dp.solver import solve\nDP = ddpm_dp.solve\n"
    assert outcome(processes, named + "def f(): return 1", "f") == 1
    assert outcome(processes, named + "def f(): return DP(1)", "f") == "f calls ddpm_dp.solve: here the work is yours."


HONEST = {  # f() is 3
    "tqdm": """
from tqdm.auto import tqdm
def f(): return sum(tqdm([1, 2]))
""",
    "logging": """
import logging, sys
logging.basicConfig()
kept = sys.stderr
def f():
    logging.warning("x")
    print("x", file=kept)
    return 3
""",
    "builtins as names": """
sum = 0
list = []
def f(): return sum(list((1, 2)))
""",
    "a question": """
total = 3  # why?
rest = (7
    % 4)
def f():
    '''What for?'''
    return total
""",
    "magic": """
%matplotlib inline
!ls
def f(): return 3
""",
    "display": """
def f():
    display("x")
    return 3
""",
    "files of its own": """
import tempfile
def f():
    file = open("x", "w+")
    file.write("abc")
    tempfile.TemporaryFile().write(b"a")
    return file.tell()
""",
    "a thread that sleeps": """
import threading, time
threading.Thread(target=time.sleep, args=(1e6,)).start()
def f(): return 3
""",
    "a thread that works": """
import threading
def on():
    while True: pass
threading.Thread(target=on).start()
def f(): return sum(range(10**6)) - 499999499997
""",
    "fractions": """
from fractions import Fraction
import numpy as np
def f(): return np.longdouble(1) + Fraction(4, 2)
""",
    "an array without axes": """
import numpy as np
def f(): return np.array(3.0)
""",
    "float16": """
import torch
def f(): return torch.ones(3, dtype=torch.float16, requires_grad=True).sum()
""",
    "scipy": """
import scipy.optimize
def f(): return round(scipy.optimize.brentq(lambda x: x - 3, 0, 9))
""",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", mostly_nightly(HONEST, "an array without axes", "tqdm", "builtins as names"))
def test_honest_work_runs(what, processes):
    answer = outcome(processes, HONEST[what], "f", seconds=5)
    assert answer == 3 and np.shape(answer) == ()


ENDLESS = {
    "a loop in C": ("def f(): return sum(range(10**14))", "is not done after 1 s"),
    "a loop that swallows": (
        "def f():\n    while True:\n        try:\n            while True: pass\n        except: pass",
        "is not done after 1 s",
    ),
    "a generator": ("def f():\n    yield 1\n    while True: pass", "is not done after 1 s"),
    "endless printing": ("def f():\n    while True: print('here ' * 1000)", "is not done after 1 s"),
    "15 GB": ("def f(): return bytearray(15 * 2**30)", "more memory than there is"),
    "os._exit": ("import os\ndef f(): os._exit(0)", "ended the process"),
    "os.abort": ("import os\ndef f(): os.abort()", "ended the process"),
    "SystemExit": ("def f(): exit()", "f stopped with SystemExit"),
    "deep recursion": ("import sys\nsys.setrecursionlimit(10**9)\ndef f(): return f()", "f "),
    "its own words fail": ("class E(Exception):\n    def __str__(self): raise E\ndef f(): raise E", "f stopped with"),
    "too much": ("def f(): return ['x' * 2**20] * 100", "takes"),
    "a million": ("def f():\n    while True: yield 1", "more than 1,000,000"),
    "no data": ("def f(): return object()", "expected numbers"),
}


@pytest.mark.slow
@pytest.mark.parametrize("what", mostly_nightly(ENDLESS, "a loop in C", "os._exit", "15 GB"))
def test_an_answer_that_ends_badly_is_a_sentence_and_the_next_call_works(what, processes):
    source, said = ENDLESS[what]
    answers = Answers(processes, [Cell("cell", source + "\ndef g(): return 3", False)], seconds=5)
    with pytest.raises(AssertionError, match=said):
        answers("f", seconds=1)
    assert answers("g", seconds=5) == 3
    answers.close()


# Messages that are none -----------------------------------------------------------------------------------------------

FIND = """
import os, sys, time
frame = sys._getframe()
while 'connection' not in frame.f_locals: frame = frame.f_back
connection = frame.f_locals['connection']
send, fd = connection.send_bytes, connection.fileno()
"""
FORGED = {
    "half a message, and silence": "os.write(fd, b'\\0\\0\\x10\\0'); time.sleep(1e6)",
    "silence": "time.sleep(1e6)",
    "no JSON": "send(b'\\x80')",
    "brackets": "send(b'[' * 100_000)",
    "half a call back": "send(b'[\"callback\"]')",
    "a call back without end": """
    import signal
    signal.setitimer(signal.ITIMER_PROF, 0)
    while True:
        send(b'["callback", 0, []]')
        connection.recv_bytes()
""",
    "a long answer": "send(b'[\"value\", 1, 2, 3]')",
    "a large one": "send(b'0' * 200 * 2**20)",
    "an array that lies": 'send(b\'["value", {"array": "", "dtype": "O", "shape": [1]}]\')',
    "an array of no size": 'send(b\'["value", {"array": "", "dtype": "f8", "shape": [1e99]}]\')',
    "the end of the line": "os.close(fd)",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", mostly_nightly(FORGED, "half a message, and silence", "half a call back"))
def test_a_forged_message_is_no_answer_and_stops_nobody(what, processes, monkeypatch):
    monkeypatch.setattr(grading.answers, "PATIENCE", 3)
    source = FIND + f"def f(ask):\n    {FORGED[what]}\n    return 1\ndef g(): return 3"
    answers = Answers(processes, [Cell("cell", source, False)], seconds=20)
    with pytest.raises(AssertionError):
        answers("f", lambda: 1, seconds=1)
    answers.close()


def test_what_passes_is_data_and_survives_the_way():
    for value in (None, True, 2.5, 10**300, "\u00e9", [1, [2.0, None]], {"a": np.arange(3)}, np.zeros((0, 2)), np.inf):
        np.testing.assert_equal(unpack(pack(value)), value)
    assert unpack(b'"\\ud800"') == "?"  # half of a character could not be written to a file


@linux
def test_the_walls_stand_here():
    """In a process of its own, as they stand for ever. Where Linux is older, students' processes are less shut in."""
    import subprocess

    code = f"import sys; sys.path.insert(0, {str(COURSE)!r}); from grading import walls\n"
    code += "print(walls.build([], [], '/tmp'))"
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout
    version = tuple(int(part) for part in os.uname().release.split(".")[:2])
    assert said == "True\n" or version < (5, 13)


@pytest.mark.slow
def test_a_model_file_that_names_a_network_without_end_is_not_built(tmp_path):
    from grading.parts import ps3

    from ddpm_dp import NoiseSchedule
    from ddpm_dp.models.architectures import Architecture
    from ddpm_dp.models.files import write_tensors

    for width, depth in ((10**6, 2), (64, 10**9), (2048, 2048)):
        network = Architecture("mlp", (2,), None, width=width, depth=depth, dropout=0.0)
        file = write_tensors(tmp_path / "model.safetensors", {}, NoiseSchedule.cosine(100), network, {})
        raw = np.frombuffer(file.read_bytes(), "uint8")
        with pytest.raises(AssertionError, match="is not a whole model file"):
            ps3.model(lambda name, seconds, raw=raw: raw, np.random.default_rng(0))
