"""Figure B7: what the update does in function space, when it is `L_b I`, and how it fails."""

from __future__ import annotations

import dataclasses
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
from jax.flatten_util import ravel_pytree

from analyses.study import Settings, Study
from analyses.tables import select
from analyses.threads import one_blas_thread
from ntkng.function_space_flow import check_isotropy
from ntkng.precision import in_float64
from ntkng.provenance import provenance
from ntkng.report import Claim, Report
from ntkng.reversible import (
    RevMLP,
    RightInverse,
    block_operators,
    fisher_spectrum,
    generic_operator_trace,
    operator_ranks,
)

SOURCE = "function-space theory of Buffelli et al. 2024"
EXACT = RightInverse(rtol=1e-10)
STDS = (0.4, 0.1, 0.01, 0.001)


@dataclasses.dataclass(frozen=True)
class Case:
    """A network and a number of samples, and why its update should or should not be isotropic."""

    name: str
    samples: int
    dim: int = 12
    width: int | None = 24
    blocks: int = 3
    linear_first: bool = False

    def draw(self, seed: int, std: float = 0.4):
        """Model, weights and Gaussian inputs."""
        fixed, start = jax.random.split(jax.random.key(seed))
        model = RevMLP.create(fixed, self.dim, 4, self.blocks, self.width, linear_first=self.linear_first)
        inputs = np.random.default_rng(seed).standard_normal((self.samples, self.dim))
        return model, model.initial_weights(start, std), inputs


CASES = (
    Case("full row rank", 8),
    Case("N > m + 1", 18, width=8),
    Case("linear first block", 10, linear_first=True),
    Case("no bottleneck", 10, width=None),
)


@one_blas_thread()
def operator(settings: Settings) -> Study:
    """Ranks, traces and deviations of `J R` in the four cases, and how the deviations depend on the initial size."""
    cases = pd.DataFrame([describe(case, settings.seed) for case in settings.track(CASES, "operators")])
    deviations = pd.DataFrame([deviation(CASES[0], settings.seed, std) for std in settings.track(STDS, "deviations")])
    depths = range(1, settings.choose(4, 6))
    rates = [rate(dataclasses.replace(CASES[0], blocks=b), settings.seed) for b in settings.track(depths, "depths")]
    table = pd.concat([cases, deviations, pd.DataFrame(rates)], ignore_index=True)
    norms = compare_with_minimum_norm(CASES[0], settings.seed)
    model, weights, inputs = CASES[0].draw(settings.seed)
    spectra = {g: fisher_spectrum(model, weights, inputs, g) for g in ("block", "half-layer")}  # type: ignore[arg-type]
    report = Report("B7", claims(table, norms), provenance({"rtol": EXACT.rtol}, seed=settings.seed))
    arrays = {g.replace("-", "_"): values for g, values in spectra.items()}
    return Study(table, report, arrays, {"blocks": model.blocks})


def describe(case: Case, seed: int) -> dict[str, object]:
    """One row: how far `J R` is from `L_b I`, from idempotent and symmetric blocks, and its ranks."""
    model, weights, inputs = case.draw(seed, std=0.1)
    parts = np.asarray(block_operators(model, weights, inputs, EXACT))
    predicted = np.asarray(operator_ranks(model, weights, inputs, EXACT))
    ranks = [np.linalg.matrix_rank(part, tol=1e-8) for part in parts]
    size = parts.shape[1]
    return {
        "kind": "case",
        "case": case.name,
        "deviation": float(np.abs(parts.sum(0) - model.blocks * np.eye(size)).max()),
        "idempotence": max(float(np.abs(part @ part - part).max()) for part in parts),
        "asymmetry": max(float(np.abs(part - part.T).max()) for part in parts),
        "rank_error": int(np.abs(np.asarray(ranks) - predicted).max()),
        "trace": float(np.trace(parts.sum(0)) / size),
        "generic_trace": generic_operator_trace(model, case.samples) / size,
        **{f"rank_{b + 1}": float(r) / size for b, r in enumerate(ranks)},
        **{f"predicted_{b + 1}": float(r) / size for b, r in enumerate(predicted)},
    }


def deviation(case: Case, seed: int, std: float) -> dict[str, object]:
    """One row: spectral deviation from `L_b I` of three operators, for weights of one size."""
    model, weights, inputs = case.draw(seed, std)
    coupled = np.asarray(block_operators(model, weights, inputs, dataclasses.replace(EXACT, corrected=False))).sum(0)
    half, pair = (fisher_spectrum(model, weights, inputs, g) for g in ("half-layer", "block"))
    return {
        "kind": "deviation",
        "std": std,
        "half-coupled update": float(np.linalg.norm(coupled - model.blocks * np.eye(len(coupled)), 2)),
        "half-layer Fisher": float(np.abs(half - model.blocks).max()),
        "block-pair Fisher": float(np.abs(pair - model.blocks).max()),
        "half-layer trace": float(half.mean()),
    }


def rate(case: Case, seed: int) -> dict[str, object]:
    """One row: the best-fitting `alpha` for one depth, and the deviation from `L_b I` and from `2 L_b I`."""
    jacobian, inverse = _jacobian_and_inverse(*case.draw(seed))
    guesses = (case.blocks, 2 * case.blocks, None)
    right, wrong, fitted = (check_isotropy(lambda error: inverse @ error, jacobian, alpha) for alpha in guesses)
    return {
        "kind": "rate",
        "blocks": case.blocks,
        "alpha": fitted.alpha,
        "deviation": right.deviation,
        "deviation_2": wrong.deviation,
    }


