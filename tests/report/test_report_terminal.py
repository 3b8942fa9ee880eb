"""What a finished run prints."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from simulator.evidence.reader import read_run
from simulator.report.terminal import print_run


def printed(folder: Path, width: int = 80, terminal: bool = False) -> str:
    out = io.StringIO()
    console = Console(file=out, width=width, force_terminal=terminal, color_system="standard" if terminal else None)
    print_run(folder, console)
    return out.getvalue()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_no_line_but_the_path_is_wider_than_the_terminal(write_run: Any, width: int) -> None:
    note = "A note that goes on about how the end of the run was chosen, at some length, and then goes on some more."
    lines = printed(write_run(notes=(note,)), width).splitlines()
    assert max(len(line) for line in lines if not line.startswith("report")) <= width
    assert all(line == line.rstrip() for line in lines)


def test_the_three_accounts_stand_in_the_same_columns(write_run: Any) -> None:
    lines = printed(write_run()).splitlines()
    head = next(line for line in lines if "Buy-and-hold" in line)
    row = next(line for line in lines if line.startswith("Total return"))
    assert head.split() == ["macro_council", "Buy-and-hold", "Equal-weight"]
    assert len(head) == len(row)
    assert row.count("%") == 3


def test_verdict_audit_notes_and_report_are_there(write_run: Any) -> None:
    folder = write_run()
    text = " ".join(printed(folder).split())
    assert "95 % interval" in text
    assert "rule-based analysts, no LLM" in text
    assert "audit backtrader and kernel agree to the last bit" in text
    assert "note The run ends on 2024-12-31" in text
    assert text.endswith(f"report {folder / 'report.html'}")


def test_the_report_is_named_as_seen_from_here(write_run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write_run()
    monkeypatch.chdir(folder.parent)
    assert printed(folder).splitlines()[-1].split() == ["report", "run/report.html"]


def test_colours_are_for_terminals_only(write_run: Any) -> None:
    folder = write_run()
    assert "\x1b" not in printed(folder)
    assert "\x1b[" in printed(folder, terminal=True)


def test_short_runs_leave_out_what_is_withheld(write_run: Any) -> None:
    text = printed(write_run(sessions=23))
    assert "too few for a verdict" in text
    assert "Sharpe" not in text
    assert "Total return" in text


def test_square_brackets_in_names_are_text_not_markup(write_run: Any) -> None:
    text = printed(write_run(strategy="[red]boom[/red]", notes=("[bold]x[/bold]",)), terminal=True)
    assert "[red]boom[/red]" in text
    assert "[bold]x[/bold]" in text


@pytest.mark.parametrize("strategy", ["a_strategy_with_quite_a_long_name_for_a_terminal", "x" * 60])
def test_no_number_is_cut_for_want_of_room(write_run: Any, strategy: str) -> None:
    folder = write_run(strategy=strategy)
    run = read_run(folder)
    wide = {"sharpe_ci_low": -21.93, "sharpe_ci_high": -18.74}
    run["metrics"] |= wide
    run["inference"] |= wide
    for benchmark in run["benchmarks"].values():
        benchmark |= wide
    run["benchmarks"]["exposure_matched"] = run["benchmarks"]["buy_and_hold"]
    (folder / "run.json").write_text(json.dumps(run), encoding="utf-8")
    table = printed(folder).split("Sharpe ")[0] + printed(folder).split("\n\n")[1]
    assert "…" not in table
    assert max(map(len, table.splitlines())) <= 80
    assert printed(folder).count("−18.74") >= 4
