"""Who takes part, at which work, and what each computes differently."""

from __future__ import annotations

import dataclasses
import itertools

SIZES = tuple(itertools.product((100, 500), (512, 1024, 2048, 4096), (1, 10)))  # N, M, C
JACOBIAN_GIB = (
    4.0  # beyond this, contestants that form it are left out: with their copies they need two to four times as much
)


@dataclasses.dataclass(frozen=True)
class Peer:
    """One contestant.

    Attributes:
        name: in tables.
        kind: the work, `"exact"` or `"K-FAC"`.
        module: of its worker, in `benchmarks.peers`; empty where it cannot run, and `note` says why.
        method: the worker's name for it.
        environment: of its requirement file; `None` is ntkng's own.
        note: what it computes differently.
        has_jacobian: whether it forms the whole Jacobian.
        one_output: whether it is written for one output.
        keeps_programs: whether its process shares JAX's compilation cache with the others of this kind at the same size, so that
            the second one compiles nothing.
    """

    name: str
    kind: str
    module: str = ""
    method: str = ""
    environment: str | None = None
    note: str = ""
    has_jacobian: bool = False
    one_output: bool = False
    keeps_programs: bool = False

    def obstacle(self, samples: int, width: int, outputs: int) -> str | None:
        """Why this size is left out, or `None`."""
        if not self.module:
            return self.note
        if self.one_output and outputs > 1:
            return "written for one output"
        jacobian = 4 * samples * outputs * width * (784 + width + outputs) / 2**30
        if self.has_jacobian and jacobian > JACOBIAN_GIB:
            return f"out of memory: its Jacobian has {jacobian:.0f} GiB"
        return None


NT = "neural_tangents_steps", "neural-tangents"

PEERS = (
    Peer("ntkng", "exact", "ntkng_steps", "exact", keeps_programs=True),
    Peer("ntkng, compiled before", "exact", "ntkng_steps", "exact", keeps_programs=True),
    Peer("PyTorch, eager", "exact", "plain_torch", "exact", "torch"),
    Peer("neural-tangents, structured derivatives", "exact", NT[0], "exact, structured derivatives", NT[1]),
    Peer(
        "neural-tangents, Jacobian contraction", "exact", NT[0], "exact, Jacobian contraction", NT[1], has_jacobian=True
    ),
    Peer("neural-tangents, NTK-vector products", "exact", NT[0], "exact, NTK-vector products", NT[1]),
    Peer("NNGeometry, Gram", "exact", "nngeometry_steps", "exact", "nngeometry"),
    Peer("ASDL, Hadamard products", "exact", "asdl_steps", "exact", "asdl", one_output=True),
    Peer("NumPy, full Jacobian", "exact", "full_jacobian", "exact", has_jacobian=True, one_output=True),
    Peer("ntkng", "K-FAC", "ntkng_steps", "K-FAC"),
    Peer(
        "kfac_jax", "K-FAC", "kfac_jax_steps", "K-FAC", "kfac-jax",
        note="with one output all damping of the output layer goes to its input factor (tests/benchmarks/test_peers.py)",
    ),
    Peer("curvlinops", "K-FAC", "curvlinops_steps", "K-FAC", "curvlinops"),
    Peer(
        "NNGeometry", "K-FAC", "nngeometry_steps", "K-FAC", "nngeometry",
        note="it solves by least squares with a cutoff of M eps, and only the output layer differs",
    ),
    Peer("ASDL", "K-FAC", "asdl_steps", "K-FAC", "asdl"),
)  # fmt: skip
