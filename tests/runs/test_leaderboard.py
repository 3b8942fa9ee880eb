"""Numbers of the accounts: horizons in words, convictions against bars drawn by hand, bills, and what is left out."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import pytest

from simulator.analysis.calibration import calibration, meetings_of, pitch_opinions, reviews, settle, trade_opinions
from simulator.analysis.leaderboard import leaderboard, own_calls
from simulator.analysis.parse_horizon import horizon_sessions
from simulator.market.bars import Bars
from simulator.replay import kernel
from simulator.replay.inputs import ReplayInputs
from simulator.replay.run import Replayed
from simulator.replay.tape import Tape
from simulator.runs import measure
from simulator.stats.inference import inference_summary
from simulator.trading.cycle import CycleResult
from simulator.trading.execution import ExecutionRules
from simulator.trading.model import Decision, Target

DAY = 86_400_000_000_000
HOUR = 3_600_000_000_000
FIRST = datetime(2024, 1, 1, 13, tzinfo=UTC)
"""08:00 in New York on the first session of the bars below; every day is a session."""


@dataclass(frozen=True)
class Account:
    name: str
    seat: str
    model: str
    replayed: Replayed


def make_bars(**prices: list[tuple[float, float] | None]) -> Bars:
    """Daily bars from SYMBOL=[(open, close) or None, …], opening at 14:30 and closing at 21:00 UTC."""
    days = 19_723 + np.arange(len(next(iter(prices.values()))))
    cells = [[(np.nan, np.nan) if bar is None else bar for bar in bars] for bars in prices.values()]
    opened, closed = np.array(cells, dtype=float).transpose(2, 1, 0)
    return Bars(
        tuple(prices),
        days * DAY + 14 * HOUR + HOUR // 2,
        days * DAY + 21 * HOUR,
        opened,
        np.maximum(opened, closed),
        np.minimum(opened, closed),
        closed,
        np.where(np.isnan(closed), np.nan, 1e6),
        np.zeros_like(closed),
        days,
        ("test",) * len(prices),
    )


def rising(sessions: int, by: float = 1.0) -> list[tuple[float, float]]:
    """Opens at 100, 101, …, each closing half a dollar above its open."""
    return [(100.0 + by * t, 100.5 + by * t) for t in range(sessions)]


def pitch(seat: str, conviction: int, horizon: str = "2 sessions", instrument: str = "SPY") -> dict[str, Any]:
    direction = "LONG" if conviction > 0 else "SHORT" if conviction < 0 else "FLAT"
    answer = {"instrument": instrument, "direction": direction, "conviction": conviction, "horizon": horizon}
    return {"seat": seat, "answer": answer}


def meeting(
    session: int, *pitches: dict[str, Any], scores: dict[str, float] | None = None, trades: dict[str, int] | None = None
) -> CycleResult:
    """A council's turn at 08:00 New York on the session of that number."""
    chairman = None
    if trades is not None:
        said = [{"instrument": name, "conviction": conviction} for name, conviction in trades.items()]
        chairman = {"seat": "chairman", "answer": {"approved_trades": said}}
    record = {"kind": "council", "pitches": list(pitches), "scores": scores or {}, "chairman": chairman}
    targets = tuple(Target(name, 0.1 * conviction) for name, conviction in (trades or {}).items())
    decision = Decision(FIRST + timedelta(days=session), targets, record)
    return CycleResult(decision, decision)


def checkpoint(session: int) -> CycleResult:
    decision = Decision(FIRST + timedelta(days=session), (), {"kind": "checkpoint", "theses": []})
    return CycleResult(decision, decision)


def replayed(bars: Bars, *results: CycleResult) -> Replayed:
    """The books of `results` on `bars`."""
    tape = Tape.from_decisions([result.allowed for result in results], bars.symbols)
    ledger = kernel.replay_tape(bars, tape, ExecutionRules(), 10_000.0, np.full(len(bars.symbols), 100.0))
    inputs = ReplayInputs(bars, bars, 0, tape.instants)
    return Replayed(inputs, ledger, results, tape, 0.0)


def settled(bars: Bars, *results: CycleResult, seat: str | None = "a"):
    return settle(pitch_opinions(meetings_of(results), seat), bars)


