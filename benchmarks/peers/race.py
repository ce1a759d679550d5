"""All contestants at one size: every one in a fresh process, in turns, warm-up apart, medians of CPU seconds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from benchmarks.peers.contestants import Peer
from benchmarks.peers.process import NotRunError, Worker

SETUP_SECONDS, STEP_SECONDS = 240.0, 60.0  # wall time: imports and compilation; one step
SHARE = 12.0  # seconds after which a contestant has had its turns
DEVIATION = 0.02  # of checksums (float32; K-FAC differs in how factors are inverted)

Start = Callable[[Peer], Worker]


def race(
    peers: tuple[Peer, ...], size: tuple[int, int, int], start: Start, rounds: int, given_up: Mapping[str, str]
) -> list[dict[str, Any]]:
    """One row per contestant.

    Args:
        peers: the contestants; the first of each kind is the one that ratios refer to.
        size: `N, M, C`.
        start: starts a contestant's process.
        rounds: turns of each, fewer for slow ones.
        given_up: reasons of those that need not be tried, by kind and name.
    """
    workers: dict[int, Worker] = {}
    answers: dict[int, list[dict[str, Any]]] = {}
    reasons: dict[int, str] = {}
    first: dict[int, float] = {}
    for i, peer in enumerate(peers):
        try:
            obstacle = given_up.get(f"{peer.kind}: {peer.name}") or peer.obstacle(*size)
            if obstacle:
                raise NotRunError(obstacle)
            workers[i] = start(peer)
            question = {
                "do": "setup",
                "method": peer.method,
                **dict(zip(("samples", "width", "outputs"), size, strict=True)),
            }
            first[i], answers[i] = workers[i].ask(question, SETUP_SECONDS)["first"], []
        except (NotRunError, RuntimeError) as error:
            reasons[i] = str(error)
    try:
        for _ in range(rounds):
            for i in [i for i in workers if i not in reasons and not _is_done(answers[i])]:
                try:
                    answers[i].append(workers[i].ask({"do": "go"}, STEP_SECONDS))
                except NotRunError as error:
                    reasons[i] = str(error)
    finally:
        for worker in workers.values():
            worker.close()
    rows = [
        _row(peer, size, reasons[i]) if i in reasons else _row(peer, size) | _summary(first[i], answers[i])
        for i, peer in enumerate(peers)
    ]
    return compare(rows)


def _is_done(answers: list[dict[str, Any]]) -> bool:
    return sum(answer["seconds"] for answer in answers) > SHARE


def _row(peer: Peer, size: tuple[int, int, int], reason: str | None = None) -> dict[str, Any]:
    row = {"what": f"peers, {peer.kind}", "contestant": peer.name, **dict(zip("NMC", size, strict=True))}
    return row | ({"not run": reason} if reason else {"note": peer.note} if peer.note else {})


def _summary(first: float, answers: list[dict[str, Any]]) -> dict[str, Any]:
    seconds = [answer["seconds"] for answer in answers]
    last = answers[-1]
    return {
        "seconds": float(np.median(seconds)), "spread": float(np.subtract(*np.percentile(seconds, [75, 25]))),
        "turns": len(seconds), "first call": first, "peak MiB": last["peak"],
        "working MiB": last["peak"] - last["base"], "checksum": last["checksum"],
    }  # fmt: skip


def compare(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Adds ratios to the first row of the same work, and by how much the steps differ from its steps."""
    for row in rows:
        own = next(other for other in rows if other["what"] == row["what"])
        if "seconds" not in row or "seconds" not in own:
            continue
        row["ratio"] = row["seconds"] / own["seconds"] if own["seconds"] else None
        pairs = np.array([row["checksum"], own["checksum"]])
        row["deviation"] = float(np.max(np.abs(pairs[0] - pairs[1]) / np.abs(pairs[1])))
        row["same"] = bool(row["deviation"] < DEVIATION)
    return rows
