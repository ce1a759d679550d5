"""MNIST's IDX format: magic number, sizes, then the entries, all big-endian."""

from __future__ import annotations

import gzip
import math
import zlib
from pathlib import Path

import numpy as np

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}


def read_idx(path: Path) -> np.ndarray:
    """The array of an IDX file, plain or gzipped.

    Raises:
        ValueError: not an IDX file, or one that is cut off.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (OSError, EOFError, zlib.error) as error:  # gzip.BadGzipFile is an OSError
        raise ValueError(f"{path} is not a complete gzip file ({error}); download it again") from error
    if len(content) < 4 or content[:2] != b"\0\0" or content[2] not in TYPES or content[3] == 0:
        raise ValueError(f"{path} is not an IDX file: it starts with {content[:4].hex()}; download it again")
    start = 4 + 4 * content[3]
    sizes = np.frombuffer(content[4:start], ">u4").tolist()
    entries, dtype = math.prod(sizes), np.dtype(TYPES[content[2]])
    if len(sizes) != content[3] or len(content) != start + entries * dtype.itemsize:
        raise ValueError(
            f"{path} says {sizes} entries of {dtype.itemsize} bytes but holds {len(content) - start} bytes; "
            "download it again"
        )
    return np.frombuffer(content, dtype, entries, start).reshape(sizes)
