"""Calibration of convictions and review scores: the records of a council against the bars that followed.

    records of the meetings ──► opinions ──settle──► outcomes ──► calibration, reviews
                                              ▲
                              bars of the run ┘

An opinion is held against the return of its instrument from the first open after the meeting to the close of the last
session of its horizon, costs aside, whatever was traded. One whose horizon is not over when the run ends is open and
counts for nothing: to judge it earlier would favour those whose luck comes first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum
from statistics import median

import numpy as np

from simulator.analysis.parse_horizon import horizon_sessions
from simulator.council.records import MeetingRecord, meeting_record
from simulator.council.vote import votes_of
from simulator.evidence.records import Calibration, ReviewSkill
from simulator.evidence.writer import session_ends
from simulator.market.bars import Bars, instant
from simulator.replay.ledger import tradable
from simulator.stats.calibration import Estimate, Sample, mean_by_forecast, rank_correlation_interval
from simulator.stats.series import split
from simulator.trading.cycle import CycleResult

NOTHING_SETTLED = "no horizon ended within the run"


@dataclass(frozen=True)
class DatedMeeting:
    """A meeting of the council: when (nanoseconds since the epoch), when the next one was, and its record."""

    at: int
    until: int | None
    record: MeetingRecord


@dataclass(frozen=True)
class Opinion:
    """A conviction, −2 … +2, on one instrument.

    `horizon` is in sessions, None where it is to hold until the next meeting; `score` the mean review score, 1 … 10,
    None where nobody reviewed it.
    """

    meeting: DatedMeeting
    instrument: str
    conviction: int
    horizon: int | None = None
    score: float | None = None


@dataclass(frozen=True)
class Outcome:
    """Outcome of an opinion: the return of its instrument over the bars `start` to `end`, both included."""

    opinion: Opinion
    start: int
    end: int
    sessions: int
    realised: float


@dataclass(frozen=True)
class Settled:
    """Outcomes in order of time; how many opinions are still open, and how many had no bar to be priced by."""

    outcomes: tuple[Outcome, ...]
    open: int = 0
    unpriced: int = 0


def meetings_of(results: Sequence[CycleResult]) -> list[DatedMeeting]:
    """Return the meetings among the results of the council's account; checkpoints are left out."""
    records = [(instant(one.decision.as_of), meeting_record(one.decision.record)) for one in results]
    dated = [(at, record) for at, record in records if record is not None]
    following = [*(at for at, _ in dated[1:]), None]
    return [DatedMeeting(at, until, record) for (at, record), until in zip(dated, following, strict=False)]


def pitch_opinions(meetings: Sequence[DatedMeeting], seat: str | None = None) -> list[Opinion]:
    """Return the pitches of the manager in `seat`, or of all managers where it is None. FLAT ones have conviction 0."""
    return [
        Opinion(meeting, vote.instrument, vote.conviction, horizon_sessions(vote.horizon), vote.score)
        for meeting in meetings
        for name, vote in votes_of(meeting.record).items()
        if seat in (None, name)
    ]


def trade_opinions(meetings: Sequence[DatedMeeting]) -> list[Opinion]:
    """Return the trades the chairman approved. They name no horizon: each is to hold until the next meeting."""
    return [
        Opinion(meeting, trade["instrument"], trade["conviction"])
        for meeting in meetings
        if (chairman := meeting.record["chairman"]) is not None and "answer" in chairman
        for trade in chairman["answer"]["approved_trades"]
    ]


def settle(opinions: Sequence[Opinion], bars: Bars) -> Settled:
    """Hold `opinions` against the bars of a run.

    A horizon of h sessions begins with the session of the first bar that opens at or after the meeting and ends with
    the close of the h-th; without one it ends with the last bar that opens before the next meeting. Where the
    instrument misses bars, its first open and last close within the horizon count, as the rules of filling have it.
    Dividends that go ex after the first open belong to the return.
    """
    ends = session_ends(bars)
    outcomes: list[Outcome] = []
    still_open = unpriced = 0
    for opinion in opinions:
        span = _span(opinion, bars, ends)
        if span is None:
            still_open += 1
            continue
        realised = _return(bars, opinion.instrument, *span)
        if realised is None:
            unpriced += 1
            continue
        first, last = np.searchsorted(ends, span)
        outcomes.append(Outcome(opinion, *span, int(last - first) + 1, realised))
    return Settled(tuple(outcomes), still_open, unpriced)


