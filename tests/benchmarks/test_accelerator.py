"""What runs on an accelerator runs on the CPU too, at small size."""

import numpy as np
import pytest

import ntkng
from benchmarks import accelerator


def test_without_an_accelerator_nothing_is_claimed():
    (row,) = accelerator.run(quick=True)
    assert row["not run"] == "no accelerator"


def test_every_approximation_is_timed_and_checked(monkeypatch):
    monkeypatch.setattr(accelerator, "SEEDS", 1)
    rows = accelerator.measure(40, 256, large=256)
    timed = {row["contestant"] for row in rows if row["what"] == "accelerator"}
    checked = {row["contestant"] for row in rows if row["what"] == "accelerator check"}
    assert timed == {"Exact", "BlockDiagonal", "KFAC"}
    assert checked == timed | {"BlockTriDiagonal"}
    assert all(np.isfinite(row.get("value", 0)) and row.get("seconds", 1) > 0 for row in rows)


@pytest.mark.slow
def test_what_is_checked_falls_with_the_width():
    narrow, wide = (
        [row["value"] for row in accelerator.checks(ntkng.BlockDiagonal(), m, samples=20)] for m in (128, 2048)
    )
    assert narrow[0] < 1e-4
    assert wide[0] < 1e-4
    for index in (1, 2):
        assert wide[index] < 0.5 * narrow[index]
