"""One run folder in, one self-contained page out.

    run folder ──evidence──► Evidence ──┬─ verdict   the sentence and its interval
    (plain text)                        ├─ tables    numbers in cells, "n/a" with its reason
                                        ├─ figures   paths of curves; the page's style sheet colours
                                        └─ page      Jinja2, escaped ──► report.html

The room knows nothing of how the numbers were made: what is not in the folder is not in the report.
"""

from simulator.report.page import build, render

__all__ = ["build", "render"]
