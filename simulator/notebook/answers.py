"""Answers of `sim compare`, `check`, `ablate` and `explain` for Python: a sentence, a table, all facts, the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simulator.errors import UsageError
from simulator.evidence.verify import add_parts
from simulator.files import check_writable, locked
from simulator.notebook.worker import call_in_thread
from simulator.printing import printable
from simulator.report.renderers.console import capture
from simulator.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from simulator.notebook.run import Run


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer of a command.

    Attributes
    ----------
    headline : one sentence
    table : its main figures
    facts : everything, as the command's ``--json``
    page : the page that was written, None where there is none
    text : what the command prints
    """

    headline: str
    table: pd.DataFrame
    facts: Mapping[str, Any]
    page: Path | None
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        place = f'<div style="opacity:.7">{escape(str(self.page))}</div>' if self.page else ""
        table = self.table.to_html(max_rows=60, na_rep="", border=0) if len(self.table) else ""
        headline = f'<div style="font-weight:600;margin:.4em 0">{escape(self.headline)}</div>' if self.headline else ""
        text = "" if len(self.table) else f"<pre>{escape(self.text)}</pre>"
        return printable(f"{headline}{table}{text}{place}")


def ignore(*_told: object) -> None:
    """Progress for nobody."""


def compare(runs: Sequence[Run | str], workspace: Workspace, draws: int = 10_000, seed: int = 0) -> Answer:
    """Return the comparison of two to eight runs, or their ids: metrics side by side in its table.

    The page goes to ``reports/compare-A-B/``. Raises UsageError, DataError.
    """
    import pandas as pd

    from simulator.analysis.compare import common_sessions, compare_runs
    from simulator.evidence.verify import open_run
    from simulator.report.comparison import judge_comparison, print_comparison
    from simulator.report.comparison_page import render_comparison, write_comparison

    folders = [open_run(workspace, one).folder if isinstance(one, str) else one.folder for one in runs]
    facts, compared = compare_runs(folders, draws=draws, seed=seed)
    days = common_sessions([one.evidence for one in compared])
    page = write_comparison(facts, render_comparison(facts, compared, days), workspace.reports)
    verdict = judge_comparison(facts)
    labels = [f"{one['label']} {one['strategy']}" for one in facts["runs"]]
    rows = {one["key"]: one["values"] for one in facts["metrics"]}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=labels, dtype="float64")
    return Answer(
        verdict.headline,
        table,
        {"verdict": vars(verdict), **facts},
        page,
        capture(lambda console: print_comparison(facts, page, console)),
    )


def check(run: Run, only: Sequence[str] | None, models: bool, max_cost: float) -> Answer:
    """Return what the checks found: a row per figure with its interval and p in the table."""
    import pandas as pd

    from simulator.contamination.checks import run_checks, select_checks
    from simulator.report.checks import FILE, content, merge, print_checks
    from simulator.report.formats import write
    from simulator.runs.spec import check_max_cost

    check_max_cost(max_cost)
    wanted, folder = select_checks(only), run.folder
    check_writable(folder)
    # In a thread of its own: a notebook's has an event loop that another must not run within.
    done = call_in_thread(
        lambda _report: run_checks(folder, run.workspace, wanted, max_cost, models, ignore, ignore), ignore
    )
    results = [one.to_json() for one in done]
    add = partial(add_parts, run.workspace, run.facts)
    with locked(folder.parent):
        facts = merge(folder, results)
        add(folder, content(facts))
    page = folder / FILE
    write(folder, "html", "", add)
    rows = [
        {"check": one["name"], "outcome": one["outcome"], "figure": figure.get("name"), **figure}
        for one in results
        for figure in ([dict(each) for each in one["figures"]] or [{}])
    ]
    columns = ["check", "outcome", "figure", "value", "low", "high", "p", "note"]
    table = pd.DataFrame(rows, columns=columns)
    text = capture(lambda console: print_checks(facts, results, page, console))
    return Answer(facts["verdict"], table, facts, page, text)


def ablate(run: Run) -> Answer:
    """Return what each part of the council adds: a row per variant in the table."""
    import pandas as pd

    from simulator.analysis.ablation import ablate as take_apart
    from simulator.report.ablation import FACTS, FILE, headline, page, print_ablation
    from simulator.report.formats import write
    from simulator.store.folders import json_bytes

    check_writable(run.folder)
    facts = call_in_thread(lambda _report: take_apart(run.folder, run.workspace), ignore)
    add = partial(add_parts, run.workspace, run.facts)
    add(run.folder, {FACTS: json_bytes(facts), FILE: page(facts)})
    write(run.folder, "html", "", add)
    rows = [
        {
            **{name: one[name] for name in ("name", "part", "against", "meetings_changed", "verdict")},
            **{name: one["metrics"].get(name) for name in ("total_return", "sharpe", "max_drawdown")},
            **{f"pair_{name}": dict(one["pair"] or {}).get(name) for name in ("sharpe", "p", "p_adjusted")},
        }
        for one in facts["variants"]
    ]
    place = run.folder / FILE
    text = capture(lambda console: print_ablation(facts, place, console))
    return Answer(headline(facts), pd.DataFrame(rows), facts, place, text)


def explain(run: Run, date: object, symbol: str | None, account: str | None) -> Answer:
    """Return what is behind an account's numbers, or with `date` behind the decision in force then."""
    import pandas as pd

    from simulator.analysis.explain import explain_decision, trace_account
    from simulator.report.explain import print_explanation, print_trace

    if date is None:
        if symbol is not None:
            raise UsageError(f'symbol "{symbol}" without a date', mend='say which: run.explain("2024-03-08", "SPY")')
        trace = trace_account(run.folder, account)
        return Answer("", pd.DataFrame(), trace.to_json(), None, capture(lambda console: print_trace(trace, console)))
    from simulator.market.calendar import parse_date

    found = explain_decision(run.folder, parse_date(date, "date"), symbol and symbol.upper(), account)  # type: ignore[arg-type]
    return Answer("", pd.DataFrame(), found.to_json(), None, capture(lambda console: print_explanation(found, console)))
