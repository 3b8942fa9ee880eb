"""The state machine: every edge there is, every one there is not, and days that go wrong."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from simulator.desk.workflow import EVENTS, RESETS_A_DAY, STATES, TRANSITIONS, Event, State, Workflow, diagram
from simulator.errors import UsageError

NOW = datetime(2024, 7, 2, 14, 30, tzinfo=UTC)
PAIRS = list(product(STATES, EVENTS))


def in_state(state: State) -> Workflow:
    return Workflow(date(2024, 7, 2), state, NOW)


def test_there_are_ten_states_thirteen_events_and_twenty_seven_edges() -> None:
    assert (len(STATES), len(EVENTS), len(TRANSITIONS)) == (10, 13, 27)
    assert {after for _, after in TRANSITIONS.items()} == set(STATES)


@pytest.mark.parametrize(("state", "event"), TRANSITIONS)
def test_every_edge_leads_where_the_table_says_and_is_kept_in_the_history(state: State, event: Event) -> None:
    after = in_state(state).on(event, NOW, learnt=1)
    assert after.state == TRANSITIONS[state, event]
    assert (after.history[-1].event, after.history[-1].before, after.context["learnt"]) == (event, state, 1)


def test_all_other_pairs_are_refused_with_state_and_event_named() -> None:
    refused = [pair for pair in PAIRS if pair not in TRANSITIONS]
    assert len(refused) == 103
    for state, event in refused:
        with pytest.raises(UsageError) as raised:
            in_state(state).on(event, NOW)
        assert raised.value.found == f"{event} in state {state}"


@given(st.lists(st.sampled_from(EVENTS), max_size=60))
def test_random_walks_never_leave_the_diagram_and_survive_being_written_down(events: list[Event]) -> None:
    walked = in_state("IDLE")
    for n, event in enumerate(events):
        at = NOW + timedelta(seconds=n)
        if not walked.takes(event):
            with pytest.raises(UsageError):
                walked.on(event, at)
            continue
        walked = walked.on(event, at)
        again = Workflow.from_record(json.loads(json.dumps(walked.as_record())))
        assert again == walked, "a desk that is killed in any state goes on in it"
    assert all(TRANSITIONS[one.before, one.event] == one.after for one in walked.history)


def test_idle_is_reached_from_every_state() -> None:
    reached, before = {"IDLE"}, set()
    while reached != before:
        before = set(reached)
        reached |= {state for (state, _), after in TRANSITIONS.items() if after in before}
    assert reached == set(STATES)


def test_an_error_is_left_three_times_a_day_and_again_on_the_next() -> None:
    workflow = in_state("IDLE")
    for n in range(RESETS_A_DAY):
        workflow = workflow.on("ERROR_OCCURRED", NOW, error="x").at(NOW)
        assert (workflow.state, workflow.resets) == ("IDLE", n + 1)
    workflow = workflow.on("ERROR_OCCURRED", NOW, error="x").at(NOW)
    assert workflow.state == "ERROR", "now a person is to look"
    tomorrow = workflow.at(NOW + timedelta(days=1))
    assert (tomorrow.state, tomorrow.resets, tomorrow.day) == ("IDLE", 1, date(2024, 7, 3))


def test_a_new_day_archives_the_context_and_keeps_what_protects_positions() -> None:
    workflow = in_state("IDLE").learn(held={"SPY": {"stop": 1.0}}, plans=[1], error="x")
    assert workflow.at(NOW + timedelta(days=1)).context == {"held": {"SPY": {"stop": 1.0}}}
    assert workflow.at(NOW) == workflow


def test_a_state_that_lasts_too_long_is_an_error() -> None:
    late = in_state("INTRADAY_MONITORING").at(NOW + timedelta(hours=9))
    assert [one.event for one in late.history] == ["ERROR_OCCURRED", "RESET"]
    assert late.context["error"] == "INTRADAY_MONITORING since 2024-07-02T10:30:00-04:00"


def test_the_diagram_of_the_docs_is_that_of_the_table() -> None:
    text = diagram()
    assert all(event in text for _, event in TRANSITIONS)
    page = Path(__file__).parents[2] / "docs" / "desk_workflow.md"
    assert f"```mermaid\n{text}\n```" in page.read_text(encoding="utf-8")
