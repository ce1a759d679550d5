"""The README's example and the tutorial run as they stand."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


PAGES = ["README.md", *(f"docs/pages/{name}.md" for name in ("tutorial", "damping", "architectures", "data"))]


@pytest.mark.parametrize("page", PAGES)
def test_code_blocks_run(page, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), re.DOTALL)
    assert blocks
    namespace: dict = {}
    for block in blocks:
        exec(compile(block, page, "exec"), namespace)
    if page == "README.md":
        printed = capsys.readouterr().out
        assert printed.count(": ok") == 3, printed  # every comparison of the example holds


def test_links_of_the_readme_exist():
    for target in re.findall(r"\]\(([^)#]+)\)", (ROOT / "README.md").read_text()):
        assert target.startswith("http") or (ROOT / target).exists(), target
