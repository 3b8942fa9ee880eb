"""The reporting protocol: every answer follows from evidence, and turns when the evidence does."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

import simulator
from simulator.analysis.protocol import Answer, answer_protocol
from simulator.analysis.trials import held_out, trials
from simulator.evidence.reader import Evidence, read
from simulator.workspace import make_workspace

from ..conftest import Sim

pytestmark = pytest.mark.medium

FIRST, LAST = "2022-06-01", "2023-05-31"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    workspace = tmp_path_factory.mktemp("protocol") / "w"
    make_workspace(workspace, git=False)
    yield workspace
    shutil.rmtree(workspace)


@pytest.fixture(scope="module")
def rule(place: Path) -> Evidence:
    """A year and a day of a rule on two symbols; its code is on record, whatever the checkout looks like."""
    found = read(simulator.run("sma_cross", "SPY,QQQ", FIRST, LAST, parameters={"fast": 5}, workspace=place).folder)
    return with_run(found, code={"digest": "c" * 64, "commit": "abc", "dirty": False, "version": "0.2"})


def with_run(evidence: Evidence, **entries: Any) -> Evidence:
    return replace(evidence, run={**evidence.run, **entries})


def asked(evidence: Evidence, **found: Any) -> Evidence:
    """The same run as if a model had decided it; `found` of its cut-off split."""
    split: Any = {
        "verdict": "Said.",
        "flagged": False,
        "assessable": False,
        "mend": "state its cut-off",
        "models": [],
        "cutoff": None,
        "grey_until": None,
        "parts": None,
        **found,
    }
    return with_run(evidence, llm={**evidence.run["llm"], "models": ["gpt"]}, contamination=split)


def checked(evidence: Evidence, **outcomes: str) -> Evidence:
    made: Any = {name: {"name": name, "outcome": o, "verdict": f"It was {o}."} for name, o in outcomes.items()}
    return replace(evidence, checks={"digest": evidence.run["digest"], "checks": made})  # type: ignore[arg-type]


def calibrated(evidence: Evidence, ic: float | None) -> Evidence:
    found = {"n": 40, "ic": ic, "ic_low": -0.1, "ic_high": 0.3, "reasons": {} if ic else {"ic": "too few"}}
    return with_run(evidence, accounts=[{"name": "COUNCIL", "metrics": {"total_return": 0.1}, "calibration": found}])


def priced(evidence: Evidence, multiple: float) -> Evidence:
    rows = [{**row, "costs_paid": row["costs_paid"] * multiple} for row in evidence.run["cost_sensitivity"]]
    return with_run(evidence, cost_sensitivity=rows)


def audited(evidence: Evidence, difference: float) -> Evidence:
    audit = {"engine": "backtrader", "auditor": "kernel", "max_relative_difference": difference}
    return with_run(evidence, audit=audit)


def early(evidence: Evidence) -> Evidence:
    return replace(evidence, fills=(replace(evidence.fills[0], at=evidence.orders[0].submitted_at - 1),))


def tried(evidence: Evidence, at_least: str = "", seen_by: str | None = None, **other: Any) -> Evidence:
    """The same run, of whose rule another run ended 2021-12-31; `other` of that one."""
    now, before = str(evidence.run["from"]), {"first": "2020-01-02", "last": "2021-12-31", "first_run_at": "2025"}
    mine: Any = {**evidence.run, "first": now, "last": evidence.run["to"], "folder": "", "first_run_at": "2026"}
    one: Any = {**mine, "run_id": "0123456789", "digest": "b", "metrics": {"sharpe": 1.0}, **before, **other}
    seen = {**one, "run_id": "9876543210", "digest": "c", "first": now, "last": now, "first_run_at": seen_by}
    rows = [mine, one, *([seen] if seen_by else [])]
    found: Any = {"at_least": at_least, "held_out": held_out(trials(rows, evidence.run))}
    return replace(evidence, tried=found)


PART = {"sessions": 100, "reasons": {}, "sharpe": 1.0, "sharpe_p_hac": 0.2, "sharpe_ci_low": -1, "sharpe_ci_high": 2}
PARTS = {"before": {"sessions": 100}, "grey": {"sessions": 50}, "after": PART}
SPLIT = {"cutoff": "2022-10-01", "grey_until": "2022-12-30", "parts": PARTS}

CASES: list[tuple[str, str, Callable[[Evidence], Evidence], str]] = [
    ("temporal_integrity", "shown", lambda e: e, "not one its order"),
    ("temporal_integrity", "not shown", early, "1 fills before their order"),
    ("temporal_integrity", "not shown", lambda e: replace(e, decisions=e.decisions[30:]), "orders before any decision"),
    ("temporal_integrity", "does not apply", lambda e: replace(e, orders=()), "Nothing was ordered"),
    ("frictions", "shown", lambda e: e, "at 5×"),
    ("frictions", "not shown", lambda e: priced(e, 0.0), "free of charge"),
    ("frictions", "not shown", lambda e: with_run(e, cost_sensitivity=[]), "not replayed at other costs"),
    ("frictions", "does not apply", lambda e: replace(e, fills=()), "Nothing was traded"),
    ("counterfactual_robustness", "does not apply", lambda e: e, "no model was asked"),
    ("counterfactual_robustness", "not shown", asked, "not checked"),
    (
        "counterfactual_robustness",
        "shown",
        lambda e: checked(asked(e), blind="passed", inputs="shown"),
        "It was shown.",
    ),
    ("counterfactual_robustness", "not shown", lambda e: checked(asked(e), inputs="passed"), "Not checked: blind."),
    ("counterfactual_robustness", "not shown", lambda e: checked(asked(e), inputs="flagged"), "It was flagged."),
    ("calibration", "does not apply", lambda e: e, "no conviction"),
    ("calibration", "shown", lambda e: calibrated(e, 0.1), "+0.10 (−0.10 to +0.30) over 40 pitches"),
    ("calibration", "not shown", lambda e: calibrated(e, None), "too few"),
    ("numerical_execution", "shown", lambda e: e, "differ by nothing"),
    ("numerical_execution", "not shown", lambda e: audited(e, 1e-6), "more than"),
    ("numerical_execution", "not shown", lambda e: with_run(e, audit=None), "No second engine"),
    ("disaggregation", "shown", lambda e: e, "By year 2022"),
    ("disaggregation", "does not apply", lambda e: with_run(of_one_year(e), symbols=["SPY"]), "One symbol, one year"),
    ("point_in_time", "not shown", lambda e: e, "not checked"),
    ("point_in_time", "shown", lambda e: checked(e, future="passed"), "It was passed."),
    ("point_in_time", "not shown", lambda e: checked(e, future="flagged"), "It was flagged."),
    ("point_in_time", "not shown", lambda e: checked(e, future="not asked"), "not asked"),
    ("point_in_time", "not shown", lambda e: with_run(checked(e, future="passed"), digest="other"), "not checked"),
    ("split_transparency", "does not apply", lambda e: e, "nothing was trained"),
    ("split_transparency", "not shown", asked, "Said."),
    ("split_transparency", "shown", lambda e: asked(e, **SPLIT), "before 100 sessions, grey 50 sessions"),
    ("held_out", "not shown", lambda e: e, "on earlier dates"),
    ("held_out", "shown", tried, "Sharpe 1.00); here it is"),
    ("held_out", "not shown", lambda e: tried(e, last="2022-12-30"), "how these sessions went was known"),
    ("held_out", "not shown", lambda e: tried(e, strategy="another", definition=""), "on earlier dates"),
    ("held_out", "not shown", lambda e: tried(e, first_run_at="2027"), "on earlier dates"),
    ("held_out", "not shown", lambda e: tried(e, symbols=["NVDA"]), "on earlier dates"),
    ("held_out", "not shown", lambda e: tried(e, parameters={"fast": 6}), "on earlier dates"),
    ("held_out", "not shown", lambda e: tried(e, seen_by="2025"), "how these sessions went was known"),
    ("held_out", "shown", lambda e: tried(e, seen_by="2027"), "here it is"),
    ("held_out", "not shown", lambda e: tried(e, at_least="lost"), "may not all be on record: lost"),
    ("held_out", "not shown", lambda e: replace(e, tried=None), "is not on record"),
    ("held_out", "not shown", lambda e: asked(e, **SPLIT), "Said."),
    ("held_out", "shown", lambda e: asked(e, **SPLIT, assessable=True), "100 sessions after the models' cut-off"),
    ("held_out", "not shown", lambda e: tried(asked(e, **SPLIT, assessable=True), last="2023-02-01"), "was known"),
    ("held_out", "shown", lambda e: tried(asked(e, **SPLIT, assessable=True), last="2022-12-01"), "after the models"),
    ("cost_and_turnover", "shown", lambda e: e, "× a year; $"),
    ("cost_and_turnover", "not shown", lambda e: with_run(e, metrics={}), "not on record"),
    ("execution_semantics", "shown", lambda e: e, "Filled at next open"),
    ("execution_semantics", "not shown", lambda e: with_run(e, execution_toggles=[]), "not filled at other"),
    ("universe", "shown", lambda e: e, "2 symbols, named in the command"),
    ("universe", "not shown", lambda e: with_run(e, sources={"SPY": "sample"}), "source of QQQ"),
    ("artifacts", "shown", lambda e: e, "files with the sha256"),
    ("artifacts", "not shown", lambda e: with_run(e, code=None), "code that made it"),
    ("artifacts", "not shown", lambda e: with_run(e, code={**e.run["code"], "dirty": True}), "uncommitted"),
    ("artifacts", "not shown", lambda e: with_run(e, parts={"fills.csv": "0" * 64}), "fills.csv has changed"),
    ("artifacts", "not shown", lambda e: with_run(e, parts=None), "no digest"),
]


def of_one_year(evidence: Evidence) -> Evidence:
    equity = {name: values[:40] for name, values in evidence.equity.items()}
    return replace(evidence, sessions=evidence.sessions[:40], equity=equity)


def answer(evidence: Evidence, key: str) -> Answer:
    return next(one for one in answer_protocol(evidence) if one.key == key)


@pytest.mark.parametrize(("key", "standing", "change", "words"), CASES)
def test_an_answer_turns_with_its_evidence(
    rule: Evidence, key: str, standing: str, change: Callable[[Evidence], Evidence], words: str
) -> None:
    found = answer(change(rule), key)
    assert found.standing == standing
    assert words in found.evidence.replace("\u00a0", " ")
    assert bool(found.where) == (standing == "shown")
    assert bool(found.command) == (standing == "not shown")


def test_there_are_six_questions_of_one_review_and_seven_of_the_other(rule: Evidence) -> None:
    reviews = [one.review for one in answer_protocol(rule)]
    assert (reviews.count("arXiv 2605.16895"), reviews.count("arXiv 2606.08285")) == (6, 7)
    assert {key for key, *_ in CASES} == {one.key for one in answer_protocol(rule)}


def test_profits_by_symbol_add_up_to_what_was_earned(rule: Evidence) -> None:
    from simulator.analysis.protocol import _profits

    assert sum(_profits(rule).values()) == pytest.approx(rule.equity["equity"][-1] - 100_000, abs=1e-6)
    assert 0 < _profits(rule)["dividends and interest"] < 10_000


def test_the_commands_it_names_show_what_was_not_shown(sim: Sim, place: Path, rule: Evidence) -> None:
    run_id = rule.run["run_id"]
    before = json.loads(sim("protocol", run_id, "--json", cwd=place).stdout)["answers"]
    commands = {one["key"]: one["command"] for one in before if one["standing"] == "not shown"}
    assert sim(*commands["point_in_time"].split()[1:], cwd=place).returncode == 0
    assert sim(*commands["held_out"].split()[1:], cwd=place).returncode == 0
    again = sim("protocol", run_id, "--json", cwd=place).stdout
    assert {one["key"]: one["standing"] for one in json.loads(again)["answers"]}["point_in_time"] == "shown"
    later = json.loads(sim("protocol", "--json", cwd=place).stdout)["answers"]
    assert {one["key"]: one["standing"] for one in later}["held_out"] == "shown"
    told = sim("protocol", cwd=place).stdout
    assert told.count("\nshown ") == sum(one["standing"] == "shown" for one in later)


def test_the_held_out_command_runs_or_says_what_is_lacking(sim: Sim, place: Path, rule: Evidence) -> None:
    none = answer(with_run(rule, bars_until=rule.run["to"]), "held_out")
    assert "No session later than 2023-05-31 has bars of all its symbols here" in none.evidence
    assert none.command == "sim data fetch --symbols SPY,QQQ --from 2021-01-17"
    assert sim(*none.command.split()[1:], "--source", "synthetic", "--help", cwd=place).returncode == 0
    made_up = with_run(rule, bars_until=rule.run["to"], sources={"SPY": "synthetic 1", "QQQ": "synthetic 1"})
    assert answer(made_up, "held_out").standing == "does not apply"
    # The sample has QQQ up to 2024-12-30, and SPY a year longer.
    last = simulator.run("sma_cross", "SPY,QQQ", "2024-01-02", "2024-12-30", workspace=place)
    told = json.loads(sim("protocol", last.id, "--json", cwd=place).stdout)["answers"]
    assert {one["key"]: one["command"] for one in told}["held_out"].startswith("sim data fetch")
    short = asked(rule, cutoff="2024-06-30", grey_until="2024-09-28")
    assert answer(short, "held_out").command.startswith("sim run --strategy sma_cross")
    command = answer(asked(rule, cutoff="2024-08-30", grey_until="2024-11-28"), "held_out").command
    assert command.startswith("sim data fetch"), "22 sessions are too few for a verdict"


def test_the_best_of_many_coins_is_not_held_out_by_one_tossed_afterwards_elsewhere(sim: Sim, tmp_path: Path) -> None:
    make_workspace(tmp_path / "w", git=False)

    def toss(seed: int, symbol: str = "SPY", year: int = 2024) -> Path:
        dates, seeded = (f"{year}-01-02", f"{year}-12-31"), {"seed": seed}
        return simulator.run("random_entry", symbol, *dates, parameters=seeded, workspace=tmp_path / "w").folder

    best, _ = toss(0), toss(1)
    toss(77, "NVDA", 2020)
    assert sim("report", best.name[-10:], "--workspace", tmp_path / "w").returncode == 0
    found = {
        folder.name: answer(read(folder), "held_out").standing for folder in (best, toss(5), toss(77, "NVDA", 2021))
    }
    assert list(found.values()) == ["not shown", "not shown", "shown"]


def test_a_changed_folder_shows_no_artifacts(sim: Sim, place: Path, rule: Evidence) -> None:
    with (rule.folder / "llm_calls.jsonl").open("a") as file:
        file.write("\n")
    try:
        assert sim("protocol", rule.run["run_id"], cwd=place).returncode == 3
        forced = json.loads(sim("protocol", rule.run["run_id"], "--force", "--json", cwd=place).stdout)["answers"]
        assert {one["key"]: one["standing"] for one in forced}["artifacts"] == "not shown"
    finally:
        content = (rule.folder / "llm_calls.jsonl").read_bytes()
        (rule.folder / "llm_calls.jsonl").write_bytes(content[:-1])
