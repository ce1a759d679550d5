"""The written page: verdicts follow the numbers, and what did not run is said."""

import json

import pytest

from benchmarks import summary, tables
from benchmarks.results import Results
from benchmarks.targets import TARGETS

SIZE = {"N": 100, "M": 4096, "C": 1}
COMMON = {"seconds": 0.1, "spread": 0.01, "peak MiB": 300.0, "same": True, "deviation": 0.0}


def peer(name, ratio, kind="K-FAC", **more):
    return {"what": f"peers, {kind}", "contestant": name, **SIZE, **COMMON, "ratio": ratio, **more}


def write(folder, name, rows):
    facts = {"versions": {"jax": "1"}, "device": "cpu", "machine": "Linux", "peak_memory_mib": 2048}
    (folder / f"{name}.json").write_text(json.dumps({"rows": rows, "provenance": facts}))


def verdict(results, start):
    return next(target for target in TARGETS if target.statement.startswith(start)).evaluate(results)


@pytest.mark.parametrize(("ratio", "expected"), [(59.0, "**missed**"), (61.0, "met")])
def test_verdicts_follow_the_numbers(tmp_path, ratio, expected):
    write(tmp_path, "peers", [peer("ntkng", 1.0), peer("kfac_jax", ratio)])
    assert verdict(Results(tmp_path), "K-FAC: time of kfac_jax") == (f"{ratio:.3g} (N = 100, M = 4096)", expected)


def test_the_worst_size_decides_and_the_best_implementation_counts(tmp_path):
    name = "neural-tangents, "
    rows = [peer(name + "a", 9.0, "exact"), peer(name + "b", 4.0, "exact"), peer(name + "a", 2.0, "exact", M=512)]
    write(tmp_path, "peers", rows)
    words, found = verdict(Results(tmp_path), "exact step: time of neural-tangents")
    assert words == "2 (N = 100, M = 512) to 4"
    assert found == "**missed**"


def test_the_floor_bounds_what_any_step_could_reach(tmp_path):
    floor = {"what": "step", "contestant": "Exact", **SIZE, "ratio to floor": 1.5}
    write(tmp_path, "peers", [floor, peer("neural-tangents, a", 1.8, "exact")])
    assert verdict(Results(tmp_path), "the same, if our step")[0] == "2.7 (N = 100, M = 4096)"


def test_memory_is_that_of_two_rows(tmp_path):
    sizes = {"N": 500, "M": 1024, "kind": "exact"}
    rows = [peer("NumPy, full Jacobian", 400.0, **sizes, **{"working MiB": 6000.0})]
    rows += [
        peer(name, 1.0, **sizes, **{"working MiB": used})
        for name, used in (("ntkng", 150.0), ("ntkng, compiled before", 100.0))
    ]
    write(tmp_path, "peers", rows)
    assert verdict(Results(tmp_path), "exact step: working memory") == ("60 (N = 500, M = 1024)", "met")
    assert verdict(Results(tmp_path), "the same, compiling") == ("40 (N = 500, M = 1024)", "**missed**")


def test_small_is_better_where_it_is(tmp_path):
    write(tmp_path, "compilation", [{"what": "compilation", "contestant": "Exact", "first call": 6.0, "ratio": 0.2}])
    assert verdict(Results(tmp_path), "first call, which")[1] == "**missed**"
    assert verdict(Results(tmp_path), "first call in the next")[1] == "met"


def test_absences_are_said(tmp_path):
    rows = [peer("ntkng", 1.0), {"what": "peers, K-FAC", "contestant": "X", **SIZE, "not run": "no wheel"}]
    rows.append(peer("kfac_jax", 2.0, same=False, deviation=0.1))
    write(tmp_path, "peers", [*rows])
    results = Results(tmp_path)
    assert "X (K-FAC): not run, no wheel (at 100, 4096, 1)" in tables.absences(results)
    assert "kfac_jax (K-FAC): its step differs" in tables.absences(results)
    assert "all damping of the output layer" in tables.absences(results)
    assert "not measured yet" in tables.absences(results)
    assert verdict(results, "unit-wise")[1] == "not run"
    assert tables.peers(results, "K-FAC").endswith("| 100, 4096, 1 | 0.1000 ± 0.0100 | 2.0x\\* | - |")


def test_no_results_are_an_error(tmp_path):
    with pytest.raises(FileNotFoundError, match="make bench"):
        Results(tmp_path)


def test_the_committed_page_is_that_of_the_committed_results():
    assert summary.text(Results(summary.HERE / "results")) == (summary.HERE / "README.md").read_text()
