"""How a file is replaced that must not be lost, nor be half of one."""

import os
from pathlib import Path


def replace_durably(path: Path, content: bytes) -> None:
    """All of it or nothing, and on the disk when it returns."""
    new = path.with_suffix(".new")
    with new.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