@pytest.mark.parametrize(
    ("text", "sessions"),
    [
        ("2-4 weeks", 15), ("2–4 weeks", 15), ("Two to four weeks (into the next FOMC)", 15), ("2-4w", 15),
        ("between 2 and 4 weeks", 15), ("2 weeks to 3 months", 37), ("1-2 weeks", 8), ("8-12 weeks", 50),
        ("3 months", 63), ("3M", 63), ("1 quarter", 63), ("half a year", 126), ("1.5 months", 32), ("a year", 252),
        ("days to two weeks", 7), ("weeks to months", 39), ("a week or two", 8), ("a few days", 3),
        ("a couple of weeks", 10), ("several weeks", 15), ("multi-week", 15), ("a fortnight", 10), ("next week", 5),
        ("10 sessions", 10), ("10d", 10), ("5-10 trading days", 8), ("30 calendar days", 21), ("10+ sessions", 10),
        ("up to 3 months", 63), ("Short-term (1-2 weeks)", 8), ("1 month (21 sessions)", 21), ("about 6 weeks", 30),
        ("1 to 2 months, catalyst in 2 weeks", 32), ("2024-12-31 (3 weeks)", 15),
        ("intraday", 1), ("6 hours", 1), ("0 days", 1),
        ("", None), ("n/a", None), ("swing", None), ("long-term", None), ("until the next weekly meeting", None),
        ("by month-end", None), ("end of the quarter", None), ("Q1 2025", None), ("until 2024-12-31", None),
        ("12", None), ("m", None), ("2 - 4", None),
    ],
)  # fmt: skip
def test_a_horizon_in_words_is_so_many_sessions(text, sessions):
    assert horizon_sessions(text) == sessions


def test_a_pitch_is_held_against_the_first_open_and_the_last_close_of_its_horizon():
    bars = make_bars(SPY=rising(10))
    found = settled(bars, meeting(0, pitch("a", 2, "3 sessions")), meeting(5, pitch("a", -1, "1 session")))
    first, second = found.outcomes
    assert (first.start, first.end, first.sessions) == (0, 2, 3)
    assert first.realised == pytest.approx(102.5 / 100 - 1, rel=1e-14)
    # A short pitch is held against the return of the instrument, not of the position.
    assert second.realised == pytest.approx(105.5 / 105 - 1, rel=1e-14)
    assert (found.open, found.unpriced) == (0, 0)


def test_only_horizons_that_end_within_the_run_count():
    bars = make_bars(SPY=rising(10))
    results = [meeting(0, pitch("a", 1, "10 sessions")), meeting(1, pitch("a", 1, "10 sessions"))]
    found = settled(bars, *results, meeting(20, pitch("a", 1, "1 session")))
    assert (len(found.outcomes), found.open) == (1, 2)
    # Where the run stops early, less has come true.
    assert settled(bars.rows(0, 9), *results).open == 2


def test_a_pitch_without_a_horizon_holds_until_the_next_meeting_and_so_do_approved_trades():
    bars = make_bars(SPY=rising(12))
    results = [meeting(0, pitch("a", 1, "swing"), trades={"SPY": 2}), checkpoint(2), meeting(5, trades={"SPY": -1})]
    for found in (settled(bars, *results), settle(trade_opinions(meetings_of(results))[:1], bars)):
        (one,) = found.outcomes
        assert (one.start, one.end, one.sessions) == (0, 4, 5)
        assert one.realised == pytest.approx(104.5 / 100 - 1, rel=1e-14)
    whole = settle(trade_opinions(meetings_of(results)), bars)
    assert [one.opinion.conviction for one in whole.outcomes] == [2]
    assert whole.open == 1
    assert calibration(whole)["unstated"] == 1


def test_missing_bars_move_the_price_to_the_nearest_bar_within_the_horizon():
    bars = make_bars(SPY=rising(6), QQQ=[None, (50.0, 51.0), (51.0, 52.0), None, None, None])
    found = settled(
        bars,
        meeting(0, pitch("a", 1, "4 sessions", "QQQ")),
        meeting(3, pitch("a", 1, "2 sessions", "QQQ")),
        meeting(4, pitch("a", 1, "2 sessions", "IWM")),
    )
    (one,) = found.outcomes
    assert (one.start, one.sessions) == (0, 4)
    assert one.realised == pytest.approx(52 / 50 - 1, rel=1e-14)
    assert (found.open, found.unpriced) == (0, 2)


