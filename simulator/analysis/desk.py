"""Work of a desk in a finished run: its classes against what followed, vetoes, time in its states, and the bills.

decisions.jsonl (``kind: desk``) ─┬─► class of each analysis ──► return of the five sessions from then on
prices.csv, llm_calls.jsonl ──────┴─► vetoes by rule, states, dollars by agent
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from math import fsum, isfinite

import numpy as np

from simulator.desk.records import DeskRecord, desk_record
from simulator.desk.workflow import STATES
from simulator.evidence.reader import Evidence
from simulator.number_format import number_of
from simulator.stats.calibration import Estimate, Sample, mean_by_forecast, rank_correlation_interval

CLASSES = ("AVOID", "HOLD", "BUY", "STRONG_BUY")
"""From the lowest to the highest."""
HORIZON = 5
"""Sessions over which a class is held against what followed, that of the analysis included."""

EXPECTED_A_DAY: Mapping[str, float] = {
    "screener": 0.0003,
    "analyzer": 0.0015,
    "optimizer": 0.0008,
    "reviewer": 0.0006,
    "backtester": 0.0,
}
"""Dollars a day that the desk was designed to cost: a screening, three analyses, two plans, a review."""
EXPECTED_A_WEEK: Mapping[str, float] = {"reviewer": 0.0006, "backtester": 0.0016}
"""The same of the weekly review and its two backtests, which come on top."""
DAYS_A_MONTH, WEEKS_A_MONTH = 20, 4


@dataclass(frozen=True)
class Call:
    """One analysis: the class that decided and that of the formulas, and the return that followed; None where its
    prices are not there or its sessions are not over."""

    session: int
    symbol: str
    decided: str
    by_formulas: str
    score: int
    planned: bool
    outcome: float | None


@dataclass(frozen=True)
class ClassOutcome:
    """Outcome of one class: number of analyses, of those that were planned, of those with an outcome, the share of
    these that rose, and their mean return with its interval."""

    name: str
    calls: int
    planned: int
    known: int
    rose: int
    mean: Estimate | None


@dataclass(frozen=True)
class StateTime:
    """One state: how often it was entered, and the seconds spent in it on the days of the run, idle nights left out."""

    name: str
    entered: int
    seconds: float


@dataclass(frozen=True)
class Bill:
    """Dollars of one agent: questions, tools asked, answers that failed; `daily` and `weekly` are dollars of its part
    in the day's points and in the week's."""

    agent: str
    questions: int
    tools: int
    failed: int
    daily: float
    weekly: float


@dataclass(frozen=True)
class DeskWork:
    """Everything a report shows of a desk; `sessions` and `weeks` are those its bills are counted over."""

    calls: tuple[Call, ...]
    decided: tuple[ClassOutcome, ...]
    by_formulas: tuple[ClassOutcome, ...]
    ranks: Estimate | None
    vetoes: Mapping[str, Counter[str]]
    states: tuple[StateTime, ...]
    bills: tuple[Bill, ...]
    sessions: int
    weeks: int

    @property
    def a_day(self) -> float:
        """Dollars of a day without the weekly review."""
        return fsum(one.daily for one in self.bills) / max(self.sessions, 1)

    @property
    def a_week(self) -> float:
        """Dollars that a weekly review adds."""
        return fsum(one.weekly for one in self.bills) / max(self.weeks, 1)


def read_desk(evidence: Evidence) -> DeskWork | None:
    """Return the work of a desk; None for a run of anything else."""
    records = [(row["session"], one) for row in evidence.decisions if (one := desk_record(row["record"])) is not None]
    if not records:
        return None
    calls = _calls(records, evidence)
    decided = [one.decided for one in calls]
    sample = _sample(calls, decided)
    return DeskWork(
        calls,
        _outcomes(calls, decided),
        _outcomes(calls, [one.by_formulas for one in calls]),
        None if sample is None else rank_correlation_interval(sample),
        _vetoes([record for _, record in records]),
        _states(records),
        _bills(records, evidence),
        len(evidence.sessions),
        len({session for session, record in records if record["point"].startswith("week")}),
    )


def _calls(records: Sequence[tuple[str, DeskRecord]], evidence: Evidence) -> tuple[Call, ...]:
    rows = {day.isoformat(): n for n, day in enumerate(evidence.sessions)}
    found = []
    for session, record in records:
        planned = {plan["symbol"] for plan in record.get("plans", ())}
        for row in record.get("analyses", ()):
            at, symbol = rows.get(session, -1), row["symbol"]
            found.append(
                Call(
                    session=at,
                    symbol=symbol,
                    decided=row.get("agent", row["recommendation"]),
                    by_formulas=row["recommendation"],
                    score=row["score"],
                    planned=symbol in planned,
                    outcome=_return(evidence, symbol, at),
                )
            )
    return tuple(found)


def _return(evidence: Evidence, symbol: str, at: int) -> float | None:
    """Return what `symbol` made from the close before session `at` over HORIZON sessions."""
    closes = evidence.prices.get(symbol)
    if closes is None or at < 1 or at + HORIZON - 1 >= len(closes):
        return None
    before, after = float(closes[at - 1]), float(closes[at + HORIZON - 1])
    return number_of(after / before - 1.0) if before > 0.0 else None


def _outcomes(calls: Sequence[Call], classes: Sequence[str]) -> tuple[ClassOutcome, ...]:
    sample = _sample(calls, classes)
    means = {} if sample is None else mean_by_forecast(sample)
    found = []
    for n, name in enumerate(CLASSES):
        own = [call for call, one in zip(calls, classes, strict=True) if one == name]
        known = [call.outcome for call in own if call.outcome is not None]
        planned, rose = sum(call.planned for call in own), sum(outcome > 0.0 for outcome in known)
        _, mean = means.get(float(n), (0, None))
        found.append(ClassOutcome(name, len(own), planned, len(known), rose, mean))
    return tuple(found)


def _sample(calls: Sequence[Call], classes: Sequence[str]) -> Sample | None:
    known = [
        (CLASSES.index(one), call.outcome, call.session, call.session + HORIZON - 1)
        for call, one in zip(calls, classes, strict=True)
        if call.outcome is not None and one in CLASSES
    ]
    if not known:
        return None
    x, y, start, end = (np.array(values) for values in zip(*known, strict=True))
    return Sample.of(x.astype(float), y.astype(float), start, end)


def _vetoes(records: Sequence[DeskRecord]) -> Mapping[str, Counter[str]]:
    """Return {rule: {symbol: times}}, the rule that forbade most first."""
    found: dict[str, Counter[str]] = {}
    for record in records:
        for veto in record.get("vetoes", ()):
            found.setdefault(veto["rule"], Counter())[veto["symbol"]] += 1
    return dict(sorted(found.items(), key=lambda one: (-one[1].total(), one[0])))


def _states(records: Sequence[tuple[str, DeskRecord]]) -> tuple[StateTime, ...]:
    """Return the time in each state between the first and the last transition of a day, of all days."""
    last = {session: record["workflow"]["history"] for session, record in records}
    entered, seconds = Counter[str](), dict[str, float](dict.fromkeys(STATES, 0.0))
    for history in last.values():
        entered.update(step["after"] for step in history)
        for step, following in pairwise(history):
            spent = datetime.fromisoformat(following["at"]) - datetime.fromisoformat(step["at"])
            seconds[step["after"]] += spent.total_seconds()
    return tuple(StateTime(name, entered[name], spent) for name, spent in seconds.items())


def _bills(records: Sequence[tuple[str, DeskRecord]], evidence: Evidence) -> tuple[Bill, ...]:
    agents = [(record["point"], one) for _, record in records for one in record.get("agents", ())]
    weekly = {key for point, one in agents if point.startswith("week") for key in one["keys"]}
    found = []
    for name in EXPECTED_A_DAY:
        own = [one for _, one in agents if one["agent"] == name]
        asked = [call for call in evidence.calls if call["stage"] == name]
        paid = [(call["cost_usd"], call["key"] in weekly) for call in asked if isfinite(call["cost_usd"])]
        found.append(
            Bill(
                agent=name,
                questions=len(asked),
                tools=sum(len(one["tools"]) for one in own),
                failed=sum(one["error"] is not None for one in own),
                daily=fsum(usd for usd, of_week in paid if not of_week),
                weekly=fsum(usd for usd, of_week in paid if of_week),
            )
        )
    return tuple(found)
