"""Recording a run: all of it or nothing, events only ever added, tables show the newest."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine
from sqlalchemy.exc import DBAPIError

from simulator.errors import SimError
from simulator.store.connection import parse_place
from simulator.store.database import Store
from simulator.store.events import Event
from simulator.store.schema import PROJECTIONS, REFUSED

from .conftest import fill, run

pytestmark = pytest.mark.medium

TABLES = [table.name for table in PROJECTIONS]


def counts(store: Store) -> dict[str, int]:
    return {name: count for name, count in store.status().rows.items() if count}


def test_a_run_of_the_council_fills_every_table_but_those_of_forward_tests(
    store: Store, facts: dict[str, Any], happened: list[Event], folder: Path
) -> None:
    assert store.record_run(facts, folder.name, happened) == 1
    found = counts(store)
    meetings = sum(event.kind == "meeting.held" for event in happened)
    calls = happened[-1].payload["calls"]
    assert found["events"] == len(happened) + 1
    assert {name: found.get(name, 0) for name in TABLES if name not in ("positions", "checkpoints")} == {
        "pipeline_runs": meetings,
        "research_packs": 2 * meetings,
        "pm_pitches": 5 * meetings,
        "peer_reviews": 20 * meetings,
        "chairman_decisions": meetings,
        "trades": sum(event.kind == "order.filled" for event in happened),
        "orders": 0,
        "approvals": 0,
        "llm_calls": len(calls),
    }
    theses = [len(event.payload["record"]["theses"]) for event in happened if event.kind == "checkpoint.held"]
    assert found["checkpoints"] == sum(theses) > 0
    assert 0 < found["positions"] <= found["trades"]


def test_rows_say_what_the_record_says(store: Store, facts: dict[str, Any], happened: list[Event]) -> None:
    store.record_run(facts, "folder", happened)
    meeting = happened[0].payload
    record = meeting["record"]
    pitch = next(row for row in store.rows("pm_pitches") if row["as_of"] == meeting["as_of"])
    said = next(one for one in record["pitches"] if one["seat"] == pitch["seat"])
    assert {name: pitch.get(name, said["answer"][name]) for name in said["answer"]} == said["answer"]
    assert pitch["score"] == record["scores"][pitch["seat"]]
    assert pitch["model"] == record["seats"][pitch["seat"]]
    review = next(row for row in store.rows("peer_reviews") if row["as_of"] == meeting["as_of"])
    said = next(one for one in record["reviews"] if (one["seat"], one["about"]) == (review["seat"], review["about"]))
    assert {name: review[name] for name in said["answer"]["scores"]} == said["answer"]["scores"]
    # What models wrote at length stands in the event.
    event = next(row for row in store.rows("events") if row["position"] == review["event"])
    assert {**record, "facts": 0} == shortened({**event["payload"]["record"], "facts": 0}, record)
    call = happened[-1].payload["calls"][3]
    assert store.rows("llm_calls")[3]["key"] == call["key"][:16]
    decision = store.rows("chairman_decisions")[0]
    assert decision["approved_trades"] == record["chairman"]["answer"]["approved_trades"]
    assert store.rows("pipeline_runs")[0]["execution_results"] == record["execution"]


def shortened(kept: Any, said: Any) -> Any:
    """`kept` with the keys of answers written out as in `said`."""
    if isinstance(kept, dict):
        return {name: shortened(value, said.get(name)) for name, value in kept.items()}
    if isinstance(kept, list):
        return [shortened(one, other) for one, other in zip(kept, said, strict=True)]
    return (
        said if isinstance(kept, str) and len(kept) == 16 and len(str(said)) == 64 and said.startswith(kept) else kept
    )


def test_every_row_leads_to_its_event(store: Store, facts: dict[str, Any], happened: list[Event]) -> None:
    store.record_run(facts, "folder", happened)
    held = {row["position"]: row for row in store.rows("events")}
    assert list(held) == list(range(1, len(happened) + 2))
    for name in TABLES:
        for row in store.rows(name):
            assert held[row["event"]]["run_id"] == row["run_id"]
    trade = store.rows("trades")[-1]
    assert held[trade["event"]]["payload"]["price"] == trade["price"]


def test_an_unchanged_rerun_adds_only_that_it_was_made(store: Store) -> None:
    def never() -> Any:
        raise AssertionError("a known result was read again")
        yield

    assert store.record_run(run(1), "a", [fill("SPY", 1, 10)]) == 1
    before = store.rows("trades")
    assert store.record_run(run(1), "a", never()) == 1
    assert [row["kind"] for row in store.rows("events")] == ["order.filled", "run.recorded", "run.recorded"]
    assert store.rows("trades") == before
    assert [row["times"] for row in store.runs()] == [2]


def test_another_result_of_a_run_is_added_and_shown_and_the_first_is_kept(store: Store) -> None:
    first, second = run(1, digest="one"), run(1, digest="two")
    store.record_run(first, "a", [fill("SPY", 1, 10), fill("QQQ", 1, 10)])
    store.record_run(second, "a", [fill("SPY", 2, 20)])
    assert [(row["symbol"], row["quantity"]) for row in store.rows("trades")] == [("SPY", 2)]
    assert [row["kind"] for row in store.rows("events")].count("order.filled") == 3
    assert [(row["digest"], row["times"]) for row in store.results()] == [("one", 1), ("two", 1)]
    assert [(row["digest"], row["times"]) for row in store.runs()] == [("two", 2)]
    store.record_run(first, "a")
    assert [row["symbol"] for row in store.rows("trades")] == ["SPY", "QQQ"]
    assert [(row["digest"], row["times"]) for row in store.runs()] == [("one", 3)]
    assert not store.rebuild().differed


def test_a_result_that_was_only_counted_gets_its_events_when_they_come(store: Store) -> None:
    store.record_run(run(1), "a")
    store.record_run(run(1), "a", [fill("SPY", 1, 10)])
    assert len(store.rows("trades")) == 1
    assert [row["times"] for row in store.runs()] == [2]
    assert not store.rebuild().differed


def test_a_run_that_stopped_early_never_takes_the_place_of_the_whole_one(store: Store) -> None:
    store.record_run(run(1, digest="part"), "a-partial", [fill("SPY", 1, 10)])
    assert store.runs()[0]["partial"]
    assert len(store.rows("trades")) == 1
    store.record_run(run(1, digest="whole"), "a", [fill("SPY", 1, 10), fill("QQQ", 1, 10)])
    store.record_run(run(1, digest="part"), "a-partial")
    shown = store.runs()[0]
    assert (shown["digest"], shown["folder"], shown["partial"], shown["times"]) == ("whole", "a", False, 3)
    assert len(store.rows("trades")) == 2
    assert not store.rebuild().differed


def test_a_run_is_counted_by_the_clock_the_store_is_given(place: Path | str) -> None:
    start = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    ticks = iter(start + timedelta(hours=hour) for hour in range(3))
    with Store(place, clock=lambda: next(ticks)) as store:
        for _ in range(3):
            store.record_run(run(1, parameters={"window": 20}), "a")
        (row,) = store.results()
    assert (row["first_run_at"], row["last_run_at"]) == (
        "2026-01-02T03:04:05.000000+00:00",
        "2026-01-02T05:04:05.000000+00:00",
    )
    assert (row["parameters"], row["first"], row["last"]) == ({"window": 20}, "2024-01-02", "2024-12-30")


def test_what_cannot_be_stored_leaves_nothing_behind(store: Store) -> None:
    store.record_run(run(1), "a", [fill("SPY", 1, 10)])
    before = store.rows("events")
    with pytest.raises(ValueError, match="not JSON compliant"):
        store.record_run(run(2), "b", [fill("SPY", 1, 10), fill("QQQ", 1, float("nan"))])
    with pytest.raises(SimError, match='knows no event "order'):
        store.record_run(run(2), "b", [Event("order.lost", None, None, {})])  # type: ignore[arg-type]
    assert store.rows("events") == before
    assert [row["run_id"] for row in store.runs()] == ["id1"]


TAMPERING = {
    "sqlite": ("INSERT OR REPLACE INTO events SELECT * FROM events",),
    "postgresql": ("TRUNCATE events",),
}
EVERYWHERE = (
    "UPDATE events SET kind = 'order.filled'",
    "DELETE FROM events",
    "DELETE FROM events WHERE position = 1",
    "INSERT INTO events SELECT * FROM events",
)


def test_the_database_itself_refuses_to_change_an_event(place: Path | str) -> None:
    engine = create_engine(parse_place(place))
    with Store(place) as store:
        store.record_run(run(1), "a", [fill("SPY", 1, 10)])
        before = store.rows("events")
        for statement in (*EVERYWHERE, *TAMPERING[engine.dialect.name]):
            with pytest.raises(DBAPIError, match=f"{REFUSED}|duplicate key"), engine.begin() as db:
                db.exec_driver_sql(statement)
        assert store.rows("events") == before
    engine.dispose()


def test_text_a_database_would_refuse_is_kept_in_the_event_and_replaced_in_the_row(store: Store) -> None:
    text = "a\0b\ud800 ü €"
    record = {"kind": "council", "no_decision": text, "pitches": [{"seat": "pm", "keys": [], "error": text}]}
    payload = {"as_of": "2024-01-02T08:00:00-05:00", "session": "2024-01-02", "record": record}
    store.record_run(run(1), "a", [Event("meeting.held", payload["as_of"], "COUNCIL", payload)])
    assert store.rows("events")[0]["payload"]["record"]["no_decision"] == text
    assert store.rows("pipeline_runs")[0]["no_decision"] == "a\ufffdb? ü €"
    assert store.rows("pm_pitches")[0]["error"] == "a\ufffdb? ü €"
    assert not store.rebuild().differed


def test_an_approval_is_a_row_from_asking_to_the_end(store: Store) -> None:
    asked = Event("approval.asked", "2024-01-02T08:00:00-05:00", "COUNCIL", {"id": "7", "symbol": "SPY"})
    given = Event("approval.given", "2024-01-02T08:05:00-05:00", "COUNCIL", {"id": "7", "by": "somebody"})
    other = Event("approval.asked", "2024-01-02T08:00:00-05:00", "COUNCIL", {"id": "8", "symbol": "QQQ"})
    store.record_run(run(1), "a", [asked, other, given])
    rows = [(row["id"], row["state"], row["symbol"], row["by"]) for row in store.rows("approvals")]
    assert rows == [("7", "given", "SPY", "somebody"), ("8", "asked", "QQQ", None)]
    assert not store.rebuild().differed


def test_the_newest_events_of_forward_runs_are_those_last_appended(store: Store, facts: dict[str, Any]) -> None:
    assert store.newest_forward(3) == []
    for n in range(4):
        store.append(f"test {n % 2}", [Event("forward.alert", None, None, {"n": n})])
        store.record_run(facts, "folder")  # other runs between them do not count
    for count in (1, 3, 4, 9):
        assert store.newest_forward(count) == store.of_forward(None)[-count:]
