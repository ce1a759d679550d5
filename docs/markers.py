"""Tables that scripts write into pages, between `<!-- name -->` and `<!-- end -->`."""

from __future__ import annotations

import re


def fill(text: str, name: str, table: str) -> str:
    """The page's text with one table renewed; `ValueError` unless it has one place for it."""
    pattern = rf"(<!-- {re.escape(name)} -->\n).*?(<!-- end -->)"
    text, count = re.subn(pattern, lambda found: f"{found[1]}{table}\n{found[2]}", text, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"expected one place for the table {name!r}, found {count}")
    return text
