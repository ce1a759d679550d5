"""The claims of the figures pass on what is right and fail when the rate, the metric or the exponent is wrong."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from analyses import (
    buffelli_closed_forms,
    buffelli_cross_entropy,
    buffelli_full_batch,
    buffelli_laws,
    buffelli_mini_batch,
    buffelli_operator,
    buffelli_representation,
)
from analyses.buffelli_data import prepare
from analyses.buffelli_images import available, images
from analyses.buffelli_runs import Setup, training
from analyses.study import Settings
from ntkng.report import Report

QUICK = Settings(quick=True)


def failed(claims):
    return {claim.name for claim in Report("", claims).failures}


@pytest.fixture(scope="module")
def full_batch_table():
    """A real Gauss-Newton run; the others as slow as they are."""
    setup = next(s for s in buffelli_full_batch.setups(QUICK) if s.method == "Gauss-Newton")
    gn = training([setup], QUICK).rename(columns={"epoch": "step"})
    slow = [
        pd.DataFrame({"method": m, "seed": 0, "step": range(61), "train_loss": 5 * 0.9 ** np.arange(61)})
        for m in ("Adam", "SGD")
    ]
    return pd.concat([gn, *slow], ignore_index=True)


def test_full_batch(full_batch_table):
    assert not failed(buffelli_full_batch.claims(full_batch_table))


@pytest.mark.parametrize("wrong", [{"rate": 0.105}, {"rate": 0.095}, {"blocks": 2}, {"blocks": 6}])
def test_full_batch_with_the_wrong_rate(full_batch_table, wrong):
    assert {"GN/percent", "GN/alpha"} & failed(buffelli_full_batch.claims(full_batch_table, **wrong))


def test_full_batch_when_gauss_newton_is_slow(full_batch_table):
    table = full_batch_table.copy()
    table.loc[table.method == "Gauss-Newton", "train_loss"] = 5.0
    assert {"GN/steps to 0.1", "GN/loss at step 20"} <= failed(buffelli_full_batch.claims(table))
    table.loc[table.method == "Adam", "train_loss"] = np.nan  # diverged: never there
    assert "Adam/steps to 0.1" not in failed(buffelli_full_batch.claims(table))


def laws_table(alpha_per_block):
    laws = [
        dataclasses.replace(law, effective_rates=(0.005, 0.0025) if law.name == "exact Hessian" else (0.02, 0.01))
        for law in buffelli_laws.LAWS
    ]
    rows = [row for law in laws for row in buffelli_laws.law_rows(law, 0, alpha_per_block)]
    return pd.DataFrame(rows + buffelli_laws.tail_rows(0, 500, alpha_per_block))


@pytest.mark.parametrize("alpha_per_block", [1.0, 1.05, 2.0])
def test_laws(alpha_per_block):
    found = failed(buffelli_laws.claims(laws_table(alpha_per_block)))
    errors = {f"{law.name}/error" for law in buffelli_laws.LAWS} | {"tail/closed form"}
    if alpha_per_block == 1:
        assert not found
    else:
        assert errors <= found


def curves(gn, adam):
    """Mini-batch rows of one seed, from training losses."""
    epochs = np.arange(41)
    columns = {"seed": 0, "epoch": epochs, "objective": "cross-entropy", "test_accuracy": 1.0}
    tables = [
        pd.DataFrame({**columns, "method": name, "train_loss": loss, "test_loss": loss})
        for name, loss in (("Gauss-Newton", gn), ("Adam", adam))
    ]
    exact = pd.DataFrame({**columns, "method": "Gauss-Newton", "train_loss": np.nan}).assign(
        objective="cross-entropy-exact"
    )
    return pd.concat([*tables, exact], ignore_index=True)


@pytest.mark.parametrize(
    ("exponent", "names"), [(1.05, set()), (0.5, {"GN/slope"}), (2.0, {"GN/slope", "GN over Adam"})]
)
def test_power_law(exponent, names):
    epochs = np.arange(41)
    table = curves((1 + epochs) ** -exponent, 10.0 ** (-epochs / 12.5))
    assert failed(buffelli_cross_entropy.claims(table)) == names
    finite = table.assign(train_loss=table.train_loss.fillna(1.0))
    assert "exact Hessian blows up" in failed(buffelli_cross_entropy.claims(finite))


def test_mini_batch_without_saturation():
    """Two optimisers that behave alike satisfy none of the contrasts."""
    loss = 5 * 0.9 ** np.arange(41)
    table = curves(loss, loss)
    expected = {"GN/epoch 2", "GN/20 to 40", "GN/test rises", "GN/test above Adam"}
    assert failed(buffelli_mini_batch.loss_claims(table)) == expected


def test_loss_change():
    epochs = np.arange(1, 41)
    columns = {"epoch": epochs, "objective": "mse"}
    table = pd.concat(
        [
            pd.DataFrame({**columns, "method": "Gauss-Newton", "percent_change": -51.0}),
            pd.DataFrame({**columns, "method": "Adam", "percent_change": -5.0}),
        ]
    )
    claims = buffelli_mini_batch.change_claims(table, np.array([-43.6]), np.array([-43.2]))
    assert failed(claims) == {"GN/percent", "GN/predicted by J R"}


def test_representations_that_move_alike():
    rows = [
        {"epoch": 40, "objective": o, "method": m, "seed": 0, "cka_3": 0.95, "ntk_cosine": 0.9}
        for o in ("mse", "cross-entropy")
        for m in ("Gauss-Newton", "Adam")
    ]
    found = failed(buffelli_representation.claims(pd.DataFrame(rows), 3))
    assert {"mse/GN/CKA", "cross-entropy/Adam/CKA", "mse/GN against Adam"} <= found


@pytest.mark.parametrize(("exponent", "factor", "names"), [
    (0.5, 1.0, set()),
    (1.0, 1.0, {"zero weights/slope"}),
    (0.5, 1.1, {"floor/z", "floor/relative"}),
])  # fmt: skip
def test_closed_forms(exponent, factor, names):
    widths = [
        {"kind": "width", "width": m, "seed": s, "deviation": (1 + 0.01 * s) * m**-exponent}
        for m in buffelli_closed_forms.WIDTHS
        for s in range(4)
    ]
    floors = [{"kind": "floor", "simulated": factor * t, "theory": t, "error": 0.005 * t} for t in (0.1, 0.5)]
    probes = 0.99 + 0.002 * np.random.default_rng(0).standard_normal(400)
    found = buffelli_closed_forms.claims(pd.DataFrame(widths + floors), 0.99, probes, 1e-15)
    assert failed(found) == names


@pytest.mark.slow
def test_operator(monkeypatch):
    assert buffelli_operator.operator(QUICK).report
    monkeypatch.setattr(buffelli_operator, "EXACT", dataclasses.replace(buffelli_operator.EXACT, corrected=False))
    report = buffelli_operator.operator(QUICK).report
    assert {"J R = L_b I", "alpha/L_b", "projectors/idempotent"} <= {claim.name for claim in report.failures}


def test_other_data():
    """Any inputs and labels can be passed; images are flattened."""
    rng = np.random.default_rng(0)
    labels = rng.integers(3, size=80)
    inputs = rng.standard_normal((80, 4, 4)) + np.eye(4)[labels][:, None]
    setup = Setup(dim=None, width=20, blocks=2, train=50, batch=10, epochs=2, observed=(2,))
    table = training([setup], QUICK, (inputs, labels))
    assert len(table) == 3
    assert table.train_loss.is_monotonic_decreasing
    assert 0 < table.cka_2.iloc[-1] < 1


def test_prepare():
    rng = np.random.default_rng(0)
    inputs, labels = rng.standard_normal((50, 6)) * 3 + 2, np.arange(50) % 5
    split = prepare(inputs, labels, train=40, dim=20)
    assert split.inputs.shape == (40, 20)
    assert split.test_inputs.shape == (10, 20)
    assert split.targets.shape == (40, 5)
    assert np.linalg.matrix_rank(split.inputs) == 6
    flat = prepare(inputs, labels, train=40)
    assert abs(flat.inputs.mean()) < 1e-12
    assert flat.inputs.std() == pytest.approx(1)
    with pytest.raises(ValueError, match="ask for fewer"):
        prepare(inputs, labels, train=50)
    with pytest.raises(ValueError, match="even number"):
        prepare(inputs[:, :5], labels, train=40)


@pytest.mark.slow
def test_image_data_from_a_folder(tmp_path, monkeypatch):
    monkeypatch.setenv("NTKNG_DATA", str(tmp_path))
    assert available() == []
    rng, folder = np.random.default_rng(0), tmp_path / "mnist"
    folder.mkdir()
    means = rng.uniform(0, 255, (10, 28, 28))
    arrays = {}
    for part, count in (("train", 1200), ("test", 400)):
        labels = rng.integers(10, size=count)
        pixels = np.clip(means[labels] + 40 * rng.standard_normal((count, 28, 28)), 0, 255)
        arrays |= {f"x_{part}": pixels.astype(np.uint8), f"y_{part}": labels}
    np.savez(folder / "mnist.npz", **arrays)
    assert available() == ["mnist"]
    study = images(QUICK, "mnist")
    assert study.report["GN/predicted by J R"]
    assert set(study.table.method) == {"Gauss-Newton", "Adam", "SGD"}
