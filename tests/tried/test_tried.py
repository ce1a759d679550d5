"""Every kind of input that was tried, and the page that lists them: a module beside this one with a function `rows()` is a kind."""

import importlib.util
from pathlib import Path

import pytest

HERE = Path(__file__).parent
KINDS = sorted(path.stem for path in HERE.glob("*.py") if path.stem not in ("row", "test_tried"))


def _page():
    path = HERE.parents[1] / "docs" / "tried_table.py"
    spec = importlib.util.spec_from_file_location("tried_table", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("kind", KINDS)
def test_errors_stay_below_their_bounds_and_the_page_lists_them(kind):
    page = _page()
    listed = page.PAGE.read_text()
    for row in page.load(kind).rows():
        assert row.holds(), row
        assert page.line(row).rsplit("|", 3)[0] in listed, f"{row}: run `python docs/tried_table.py`"
