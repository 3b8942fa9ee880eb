"""Runs side by side: with themselves, other costs, parameters, symbols, periods, and after a member fell silent."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import simulator
from simulator.analysis.compare import common_sessions, compare_runs
from simulator.analysis.trial_returns import read_excess
from simulator.errors import UsageError
from simulator.report.comparison import judge_comparison
from simulator.report.comparison_page import render_comparison
from simulator.runs.execute import PartialRunError
from simulator.stats.adjust import adjust
from simulator.stats.compare import compare

from .conftest import Serve, seat_models

pytestmark = pytest.mark.medium

SPAN = {"start": "2022-01-03", "end": "2023-12-29"}
DRAWS = 500

Runs = dict[str, simulator.Run]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Runs:
    """The same rule with other parameters, costs, limits, symbols and dates, and other rules."""
    from simulator.workspace import make_workspace

    folder = tmp_path_factory.mktemp("compare") / "workspace"
    make_workspace(folder, git=False)

    def run(strategy: str = "sma_cross", symbols: tuple[str, ...] = ("SPY", "QQQ"), **changes: Any) -> simulator.Run:
        return simulator.run(strategy, symbols, workspace=folder, **{**SPAN, **changes})

    runs = {
        "slow": run(),
        "fast": run(parameters={"fast": 20}),
        "one": run(symbols=("SPY",)),
        "hold": run("buy_and_hold"),
        "held": run("buy_and_hold", start="2023-01-03"),
        "early": run("buy_and_hold", start="2020-01-02", end="2021-12-31"),
        "weeks": run("buy_and_hold", end="2022-02-28"),
        "days": run("buy_and_hold", end="2022-01-14"),
    }
    costs = folder / "config" / "costs.yaml"
    kept = costs.read_text()
    costs.write_text(kept.replace("slippage_bps: 2.0", "slippage_bps: 20.0"))
    runs["dear"] = run("buy_and_hold")
    costs.write_text(kept)
    risk = folder / "config" / "risk.yaml"
    risk.write_text(risk.read_text() + "\n# a remark that changes nothing\n")
    source = folder / "strategies" / "sma_cross.py"
    source.write_text(source.read_text() + "\n# a remark that changes nothing\n")
    runs["remarked"] = run()
    return runs


Compare = Callable[..., tuple[dict[str, Any], str]]


@pytest.fixture(scope="module")
def against(made: Runs) -> Compare:
    """Facts and everything that is said of the runs named; the page is drawn as well."""

    def compared(*names: str) -> tuple[dict[str, Any], str]:
        facts, held = compare_runs([made[name].folder for name in names], draws=DRAWS)
        verdict = judge_comparison(facts)
        page = render_comparison(facts, held, common_sessions([one.evidence for one in held])).decode()
        assert verdict.headline in page.replace("&#39;", "'")
        return facts, " ".join([verdict.headline, *verdict.details, verdict.parting]).replace("\u00a0", " ")

    return compared


def test_a_run_is_the_same_as_itself_to_the_last_byte(against: Compare) -> None:
    facts, told = against("slow", "slow")
    pair = facts["pairs"][0]
    assert (pair["same"], pair["standing"], pair["diverging"]) == ("bytes", "same", None)
    assert facts["configuration"] == []
    assert told.startswith("The same run, to the last byte.")
    assert set(pair["values"].values()) == {None}
    assert set(pair["reasons"].values()) == {"the returns are the same"}


def test_an_edit_that_changes_nothing_is_named_and_found_to_change_nothing(against: Compare) -> None:
    facts, told = against("slow", "remarked")
    assert [row["key"] for row in facts["configuration"]] == ["strategy_files.sma_cross.py"]
    assert facts["pairs"][0]["standing"] == "same"
    assert "The same result, to the last byte, from two runs" in told


def test_another_parameter_is_found_at_the_first_decision_it_changes(made: Runs, against: Compare) -> None:
    facts, told = against("slow", "fast")
    found = facts["pairs"][0]["diverging"]
    wanted = [{t["symbol"]: t["weight"] for t in d["targets"]} for d in made["slow"].records]
    other = [{t["symbol"]: t["weight"] for t in d["targets"]} for d in made["fast"].records]
    first = next(i for i, (a, b) in enumerate(zip(wanted, other, strict=True)) if a != b)
    assert (found["what"], found["as_of"]) == ("decision", made["slow"].records[first]["as_of"])
    assert found["a"]["weight"] == wanted[first][found["symbol"]]
    assert found["b"]["weight"] == other[first][found["symbol"]]
    assert (found["why"]["path"], found["why"]["a"], found["why"]["b"]) == ("parameters.fast", 50, 20)
    assert [(row["key"], row["values"]) for row in facts["configuration"]] == [("parameters.fast", [None, 20])]
    assert "The first thing to differ is a parameter: parameters.fast, A 50, B 20." in told


def test_the_paired_statistics_are_those_of_the_statistics_room_on_the_runs_returns(
    made: Runs, against: Compare
) -> None:
    facts, told = against("slow", "fast")
    values = facts["pairs"][0]["values"]
    a, b = (read_excess(made[name].folder) for name in ("slow", "fast"))
    assert a is not None
    assert b is not None
    wanted = compare(a.excess, b.excess, draws=DRAWS)
    assert values["p"] == wanted.p  # type: ignore[union-attr]
    assert (values["low"], values["high"]) == (wanted.low, wanted.high)  # type: ignore[union-attr]
    assert values["sharpe_difference"] == pytest.approx(made["slow"].metrics["sharpe"] - made["fast"].metrics["sharpe"])
    apart = a.returns - b.returns
    assert values["return_difference"] == pytest.approx(apart.mean() * 252)
    assert values["return_low"] < values["return_difference"] < values["return_high"]
    assert values["correlation"] == pytest.approx(np.corrcoef(a.returns, b.returns)[0, 1])
    assert values["tracking_error"] == pytest.approx(apart.std(ddof=1) * np.sqrt(252))
    assert told.startswith("Cannot tell them apart: Sharpe ")
    assert "no difference" not in told
    assert "Power: a true difference of this size is found four times in five in" in told


def test_other_costs_part_at_the_first_fill_and_not_at_a_decision(against: Compare) -> None:
    facts, told = against("hold", "dear")
    found = facts["pairs"][0]["diverging"]
    assert (found["what"], found["session"]) == ("fill", "2022-01-03")
    assert found["why"]["path"] == "config.costs.slippage_bps"
    assert (found["why"]["a"], found["why"]["b"]) == (2.0, 20.0)
    assert "All decisions are the same. First different fill: 2022-01-03" in told
    # After the first day the two own the same shares: there is nothing to resample, and no verdict is made up.
    values, reasons = facts["pairs"][0]["values"], facts["pairs"][0]["reasons"]
    assert facts["pairs"][0]["standing"] == "undefined"
    assert values["sharpe_difference"] > 0
    assert (values["p"], values["low"]) == (None, None)
    assert f"the difference cannot be tested, {reasons['p']}." in told


def test_other_symbols_are_named_as_what_differs(against: Compare) -> None:
    facts, _ = against("slow", "one")
    rows = {row["key"]: row["values"] for row in facts["configuration"]}
    assert rows["symbols"] == [["SPY", "QQQ"], ["SPY"]]
    found = facts["pairs"][0]["diverging"]
    assert "symbols" in found["inputs"]
    assert found["session"] == "2022-01-03"


def test_only_the_sessions_both_have_are_compared(made: Runs, against: Compare) -> None:
    facts, told = against("hold", "held")
    pair = facts["pairs"][0]
    assert (pair["from"], pair["to"]) == ("2023-01-03", "2023-12-29")
    assert pair["sessions"] == made["held"].facts["sessions"] < made["hold"].facts["sessions"]
    assert facts["metrics_over"] == "common"
    own = {row["key"]: row["values"] for row in facts["metrics"]}
    assert own["total_return"][1] == pytest.approx(made["held"].metrics["total_return"])
    returns = read_excess(made["hold"].folder).returns[-pair["sessions"] :]  # type: ignore[union-attr]
    assert own["total_return"][0] == pytest.approx(np.prod(1 + returns) - 1)
    assert pair["diverging"]["what"] == "only b"
    assert "Only B decided: SPY +50.0 %, QQQ +50.0 %." in told


def test_periods_that_do_not_meet_are_said_in_a_sentence(against: Compare) -> None:
    facts, told = against("hold", "early")
    assert (facts["pairs"][0]["standing"], facts["common"]["sessions"]) == ("no overlap", 0)
    assert told.startswith(
        "Nothing to compare: A runs from 2022-01-03 to 2023-12-29 and B runs from 2020-01-02 to 2021-12-31"
    )


@pytest.mark.parametrize(("name", "sessions", "known"), [("days", 10, False), ("weeks", 39, True)])
def test_too_few_common_sessions_get_no_verdict(against: Compare, name: str, sessions: int, known: bool) -> None:
    facts, told = against("slow", name)
    pair = facts["pairs"][0]
    assert (pair["sessions"], pair["standing"]) == (sessions, "too short")
    assert (pair["values"]["p"] is not None) is known
    assert told.startswith(f"{sessions} common sessions: too few for a verdict, which takes 60.")
    assert "Sharpe" not in told


def test_three_runs_are_compared_in_pairs_with_p_adjusted_for_all(against: Compare) -> None:
    facts, told = against("slow", "fast", "hold")
    pairs = facts["pairs"]
    assert [(p["a"], p["b"]) for p in pairs] == [("A", "B"), ("A", "C"), ("B", "C")]
    raw = [p["values"]["p"] for p in pairs]
    assert [p["values"]["p_adjusted"] for p in pairs] == adjust(raw, "holm").tolist()
    assert "p is adjusted for all 3 pairs (Holm)." in told


@pytest.mark.parametrize("late", [188, None])
def test_a_pair_rests_on_sessions_that_no_model_may_remember(
    late: int | None, made: Runs, against: Compare, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, _ = against("slow", "fast")
    first = made["slow"].facts["run_id"]
    known = "simulator.analysis.compare.judged_sessions"
    monkeypatch.setattr(known, lambda run: late if run["run_id"] == first else run["sessions"])
    facts, said = against("slow", "fast")
    (pair,) = facts["pairs"]
    assert (pair["common"], pair["judged"]) == (501, late or 0)
    if late is None:
        assert pair["standing"] == "not assessable"
        assert said.startswith("Not assessable: 0 of 501 common sessions lie after the models' cut-offs, 60 are needed")
        assert "p 0" not in said
        assert "interval" not in said.partition(" by itself")[0]
    else:
        assert pair["sessions"] == 188
        assert "Over the 188 sessions" in said
        assert pair["values"]["p"] != whole["pairs"][0]["values"]["p"]


def test_one_run_or_nine_are_refused(made: Runs) -> None:
    for count in (1, 9):
        with pytest.raises(UsageError, match=f"{count} runs; name two to 8 runs"):
            compare_runs([made["slow"].folder] * count)


def test_the_same_facts_make_the_same_page(made: Runs) -> None:
    folders = [made["slow"].folder, made["fast"].folder]
    pages = []
    for _ in range(2):
        facts, held = compare_runs(folders, draws=DRAWS)
        pages.append(render_comparison(facts, held, common_sessions([one.evidence for one in held])))
    assert pages[0] == pages[1]
    assert b"http" not in pages[0].replace(b"http-equiv", b"")


def test_a_council_whose_member_falls_silent_parts_at_that_answer(serve: Serve, workspace: Path) -> None:
    period = {"start": "2024-01-02", "end": "2024-02-16", "models": "dry", "max_cost": 50.0, "workspace": workspace}
    good = serve("--latency", 0)
    bad = serve("--latency", 0, "--faults", 1, "--fault", "refusal")
    seat_models(workspace, good.url)
    whole = simulator.run(**period)
    seat_models(workspace, good.url, elsewhere={"pm.trend": bad.url})
    torn = simulator.run(**period)
    facts, _ = compare_runs([whole.folder, torn.folder], draws=DRAWS)
    found = facts["pairs"][0]["diverging"]
    assert found["what"] == "decision"
    assert found["why"]["path"].startswith("pitches[pm.trend]")
    assert any(row["key"].startswith("config.models.pm") for row in facts["configuration"])
    told = " ".join(judge_comparison(facts).details)
    assert "A and B are single draws of their models" in told


def test_a_partial_run_is_compared_as_far_as_it_goes(serve: Serve, workspace: Path) -> None:
    seat_models(workspace, serve("--latency", 0).url)
    period = {"start": "2024-01-02", "end": "2024-03-28", "models": "dry", "workspace": workspace}
    with pytest.raises(PartialRunError) as caught:
        simulator.run(**period, max_cost=0.5)
    part = caught.value.run
    kept = part.folder.rename(part.folder.parent.parent / "kept")
    whole = simulator.run(**period, max_cost=50.0)
    facts, _ = compare_runs([whole.folder, kept], draws=DRAWS)
    verdict = judge_comparison(facts)
    assert facts["common"]["sessions"] == part.facts["sessions"] < whole.facts["sessions"]
    assert any(sentence.startswith("B is partial: it stopped at ") for sentence in verdict.details)
