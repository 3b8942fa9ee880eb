"""A meeting from facts to orders: fixed answers in, exact targets out."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest

from simulator.council import analysts
from simulator.council.answers import DIMENSIONS
from simulator.council.context import KEPT, PipelineContext
from simulator.council.stages import ChairmanStage, PitchStage, ResearchStage, ReviewStage
from simulator.council.strategy import Council
from simulator.council.vote import net_votes, votes_of
from simulator.errors import ConfigError, UsageError
from simulator.trading.model import Book

ROOT = Path(__file__).parents[2]
DATE = 5
"""A meeting of the year; any would do."""


def pitch(instrument: str, conviction: int, stop: float | None = None, target: float | None = None) -> Any:
    def rule(prompt: Mapping[str, Any]) -> dict[str, Any]:
        close = prompt["facts"]["market"]["symbols"][instrument]["close"]
        sign = (conviction > 0) - (conviction < 0)
        return {
            "instrument": instrument,
            "direction": ("FLAT", "LONG", "SHORT")[sign],
            "horizon": "2 weeks",
            "thesis_bullets": ["one", "two", "three"],
            "indicators": [f"close {close}"],
            "conviction": conviction,
            "invalidation": "never",
            "stop": (stop or close - 10 * sign) if sign else None,
            "target": (target or close + 20 * sign) if sign else None,
        }

    return rule


def review(score: int) -> Any:
    scores = dict.fromkeys(DIMENSIONS, score)
    return lambda _: {"scores": scores, "kill_shot": "it can fall", "flip_condition": "it falls"}


def ruling(*trades: tuple[str, int]) -> Any:
    approved = [
        {
            "instrument": instrument,
            "direction": "LONG" if conviction > 0 else "SHORT",
            "conviction": conviction,
            "position_size": "20%" if abs(conviction) == 2 else "10%",
            "rationale": f"{instrument} it is",
        }
        for instrument, conviction in trades
    ]
    return lambda _: {
        "approved_trades": approved,
        "rejected_trades": [],
        "dissent_summary": "none",
        "monitoring_plan": "watch",
    }


def fails(_: Mapping[str, Any]) -> str:
    return "I would rather not say."


MANAGERS = ("trend", "reversion", "risk", "carry", "breakout")
AGREED = {f"{name}/Pitch": pitch("SPY", 2) for name in MANAGERS} | {f"{name}/Review": review(6) for name in MANAGERS}


def close_of(facts: Mapping[str, Any], symbol: str) -> float:
    return float(facts["symbols"][symbol]["close"])


def test_a_date_takes_two_packs_five_pitches_twenty_reviews_and_one_decision(convene, year):
    meeting = convene().hold([year.snapshot(0)])
    stages = [request.purpose["stage"] for request in meeting.gateway.heard]
    assert stages == ["research"] * 2 + ["pitch"] * 5 + ["review"] * 20 + ["chairman"]
    assert meeting.gateway.asked == 28
    reviews = meeting.opinions[0].peer_reviews
    assert {(said.seat, said.about) for said in reviews} == {
        (a, b) for a in meeting.council.members for b in meeting.council.members if a != b
    }


def test_the_year_asked_again_asks_nothing_and_decides_the_same(convene, held, year):
    again = convene(cache=held.gateway.cache.folder, mode="replay").hold(
        [year.snapshot(k) for k in range(len(year.instants))]
    )
    assert (again.gateway.asked, again.gateway.cached) == (0, held.gateway.asked)
    assert again.decisions == held.decisions


def test_every_question_to_an_offline_analyst_carries_the_version_of_its_rules(held):
    assert {request.model.partition("@")[2] for request in held.gateway.heard} == {analysts.VERSION}


def test_the_year_is_neither_idle_nor_always_the_same(held):
    weights = [tuple(target.weight for target in decision.targets) for decision in held.decisions]
    invested = [sum(abs(w) for w in date) for date in weights]
    assert len(set(weights)) >= 5
    assert 0.2 <= sum(invested) / len(invested) <= 0.4
    assert {p.instrument for opinion in held.opinions for p in opinion.pitches.values()} == {"SPY", "QQQ"}


def test_full_conviction_becomes_a_market_order_of_a_fifth_with_the_stop_and_target_of_the_pitch(convene, year):
    meeting = convene(AGREED | {"chairman/ChairmanDecision": ruling(("SPY", 2))}).hold([year.snapshot(DATE)])
    close = close_of(meeting.opinions[0].facts, "SPY")
    spy, qqq = meeting.decisions[0].targets
    assert (spy.symbol, spy.weight, spy.order, spy.limit, spy.conviction) == ("SPY", 0.2, "market", None, 2)
    assert (spy.stop, spy.take_profit) == (pytest.approx(close - 10), pytest.approx(close + 20))
    assert (qqq.symbol, qqq.weight, qqq.order) == ("QQQ", 0.0, "market")


def test_half_conviction_becomes_a_limit_order_of_a_tenth_below_the_close_when_buying(convene, year):
    rules = AGREED | {"chairman/ChairmanDecision": ruling(("SPY", 1))}
    meeting = convene(rules).hold([year.snapshot(DATE)])
    known = meeting.opinions[0].facts["symbols"]["SPY"]
    spy = meeting.decisions[0].targets[0]
    assert (spy.weight, spy.order) == (0.1, "limit")
    assert spy.limit == pytest.approx(known["close"] - 0.1 * known["atr_14"], abs=0.005)


def test_a_limit_stands_above_the_close_when_the_position_has_to_shrink(convene, year):
    rules = AGREED | {"chairman/ChairmanDecision": ruling(("SPY", 1))}
    held = Book(50_000.0, {"SPY": 100.0}, {"SPY": 500.0}, 100_000.0)
    meeting = convene(rules).hold([year.snapshot(DATE)], held)
    known = meeting.opinions[0].facts["symbols"]["SPY"]
    assert meeting.decisions[0].targets[0].limit == pytest.approx(known["close"] + 0.1 * known["atr_14"], abs=0.005)


def test_a_short_is_a_negative_weight_with_its_stop_above(convene, year):
    rules = AGREED | {f"{name}/Pitch": pitch("QQQ", -2) for name in MANAGERS}
    meeting = convene(rules | {"chairman/ChairmanDecision": ruling(("QQQ", -2))}).hold([year.snapshot(DATE)])
    close = close_of(meeting.opinions[0].facts, "QQQ")
    qqq = meeting.decisions[0].targets[1]
    assert qqq.weight == -0.2
    assert (qqq.stop, qqq.take_profit) == (pytest.approx(close + 10), pytest.approx(close - 20))


def test_what_is_held_and_not_approved_again_is_sold(convene, year):
    rules = AGREED | {"chairman/ChairmanDecision": ruling()}
    held = Book(60_000.0, {"SPY": 80.0}, {"SPY": 500.0}, 100_000.0)
    meeting = convene(rules).hold([year.snapshot(DATE)], held)
    assert [(t.symbol, t.weight, t.order) for t in meeting.decisions[0].targets] == [
        ("SPY", 0.0, "market"),
        ("QQQ", 0.0, "market"),
    ]


def test_stop_and_target_come_from_the_best_reviewed_pitch_for_the_trade(convene, year):
    def by_stop(prompt: Mapping[str, Any]) -> Any:
        facts = prompt["facts"]
        return review(9 if facts["pitches"][facts["review"]]["stop"] == 400.0 else 5)(prompt)

    rules = AGREED | {f"{name}/Review": by_stop for name in MANAGERS}
    rules |= {"carry/Pitch": pitch("SPY", 1, stop=400.0), "chairman/ChairmanDecision": ruling(("SPY", 2))}
    meeting = convene(rules).hold([year.snapshot(DATE)])
    assert meeting.decisions[0].targets[0].stop == 400.0
    assert meeting.decisions[0].record["execution"][0]["seat"] == "pm.carry"


def test_a_stop_on_the_wrong_side_of_the_close_is_asked_about_and_not_used(convene, year):
    rules = AGREED | {f"{name}/Pitch": pitch("SPY", 2, stop=900.0, target=950.0) for name in MANAGERS}
    meeting = convene(rules | {"chairman/ChairmanDecision": ruling(("SPY", 2))}).hold([year.snapshot(DATE)])
    opinion = meeting.opinions[0]
    assert all("stop 900 does not lie below the last close of SPY, 4" in str(one.error) for one in opinion.pm_pitches)
    assert "0 of 5 answers could be used" in str(opinion.no_decision)
    assert meeting.decisions[0].targets == ()


def test_a_trade_nobody_pitched_is_not_carried_out(convene, year):
    meeting = convene(AGREED | {"chairman/ChairmanDecision": ruling(("QQQ", 2))}).hold([year.snapshot(DATE)])
    assert [t.weight for t in meeting.decisions[0].targets] == [0.0, 0.0]
    assert "nobody pitched" in meeting.decisions[0].targets[1].reason


def test_trades_beyond_max_trades_are_left_out_weakest_first(convene, year):
    rules = AGREED | {"risk/Pitch": pitch("QQQ", 1), "chairman/ChairmanDecision": ruling(("QQQ", 1), ("SPY", 2))}
    meeting = convene(rules, parameters={"max_trades": 1}).hold([year.snapshot(DATE)])
    assert [(t.symbol, t.weight) for t in meeting.decisions[0].targets] == [("SPY", 0.2), ("QQQ", 0.0)]


@pytest.mark.parametrize(("shorts", "approved"), [(1, {"SPY": 2}), (2, {"SPY": 1}), (3, {"SPY": -1}), (5, {"SPY": -2})])
def test_the_offline_chairman_nets_dissenting_votes(convene, year, shorts, approved):
    rules = AGREED | {f"{name}/Pitch": pitch("SPY", -2) for name in MANAGERS[:shorts]}
    rules |= {"breakout/Pitch": pitch("SPY", 1)} if shorts == 2 else {}
    meeting = convene(rules).hold([year.snapshot(DATE)])
    decided = meeting.opinions[0].chairman_decision.value
    assert {trade.instrument: trade.conviction for trade in decided.approved_trades} == approved
    opposed = decided.dissent_summary.count("SPY SHORT" if approved["SPY"] > 0 else "SPY LONG")
    assert opposed == min(shorts, 5 - shorts)


def test_a_missing_manager_changes_nobody_elses_label_and_is_on_record(convene, year):
    whole = convene(AGREED | {"chairman/ChairmanDecision": ruling(("SPY", 2))}).hold([year.snapshot(DATE)])
    torn = convene(AGREED | {"risk/Pitch": fails, "chairman/ChairmanDecision": ruling(("SPY", 2))})
    torn.hold([year.snapshot(DATE)])
    (record,) = (decision.record for decision in torn.decisions)
    assert record["labels"] == whole.decisions[0].record["labels"]
    assert record["no_decision"] is None
    missing = next(one for one in record["pitches"] if one["seat"] == "pm.risk")
    assert "answer" not in missing
    assert missing["error"]
    assert len(missing["keys"]) == 2, "it was asked to repair its answer"
    assert len(record["reviews"]) == 16
    assert torn.decisions[0].targets[0].weight == 0.2


@pytest.mark.parametrize(
    ("failing", "stage", "reached"),
    [
        (["macro/ResearchPack", "narrative/ResearchPack"], "research: 0 of 2", 0),
        (["trend/Pitch", "risk/Pitch", "carry/Pitch"], "pitch: 2 of 5", 5),
        ([f"{name}/Review" for name in MANAGERS[:3]], "review: 8 of 20", 20),
        (["chairman/ChairmanDecision"], "chairman: no decision that could be used", 20),
    ],
)
def test_below_its_quorum_a_stage_ends_the_meeting_without_targets(convene, year, failing, stage, reached):
    meeting = convene(AGREED | dict.fromkeys(failing, fails)).hold([year.snapshot(DATE)])
    (decision,) = meeting.decisions
    assert decision.targets == ()
    assert decision.record["no_decision"].startswith(stage)
    assert len(decision.record["reviews"]) == (20 if reached == 20 else 0)
    assert decision.record["execution"] == []


def test_a_failed_answer_is_stored_so_that_a_rerun_does_not_ask_again(convene, year):
    rules = AGREED | {"chairman/ChairmanDecision": fails}
    first = convene(rules).hold([year.snapshot(DATE)])
    again = convene(rules, cache=first.gateway.cache.folder).hold([year.snapshot(DATE)])
    assert again.gateway.asked == 0
    assert again.decisions == first.decisions


def test_the_record_tells_what_every_member_saw_said_and_voted(held):
    for decision, opinion in zip(held.decisions, held.opinions, strict=True):
        record = json.loads(json.dumps(decision.record, allow_nan=False))
        assert record["facts"] == opinion.facts
        assert [one["seat"] for one in record["pitches"]] == list(held.council.members)
        assert len(record["reviews"]) == 20
        assert record["chairman"]["answer"]["approved_trades"] is not None
        assert set(record["labels"]) == {*held.council.members, "chairman"}
        assert all(len(key) == 64 for one in record["reviews"] for key in one["keys"])
        assert {one["symbol"] for one in record["execution"]} == {"SPY", "QQQ"}
        for symbol, net in record["net_votes"].items():
            weighed = sum(
                one["answer"]["conviction"] * record["scores"][one["seat"]] / 6
                for one in record["pitches"]
                if one["answer"]["instrument"] == symbol
            )
            assert net == pytest.approx(weighed, abs=0.002)
        votes = votes_of(opinion)
        assert votes_of(record) == {s: replace(v, score=round(v.score, 3)) for s, v in votes.items()}
        assert record["net_votes"] == net_votes(votes, 3)


STAGES = (ResearchStage(), PitchStage(), ReviewStage(), ChairmanStage())


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_is_shown_only_what_it_declared(held, stage):
    whole, blank = held.opinions[0], PipelineContext(held.opinions[0].as_of)
    seen = whole.only(stage.reads)
    hidden = {f.name for f in fields(whole)} - {*stage.reads, *KEPT}
    assert stage.writes in hidden
    assert all(getattr(seen, name) == getattr(blank, name) for name in hidden)
    assert all(getattr(seen, name) == getattr(whole, name) for name in stage.reads)


@pytest.mark.parametrize("stage", STAGES, ids=lambda stage: stage.name)
def test_a_stage_runs_alone_and_says_the_same_again(held, stage):
    whole = held.opinions[0]
    blank = getattr(PipelineContext(whole.as_of), stage.writes)
    alone = asyncio.run(stage.run(replace(whole, **{stage.writes: blank}), held.council.setup))
    assert getattr(alone, stage.writes) == getattr(whole, stage.writes)


def test_a_council_without_research_review_and_chairman_decides_by_vote(convene, year, tmp_path):
    folder = shutil.copytree(ROOT / "strategies" / "macro_council", tmp_path / "bare")
    path = folder / "strategy.yaml"
    path.write_text(path.read_text().replace("enabled: true", "enabled: false"))
    meeting = convene(AGREED, path=path).hold([year.snapshot(DATE)])
    assert [request.purpose["stage"] for request in meeting.gateway.heard] == ["pitch"] * 5
    record = meeting.decisions[0].record
    assert record["chairman"]["seat"] == "vote"
    assert record["net_votes"] == {"SPY": 10.0}
    assert meeting.decisions[0].targets[0].weight == 0.2


def test_facts_are_the_same_for_all_members_of_a_date(convene, year):
    meeting = convene().hold([year.snapshot(DATE)])
    markets = [
        json.loads(re.search(r"```json\n(.*?)\n```", request.messages[-1].content, re.DOTALL)[1])["market"]
        for request in meeting.gateway.heard
    ]
    assert len(markets) == 28
    assert all(market == meeting.opinions[0].facts for market in markets)


def test_a_seat_without_a_model_is_refused_before_anything_is_asked(held):
    definition = held.council.definition
    with pytest.raises(ConfigError, match=r'no model in seat "pm.carry"'):
        Council(definition, {s: m for s, m in held.council.setup.seats.items() if s != "pm.carry"}, held.gateway)


def test_before_the_first_bar_there_is_no_decision_and_no_question(convene, year):
    early = replace(year.snapshot(0), bars=year.bars.rows(0, 0))
    meeting = convene().hold([early])
    assert meeting.gateway.heard == []
    assert meeting.decisions[0].targets == ()
    assert meeting.decisions[0].record["no_decision"] == "no symbol has had a bar yet"


def test_a_member_trades_its_own_pitch_and_nothing_else(held, year):
    for seat in held.council.members:
        member = held.council.member(seat)
        for opinion, k in zip(held.opinions, range(len(year.instants)), strict=True):
            decision = member.decide(year.snapshot(k), opinion, Book(1e5, {}, {}, 1e5), ())
            said = opinion.pitches[seat]
            weights = {t.symbol: t.weight for t in decision.targets}
            assert weights.pop(said.instrument) == said.conviction * 0.1
            assert set(weights.values()) == {0.0}


def test_a_member_that_failed_leaves_its_positions_alone(convene, year):
    meeting = convene(AGREED | {"risk/Pitch": fails}).hold([year.snapshot(DATE)])
    member = meeting.council.member("pm.risk")
    decision = member.decide(year.snapshot(DATE), meeting.opinions[0], Book(1e5, {}, {}, 1e5), ())
    assert decision.targets == ()
    assert decision.record["no_decision"] == "pm.risk gave no pitch"


def test_an_unknown_member_is_answered_with_the_nearest_name(held):
    with pytest.raises(UsageError, match=r'did you mean "pm.carry"'):
        held.council.member("pm.cary")
