"""The coordinator's protocol with a fake worker: no network, no peers."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import typer

from benchmarks.peers import race as racing
from benchmarks.peers import work
from benchmarks.peers.__main__ import parse, replace
from benchmarks.peers.contestants import PEERS, Peer
from benchmarks.peers.environment import HERE, python_of
from benchmarks.peers.process import NotRunError, Worker
from benchmarks.peers.race import race
from benchmarks.results import Results

ROOT = Path(__file__).parents[2]
SIZE = (4, 8, 1)


def start(peer: Peer) -> Worker:
    variables = {**os.environ, "PYTHONPATH": str(ROOT)}
    return Worker([sys.executable, str(Path(__file__).with_name("fake_worker.py"))], variables)


def test_why_kfac_jax_makes_another_step():
    """As its note says: with one output all damping of the output layer goes to its input factor, in the committed results."""
    rows = Results(HERE.parent / "results").select("peers, K-FAC", N=500, M=512, C=1)
    steps = {row["contestant"]: row["checksum"][2] for row in rows}
    task = work.make(500, 512, 1)
    hidden = task.inputs.astype(float)
    for weight in task.weights[:-1]:
        hidden = np.maximum(hidden @ weight, 0)
    factor, identity = hidden.T @ hidden / len(hidden), np.eye(512)
    gradient = hidden.T @ (hidden @ task.weights[-1] - task.targets) / len(hidden)
    pi = np.sqrt(np.trace(factor) / 512)  # the other factor is 1
    split = np.linalg.solve(factor + pi * work.DAMPING**0.5 * identity, gradient) / (1 + work.DAMPING**0.5 / pi)
    whole = np.linalg.solve(factor + work.DAMPING * identity, gradient)
    assert np.linalg.norm(split) == pytest.approx(steps["ntkng"], rel=1e-4)
    assert np.linalg.norm(whole) == pytest.approx(steps["kfac_jax"], rel=1e-4)


def test_rows_of_all_that_can_happen(monkeypatch):
    monkeypatch.setattr(racing, "SETUP_SECONDS", 8.0)
    methods = ("plain", "other", "slow", "dies", "fails", "unknown")
    peers = (*[Peer(method, "exact", "fake", method) for method in methods], Peer("absent", "exact", note="nowhere"))
    rows = {row["contestant"]: row for row in race(peers, SIZE, start, 3, {})}
    assert rows["plain"]["turns"] == 3
    assert rows["plain"]["deviation"] == 0
    assert rows["other"]["deviation"] == pytest.approx(1, rel=0.3)  # twice the step
    assert not rows["other"]["same"]
    assert "more than 8 s" in rows["slow"]["not run"]
    assert "code 9" in rows["dies"]["not run"]
    assert "out of memory" in rows["fails"]["not run"]
    assert "KeyError" in rows["unknown"]["not run"]
    assert rows["absent"]["not run"] == "nowhere"


def test_a_contestant_given_up_is_not_started():
    rows = race(
        (Peer("plain", "exact", "fake", "plain"),),
        SIZE,
        lambda peer: pytest.fail("started"),
        1,
        {"exact: plain": "slow"},
    )
    assert rows[0]["not run"] == "slow"


def test_go_before_setup_is_an_error_and_the_worker_lives_on():
    worker = start(PEERS[0])
    with pytest.raises(NotRunError, match="send setup first"):
        worker.ask({"do": "go"}, 20)
    assert worker.ask({"do": "setup", "method": "plain", "samples": 4, "width": 8, "outputs": 1}, 20)["first"] >= 0
    worker.close()


def test_an_environment_that_cannot_be_built_is_a_reason(tmp_path, monkeypatch):
    monkeypatch.setattr("benchmarks.peers.environment.HERE", tmp_path)
    (tmp_path / "none.txt").write_text("./no-such-folder-here\n")
    with pytest.raises(RuntimeError, match="cannot install none"):
        python_of("none", tmp_path / "environments")


def test_every_peer_has_its_files():
    for peer in PEERS:
        if peer.module:
            assert (HERE / f"{peer.module}.py").exists()
        if peer.environment:
            pins = (HERE / f"{peer.environment}.txt").read_text()
            assert "://" not in pins
            assert "nvidia" not in pins
            assert all("==" in line for line in pins.splitlines() if not line.startswith("#"))


def test_a_wrong_step_changes_the_checksum():
    task = work.make(5, 6, 2)
    moved = [weight + 0.01 for weight in task.weights]
    less = [moved[0], moved[1], task.weights[2]]
    assert work.checksum(task, moved)[2] > 0
    assert work.checksum(task, less)[2] == 0
    assert work.checksum(task, moved)[3] != work.checksum(task, less)[3]


def test_one_size_measured_anew_leaves_the_others():
    old = [{"what": "peers, exact", "N": 1, "M": m, "C": 1, "seconds": 1} for m in (2, 4)]
    new = [{"what": "peers, exact", "N": 1, "M": 2, "C": 1, "seconds": 9}]
    assert [row["seconds"] for row in replace(old, new)] == [9, 1]
    assert parse("100, 512,1") == (100, 512, 1)
    with pytest.raises(typer.BadParameter, match="expected N,M,C"):
        parse("100,512")
