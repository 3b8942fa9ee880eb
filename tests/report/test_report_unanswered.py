"""What the reader is told of partial runs, several draws and failed answers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simulator.analysis import unanswered, verdict
from simulator.errors import DataError
from simulator.evidence.records import RunRecord
from simulator.evidence.schema import check
from simulator.report.page import render

SPREAD = {"mean": 0.05, "min": 0.01, "max": 0.09, "sd": 0.02}
STOPPED = {"why": "budget of $5.00 is spent", "decided": 12, "planned": 53, "to": "2024-12-30", "replicates": 1}
MODELS = {"calls": 10, "models": ["openai/gpt-5.2-preview"]}
FAILED = [
    {"session": "2024-03-04", "replicate": 1, "stage": "review", "seat": "pm.risk", "about": "pm.carry", "error": "no"},
    {"session": "2024-02-05", "replicate": 0, "stage": "pitch", "seat": "pm.trend", "error": "refused: <b>"},
]


def on_record(ask: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """`ask` a run.json that holds nothing but what is given."""

    def asked(run: dict[str, Any]) -> Any:
        check(RunRecord, run, older=True)
        return ask(run)

    return asked


replicates_sentence = on_record(unanswered.replicates_sentence)
shortfalls_sentence = on_record(unanswered.shortfalls_sentence)
partial_sentence = on_record(unanswered.partial_sentence)
judge = on_record(verdict.judge)


def plain(text: str) -> str:
    return text.replace("\u00a0", " ")


def test_a_whole_run_says_nothing_of_being_whole() -> None:
    assert partial_sentence({"partial": False}) == partial_sentence({}) == ""


def test_a_partial_run_says_so_before_anything_else() -> None:
    run = {"partial": True, "stopped": STOPPED, "to": "2024-03-22"}
    assert plain(partial_sentence(run)) == (
        "PARTIAL: 12 of 53 decisions, up to 2024-03-22 of 2024-12-30. It stopped: budget of $5.00 is spent."
    )
    verdict = judge({**run, "sessions": 20, "metrics": {}, "benchmarks": {}})
    assert verdict.headline.startswith("PARTIAL: ")


def test_missing_replicates_are_counted_where_every_date_is_decided() -> None:
    stopped = {**STOPPED, "decided": 53, "replicates": 3}
    run = {"partial": True, "stopped": stopped, "replicates": {"count": 2}, "to": "2024-12-30"}
    assert plain(partial_sentence(run)).startswith("PARTIAL: 2 of 3 replicates. It stopped:")


def test_one_draw_and_several_are_told_apart_and_rules_are_no_draw() -> None:
    assert replicates_sentence({"llm": MODELS, "replicates": {"count": 1}}).startswith("A single draw:")
    several = {"count": 3, "metrics": {"total_return": SPREAD, "sharpe": {**SPREAD, "mean": 1.5}}}
    told = plain(replicates_sentence({"llm": MODELS, "replicates": several, "sessions": 250}))
    assert told.startswith("3 draws of the same questions: total return 1.0 % to 9.0 %, mean 5.0 %, sd 2.0 %; Sharpe")
    assert "Sharpe" not in replicates_sentence({"llm": MODELS, "replicates": several, "sessions": 59})
    assert replicates_sentence({"llm": {"calls": 9, "models": []}, "analysts": "rule-based analysts, no LLM"}) == ""
    assert replicates_sentence({"llm": {"calls": 0}}) == ""


def test_failed_answers_are_counted_by_seat_and_listed_by_date() -> None:
    found = {"meetings": 5, "answers": 140, "failed": FAILED, "no_decision": []}
    assert plain(shortfalls_sentence({"shortfalls": found})) == (
        "2 of 140 answers could not be used (pm.risk 1, pm.trend 1); every meeting kept its quorum."
    )
    undecided = {**found, "no_decision": [{"session": "2024-02-05", "replicate": 0, "why": "pitch: 2 of 5"}]}
    assert "1 of 5 meetings ended without a decision" in plain(shortfalls_sentence({"shortfalls": undecided}))
    assert unanswered.failed_answers({"shortfalls": undecided}) == (
        ("2024-02-05", "pitch", "pm.trend", "refused: <b>"),
        ("2024-02-05", "meeting", "no decision", "pitch: 2 of 5"),
        ("2024-03-04", "review", "pm.risk on pm.carry, draw 2", "no"),
    )


def test_the_page_shows_them_and_escapes_what_models_say(write_run: Any) -> None:
    folder = write_run(sessions=60, symbols=("SPY",), members=("trend",))
    path = folder / "run.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    facts |= {
        "partial": True,
        "stopped": STOPPED,
        "replicates": {"count": 2, "metrics": {"total_return": SPREAD}},
        "shortfalls": {"meetings": 5, "answers": 140, "failed": FAILED, "no_decision": []},
    }
    path.write_text(json.dumps(facts), encoding="utf-8")
    page = plain(render(folder).decode())
    assert '<span class="badge">partial</span>' in page
    assert "PARTIAL: 12 of 53 decisions" in page
    assert "How far the draws lie apart" in page
    assert "pm.risk on pm.carry, draw 2" in page
    assert "refused: &lt;b&gt;" in page
    assert "refused: <b>" not in page


@pytest.mark.medium
@pytest.mark.parametrize("junk", [None, "x", 3, [], [1], {"a": 1}, {"count": "many"}, {"failed": "x", "metrics": [1]}])
@pytest.mark.parametrize("key", ["partial", "stopped", "replicates", "shortfalls", "llm"])
def test_junk_in_its_place_is_shown_or_refused_but_never_a_traceback(write_run: Any, key: str, junk: Any) -> None:
    folder: Path = write_run(sessions=60, symbols=("SPY",), members=("trend",))
    path = folder / "run.json"
    facts = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**facts, "partial": True, key: junk}), encoding="utf-8")
    assert f'"{key}' in shown(folder) or "</html>" in shown(folder)


def shown(folder: Path) -> str:
    """The page, or the line that says why there is none."""
    try:
        return render(folder).decode()
    except DataError as error:
        return str(error)
