"""The checkpoint as a stage: what it is shown, what it leaves on record, and what the offline analysts make of it."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from dataclasses import fields, replace
from itertools import pairwise

import pytest
from pydantic import ValidationError

from simulator.council.analysts import LENSES, checkpoint
from simulator.council.answers import checkpoint_of
from simulator.council.context import KEPT, PipelineContext
from simulator.council.stages import CheckpointStage
from simulator.council.thesis import open_theses
from simulator.llm.providers.offline import facts_of

pytestmark = pytest.mark.medium

STAGE = CheckpointStage()


def checkpoints(followed):
    meetings, minutes = followed
    return [(o, m) for o, m in zip(meetings.opinions, minutes, strict=True) if m["kind"] == "checkpoint"]


def test_the_offline_analysts_use_every_action_in_a_year(followed):
    actions = Counter(one["action"] for _, record in checkpoints(followed) for one in record["theses"])
    assert set(actions) == {"KEEP", "TRIM", "ADD", "CLOSE", "CANCEL", "FLIP", ""}
    assert actions["KEEP"] > 0.9 * actions.total(), "they are no day traders"


def test_a_stage_is_shown_only_what_it_declared(followed):
    whole, _ = checkpoints(followed)[0]
    blank, seen = PipelineContext(whole.as_of), whole.only(STAGE.reads)
    hidden = {f.name for f in fields(whole)} - {*STAGE.reads, *KEPT}
    assert STAGE.writes in hidden
    assert all(getattr(seen, name) == getattr(blank, name) for name in hidden)
    assert seen.theses


def test_it_runs_alone_and_says_the_same_again(followed, convene):
    whole, _ = checkpoints(followed)[0]
    alone = asyncio.run(STAGE.run(replace(whole, checkpoint_reviews=()), convene().council.setup))
    assert alone.checkpoint_reviews == whole.checkpoint_reviews


def test_each_open_thesis_is_one_question_to_who_holds_it(followed):
    meetings, _ = followed
    asked = Counter(
        (r.purpose["session"], r.purpose["seat"], r.purpose["about"])
        for r in meetings.gateway.heard
        if r.purpose["stage"] == "checkpoint"
    )
    assert set(asked.values()) == {1}
    recorded = {
        (record["facts"]["as_of"][:10], one["seat"], one["instrument"])
        for _, record in checkpoints(followed)
        for one in record["theses"]
        if one["keys"]
    }
    assert set(asked) == recorded
    assert (
        max(Counter(session for session, _, _ in asked).values()) <= meetings.council.checkpoint.questions["checkpoint"]
    )


def test_a_thesis_that_has_ended_is_reported_once_and_never_asked_about(followed):
    for _, record in checkpoints(followed):
        for one in record["theses"]:
            assert (one["action"] == "") == (one["state"] in ("stopped", "reached"))
            assert bool(one["keys"]) == (one["state"] in ("pending", "open"))
    _, minutes = followed
    for before, after in pairwise(minutes):
        if after["kind"] == "checkpoint":
            live = [(t.seat, t.instrument) for t in open_theses(before)]
            assert [(one["seat"], one["instrument"]) for one in after["theses"]] == live


def test_minutes_carry_convictions_and_terms_from_occasion_to_occasion(followed):
    _, minutes = followed
    for before, after in pairwise(minutes):
        if after["kind"] != "checkpoint":
            continue
        kept = {(t.seat, t.instrument): t.conviction for t in open_theses(before)}
        assert all(one["conviction_before"] == kept[one["seat"], one["instrument"]] for one in after["theses"])
        assert after["meeting"][:10] <= after["facts"]["as_of"][:10]


def test_the_chairman_reads_the_thesis_of_its_trade_and_nobody_elses_name(followed):
    meetings, _ = followed
    asked = [
        request
        for request in meetings.gateway.heard
        if request.purpose["stage"] == "checkpoint" and request.purpose["seat"] == "chairman"
    ]
    assert len(asked) > 100
    assert set(facts_of(asked[0])) == {"market", "position", "thesis"}
    assert not any("pm." in message.content for request in asked for message in request.messages)


def test_without_minutes_nothing_is_open_and_nothing_asked(convene, year):
    meetings = convene()
    opinion = asyncio.run(meetings.council.checkpoint.opine(year.snapshot(3), ()))
    assert (opinion.theses, opinion.facts["symbols"], meetings.gateway.heard) == ((), {}, [])
    assert meetings.council.checkpoint.minutes(opinion)["theses"] == []


def test_metadata_tells_of_market_time_models_and_prompts(followed):
    meetings, minutes = followed
    for opinion, record in zip(meetings.opinions, minutes, strict=True):
        told = opinion.metadata
        assert told["timestamps"]["newest_bar"] <= told["timestamps"]["as_of"]
        assert told["seats"]["pm.risk"] == "offline/risk"
        assert {len(digest) for digest in told["prompts"].values()} == {12}
        assert "prompts/checkpoint.md" in told["prompts"]
        assert re.fullmatch("[0-9a-f]{8}", record["prompts"])
    assert len({record["prompts"] for record in minutes}) == 1


@pytest.mark.parametrize(
    ("direction", "answer", "complaint"),
    [
        ("LONG", {"invalidated": True, "conviction": 1}, "invalidated, yet conviction 1 stays LONG"),
        ("SHORT", {"invalidated": True, "conviction": -2}, "invalidated, yet conviction -2 stays SHORT"),
        ("LONG", {"invalidated": False, "conviction": 3}, "less than or equal to 2"),
        ("LONG", {"invalidated": False, "conviction": 1, "stop": 110.0, "target": 100.0}, "the stop lies below"),
        ("LONG", {"invalidated": False, "conviction": 1, "stop": -1.0}, "greater than 0"),
    ],
)
def test_an_answer_that_contradicts_itself_is_refused(direction, answer, complaint):
    with pytest.raises(ValidationError, match=complaint):
        checkpoint_of(direction).model_validate({"stop": None, "target": None, "reason": "so"} | answer)


@pytest.mark.parametrize(("direction", "conviction"), [("LONG", 0), ("LONG", -1), ("SHORT", 0), ("SHORT", 2)])
def test_once_invalidated_a_thesis_may_be_left_or_turned_around(direction, conviction):
    answer = {"invalidated": True, "conviction": conviction, "stop": None, "target": None, "reason": "so"}
    assert checkpoint_of(direction).model_validate(answer).conviction == conviction


FALLING = {"close": 100.0, "atr_14": 2.0, "macd_pct": -0.5, "macd_signal_pct": -0.1}


@pytest.mark.parametrize(
    ("lens", "before", "moved", "known", "expected"),
    [
        (None, 2, -4.0, FALLING, 1),
        (None, 2, -6.0, FALLING, 0),
        (None, 1, 3.0, FALLING | {"macd_pct": 0.5}, 2),
        (None, 1, 3.0, FALLING, 1),
        (None, 2, -1.0, FALLING, 2),
        ("breakout", 1, -4.0, FALLING, -1),
        ("breakout", 1, -4.0, FALLING | {"macd_pct": 0.5}, 0),
        ("breakout", 1, -1.0, FALLING, 1),
    ],
)
def test_the_analysts_go_by_the_move_since_entry_and_their_own_rules(lens, before, moved, known, expected):
    thesis = {"instrument": "SPY", "stop": 90.0, "convictions": [{"at": "", "conviction": before}]}
    position = {"state": "open", "return_since_entry_pct": moved, "entry": {"price": 100.0}}
    market = {"symbols": {"SPY": known}, "as_of": "2024-03-04T08:00-05:00"}
    facts = {"market": market, "thesis": thesis, "position": position}
    answer = checkpoint(None if lens is None else LENSES[lens], {"facts": facts})
    assert answer["conviction"] == expected
    assert checkpoint_of("LONG").model_validate(answer)
