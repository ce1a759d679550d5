"""Arrays from NumPy's NPZ files, damaged ones named."""

from __future__ import annotations

import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np


def read_npz(path: Path, names: Sequence[str] | None) -> tuple[np.ndarray, ...]:
    """The arrays of these names, or, for `None`, the only one; nothing that a pickle may contain is run.

    Raises:
        ValueError: not an NPZ file, a damaged one, one with other arrays, or with Python objects instead of numbers.
    """
    try:
        content = np.load(path, allow_pickle=False)
        if not isinstance(content, np.lib.npyio.NpzFile):
            raise ValueError(f"it holds one array of shape {list(np.shape(content))}, as np.save writes it")
        with content as arrays:
            if names is None and len(arrays.files) != 1:
                raise ValueError(f"{path} holds the arrays {arrays.files}, expected a single one; save each by itself")
            wanted = arrays.files if names is None else names
            missing = sorted(set(wanted) - set(arrays.files))
            if missing:
                raise ValueError(f"{path} has no arrays {missing}, got {arrays.files}; rename its arrays")
            return tuple(arrays[name] for name in wanted)
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError) as error:
        raise ValueError(f"{path} is not a complete NPZ file ({error}); download or save it again") from error
    except ValueError as error:
        if str(error).startswith(str(path)):
            raise
        raise ValueError(f"{path} is not an NPZ file of numbers ({error}); save it with np.savez") from error
