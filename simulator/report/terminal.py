"""Terminal output of a finished run: the same numbers as the report, in the same columns."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from simulator.analysis.paired import against_best
from simulator.analysis.verdict import judge
from simulator.evidence.members import WARNING
from simulator.evidence.reader import read_equity, read_factors, read_run
from simulator.evidence.records import RunRecord
from simulator.number_format import counted, dollars
from simulator.report.page import FILE
from simulator.report.renderers.console import Text
from simulator.report.renderers.terminal import print_paragraph, print_path, print_table
from simulator.report.sections.all_figures import tabulate_figures
from simulator.report.sections.assumptions_and_notes import describe_audit, group_sources
from simulator.report.sections.factors import FactorSection, compose
from simulator.report.sections.members_and_council import compare_with_best, tabulate_accounts


def print_run(folder: Path, console: Console) -> None:
    """Print run.json of a folder for people: comparison, verdict, audit, notes and the path of the report.

    Fits 80 columns. Colour and weight only where `console` writes to a terminal.
    """
    run = read_run(folder)
    verdict = judge(run)
    console.print()
    console.print(Text(run["strategy"], style="bold cyan"))
    print_paragraph(console, _facts(run), "dim")
    console.print()
    print_table(console, tabulate_figures(run, brief=True), own=True, headings=False)
    console.print()
    print_paragraph(console, verdict.headline, "bold")
    for sentence in verdict.details:
        print_paragraph(console, sentence)
    console.print()
    known = read_factors(folder, run)
    print_factors(console, compose(known and known["regression"]))
    if run["accounts"]:
        print_table(console, tabulate_accounts(run, brief=True))
        console.print()
        sentence = compare_with_best(run, against_best(run, read_equity(folder, run)[1]))
        if sentence:
            print_paragraph(console, sentence)
            console.print()
    for source, symbols in group_sources(run["sources"]):
        print_paragraph(console, f"{_first_few(symbols.split(', '))}: {source}", label="bars")
    print_paragraph(console, describe_audit(run), label="audit")
    for note in run["notes"]:
        label = "warning" if note.startswith(WARNING) else "note"
        print_paragraph(console, note.removeprefix(WARNING), label=label)
    print_path(console, "report", folder / FILE)


def print_factors(console: Console, found: FactorSection | None) -> None:
    """Print loadings and parts of the return, or why there are none; nothing where nobody named factors."""
    if found is None:
        return
    if found.table:
        print_table(console, found.table)
    for sentence in found.sentences:
        print_paragraph(console, sentence, label="" if found.table else "factors")
    console.print()


def _facts(run: RunRecord) -> str:
    symbols = run["symbols"]
    named = _first_few(symbols)
    sessions = counted(run["sessions"], "session")
    return f"{named} · {run['from']} to {run['to']} · {sessions} · {dollars(run['cash'])}"


def _first_few(symbols: Sequence[str]) -> str:
    return ", ".join(symbols[:6]) + (f" and {len(symbols) - 6} more" if len(symbols) > 6 else "")
