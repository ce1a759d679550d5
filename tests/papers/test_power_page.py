"""The tables of "What a pass means" are those of the committed report, which holds."""

import importlib.util
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tables():
    sys.path.append(str(ROOT / "docs"))  # as for a script that is run there
    spec = importlib.util.spec_from_file_location("power_tables", ROOT / "docs" / "power_tables.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_page_has_the_tables_of_the_reports(tables):
    page = tables.PAGE.read_text()
    assert tables.filled(page) == page, "run python docs/power_tables.py"


def test_the_report_holds(tables):
    report = tables.load()
    assert report
    trials = {"/".join(levels): tables.counts(claim)[1] for levels, claim in tables.claims(report, "false alarms")}
    assert trials["trajectory/Exact"] >= 200
    assert trials["kernels/kernels"] >= 200
    assert {"versions", "commit", "device"} <= set(report.provenance)


def test_pages_without_a_table_are_refused(tables):
    with pytest.raises(ValueError, match="expected one place"):
        tables.filled("no tables here")
