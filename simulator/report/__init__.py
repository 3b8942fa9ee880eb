"""One run folder in, one self-contained page out.

    run folder ──evidence──► Evidence ──┬─ verdict   the sentence and its interval
    (plain text)                        ├─ tables    numbers in cells, "n/a" with its reason
                                        ├─ figures   paths of curves; the page's style sheet colours
                                        └─ page      Jinja2, escaped ──► report.html

The room knows nothing of how the numbers were made: what is not in the folder is not in the report.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from simulator.report.page import build, render

__all__ = ["build", "render"]


def __getattr__(name: str) -> Any:
    # On first use: whoever prints a table needs no page.
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from simulator.report import page

    return getattr(page, name)
