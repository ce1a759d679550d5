"""One BLAS thread for the time of an analysis of many small matrices."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator


@contextlib.contextmanager
def one_blas_thread() -> Iterator[None]:
    """NumPy's, SciPy's and (on the CPU) JAX's linear algebra use one thread within the block, or decorated function.

    Two OpenBLAS threads make an eigenproblem of size 100 no faster, and sixty times slower when the machine is busy:
    they wait for each other by spinning. Several analyses at once in their own processes use the cores better.
    """
    import scipy.linalg  # noqa: F401  JAX takes LAPACK from SciPy: it must be loaded to be limited
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        yield
