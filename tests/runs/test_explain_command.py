"""From a number of the leaderboard to the answers behind it, on a run as people make them."""

from __future__ import annotations

import json
import os
import re
from math import fsum
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import simulator
from simulator.analysis.explain import trace_account
from simulator.cli import sim as command
from simulator.llm.cache import AnswerCache
from simulator.report.catalogue import METRICS
from simulator.stats.trades import closed_trades, trade_statistics

pytestmark = pytest.mark.medium


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace with one run of a quarter of the sample."""
    from simulator.workspace import make_workspace

    folder = tmp_path_factory.mktemp("explain") / "workspace"
    make_workspace(folder, git=False)
    simulator.run(start="2024-01-02", end="2024-04-30", workspace=folder)
    return folder


@pytest.fixture(scope="module")
def run(lab: Path) -> Path:
    return next(path for path in (lab / "reports").iterdir() if path.is_dir())


def accounts(run: Path) -> dict[str, dict[str, Any]]:
    return {one["name"]: one for one in json.loads((run / "run.json").read_text(encoding="utf-8"))["accounts"]}


def test_every_account_of_the_leaderboard_can_be_traced(run: Path) -> None:
    assert len(accounts(run)) == 6
    for name, entry in accounts(run).items():
        found = trace_account(run, name).to_json()
        assert found["metrics"] == entry["metrics"]
        assert found["trades"], name


def test_files_of_the_strategy_that_changed_since_are_named(lab: Path, run: Path) -> None:
    definition, prompt = (lab / "strategies" / "macro_council" / one for one in ("strategy.yaml", "prompts/pitch.md"))
    written, asked = definition.read_bytes(), prompt.read_bytes()

    def told() -> str:
        done = CliRunner().invoke(command, ["--workspace", str(lab), "explain", run.name, "2024-03-08", "--json"])
        assert json.loads(done.stdout)["run"] == run.name
        return done.stderr

    assert told() == ""
    try:
        definition.write_bytes(written + b"# a word\n")
        prompt.unlink()
        both = "strategies/macro_council/prompts/pitch.md (gone), strategies/macro_council/strategy.yaml"
        assert told() == f"sim: changed since this run: {both}; what is told is of then\n"
    finally:
        definition.write_bytes(written)
        prompt.write_bytes(asked)


def test_trade_statistics_follow_from_the_trades_that_are_listed(run: Path) -> None:
    for name in accounts(run):
        found = trace_account(run, name).to_json()
        codes = {symbol: n for n, symbol in enumerate(dict.fromkeys(t["symbol"] for t in found["trades"]))}
        profits = closed_trades(
            [codes[t["symbol"]] for t in found["trades"]],
            list(range(len(found["trades"]))),
            [float(t["quantity"]) for t in found["trades"]],
            [float(t["price"]) for t in found["trades"]],
            [float(t["slippage"]) + float(t["commission"]) for t in found["trades"]],
        ).round_trips()
        for key, value in trade_statistics(profits).items():
            if isinstance(value, float):
                assert found["metrics"][key] == pytest.approx(value, rel=1e-9), (name, key)


def test_every_trade_leads_to_a_decision_and_every_answer_behind_it_is_in_the_cache(lab: Path, run: Path) -> None:
    with AnswerCache(lab / "llm_cache") as cache:
        for name in accounts(run):
            found = trace_account(run, name).to_json()
            decided = {d["as_of"]: d for d in found["decisions"]}
            behind = [decided[t["decided_at"]] for t in found["trades"]]
            assert all(d["keys"] for d in behind), name
            keys = {key for d in behind for key in d["keys"]}
            assert all(cache.entry(key) is not None for key in keys), name


def test_the_bill_of_an_account_is_the_sum_of_the_calls_listed(run: Path) -> None:
    for name, entry in accounts(run).items():
        calls = trace_account(run, name).calls
        assert (len(calls), fsum(c["cost_usd"] for c in calls)) == (entry["llm"]["calls"], entry["llm"]["cost_usd"])


def test_the_command_prints_an_account_a_date_and_both_as_json(lab: Path, run: Path, sim: Any) -> None:
    whole = sim("explain", "last", cwd=lab)
    assert whole.returncode == 0, whole.stderr
    assert "chairman · rule-based (COUNCIL), macro_council" in whole.stdout
    key = whole.stdout.rpartition("`sim cache show ")[2].partition("`")[0]
    assert sim("cache", "show", key, cwd=lab).returncode == 0
    told = sim("explain", "last", "2024-02-05", "--account", "groq", cwd=lab)
    assert "Decision of pm.carry · rule-based (GROQ) of 2024-02-05 08:00" in told.stdout
    found = json.loads(sim("explain", run.name, "2024-02-05", "SPY", "--account", "pm.carry", "--json", cwd=lab).stdout)
    assert (found["account"], found["symbol"], found["record"]["kind"]) == ("GROQ", "SPY", "member")
    listed = json.loads(sim("explain", "last", "--account", "GROQ", "--json", cwd=lab).stdout)
    assert listed["trades"] == trace_account(run, "GROQ").to_json()["trades"]


def test_an_account_there_is_not_gets_one_line(lab: Path, sim: Any) -> None:
    done = sim("explain", "last", "--account", "CLAUD", cwd=lab)
    assert done.returncode == 2
    assert done.stderr.startswith('sim: error: no account "CLAUD" in this run, did you mean')
    assert done.stderr.count("\n") == 1


def test_the_shell_completes_runs_dates_and_accounts(lab: Path, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.shell_completion import ShellComplete

    from simulator.cli import sim as command

    monkeypatch.chdir(lab)
    shell = ShellComplete(command, {}, "sim", "_SIM_COMPLETE")

    def offered(*words: str) -> list[str]:
        return [item.value for item in shell.get_completions(list(words[:-1]), words[-1])]

    assert offered("explain", "macro") == [run.name]
    months = ["2024-01", "2024-02", "2024-03", "2024-04"]
    assert offered("explain", run.name, "") == [*months, *sorted(METRICS)]
    assert offered("explain", run.name, "sharpe") == [name for name in sorted(METRICS) if name.startswith("sharpe")]
    assert offered("explain", run.name, "max_d") == ["max_drawdown", "max_drawdown_band", "max_drawdown_sessions"]
    assert offered("explain", run.name, "sharpe", "--symbol", "") == ["QQQ", "SPY"]
    assert offered("explain", run.name, "sharpe", "--account", "b") == ["buy_and_hold"]
    assert "2024-02-05" in offered("explain", run.name, "2024-02")
    assert offered("explain", run.name, "--account", "g") == ["GEMINI", "GROQ"]


def test_the_report_is_written_in_three_formats(lab: Path, run: Path, sim: Any) -> None:
    for kind in ("html", "md", "json"):
        done = sim("report", "--format", kind, cwd=lab)
        assert done.stdout.strip().endswith(f"{run.name}{os.sep}report.{kind}"), done.stderr
    shown = json.loads((run / "report.json").read_text(encoding="utf-8"))
    assert {one["name"] for one in shown["leaderboard"]} == set(accounts(run))
    assert np.isfinite(shown["comparison"]["macro_council"]["total_return"])


def test_annualised_figures_of_short_runs_are_withheld_here_too(sim: Any, workspace: Path) -> None:
    simulator.run("macro_council", ["SPY", "QQQ"], "2024-01-02", "2024-02-20", workspace=workspace)
    told = sim("explain", "last", "--workspace", workspace).stdout
    assert re.search(r"^Sharpe ratio +withheld +annualised figures are withheld below", told, re.MULTILINE)
    assert re.search(r"^Total return +[+−]\d", told, re.MULTILINE)
    ablated = sim("ablate", "last", "--workspace", workspace).stdout
    assert re.search(r"^as run .*withheld", ablated, re.MULTILINE)