@in_float64
def _jacobian_and_inverse(model: RevMLP, weights, inputs) -> tuple[np.ndarray, np.ndarray]:
    """Dense `J [ND P]` and `R [P ND]` of the representation."""
    jacobian, inverse = _dense(model, jax.tree.map(jnp.asarray, weights), jnp.asarray(inputs), EXACT)
    return np.asarray(jacobian), np.asarray(inverse)


@partial(jax.jit, static_argnames=("inverse",))
def _dense(model: RevMLP, weights, inputs, inverse: RightInverse):
    flat, unravel = ravel_pytree(weights)
    z = model.representation(weights, inputs)
    jacobian = jax.jacobian(lambda w: model.representation(unravel(w), inputs).ravel())(flat)
    columns = jax.lax.map(
        lambda e: ravel_pytree(inverse(model, weights, z, e.reshape(z.shape)).weights)[0], jnp.eye(z.size)
    )
    return jacobian, columns.T


def compare_with_minimum_norm(case: Case, seed: int) -> dict[str, float]:
    """`R eps / L_b` against the minimum-norm solution `J^+ eps` for a random `eps`."""
    model, weights, inputs = case.draw(seed)
    jacobian, inverse = _jacobian_and_inverse(model, weights, inputs)
    error = np.random.default_rng(seed).standard_normal(len(jacobian))
    ours, minimum = inverse @ error / model.blocks, np.linalg.lstsq(jacobian, error)[0]
    lengths = np.linalg.norm(ours), np.linalg.norm(minimum)
    return {
        "function": float(np.abs(jacobian @ (ours - minimum)).max()),
        "ratio": float(lengths[0] / lengths[1]),
        "cosine": float(ours @ minimum / (lengths[0] * lengths[1])),
    }


def claims(table: pd.DataFrame, norms: dict[str, float]) -> tuple[Claim, ...]:
    """What figure B7 must show."""
    cases = select(table, kind="case").set_index("case")
    sizes = select(table, kind="deviation").set_index("std")
    rates = select(table, kind="rate")
    failures = [case.name for case in CASES[1:]]
    full = cases.loc[CASES[0].name]
    slopes = {
        name: np.log(sizes.loc[0.01, name] / sizes.loc[0.001, name]) / np.log(10)
        for name in ("half-coupled update", "half-layer Fisher")
    }

    def below(name: str, value: float, bound: float, statement: str) -> Claim:
        return Claim.below(name, value, bound, statement, source=SOURCE)

    return (
        below("J R = L_b I", full.deviation, 1e-12, "full row rank: max |J R - L_b I|"),
        below("alpha/L_b", rates.deviation.max(), 1e-11, "||J R / L_b - I|| at every depth"),
        Claim.above(
            "alpha/not 2 L_b", rates.deviation_2.min(), 0.49,
            "||J R / (2 L_b) - I||: the rate is not the number of half-layers", source=SOURCE,
        ),
        below("projectors/idempotent", cases.idempotence.max(), 1e-11, "max |P^2 - P| of every block's J_b R_b"),
        below(
            "projectors/ranks", float(np.max(cases.rank_error)), 0.5, "rank of J_b R_b minus (rank A_f + rank A_g) D/2"
        ),
        Claim.above(
            "projectors/oblique", cases.loc[failures].asymmetry.min(), 0.1, "max |P - P^T| in each failure mode",
            source=SOURCE,
        ),
        Claim.above(
            "failures", cases.loc[failures].deviation.min(), 0.5, "max |J R - L_b I| in each failure mode",
            source=SOURCE,
        ),
        below(
            "projectors/trace", float(np.max(np.abs(cases.trace - cases.generic_trace))), 1e-10,
            "trace(J R)/(N D) minus its prediction from the shapes",
        ),
        below("block-pair Fisher", float(np.max(sizes["block-pair Fisher"])), 1e-10, "|eigenvalues of J G^+ J^T - L_b|"),
        Claim.above(
            "half-layer Fisher", sizes.loc[0.4, "half-layer Fisher"], 0.5,
            "|eigenvalues of J G^+ J^T - L_b| with half-layers apart, weights of size 0.4", source=SOURCE,
        ),
        below(
            "half-layer trace", np.abs(sizes["half-layer trace"] - CASES[0].blocks).max(), 1e-9,
            "its trace over N D minus L_b",
        ),
        Claim.above(
            "half-coupled update", sizes.loc[0.4, "half-coupled update"], 0.5,
            "||J R - L_b I|| without the correction inside the block, weights of size 0.4", source=SOURCE,
        ),
        *(
            Claim.within(
                f"{name}/slope", slope, 0.95, 1.05, "its deviation vanishes like the size of the weights",
                source=SOURCE,
            )
            for name, slope in slopes.items()
        ),
        below("minimum norm/function", norms["function"], 1e-10, "|J (R/L_b - J^+) eps|: same change of the function"),
        Claim.above(
            "minimum norm/weights", norms["ratio"], 1.1,
            f"|R eps| / L_b over |J^+ eps|: not the minimum-norm change of the weights (cosine {norms['cosine']:.2f}), "
            "so predictions off the training set differ", source=SOURCE,
        ),
    )  # fmt: skip
