"""The accounts of a council side by side: what each earned, what it cost, and what its convictions were worth."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import fsum
from typing import TypedDict

from simulator.analysis.calibration import calibration, meetings_of, pitch_opinions, reviews, settle, trade_opinions
from simulator.evidence.records import AccountRecord, Calibration, CallCosts, CallRow, Metrics, Reasons, ReviewSkill
from simulator.runs import measure
from simulator.runs.accounts import Account, council_account
from simulator.stats.series import split


class Measured(TypedDict):
    metrics: Metrics
    reasons: Reasons
    sharpe_ci_low: float | None
    sharpe_ci_high: float | None


class Skill(TypedDict):
    calibration: Calibration | None
    reviews: ReviewSkill | None


def leaderboard(
    accounts: Sequence[Account],
    calls: Sequence[CallRow],
    free_returns: measure.Floats,
    cash: float,
    hold: measure.Floats | None = None,
) -> list[AccountRecord]:
    """The entries of ``accounts`` in run.json, in the order given; a pure function, JSON-able, None for undefined.

    Keys: ``name``, ``seat``, ``model``, ``decisions`` (cycles that wanted at least one position), ``metrics`` and
    ``reasons`` as of :func:`simulator.runs.measure.account`, ``sharpe_ci_low`` and ``sharpe_ci_high`` (95 %, as in
    ``inference``), ``llm`` (:func:`own_calls`), ``calibration``, ``reviews`` (see
    :mod:`simulator.analysis.calibration`), ``audit``.

    A manager's pitches are held against what followed over their own horizons; the council's approved trades until
    the next meeting, and its ``reviews`` are those of all pitches together: what the chairman could learn from them.
    Both are None for accounts of something else than a council. `free_returns` and `hold`, those of buy-and-hold, (S,)
    are per session.
    """
    council = council_account(accounts)
    return [
        {
            "name": one.name,
            "seat": one.seat,
            "model": one.model,
            "decisions": sum(
                any(target.weight for target in result.decision.targets) for result in one.replayed.results
            ),
            **_measure_account(one, free_returns, cash, hold),
            "llm": own_calls(calls, one.seat),
            **_measure_skill(one, council),
            "audit": {"max_relative_difference": one.replayed.largest_difference},
        }
        for one in accounts
    ]


def own_calls(calls: Iterable[CallRow], seat: str) -> CallCosts:
    """{calls, cost_usd} of the questions put to `seat`: its pitches, the reviews it wrote, its checkpoints, or the
    chairman's decisions.

    Each account pays for its own seat; research, which all read, is nobody's. The sum over
    accounts and the shared part is what replicate 0 cost, answers from the cache at the price once paid for them.
    The council's own bill is only the chairman's, though it rests on everybody's answers.
    """
    costs = [call["cost_usd"] for call in calls if call["replicate"] == 0 and call["seat"] == seat]
    return {"calls": len(costs), "cost_usd": fsum(costs)}


def _measure_account(account: Account, free: measure.Floats, cash: float, hold: measure.Floats | None) -> Measured:
    ledger = account.replayed.ledger
    summary = measure.account(ledger, cash, free, hold)
    # The interval alone: the rest of the inference on a Sharpe ratio costs several times as much and is not shown.
    ends, reasons = split(measure.sharpe_ends(measure.session_returns(ledger, cash), free))
    return {
        "metrics": summary.values,
        "reasons": {**reasons, **summary.reasons},
        "sharpe_ci_low": ends["sharpe_ci_low"],
        "sharpe_ci_high": ends["sharpe_ci_high"],
    }


def _measure_skill(account: Account, council: Account | None) -> Skill:
    if council is None:
        return {"calibration": None, "reviews": None}
    meetings, bars = meetings_of(council.replayed.results), council.replayed.ledger.bars
    if account is council:
        return {
            "calibration": calibration(settle(trade_opinions(meetings), bars)),
            "reviews": reviews(settle(pitch_opinions(meetings), bars)),
        }
    own = settle(pitch_opinions(meetings, account.seat), bars)
    return {"calibration": calibration(own), "reviews": reviews(own)}