def test_dividends_after_the_first_open_belong_to_the_return():
    plain = make_bars(SPY=rising(4))
    paid = np.array([[5.0], [1.0], [0.5], [7.0]])
    arrays = {name: getattr(plain, name) for name in ("open", "high", "low", "close", "volume")}
    bars = Bars(plain.symbols, plain.opens_at, plain.closes_at, **arrays, dividend=paid,
                session_of=plain.session_of, sources=plain.sources)  # fmt: skip
    (one,) = settled(bars, meeting(0, pitch("a", 1, "3 sessions"))).outcomes
    assert one.realised == pytest.approx((102.5 + 1.5) / 100 - 1, rel=1e-14)


def test_a_horizon_counts_sessions_and_not_bars():
    half_days = 19_723 + np.repeat(np.arange(4), 2)
    opens = half_days * DAY + np.tile([15 * HOUR, 18 * HOUR], 4)
    prices = np.arange(100.0, 108.0)[:, None]
    bars = Bars(("SPY",), opens, opens + 3 * HOUR, prices, prices + 0.5, prices, prices + 0.5, prices, 0 * prices,
                half_days, ("test",), "3h")  # fmt: skip
    (one,) = settled(bars, meeting(1, pitch("a", 1, "2 sessions"))).outcomes
    assert (one.start, one.end, one.sessions) == (2, 5, 2)
    assert one.realised == pytest.approx(105.5 / 102 - 1, rel=1e-14)


def seen_ahead(meetings: int, shown: bool = True) -> tuple[Bars, list[CycleResult]]:
    """A market that drifts nowhere, a manager who knows it in advance and one who flips coins, both reviewed."""
    rng = np.random.default_rng(1)
    closes = 100.0 * np.exp(np.cumsum(0.01 * rng.normal(size=5 * meetings + 1)))
    bars = make_bars(SPY=[(float(a), float(b)) for a, b in zip(np.r_[100.0, closes[:-1]], closes, strict=True)])
    results = []
    for k in range(meetings):
        move = bars.close[5 * k + 4, 0] / bars.open[5 * k, 0] - 1
        known = int(np.clip(np.round(move / 0.01 + rng.normal()), -2, 2))
        coin = int(rng.integers(-2, 3))
        good = {"a": float(6 + 50 * move * np.sign(known) + rng.normal()), "b": float(rng.integers(4, 9))}
        said = (pitch("a", known, "1 week"), pitch("b", coin, "1 week"))
        results.append(meeting(5 * k, *said, scores=good if shown else None, trades={"SPY": known} if known else {}))
    return bars, results


def test_skill_is_told_from_coin_flips():
    bars, results = seen_ahead(50)
    skilled, coins = (calibration(settled(bars, *results, seat=seat)) for seat in "ab")
    assert 0 < skilled["ic_low"] < skilled["ic"] < skilled["ic_high"]
    assert coins["ic_low"] < 0 < coins["ic_high"]
    assert skilled["n"] == coins["n"] == 50
    assert skilled["horizon_sessions"] == 5.0
    means = [level["mean_return"] for level in skilled["by_conviction"]]
    assert means == sorted(means)
    assert [level["conviction"] for level in skilled["by_conviction"]] == [-2, -1, 0, 1, 2]
    assert sum(level["n"] for level in skilled["by_conviction"]) == 50


def test_review_scores_are_held_against_the_return_in_the_pitched_direction():
    bars, results = seen_ahead(50)
    told, blind = (reviews(settled(bars, *results, seat=seat)) for seat in "ab")
    directed = sum(result.decision.record["pitches"][0]["answer"]["conviction"] != 0 for result in results)
    assert told["n"] == directed < 50
    assert 0 < told["low"] < told["correlation"]
    assert blind["low"] < 0 < blind["high"]
    assert 4.0 < told["mean_score"] < 9.0
    short = settled(make_bars(SPY=rising(3)), meeting(0, pitch("a", -2), scores={"a": 8.0}))
    assert reviews(short)["n"] == 1


@pytest.mark.parametrize(
    ("results", "why"),
    [
        ([meeting(0)], "nothing was pitched or approved"),
        ([meeting(0, pitch("a", 1, "3 months"))], "no horizon ended within the run"),
        ([meeting(0, pitch("a", 1, "1 day", "IWM"))], "no instrument had a bar within its horizon"),
        ([meeting(0, pitch("a", 1))], "1 of at least 3 observations"),
        ([meeting(0, {"seat": "a", "error": "no answer"})], "nothing was pitched or approved"),
        ([meeting(k, pitch("a", 0)) for k in range(8)], "every conviction was 0"),
        ([meeting(k, pitch("a", -2)) for k in range(8)], "every conviction was -2"),
    ],
)
def test_what_cannot_be_said_is_null_with_its_reason(results, why):
    found = calibration(settled(make_bars(SPY=rising(10)), *results))
    assert (found["ic"], found["ic_low"], found["ic_high"]) == (None, None, None)
    assert found["reasons"]["ic"] == why
    assert json.loads(json.dumps(found, allow_nan=False)) == found


