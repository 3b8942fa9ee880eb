"""Work of `sim compare`, `check`, `ablate` and `explain` between parsing and printing, for shell and Python alike."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.errors import SimError, UsageError
from simulator.evidence.verify import Verified, add_parts
from simulator.files import check_writable, locked
from simulator.printing import say
from simulator.stopping import refuse_if_stopped
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from rich.console import Console

    from simulator.analysis.ablation import Progress
    from simulator.analysis.compare import Comparison
    from simulator.analysis.explain import Explanation
    from simulator.analysis.explain_number import ExplainedNumber
    from simulator.contamination.bill import Bill
    from simulator.contamination.checks import Check
    from simulator.evidence.records import AblationRecord, CheckRecord, Checks

MOST_COMPARISONS = 20
"""Comparisons that a run's pages lead to, the newest."""


def compare_runs(
    opened: Sequence[Verified], workspace: Workspace, draws: int, seed: int, target: Path | None = None
) -> tuple[Comparison, Path]:
    """Compare two to eight runs and write the page, to `target` or ``reports/compare-A-B/``. Returns (facts, page)."""
    from simulator.analysis import compare
    from simulator.analysis.trials import fresh_trials
    from simulator.report.comparison_page import render_comparison, write_comparison
    from simulator.report.shelf import keep_shelf

    folders, altered = [one.folder for one in opened], [one.altered for one in opened]
    tried = [fresh_trials(workspace, one.folder, one.run) for one in opened]
    facts, compared = compare.compare_runs(folders, altered=altered, tried=tried, draws=draws, seed=seed)
    days = compare.common_sessions([one.evidence for one in compared])
    beside = [one for one in opened if target is None and one.folder.resolve().parent == workspace.reports.resolve()]
    links = {one.run["run_id"]: f"../{one.folder.name}/report.html" for one in beside} if target is None else None
    page = write_comparison(facts, render_comparison(facts, compared, days, links), workspace.reports, target)
    if target is None:
        for one in beside:
            _list_comparison(one, facts, page.parent.name, workspace)
    keep_shelf(page.parent, workspace.reports)
    return facts, page


def check_run(
    opened: Verified,
    workspace: Workspace,
    wanted: Sequence[Check],
    max_cost: float,
    models: bool,
    on_bill: Callable[[Check, Bill], None],
    on_start: Callable[[Check], None],
) -> tuple[Checks, list[CheckRecord], Path]:
    """Run checks on a run, write checks.html and checks.json into its folder and build its report again.

    Returns (content of checks.json, the checks of this time, page). Raises as `run_checks`.
    """
    from simulator.contamination.checks import run_checks
    from simulator.report.checks import FILE, content, merge
    from simulator.report.shelf import keep_shelf

    folder = opened.folder
    check_writable(folder)
    done = run_checks(folder, workspace, wanted, max_cost, models, on_bill, on_start, opened.altered)
    results = [one.to_json() for one in done]
    refuse_if_stopped()
    add = partial(add_parts, workspace, opened.run)
    with locked(folder.parent):  # another process may add its own checks
        facts = merge(folder, results, opened.altered)
        add(folder, content(facts))
    _link_pages(opened, add)
    _write_report(opened, workspace, add)
    keep_shelf(folder, workspace.reports)
    return facts, results, folder / FILE


def ablate_run(opened: Verified, workspace: Workspace, progress: Progress | None = None) -> tuple[AblationRecord, Path]:
    """Take a council apart, write ablation.html and ablation.json into its run's folder and build the report again.

    Returns (content of ablation.json, page).
    """
    from simulator.analysis.ablation import ablate
    from simulator.report.ablation import FACTS, FILE, page
    from simulator.report.shelf import keep_shelf
    from simulator.store.folders import json_bytes

    folder = opened.folder
    check_writable(folder)
    facts = ablate(folder, workspace, progress)
    if opened.altered:
        facts = {**facts, "altered": opened.altered}
    add = partial(add_parts, workspace, opened.run)
    add(folder, {FACTS: json_bytes(facts), FILE: page(facts)})
    _link_pages(opened, add)
    _write_report(opened, workspace, add)
    keep_shelf(folder, workspace.reports)
    return facts, folder / FILE


@dataclass(frozen=True)
class Topic:
    """The question about a run: `what` is a number by its key or name, a date, or None for all; `symbol` and `trades`
    narrow it, `page` is that of a long table."""

    what: str | date | None = None
    symbol: str | None = None
    account: str | None = None
    trades: int | None = None
    page: int | None = None

    def __post_init__(self) -> None:
        for name, value in (("trades", self.trades), ("page", self.page)):
            if value is not None and (not isinstance(value, int) or value < 1):
                raise UsageError(f"{name} was {value!r:.40}", mend="it is a whole number from 1 on")


