"""A JSON object in a text file, sealed."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ddpm_dp.files import schema, seal
from ddpm_dp.files.writing import write_whole

MOST = 1 << 28  # bytes


def write_object(
    path: str | Path, content: Mapping[str, Any], form: Callable[[str], str], replace: bool = True
) -> Path:
    """Write a JSON object, whole or not at all; `form` may put line breaks into its text."""
    text = form(json.dumps({**content, "seal": seal.OPEN}, allow_nan=False))

    def write(temporary: Path) -> None:
        temporary.write_text(text + "\n", encoding="utf-8")
        seal.close(temporary)

    return write_whole(path, write, replace)


def read_object(path: str | Path) -> tuple[dict[str, Any], bool]:
    """A JSON object, and whether it has a seal: files of earlier versions have none.

    Raises ValueError if the file is not whole, or no JSON object; OSError if it cannot be read.
    """
    if Path(path).stat().st_size > MOST:
        raise ValueError(f"it has more than {MOST:,} bytes")
    whole = seal.is_whole(path)
    if whole is False:
        raise ValueError("its checksum is another than when it was written")
    content = schema.parsed(Path(path).read_bytes())
    content.pop("seal", None)
    return content, whole is True
