"""Files that only other machines read: workflows, templates, hooks. Valid, and no step but what `make` does here."""

import json
import re
import runpy
import subprocess
import sys
from collections.abc import Iterable
from importlib import util
from pathlib import Path

import pytest
from jsonschema.validators import validator_for
from ruamel.yaml import YAML

from tests.test_metadata import PYTHONS

ROOT = Path(__file__).parents[1]
GITHUB = ROOT / ".github"
read = YAML(typ="safe").load  # YAML 1.2, where `on` is a word
WORKFLOWS = {file.stem: read(file) for file in sorted((GITHUB / "workflows").glob("*"))}
JOBS = [(name, job) for name, workflow in WORKFLOWS.items() for job in workflow["jobs"].values()]
STEPS = [step for _, job in JOBS for step in job.get("steps", [])]
TARGETS = set(re.findall(r"^([a-z][\w-]*):", (ROOT / "Makefile").read_text(), re.M))
# What a machine lacks before the Makefile can work: Windows has no make.
BEFORE = {"choco install make --yes --no-progress"}
CONFIG = GITHUB / "ISSUE_TEMPLATE" / "config.yml"
SCHEMAS = {
    "github-workflows": [*GITHUB.glob("workflows/*")],
    "dependabot": [GITHUB / "dependabot.yml"],
    "github-issue-config": [CONFIG],
    "github-issue-forms": [file for file in GITHUB.glob("ISSUE_TEMPLATE/*") if file != CONFIG],
    "citation-file-format": [ROOT / "CITATION.cff"],
}
OUTPUTS = ROOT / ".ci" / "outputs.py"
fault = runpy.run_path(str(OUTPUTS))["fault"]


def faults(schema: str, files: Iterable[Path]) -> list[str]:
    """What a schema of check-jsonschema's says of files. (Its own command takes seconds to start.)"""
    schemas = Path(util.find_spec("check_jsonschema").origin).parent / "builtin_schemas" / "vendor"
    rules = json.loads((schemas / f"{schema}.json").read_text(encoding="utf-8"))
    judge = validator_for(rules)(rules)
    return [error.message for file in files for error in judge.iter_errors(read(file))]


def allowed(line: str) -> bool:
    """Whether a workflow's shell step is one of the Makefile's, or .ci/run."""
    made = re.fullmatch(r"make ([a-z][\w-]*)( [A-Z]+=[\w./-]+)*", line)
    return line in BEFORE | {".ci/run"} or (made is not None and made[1] in TARGETS)


@pytest.mark.parametrize("schema", SCHEMAS)
def test_files_are_what_their_readers_expect(schema):
    assert SCHEMAS[schema] and faults(schema, SCHEMAS[schema]) == []


def test_a_workflow_that_is_none_is_noticed(tmp_path):
    broken = tmp_path / "quick.yml"
    broken.write_text((GITHUB / "workflows" / "quick.yml").read_text().replace("runs-on:", "run-on:"))
    assert "run-on" in "".join(faults("github-workflows", [broken]))


def test_workflows_do_what_make_does_here():
    lines = [line for step in STEPS for line in step.get("run", "").splitlines()]
    assert [line for line in lines if not allowed(line)] == []
    done = {line.split()[1] for line in lines if line.startswith("make ")}
    assert done == {"quick", "book", "dist", "test-latest", "test-lowest"} and ".ci/run" in lines
    assert "make test\n" in (ROOT / ".ci" / "run").read_text()


@pytest.mark.parametrize("line", ["make tset", "pip install ddpm-dp", "make quick; curl example.org", "make -k quick"])
def test_another_shell_step_is_noticed(line):
    assert not allowed(line)


def test_workflows_may_do_no_more_than_they_must():
    """Reading, by default; writing for the job that publishes; actions by version; no passwords; an end to all."""
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {"contents": "read"}, name
    granted = [
        (name, right) for name, job in JOBS for right, how in job.get("permissions", {}).items() if how == "write"
    ]
    assert set(granted) == {
        ("book", "pages"),
        ("book", "id-token"),
        ("release", "id-token"),
        ("release", "attestations"),
    }
    assert all("timeout-minutes" in job for _, job in JOBS if "uses" not in job)
    used = [step["uses"] for step in STEPS if "uses" in step]
    assert [action for action in used if not re.fullmatch(r"[\w.-]+/[\w.-]+@(v\d+|release/v\d+)", action)] == []
    checkouts = [step for step in STEPS if step.get("uses", "").startswith("actions/checkout@")]
    assert checkouts and all(step["with"] == {"persist-credentials": False} for step in checkouts)
    assert "secrets." not in "".join(file.read_text() for file in GITHUB.rglob("*.yml"))


