"""The seal: a checksum of a whole file, written into the file itself, wherever its format leaves room for a text.

The text is MARK and 64 hexadecimal digits: the SHA-256 of all bytes of the file, with 64 zeros in place of the digits.
One bit changed, anywhere, breaks it; so does a part that is missing. It is no signature: who changes a file on purpose
can seal it again.
"""

import hashlib
import mmap
import os
import stat
from pathlib import Path

MARK = b"ddpm_dp-sha256-"
DIGITS = 64
OPEN = (MARK + b"0" * DIGITS).decode()  # what a writer puts into the file, for `close` to fill in


def close(path: Path) -> None:
    """Fill in the seal of a file that holds OPEN once."""
    with open(path, "rb+") as file, mmap.mmap(file.fileno(), 0) as content:
        at = content.find(OPEN.encode())
        assert at >= 0 and content.find(MARK, at + 1) < 0, "a file has one seal"
        content[at + len(MARK) : at + len(OPEN)] = _digest(content, at).encode()


def is_whole(path: str | Path) -> bool | None:
    """Whether a file is what was sealed; None if it has no seal, as those of earlier formats.

    Raises OSError if it cannot be read, or is a folder, a pipe or a device.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):  # a pipe would keep us waiting
        raise OSError("it is no ordinary file")
    with open(path, "rb") as file:
        if not os.fstat(file.fileno()).st_size:
            return None
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as content:
            at = content.find(MARK)
            if at < 0:
                return None
            return content[at + len(MARK) : at + len(OPEN)] == _digest(content, at).encode()


def _digest(content: mmap.mmap, at: int) -> str:
    first, last = at + len(MARK), at + len(OPEN)
    digest = hashlib.sha256()
    with memoryview(content) as view:
        digest.update(view[:first])
        digest.update(b"0" * DIGITS)
        digest.update(view[last:])
    return digest.hexdigest()