@pytest.mark.parametrize(
    ("results", "why"),
    [
        ([meeting(k, pitch("a", 0), scores={"a": 7.0}) for k in range(8)], "every pitch was FLAT"),
        ([meeting(k, pitch("a", 1)) for k in range(8)], "no reviewed pitch"),
        ([meeting(0, pitch("a", 1, "1 year"), scores={"a": 7.0})], "no horizon ended within the run"),
        ([meeting(k, pitch("a", 1), scores={"a": 7.0}) for k in range(8)], "the forecasts never differ"),
    ],
)
def test_reviews_that_say_nothing_are_null_with_their_reason(results, why):
    found = reviews(settled(make_bars(SPY=rising(10)), *results))
    assert (found["correlation"], found["low"], found["high"]) == (None, None, None)
    assert found["reasons"]["correlation"] == why
    json.dumps(found, allow_nan=False)


def call(seat: str, cost: float, replicate: int = 0) -> dict[str, Any]:
    return {"seat": seat, "replicate": replicate, "cost_usd": cost}


CALLS = [
    call("research.1", 0.5),
    call("a", 0.1),
    call("a", 0.2),
    call("b", 0.3),
    call("chairman", 1.0),
    call("a", 9, 1),
]


def test_every_account_pays_for_its_seat_and_research_is_shared():
    assert own_calls(CALLS, "a") == {"calls": 2, "cost_usd": pytest.approx(0.3)}
    assert own_calls(CALLS, "nobody") == {"calls": 0, "cost_usd": 0.0}
    own = sum(own_calls(CALLS, seat)["cost_usd"] for seat in ("a", "b", "chairman"))
    assert own + 0.5 == pytest.approx(sum(c["cost_usd"] for c in CALLS if c["replicate"] == 0))


def test_an_entry_has_the_numbers_of_its_own_books_and_its_own_word():
    bars, results = seen_ahead(50)
    council = Account("COUNCIL", "chairman", "m", replayed(bars, *results))
    idle = Account("BETA", "b", "m", replayed(bars, checkpoint(0)))
    free = np.full(len(bars), 0.0001)
    entries = leaderboard((council, idle), CALLS, free, 10_000.0)
    first, second = entries
    ledger = council.replayed.ledger
    assert first["metrics"] == dict(measure.account(ledger, 10_000.0, free).values)
    inference = inference_summary(measure.session_returns(ledger, 10_000.0), free).values
    assert first["sharpe_ci_low"] == inference["sharpe_ci_low"]
    assert first["sharpe_ci_high"] == inference["sharpe_ci_high"]
    assert first["decisions"] == sum(bool(result.decision.targets) for result in results)
    assert first["llm"] == {"calls": 1, "cost_usd": 1.0}
    assert first["audit"] == {"max_relative_difference": 0.0}
    # The council is judged by what it approved, its reviews are those of everybody's pitches.
    assert first["calibration"]["ic_low"] > 0
    assert [level["conviction"] for level in first["calibration"]["by_conviction"]] == [-2, -1, 1, 2]
    assert first["reviews"] == reviews(settled(bars, *results, seat=None))
    assert second["calibration"] == calibration(settled(bars, *results, seat="b"))
    assert (second["name"], second["decisions"], second["metrics"]["total_return"]) == ("BETA", 0, 0.0)
    assert second["sharpe_ci_low"] is None
    assert second["reasons"]["sharpe_ci_low"] == "excess returns do not vary"
    assert json.loads(json.dumps(entries, allow_nan=False)) == entries
    assert leaderboard((council, idle), CALLS, free, 10_000.0) == entries


def test_accounts_of_a_rule_have_no_convictions():
    bars = make_bars(SPY=rising(30))
    decision = Decision(FIRST, (Target("SPY", 0.5),), {"kind": "rule"})
    (entry,) = leaderboard(
        (Account("A", "a", "", replayed(bars, CycleResult(decision, decision))),), (), np.zeros(30), 1e4
    )
    assert entry["calibration"] is None
    assert entry["reviews"] is None
    assert leaderboard((), (), np.zeros(30), 1e4) == []