def calibration(settled: Settled) -> Calibration:
    """Conviction against what followed, JSON-able; None where undefined, with the reason.

    Keys: ``n`` outcomes, ``open`` and ``unpriced`` opinions left out, ``unstated`` outcomes of opinions that name no
    horizon (to the next meeting), ``horizon_sessions`` (median), ``ic`` (Spearman's rank correlation of conviction and
    return: the information coefficient of Grinold & Kahn 2000), ``ic_low``, ``ic_high``, ``by_conviction``
    [{conviction, n, mean_return, low, high}] in ascending order, ``reasons`` {key: why None}, of an
    interval in the list ``by_conviction:<conviction>``.
    Intervals as in :mod:`simulator.stats.calibration`, 95 %. The correlation is over all dates together: a manager
    who is right about whole markets earns it as much as one who picks the better of two.
    """
    outcomes = settled.outcomes
    found: Calibration = {
        "n": len(outcomes),
        "open": settled.open,
        "unpriced": settled.unpriced,
        "unstated": sum(one.opinion.horizon is None for one in outcomes),
        "horizon_sessions": float(median(one.sessions for one in outcomes)) if outcomes else None,
        "ic": None,
        "ic_low": None,
        "ic_high": None,
        "by_conviction": [],
        "reasons": {},
    }
    if not outcomes:
        names = ("horizon_sessions", "ic", "ic_low", "ic_high")
        return {**found, "reasons": dict.fromkeys(names, _why_none(settled))}
    sample = _sample(outcomes, [one.opinion.conviction for one in outcomes], [one.realised for one in outcomes])
    (found["ic"], found["ic_low"], found["ic_high"]), reasons = _split_estimate(
        rank_correlation_interval(sample), ("ic", "ic_low", "ic_high")
    )
    for conviction, (n, estimate) in mean_by_forecast(sample).items():
        (mean, low, high), missing = _split_estimate(estimate, ("mean_return", "low", "high"))
        found["by_conviction"].append(
            {"conviction": int(conviction), "n": n, "mean_return": mean, "low": low, "high": high}
        )
        if missing:
            reasons[f"by_conviction:{conviction:g}"] = missing["low"]
    if len(found["by_conviction"]) == 1 < len(outcomes):
        only = f"every conviction was {found['by_conviction'][0]['conviction']:+d}".replace("+0", "0")
        reasons |= dict.fromkeys(("ic", "ic_low", "ic_high"), only)
    return {**found, "reasons": reasons}


def reviews(settled: Settled) -> ReviewSkill:
    """Mean review score of a pitch against its return in the direction it took, JSON-able; None where undefined.

    Keys: ``n`` reviewed pitches with a direction whose horizon is over, ``correlation`` (Spearman), ``low``, ``high``
    (95 %), ``mean_score`` of those pitches, ``reasons``. FLAT pitches, which earn nothing either way, are left out.
    """
    kept = [one for one in settled.outcomes if one.opinion.score is not None and one.opinion.conviction]
    names = ("correlation", "low", "high")
    if not kept:
        why = "no reviewed pitch"
        if not any(one.opinion.conviction for one in settled.outcomes):
            why = "every pitch was FLAT" if settled.outcomes else _why_none(settled)
        missing = dict.fromkeys((*names, "mean_score"), why)
        return {"n": 0, "correlation": None, "low": None, "high": None, "mean_score": None, "reasons": missing}
    scores = [one.opinion.score for one in kept if one.opinion.score is not None]
    earned = [one.realised if one.opinion.conviction > 0 else -one.realised for one in kept]
    (rho, low, high), reasons = _split_estimate(rank_correlation_interval(_sample(kept, scores, earned)), names)
    mean = fsum(scores) / len(scores)
    return {"n": len(kept), "correlation": rho, "low": low, "high": high, "mean_score": mean, "reasons": reasons}


def _span(opinion: Opinion, bars: Bars, ends: np.ndarray) -> tuple[int, int] | None:
    """First and last row of the horizon; None where it is not over by the last bar. An empty one has last < first."""
    first = int(np.searchsorted(bars.opens_at, opinion.meeting.at, side="left"))
    if first == len(bars):
        return None
    if opinion.horizon is not None:
        session = int(np.searchsorted(ends, first)) + opinion.horizon - 1
        return (first, int(ends[session])) if session < len(ends) else None
    if opinion.meeting.until is None:
        return None
    return first, int(np.searchsorted(bars.opens_at, opinion.meeting.until, side="left")) - 1


def _return(bars: Bars, instrument: str, first: int, last: int) -> float | None:
    """Return from the first open to the last close of `instrument` within the rows; None where it has no bar there."""
    if instrument not in bars.symbols:
        return None
    column = bars.column(instrument)
    rows = first + np.flatnonzero(tradable(bars)[first : last + 1, column])
    if not len(rows):
        return None
    paid = float(np.nansum(bars.dividend[rows[0] + 1 : last + 1, column]))
    return (float(bars.close[rows[-1], column]) + paid) / float(bars.open[rows[0], column]) - 1.0


def _sample(outcomes: Sequence[Outcome], forecasts: Sequence[float], earned: Sequence[float]) -> Sample:
    return Sample.of(forecasts, earned, [one.start for one in outcomes], [one.end for one in outcomes])


def _split_estimate(estimate: Estimate, names: tuple[str, str, str]) -> tuple[list[float | None], dict[str, str]]:
    """Value and ends of an estimate, and by name why one is None."""
    values, reasons = split(dict(zip(names, (estimate.value, estimate.low, estimate.high), strict=True)))
    return list(values.values()), reasons


def _why_none(settled: Settled) -> str:
    if settled.open or settled.unpriced:
        return NOTHING_SETTLED if settled.open else "no instrument had a bar within its horizon"
    return "nothing was pitched or approved"
