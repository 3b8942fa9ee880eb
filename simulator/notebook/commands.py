"""Work of `sim compare`, `check` and `ablate` between parsing and printing, for the shell and for Python alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.evidence.verify import Verified, add_parts
from simulator.files import check_writable, locked
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from simulator.analysis.ablation import Progress
    from simulator.analysis.compare import Comparison
    from simulator.contamination.bill import Bill
    from simulator.contamination.checks import Check
    from simulator.evidence.records import AblationRecord, CheckRecord, Checks


def compare_runs(
    opened: Sequence[Verified], workspace: Workspace, draws: int, seed: int, target: Path | None = None
) -> tuple[Comparison, Path]:
    """Compare two to eight runs and write the page, to `target` or ``reports/compare-A-B/``. Returns (facts, page)."""
    from simulator.analysis import compare
    from simulator.report.comparison_page import render_comparison, write_comparison
    from simulator.report.shelf import keep_shelf

    folders, altered = [one.folder for one in opened], [one.altered for one in opened]
    facts, compared = compare.compare_runs(folders, altered=altered, draws=draws, seed=seed)
    days = compare.common_sessions([one.evidence for one in compared])
    page = write_comparison(facts, render_comparison(facts, compared, days), workspace.reports, target)
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
    from simulator.report.formats import write
    from simulator.report.shelf import keep_shelf

    folder = opened.folder
    check_writable(folder)
    done = run_checks(folder, workspace, wanted, max_cost, models, on_bill, on_start, opened.altered)
    results = [one.to_json() for one in done]
    add = partial(add_parts, workspace, opened.run)
    with locked(folder.parent):  # another process may add its own checks
        facts = merge(folder, results, opened.altered)
        add(folder, content(facts))
    write(folder, "html", opened.altered, add)
    keep_shelf(folder, workspace.reports)
    return facts, results, folder / FILE


def ablate_run(opened: Verified, workspace: Workspace, progress: Progress | None = None) -> tuple[AblationRecord, Path]:
    """Take a council apart, write ablation.html and ablation.json into its run's folder and build the report again.

    Returns (content of ablation.json, page).
    """
    from simulator.analysis.ablation import ablate
    from simulator.report.ablation import FACTS, FILE, page
    from simulator.report.formats import write
    from simulator.report.shelf import keep_shelf
    from simulator.store.folders import json_bytes

    folder = opened.folder
    check_writable(folder)
    facts = ablate(folder, workspace, progress)
    if opened.altered:
        facts = {**facts, "altered": opened.altered}
    add = partial(add_parts, workspace, opened.run)
    add(folder, {FACTS: json_bytes(facts), FILE: page(facts)})
    write(folder, "html", opened.altered, add)
    keep_shelf(folder, workspace.reports)
    return facts, folder / FILE