def explain_run(opened: Verified, topic: Topic) -> tuple[dict[str, object], Callable[[Console], None]]:
    """Return the explanation of a run's numbers, of one of them, or of a decision: facts, and what prints them.

    Raises UsageError for what the run does not have, DataError for a damaged folder.
    """
    badge: dict[str, object] = {"altered": opened.altered} if opened.altered else {}
    if topic.what is None:
        from simulator.analysis.explain import trace_account
        from simulator.report.explain import print_trace

        trace = trace_account(opened.folder, topic.account, topic.symbol)
        largest = explain_number_of(opened, topic, "final_equity") if topic.trades else None
        trades = {"largest_trades": list(largest.rows)} if largest else {}
        return {**trace.to_json(), **trades, **badge}, lambda console: print_trace(trace, console, largest, topic.page)
    if isinstance(topic.what, str) and not topic.what[:1].isdigit():
        from simulator.report.explain_number import find_metric, print_number, to_json

        number = explain_number_of(opened, topic, find_metric(topic.what).key)
        return {**to_json(number), **badge}, lambda console: print_number(number, console, topic.page)
    if topic.trades or topic.page:
        name = "--trades" if topic.trades else "--page"
        raise UsageError(f"{name} with a date", mend="leave it out, or name a number as sharpe")
    from simulator.report.explain import print_explanation

    found = explain_date(opened, topic)
    return {**found.to_json(), **badge}, lambda console: print_explanation(found, console)


def explain_number_of(opened: Verified, topic: Topic, metric: str) -> ExplainedNumber:
    """Return a number of the run with the parts that `topic` asks for."""
    from simulator.analysis.explain_number import explain_number

    return explain_number(opened.folder, metric, topic.account, topic.symbol, topic.trades)


def explain_date(opened: Verified, topic: Topic) -> Explanation:
    """Return the decision in force on the date of `topic`."""
    from simulator.analysis.explain import explain_decision
    from simulator.market.calendar import parse_date

    day = parse_date(topic.what, "DATE")  # type: ignore[arg-type]
    return explain_decision(opened.folder, day, topic.symbol, topic.account)


def _list_comparison(opened: Verified, facts: Comparison, name: str, workspace: Workspace) -> None:
    """Put the comparison `name` first in the run's comparisons.json, and into the lists of pages in its folder.

    A folder that was altered or cannot be written is left as it is: the comparison is made.
    """
    from simulator.evidence.reader import COMPARISONS, read_comparisons
    from simulator.store.folders import json_bytes

    folder, own = opened.folder, opened.run["run_id"]
    others = [f"{run['strategy']} {run['run_id']}" for run in facts["runs"] if run["run_id"] != own]
    add = partial(add_parts, workspace, opened.run)
    try:
        with locked(folder.parent):  # another process may add its own
            earlier = read_comparisons(folder, opened.run)
            if opened.altered or earlier[:1] == ({"folder": name, "others": others},):
                return
            kept = [{"folder": name, "others": others}, *(one for one in earlier if one["folder"] != name)]
            add(folder, {COMPARISONS: json_bytes({"comparisons": kept[:MOST_COMPARISONS]})})
        _link_pages(opened, add)
        if (folder / "report.html").is_file():
            _write_report(opened, workspace, add)
    except SimError as error:
        say(f"sim: note: {folder.name} does not list the comparison: {error.found}", err=True)


def _write_report(opened: Verified, workspace: Workspace, add: Callable[[Path, Mapping[str, bytes]], None]) -> None:
    """Build the report of a run again, by the trials there are by now."""
    from simulator.analysis.trials import count_trials
    from simulator.report.formats import write

    count_trials(workspace, opened.folder, opened.run)
    write(opened.folder, "html", opened.altered, add)


def _link_pages(opened: Verified, add: Callable[[Path, Mapping[str, bytes]], None]) -> None:
    """Write the pages of ablation and checks again where there are several pages of a run: each leads to the others."""
    from simulator.evidence.reader import COMPARISONS, read
    from simulator.report import ablation, checks

    folder = opened.folder
    there = {name for name in (ablation.FACTS, checks.FACTS, COMPARISONS) if (folder / name).exists()}
    if len(there) < 2:
        return
    evidence = read(folder, opened.altered)
    pages = {ablation.FILE: ablation.page(evidence.ablation, evidence)} if evidence.ablation is not None else {}
    pages |= {checks.FILE: checks.page(evidence.checks, evidence)} if evidence.checks is not None else {}
    add(folder, pages)
