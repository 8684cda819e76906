"""The explorer as a page by itself, served by Voila."""

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any


def main(arguments: list[str] | None = None) -> int:
    """Serve the explorer as a page by itself: `python -m ddpm_dp.explorer [--port N] [--no-browser]`."""
    parser = argparse.ArgumentParser(prog="python -m ddpm_dp.explorer", description=main.__doc__)
    parser.add_argument("--port", type=int, default=8866, help="of the page, on this machine only (127.0.0.1)")
    parser.add_argument("--no-browser", action="store_true", help="do not open a browser window")
    parser.add_argument("--model", default="digits", help="a shipped model, or a statistics file")
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("voila") is None:
        print("The page needs Voila: pip install -c constraints.txt -e '.[explorer]', then again.", file=sys.stderr)
        return 2
    from jupyter_core.paths import jupyter_path
    from jupyterlab_server.config import get_federated_extensions

    # JupyterLab's other extensions (nbgrader's, say) may break Voila's page, which needs only the widgets' own.
    others = [x for x in get_federated_extensions(jupyter_path("labextensions")) if "jupyter-widgets" not in x]
    model = str(Path(options.model).resolve()) if Path(options.model).exists() else options.model
    source = f"from ddpm_dp.explorer import Explorer\n\nExplorer({model!r})"
    cell: dict[str, Any] = {
        "cell_type": "code",
        "id": "explorer",
        "metadata": {},
        "outputs": [],
        "execution_count": None,
        "source": source,
    }
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    page = {"cells": [cell], "metadata": {"kernelspec": kernel}, "nbformat": 4, "nbformat_minor": 5}
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "explorer.ipynb"
        file.write_text(json.dumps(page))
        command = [sys.executable, "-m", "voila", str(file), f"--port={options.port}", "--Voila.ip=127.0.0.1"]
        command += [f"--VoilaConfiguration.extension_denylist={others}"]
        command += ["--no-browser"] if options.no_browser else []
        try:
            return subprocess.call(command)
        except KeyboardInterrupt:
            return 0
