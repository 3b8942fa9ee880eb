"""`sim explain`: numbers lead to trades, every trade to a decision, every decision to its answers."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from simulator.analysis.explain import explain_decision, trace_account
from simulator.errors import DataError, UsageError
from simulator.report.explain import print_explanation, print_trace


def shown(found: Any, show: Any, width: int = 100) -> str:
    out = io.StringIO()
    show(found, Console(file=out, width=width))
    return out.getvalue()


def test_every_trade_names_a_decision_and_every_decision_its_answers(write_run: Any) -> None:
    folder = write_run()
    calls = {json.loads(line)["key"] for line in (folder / "llm_calls.jsonl").read_text().splitlines()}
    for name in ("CHATGPT", "GROQ"):
        found = trace_account(folder, name).to_json()
        decided = {d["as_of"]: d for d in found["decisions"]}
        assert found["trades"]
        assert all(t["decided_at"] in decided for t in found["trades"])
        assert {key for d in found["decisions"] if d["kind"] == "member" for key in d["keys"]} <= calls
        assert all(d["keys"] for d in found["decisions"])
        assert {call["seat"] for call in found["calls"]} == {found["seat"]}


def test_a_stop_leads_to_the_decision_that_set_it_not_to_the_last_one(write_run: Any) -> None:
    found = trace_account(write_run()).to_json()
    stopped = [t for t in found["trades"] if t["why"] == "stop"]
    assert stopped
    assert all(t["decided_on"] <= t["session"] for t in found["trades"])
    orders = {t["order_id"]: t["decided_at"] for t in found["trades"]}
    decisions = [d for d in found["decisions"] if d["as_of"] in orders.values()]
    assert {d["kind"] for d in decisions} == {"council"}


def test_the_council_is_meant_where_no_account_is_named(write_run: Any) -> None:
    folder = write_run()
    assert trace_account(folder) == trace_account(folder, "council")
    assert trace_account(folder).account == "COUNCIL"
    assert trace_account(folder, "pm.carry").account == "GROQ"


def test_the_printed_trace_shows_numbers_trades_and_how_to_go_on(write_run: Any) -> None:
    folder = write_run()
    text = shown(trace_account(folder, "GROQ"), print_trace)
    assert "pm.carry · rule-based (GROQ), run" in text
    assert "1\u00a0trade, and the decision behind each" in text
    assert "+1 (score 7.0)" in text
    assert "`sim explain run 2024-01-02 --account GROQ`" in text
    assert "`sim cache show " in text


def test_a_meeting_is_told_with_the_keys_of_its_answers(write_run: Any) -> None:
    found = explain_decision(write_run(), date(2024, 1, 2))
    text = shown(found, print_explanation)
    record = found.decision["record"]
    assert record["kind"] == "council"
    for one in (*record["research"], *record["pitches"], record["chairman"]):
        assert f"[{one['keys'][-1][:12]}]" in text
    assert "Reviews, anonymous when they were written" in text


def test_a_checkpoint_is_told_by_its_theses(write_run: Any) -> None:
    text = shown(explain_decision(write_run(), date(2024, 1, 5)), print_explanation, width=200)
    assert "Theses of the meeting of 2024-01-02, read again" in text
    assert "CLOSE LONG QQQ, conviction +1 to 0, open, entered 2024-01-02 at $433.10, stop $400.00" in text


def test_a_member_is_told_with_what_it_was_shown_and_what_was_said_of_its_pitch(write_run: Any) -> None:
    text = shown(explain_decision(write_run(), date(2024, 1, 9), account="GROQ"), print_explanation)
    assert "Decision of pm.carry · rule-based (GROQ) of 2024-01-09 08:00" in text
    assert "Its pitch" in text
    assert "pm.trend [" in text
    assert "Facts every member saw" in text


def test_a_symbol_narrows_what_is_told(write_run: Any) -> None:
    folder = write_run()
    assert "Pitches" in shown(explain_decision(folder, date(2024, 1, 2), "SPY"), print_explanation)
    found = explain_decision(folder, date(2024, 1, 2), "QQQ")
    assert {row.symbol for row in (*found.orders, *found.fills)} <= {"QQQ"}


def test_several_decisions_of_one_session_are_told_one_after_the_other(write_run: Any) -> None:
    folder = write_run()
    path = folder / "decisions.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    noon = {**rows[1], "as_of": "2024-01-02T12:00:00-05:00", "session": "2024-01-02"}
    path.write_text("".join(json.dumps(row) + "\n" for row in [rows[0], noon, *rows[1:]]), encoding="utf-8")
    found = explain_decision(folder, date(2024, 1, 2))
    assert [one.decision["as_of"][11:16] for one in (found, *found.later)] == ["08:00", "12:00"]
    assert shown(found, print_explanation).count("Decision of chairman · rule-based (COUNCIL)") == 2


@pytest.mark.parametrize(
    ("day", "symbol", "account", "mend"),
    [
        (date(2023, 12, 1), None, None, "decisions run from 2024-01-02"),
        (date(2030, 1, 1), None, None, "decisions run from 2024-01-02"),
        (date(2024, 2, 1), "SPX", None, "it traded SPY, QQQ"),
        (date(2024, 2, 1), None, "CLOUD", "it has CHATGPT"),
    ],
)
def test_what_is_not_there_is_said_in_one_line(
    write_run: Any, day: date, symbol: str | None, account: str | None, mend: str
) -> None:
    with pytest.raises(UsageError) as caught:
        explain_decision(write_run(), day, symbol, account)
    assert mend in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_run_of_rules_has_one_account(write_run: Any) -> None:
    folder = write_run(members=())
    with pytest.raises(UsageError, match="one account only"):
        trace_account(folder, "COUNCIL")
    assert "trades, and the decision behind each" in shown(trace_account(folder), print_trace)


def test_a_missing_file_of_an_account_is_named(write_run: Any) -> None:
    folder: Path = write_run()
    (folder / "accounts" / "GROQ" / "fills.csv").unlink()
    with pytest.raises(DataError, match=r"accounts/GROQ/fills\.csv: is missing"):
        trace_account(folder, "GROQ")


def test_a_member_between_meetings_is_told_with_the_facts_of_the_hour(write_run: Any) -> None:
    text = shown(explain_decision(write_run(), date(2024, 1, 5), account="GROQ"), print_explanation)
    assert "Facts every member saw" in text
    assert "read again" in text
