"""The verdict on a forward test, valid after whichever session one looks (docs/anytime.md).

    DayRow ──forward_series──► d beyond its usual exposure ──► confidence sequence ─┐
    registration: starting weights, carried evidence ───────────┘                   ├─► ForwardVerdict
                                       the verdict on so many sessions (verdict.py) ─┘   never more than both say

Nothing is fitted: the usual exposure starts with the registered weights and looks back alone.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date

import numpy as np

from simulator.analysis.verdict import (
    JUDGEMENT,
    LEFT,
    Standing,
    caution_anchor,
    describe_parts,
    describe_undecided,
    skill_standing,
)
from simulator.errors import DataError
from simulator.evidence.records import SkillRecord
from simulator.forward.records import DayRow, ForwardRecord
from simulator.forward.registration import Registration
from simulator.market import calendar
from simulator.number_format import counted, interval, p_value, percent, ratio
from simulator.runs.exposure import Flags, SkillSeries, skill_record
from simulator.stats.confidence_sequence import (
    ALPHA,
    FIRST_LOOK,
    anytime_test,
    confidence_sequence,
    one_look,
    sessions_to_find,
)
from simulator.stats.metrics import PERIODS
from simulator.stats.power import detectable_sharpe
from simulator.stats.series import Floats, Undefined
from simulator.stats.skill import MeanTest, Split, mean_so_far, mean_test, p_of_trials

BASIS = 1e4
"""Basis points of a fraction."""

REHEARSED = "Rehearsed on past bars, which shows the machinery and proves no skill. "

RARE_LOSS = {"a loss in 5 %": 12.0, "a loss in 2 %": 32.3, "a disaster in 1 %": 55.0}
"""Percent of histories without an edge with an interval above 0 at a look from session 60 to 252: docs/anytime.md."""


@dataclass(frozen=True, eq=False)
class Course:
    """(n,) after each session: the mean of d, the ends of its interval, both per session, and the e-value.

    Up to the first verdict, at `first`, the interval is that of one look, NaN before ten sessions.
    """

    sessions: tuple[str, ...]
    mean: Floats
    low: Floats
    high: Floats
    e_value: Floats
    first: int


@dataclass(frozen=True, eq=False)
class ForwardVerdict:
    """The verdict on one account.

    `headline` is a sentence with its interval, `details` qualify it; `low` and `high` are ends of the interval of the
    mean of d per session, of one look alone where `one_look`. `more` is how many sessions are left of those registered,
    `trials` what p is corrected for; e-value and p stand from the first verdict on.
    """

    account: str
    standing: Standing
    headline: str
    details: tuple[str, ...]
    sessions: int
    one_look: bool
    mean: float | None
    low: float | None
    high: float | None
    e_value: float | None
    p: float | None
    more: int
    trials: int
    skill: SkillRecord
    course: Course


def judge_forward(record: ForwardRecord, registration: Registration, account: str, trials: int = 1) -> ForwardVerdict:
    """Return the verdict on `account` after the last session of `record`.

    `trials` are the tests of the strategy on record (`registration.count_trials`); an account that is not the primary
    one is one of several questions and corrected for all accounts. Before session 60 there is no verdict. "Skill" is
    said only where the sequence and the verdict on so many sessions both say it, and never of a rehearsal.
    """
    count = trials * (1 if account == registration.primary else len(registration.accounts))
    days = [day for day in record.days if day.account == account]
    gaps = _after_gaps(days)
    series = forward_series(days, registration, record.cash[account])
    series = series.rows(~gaps)
    prior = np.array(registration.prior.beyond if registration.prior else ())
    beyond = np.r_[prior, series.parts.beyond]
    skill = _test_skill(series, beyond, registration)
    course = make_course(
        tuple(day.session for day, gap in zip(days, gaps, strict=True) if not gap), prior, beyond, count
    )
    standing = _standing(record, days, skill, count)
    early = len(series.excess) < FIRST_LOOK
    mean, low, high, e = (
        None if not beyond.size or not math.isfinite(values[-1]) else float(values[-1])
        for values in (course.mean, course.low, course.high, course.e_value)
    )
    e = None if early else e
    p = None if early or skill["p"] is None else p_of_trials(skill["p"], count)
    found = ForwardVerdict(
        account, standing, "", (), len(series.excess), early, mean, low, high, e, p,
        max(0, registration.sessions_needed - len(series.excess)), count, skill, course,
    )  # fmt: skip
    headline = (REHEARSED if record.rehearsed else "") + _headline(found, len(prior)) + _cautions(found)
    details = (
        f"{counted(int(gaps.sum()), 'session')} left out: the session before has no row." if gaps.any() else "",
        *(_trials(found, trials, account == registration.primary), _describe_prior(registration)),
        "" if skill["sessions"] < FIRST_LOOK or skill["idle"] else describe_parts(skill),
        *(_evidence(found), _power(found), _describe_need(found, registration)),
    )
    return ForwardVerdict(**{**vars(found), "headline": headline, "details": tuple(filter(None, details))})


def forward_series(days: Sequence[DayRow], registration: Registration, cash: float) -> SkillSeries:
    """Return the series of an account by session (S,), which began with `cash`, in the parts of `runs.exposure`.

    The mean of its weights starts with that of the registered backtest, over as many bars as that had. Symbols without
    a move have no bar yet and could not be held; what was bought by hand is held like all else. Raises DataError for a
    session without bars.
    """
    counts = [len(day.held) for day in days]
    if not all(counts):
        where = next(day.session for day in days if not day.held)
        raise DataError("a session has no bars", where=where, mend="fetch the bars of that session and report again")
    bars = [held for day in days for held in day.held]
    symbols = list(dict.fromkeys((*registration.symbols, *(symbol for held in bars for symbol in held.weights))))
    weights = np.array([[held.weights.get(s, 0.0) for s in symbols] for held in bars]).reshape(len(bars), len(symbols))
    there = np.array([[s in held.moves for s in symbols] for held in bars]).reshape(weights.shape)
    moves = np.array([[held.moves.get(s, 0.0) for s in symbols] for held in bars]).reshape(weights.shape)
    ends, firsts = np.cumsum(counts, dtype=int) - 1, np.cumsum(counts, dtype=int) - np.array(counts, dtype=int)
    free = np.array([day.free for day in days])
    moves[ends] -= np.where(there[ends], free[:, None], 0.0)
    start = np.array([registration.usual.weights.get(s, 0.0) for s in symbols])
    since = np.where(there.any(axis=0), there.argmax(axis=0), len(bars)) if bars else np.zeros(len(symbols), dtype=int)
    usual = mean_so_far(weights, since, start, registration.usual.bars)
    equity = np.array([day.equity for day in days])
    before = np.r_[cash, equity[:-1]]
    worth = np.where(before > 0, before, np.inf)
    risky = [symbol for symbol in symbols if symbol != registration.cash_instrument]
    carried = np.abs(weights[:, [symbols.index(symbol) for symbol in risky]]).sum(axis=1)
    summed = (usual * moves, weights - usual, moves, weights, carried)
    sums = [np.add.reduceat(x, firsts) if len(days) else x for x in summed]
    sizes = np.array(counts)[:, None]
    excess = equity / worth - np.where(before > 0, 1.0, 0.0) - free
    exposure, costs = sums[0].sum(axis=1), np.array([day.costs for day in days]) / worth
    return SkillSeries(
        excess,
        Split(exposure, excess - exposure + costs, -costs),
        np.array([day.decided for day in days], dtype=np.bool_),
        (sums[4] != 0) | np.array([any(day.positions.get(s) for s in risky) for day in days], dtype=np.bool_),
        sums[1] / sizes,
        sums[2],
        sums[3] / sizes,
    )


def _after_gaps(days: Sequence[DayRow]) -> Flags:
    """(S,) sessions before which others have no row: their return spans more than their own exposure."""
    dates = [date.fromisoformat(day.session) for day in days]
    if not dates:
        return np.zeros(0, dtype=np.bool_)
    at = np.searchsorted(calendar.sessions(dates[0], dates[-1]).dates, np.array(dates, dtype="datetime64[D]"))
    return np.asarray(np.r_[False, np.diff(at) > 1])


def _test_skill(series: SkillSeries, beyond: Floats, registration: Registration) -> SkillRecord:
    """The record of the sessions seen, with tests of all evidence, carried too, that hold at every look at once.

    Of each p the larger of the two stands: of the sequence, and of so many sessions looked at once.
    """
    skill, prior, level = skill_record(series), registration.prior, series.level
    if prior is not None:
        seen = len(prior.beyond)
        level = (level * (len(beyond) - seen) + prior.level * seen) / len(beyond)
        skill = {**skill, "decisions": skill["decisions"] + prior.decisions}
    once: MeanTest | Undefined = mean_test(beyond, level) if beyond.size else Undefined("no session")
    if isinstance(once, Undefined):
        return {**skill, "p": None, "reason": once.reason}
    always, held = anytime_test(beyond, level), anytime_test(series.excess)
    return {
        **skill,
        "p": max(once.p, always.p),
        "p_worse": max(once.p_worse, always.p_worse),
        "p_excess": None if skill["p_excess"] is None else max(skill["p_excess"], held.p),
        "p_mean": once.p_mean,
        "p_ratio": once.p_ratio,
        "p_level": once.p_level,
        "t": once.t,
        "degrees": once.degrees,
        "ratio": once.ratio,
        "skew": once.skew,
        "kurtosis": once.kurtosis,
    }


def make_course(sessions: tuple[str, ...], prior: Floats, beyond: Floats, trials: int) -> Course:
    """Return the sequence at the level that so many trials leave, and the intervals of one look before it; `prior` are
    values from before the first of `sessions`."""
    alpha = level_of(trials)
    found, carried = confidence_sequence(beyond, alpha=alpha), len(prior)
    low, high = found.low[carried:].copy(), found.high[carried:].copy()
    for n in range(min(len(sessions), FIRST_LOOK - 1)):
        ends = one_look(beyond[: carried + n + 1], alpha)
        low[n], high[n] = (math.nan, math.nan) if isinstance(ends, Undefined) else ends
    return Course(sessions, found.mean[carried:], low, high, found.e_value[carried:], FIRST_LOOK)


def level_of(trials: int) -> float:
    """Return the level of one test of so many at which the chance that any errs is 5 % (Šidák 1967)."""
    return ALPHA if trials == 1 else -math.expm1(math.log1p(-ALPHA) / trials)


def _standing(record: ForwardRecord, days: Sequence[DayRow], skill: SkillRecord, trials: int) -> Standing:
    if skill["sessions"] < FIRST_LOOK:
        return "too short"
    if days[-1].equity <= 0:
        return "loss"
    found = skill_standing(skill, trials)
    return "not assessable" if record.rehearsed and found in ("skill", "borderline", "worse", "paid", "luck") else found


def _headline(found: ForwardVerdict, carried: int) -> str:
    over = f"over {counted(found.sessions, 'session')}{f' and {carried} carried in' if carried else ''}"
    if not found.sessions:
        return f"No session has ended: no verdict before session {FIRST_LOOK}."
    if found.one_look:
        bounds = interval(_points(found.low), _points(found.high))
        seen = f"one look, 95\u00a0% interval {bounds}" if found.low is not None else "too few for an interval"
        beyond = f"{ratio(_points(found.mean), sign=True)} basis points a session beyond its own usual exposure"
        return f"No verdict before session {FIRST_LOOK}. {beyond} {over}: {seen}."
    if found.standing == "loss":
        return f"Everything was lost {over}."
    if found.standing == "nothing":
        return f"Nothing but the cash instrument was held {over}: nothing to judge."
    if undecided := describe_undecided(found.skill, found.standing, over):
        return undecided
    bounds = interval(_yearly(found.low), _yearly(found.high), percent)
    earned = f"{percent(_yearly(found.mean), sign=True)} a year beyond its own usual exposure"
    return f"{earned}, 95\u00a0% interval {bounds} at whichever session one looks, {over}: {JUDGEMENT[found.standing]}."


def _cautions(found: ForwardVerdict) -> str:
    skew = found.skill["skew"]
    parts = [caution_anchor(found.skill, found.standing)]
    if skew is not None and skew < LEFT:
        of = ", ".join(f"{size:.0f}\u00a0% with {name}" for name, size in RARE_LOSS.items())
        parts.append(
            f"It leans to the left (skew {ratio(skew)}): of returns without an edge, looked at daily from session 60 "
            f"to 252, the interval lay above 0 in {of}."
        )
    return "".join(f" {part}" for part in parts if part)


def _trials(found: ForwardVerdict, tests: int, primary: bool) -> str:
    if found.trials == 1:
        return ""
    accounts = "" if primary else f" × {found.trials // tests} accounts, of which this is not the primary one"
    return f"The interval and p allow for {counted(tests, 'test')} of this strategy on record{accounts}."


def _describe_prior(registration: Registration) -> str:
    prior = registration.prior
    if prior is None:
        return ""
    return (
        f"Carried in as prior evidence: {counted(len(prior.beyond), 'session')} of the backtest after the models' "
        f"cut-off, {prior.first} to {prior.last}, chosen among {counted(prior.trials, 'trial')}."
    )


def _evidence(found: ForwardVerdict) -> str:
    if found.one_look or found.e_value is None:
        return ""
    wanted = 1.0 / level_of(found.trials)
    p = "" if found.p is None else f"; p that holds at every look {p_value(found.p)}"
    return f"E-value {ratio(found.e_value)}, {ratio(wanted, 0)} is where the interval leaves 0 out{p}."


def _power(found: ForwardVerdict) -> str:
    edge = detectable_sharpe(found.sessions) if found.one_look and found.sessions else None
    if edge is None:
        return ""
    length = counted(found.sessions, "session")
    if isinstance(edge, Undefined):
        return f"Power: {length} are too few to find any edge."
    return f"Power: in {length} only a true ratio of {ratio(edge)} or more a year would be found four times in five."


def _describe_need(found: ForwardVerdict, registration: Registration) -> str:
    if not registration.is_registered:
        return ""
    edge, total = ratio(registration.smallest_edge), counted(registration.sessions_needed, "session")
    said = f"Registered was an edge of {edge} a year, which {total} find four times in five"
    if found.more:
        return f"{said}: {counted(found.more, 'session')} more.{_as_seen(found)}"
    missed = "" if found.standing in ("skill", "borderline") else " An edge of that size would by now have been found."
    return f"{said}: they are over.{missed}"


def _as_seen(found: ForwardVerdict) -> str:
    """Sessions that an edge as large as the one seen would take."""
    seen = found.skill["ratio"]
    if found.one_look or seen is None or seen <= 0 or found.standing == "skill":
        return ""
    needed = sessions_to_find(seen)
    total = "" if isinstance(needed, Undefined) else counted(int(needed), "session")
    return f" One as large as seen so far ({ratio(seen * math.sqrt(PERIODS))} a year) would take {total} in all."


def _points(value: float | None) -> float | None:
    return None if value is None else value * BASIS


def _yearly(value: float | None) -> float | None:
    return None if value is None else value * PERIODS
