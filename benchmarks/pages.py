"""Tables of benchmarks in the pages of docs/."""

from __future__ import annotations

from pathlib import Path


def write_table(page: str, name: str, content: str) -> None:
    """Put a table between its marks, ``<!-- name -->`` and ``<!-- end of name -->``, in a page of docs/."""
    path = Path(__file__).parents[1] / "docs" / page
    first, last = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, _, rest = path.read_text(encoding="utf-8").partition(first)
    path.write_text(f"{before}{first}\n{content}\n{last}{rest.partition(last)[2]}", encoding="utf-8")
