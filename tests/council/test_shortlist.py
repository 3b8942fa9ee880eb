"""Of many symbols a meeting is about a shortlist: ranked by rule or by a model, with what may be held always on it."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from simulator.contamination.disguise import Disguise, Disguised, masks
from simulator.council.earlier_theses import restore_meeting
from simulator.council.shortlist import held_by_minutes, rank_symbols
from simulator.market.bars import FIELDS, Bars
from simulator.trading.model import Book, Decision

from .conftest import ROOT, Year

SHIPPED = ROOT / "strategies" / "macro_council" / "strategy.yaml"
MANY = 30
BOOK = Book(100_000.0, {}, {}, 100_000.0)


@pytest.fixture(scope="module")
def many(wide_year: Year) -> Year:
    """Thirty symbols: those of the sample, whose prices, days apart, are shown to others as well."""
    bars = wide_year.bars
    arrays = {
        name: np.hstack([np.roll(getattr(bars, name), 3 * n, axis=0)[:, :5] for n in range(MANY // 5)])
        for name in (*FIELDS, "dividend")
    }
    arrays["volume"] = arrays["volume"] * (1 + np.arange(MANY) % 7)
    wider = replace(
        bars,
        symbols=tuple(f"S{n:02d}" for n in range(MANY)),
        sources=bars.sources[:1] * MANY,
        **arrays,
    )
    assert isinstance(wider, Bars)
    return replace(wide_year, bars=wider)


@pytest.fixture
def council(convene):
    return convene(path=SHIPPED, parameters={"shortlist": {"size": 8}})


def opine(council, snapshot, journal=()):
    return asyncio.run(council.opine(snapshot, journal))


def test_the_list_is_the_best_by_the_sum_of_ranks(many: Year, council) -> None:
    snapshot = many.snapshot(20)
    bars, n = snapshot.bars, len(snapshot.bars)
    dollars = {s: -float(np.median((bars.close * bars.volume)[n - 63 :, k])) for k, s in enumerate(bars.symbols)}
    moves = {s: -abs(bars.close[n - 22, k] / bars.close[n - 253, k] - 1) for k, s in enumerate(bars.symbols)}
    place = [{s: r for r, s in enumerate(sorted(bars.symbols, key=lambda s: (by[s], s)))} for by in (dollars, moves)]
    expected = sorted(bars.symbols, key=lambda s: (place[0][s] + place[1][s], s))
    assert list(rank_symbols(snapshot, ("liquidity", "momentum"))) == expected
    opinion = opine(council.council, snapshot)
    assert set(opinion.facts["symbols"]) == set(expected[:8])
    asked = council.gateway.heard[0].messages[1].content
    assert [symbol for symbol in bars.symbols if symbol in asked] == [s for s in bars.symbols if s in expected[:8]]


def test_nothing_else_may_be_named(many: Year, council) -> None:
    opinion = opine(council.council, many.snapshot(20))
    for request in council.gateway.heard:
        if request.purpose["stage"] == "pitch":
            assert request.schema["properties"]["instrument"]["enum"] == list(opinion.facts["symbols"])


def test_what_may_be_held_stays_on_the_list_from_meeting_to_meeting(many: Year, convene) -> None:
    """Whatever was pitched or approved a week before, however it ranks now."""
    meetings = convene(path=SHIPPED, parameters={"shortlist": {"size": 6}})
    points = [(many.snapshot(k), "meeting") for k in range(0, 50, 5)]
    minutes = meetings.follow(points)
    kept_for_that = 0
    for before, after in pairwise(minutes):
        pitched = {row["answer"]["instrument"] for row in before["pitches"] if row["answer"]["conviction"]}
        assert pitched == set(before["may_hold"])
        listed = after["shortlist"]["symbols"]
        assert pitched <= set(listed)
        assert set(after["shortlist"]["held"]) == pitched
        assert len(listed) == 6
        kept_for_that += len(pitched)
    assert kept_for_that > 10
    ranked = [rank_symbols(snapshot, ("liquidity", "momentum"))[:6] for snapshot, _ in points]
    assert any(set(held["may_hold"]) - set(best) for held, best in zip(minutes, ranked[1:], strict=False))


def test_checkpoints_hand_on_what_may_be_held(many: Year, council) -> None:
    snapshot = many.snapshot(20)
    meeting = council.council.minutes(opine(council.council, snapshot))
    journal = (Decision(snapshot.as_of, (), meeting),)
    checkpoint = council.council.checkpoint
    later = asyncio.run(checkpoint.opine(many.snapshot(21), journal))
    assert checkpoint.minutes(later)["may_hold"] == meeting["may_hold"]
    read = checkpoint.read_opinion(json.loads(json.dumps(checkpoint.write_opinion(later))), many.snapshot(21))
    assert checkpoint.minutes(read) == checkpoint.minutes(later)


def test_a_manager_that_gave_no_pitch_keeps_what_it_may_hold(many: Year, convene) -> None:
    meetings = convene({"trend/Pitch": lambda _: "no idea"}, path=SHIPPED, parameters={"shortlist": {"size": 8}})
    before = Decision(many.snapshot(19).as_of, (), {"may_hold": ["S07", "S29"]})
    minutes = meetings.council.minutes(opine(meetings.council, many.snapshot(20), (before,)))
    assert {"S07", "S29"} <= set(minutes["may_hold"])


def test_meetings_wait_for_each_other_only_where_symbols_do_not_fit(convene) -> None:
    council = convene(path=SHIPPED).council
    made = {
        (traded, held): type(council)(
            convene(path=SHIPPED, parameters={"shortlist": {"held": held}}).council.definition,
            council.seats,
            council.setup.gateway,
            traded=traded,
        ).reads
        for traded in (24, 25)
        for held in (True, False)
    }
    assert made == {(24, True): "market", (24, False): "market", (25, True): "minutes", (25, False): "market"}


def test_what_is_off_the_list_is_sold_and_nothing_else_has_a_target(many: Year, council) -> None:
    snapshot = many.snapshot(20)
    opinion = opine(council.council, snapshot)
    off = next(symbol for symbol in snapshot.symbols if symbol not in opinion.facts["symbols"])
    before = Decision(many.snapshot(19).as_of, (), {"kind": "council"})
    book = replace(BOOK, positions={off: 10.0}, marks=dict.fromkeys(snapshot.symbols, 10.0))
    for strategy in (council.council, council.council.member("pm.trend")):
        targets = {one.symbol: one for one in strategy.decide(snapshot, opinion, book, (before,)).targets}
        assert set(targets) == {*opinion.facts["symbols"], off}
        assert (targets[off].weight, targets[off].reason) == (0.0, "not on the shortlist")


def test_the_list_is_on_record_and_restored(many: Year, council) -> None:
    snapshot = many.snapshot(20)
    opinion = opine(council.council, snapshot)
    record = council.council.minutes(opinion)
    assert record["shortlist"] == {
        "by": "liquidity and momentum",
        "of": MANY,
        "symbols": list(opinion.facts["symbols"]),
        "held": [],
    }
    metadata = council.council.metadata(snapshot)
    again = restore_meeting(snapshot.as_of, json.loads(json.dumps(record)), metadata)
    assert again.shortlist == opinion.shortlist
    assert held_by_minutes((Decision(snapshot.as_of, (), record),)) == tuple(record["may_hold"])


def test_a_market_that_is_shown_masked_has_the_list_of_the_real_one(many: Year, council) -> None:
    snapshot = many.snapshot(20)
    hidden = Disguised(council.council, Disguise(masks(snapshot.symbols), 5235, beside=("BIL", "VIX", "SPY")))
    seen = asyncio.run(hidden.opine(snapshot, ()))
    real = opine(council.council, snapshot)
    names = masks(snapshot.symbols)
    assert list(seen.facts["symbols"]) == [names[symbol] for symbol in real.facts["symbols"]]
    shown = council.gateway.heard[0].messages[1].content
    assert not any(word in shown for word in (*snapshot.symbols, "SPY", "2024"))
    book = replace(BOOK, positions={"S00": 1.0}, marks=dict.fromkeys(snapshot.symbols, 10.0))
    targets = {target.symbol for target in hidden.decide(snapshot, seen, book, ()).targets}
    assert targets == set(snapshot.symbols)


@pytest.fixture
def by_model(tmp_path: Path) -> Path:
    """The shipped council, with a model that makes the list."""
    for path in [SHIPPED, *(SHIPPED.parent / "prompts").iterdir()]:
        place = tmp_path / path.relative_to(SHIPPED.parent)
        place.parent.mkdir(exist_ok=True)
        place.write_text(path.read_text())
    (tmp_path / "prompts" / "shortlist.md").write_text("Name {{ size }} symbols.\n\n{{ persona }}\n")
    (tmp_path / "prompts" / "screener.md").write_text("You screen markets.\n")
    text = SHIPPED.read_text()
    assert "  size: 24\n" in text
    model = "  size: 8\n  prompt: prompts/shortlist.md\n  persona: prompts/screener.md\n"
    (tmp_path / "strategy.yaml").write_text(text.replace("  size: 24\n", model))
    return tmp_path / "strategy.yaml"


@pytest.mark.parametrize("usable", [True, False])
def test_a_model_makes_the_list_and_the_rule_stands_in(many: Year, convene, by_model: Path, usable: bool) -> None:
    answer = {"symbols": ["S29", "S03"], "reason": "They move."} if usable else "I would rather not say."
    meetings = convene({"screener/Shortlist": lambda _: answer}, path=by_model)
    snapshot = many.snapshot(20)
    minutes = meetings.council.minutes(opine(meetings.council, snapshot))
    first = meetings.gateway.heard[0]
    assert (first.purpose["stage"], first.purpose["seat"]) == ("shortlist", "screener")
    assert all(symbol in first.messages[1].content for symbol in snapshot.symbols)
    listed, best = minutes["shortlist"]["symbols"], rank_symbols(snapshot, ("liquidity", "momentum"))
    assert len(listed) == 8
    if usable:
        assert {"S29", "S03"} <= set(listed)
        assert set(listed) <= {"S29", "S03", *best[:8]}
        assert minutes["shortlist"]["by"] == "screener"
    else:
        assert set(listed) == set(best[:8])
        assert "Input should be an object" in minutes["shortlist"]["answer"]["error"]