def test_every_system_is_tried_with_the_oldest_and_the_newest_python():
    matrix = WORKFLOWS["quick"]["jobs"]["quick"]["strategy"]["matrix"]
    assert matrix["system"] == ["ubuntu-latest", "macos-latest", "windows-latest"]
    ends = [PYTHONS[0], PYTHONS[-1]]
    assert matrix["python"] == ends == WORKFLOWS["nightly"]["jobs"]["latest"]["strategy"]["matrix"]["python"]
    others = [step["with"]["python-version"] for step in STEPS if "setup-python" in step.get("uses", "")]
    assert {version for version in others if "matrix" not in version} == {PYTHONS[0]}


def test_the_makefile_finds_programs_on_windows():
    """Its dry run says them; Windows sets OS."""
    for system, folder in (("Windows_NT", "Scripts"), ("", "bin")):
        command = ["make", "-n", "lint", "VENV=no-such-folder", f"OS={system}"]
        said = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True).stdout
        assert f"\nno-such-folder/{folder}/ruff check .\n" in said, system


def test_a_release_is_published_after_its_tests_and_by_its_own_tag():
    jobs = WORKFLOWS["release"]["jobs"]
    assert set(jobs["publish"]["needs"]) == {"test", "build"} and jobs["test"]["uses"].endswith("/full.yml")
    assert "workflow_call" in WORKFLOWS["full"]["on"]
    tags = [step["env"]["TAG"] for step in jobs["build"]["steps"] if step.get("run", "").startswith("make dist")]
    assert tags == ["${{ github.ref_name }}"]


def test_hooks_have_the_ruff_of_the_constraints():
    hooks = [hook for repo in read(ROOT / ".pre-commit-config.yaml")["repos"] for hook in repo["hooks"]]
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines() if "==" in line)
    rough = [hook for hook in hooks if hook["entry"].startswith("ruff ")]
    assert [hook["additional_dependencies"] for hook in rough] == 2 * [[f"ruff=={pins['ruff']}"]]
    assert all((ROOT / hook["entry"].split()[1]).is_file() for hook in hooks if hook["entry"].startswith("python "))


def test_outputs_are_stored_where_the_book_needs_them_and_nowhere_else():
    notebooks = [*ROOT.glob("notebooks/[0-9]*.ipynb"), *ROOT.glob("notebooks/assignments/source/*/*.ipynb")]
    assert [said for said in map(fault, notebooks) if said] == [] and len(notebooks) > 4


def cell(count: int | None, *outputs: str, tags: tuple[str, ...] = ()) -> dict:
    shown = [{"output_type": kind} for kind in outputs]
    return {"cell_type": "code", "execution_count": count, "outputs": shown, "metadata": {"tags": [*tags]}}


@pytest.mark.parametrize(
    ("where", "cells", "said"),
    [
        ("notebooks", [cell(1), cell(3)], "not run from top to bottom"),
        ("notebooks", [cell(1, "error")], "stores an error"),
        ("notebooks", [cell(1, tags=("finding",))], "finding without words"),
        ("notebooks", [cell(1), cell(2, "display_data", tags=("finding",))], None),
        ("assignments", [cell(None), cell(None, "stream")], "has outputs"),
        ("assignments", [cell(4)], "has outputs"),
        ("assignments", [cell(None)], None),
    ],
)
def test_what_the_hook_says(tmp_path, where, cells, said):
    file = tmp_path / where / "a.ipynb"
    file.parent.mkdir()
    file.write_text(json.dumps({"cells": cells}))
    ran = subprocess.run([sys.executable, OUTPUTS, file], capture_output=True, text=True)
    assert (ran.returncode, said or "") == (1 if said else 0, said or "") and (said or "") in ran.stderr
