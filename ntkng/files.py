"""Files that are written whole or not at all, in folders that can be written."""

from __future__ import annotations

import os
import tempfile
import uuid
from pathlib import Path


def write_atomically(path: str | Path, text: str) -> None:
    """Write `text` to `path` so that a reader, or a crash, never sees half of it."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")  # not mkstemp: others may read the result
    try:
        temporary.write_text(text, encoding="utf-8")
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def writable_folder(folder: str | Path) -> Path:
    """The folder, made where it is missing, after a file was written into it and removed.

    Raises:
        ValueError: it cannot be made or written; ask before hours of computing, not after.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        parts = (str(part) for part in (folder, *folder.parents))
        blocking = next((part for part in parts if os.path.exists(part) and not os.path.isdir(part)), None)
        reason = f"{blocking} is a file" if blocking else error.strerror or str(error)
        raise ValueError(f"cannot write into the folder {folder}: {reason}; choose another one") from error
    return folder
