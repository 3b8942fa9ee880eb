"""The cut-off split: what a run earned on dates its models can remember, and on dates they cannot.

cut-off of each model ─► the council's = the latest ─► sessions before | grey (90 days) | after ─► Δα with its interval
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import cast

import numpy as np
from numpy.typing import NDArray

from simulator.config import Seat
from simulator.contamination.disagreement import disagreement
from simulator.contamination.words import numbers, percent, percents
from simulator.council.records import meeting_record
from simulator.evidence.records import AlphaDecay, Contamination, ModelRecord, OpenSpan, PartRecord
from simulator.llm.cutoffs import (
    AFTER,
    BEFORE,
    GREY,
    PARTS,
    ModelCutoff,
    Part,
    cutoffs_of,
    grey_until,
    language_models,
    latest_cutoff,
    part_of,
    prices_to_add,
    without_cutoff,
)
from simulator.llm.spending.prices import Prices
from simulator.market.calendar import NEW_YORK
from simulator.number_format import ratio
from simulator.runs.exposure import SkillSeries, skill_record
from simulator.runs.measure import sharpe_ends
from simulator.stats.compare import change_in_mean
from simulator.stats.inference import sharpe_p
from simulator.stats.metrics import ENOUGH_SESSIONS, PERIODS, alpha_beta, annual_return, sharpe, total_return
from simulator.stats.series import Floats, Measure, Undefined, split
from simulator.trading.cycle import CycleResult

ENDS = ("sharpe_ci_low", "sharpe_ci_high")

CONVENTION = (
    "alpha: mean of daily returns beyond the run's own usual exposure to its own symbols, times 252, in which no rate "
    "and no rising market is; interval by Student's t with the EWC variance of each part"
)
CONVENTION_WITHOUT_POSITIONS = (
    "alpha: mean of daily excess returns less beta times the benchmark's, times 252; beta by OLS in each part by "
    "itself, so that a change of market exposure is no change of alpha; interval by Student's t with the EWC variance "
    "of each part"
)


@dataclass(frozen=True, eq=False)
class Daily:
    """(S,) sessions (datetime64[D], oldest first) and the returns on them: of the run, its benchmark, and cash; and the
    run's excess return in parts, where its positions are known."""

    sessions: NDArray[np.datetime64]
    returns: Floats
    benchmark: Floats
    free: Floats
    skill: SkillSeries | None = None

    def rows(self, kept: NDArray[np.bool_]) -> Daily:
        skill = None if self.skill is None else self.skill.rows(kept)
        return Daily(self.sessions[kept], self.returns[kept], self.benchmark[kept], self.free[kept], skill)

    def __len__(self) -> int:
        return len(self.sessions)


def contamination_facts(
    seats: Mapping[str, Seat],
    prices: Prices,
    results: Sequence[CycleResult],
    daily: Daily,
    benchmark: str = "buy_and_hold",
    served: Mapping[str, Sequence[str]] | None = None,
) -> Contamination:
    """``contamination`` of run.json; its keys are listed in docs/contamination.md.

    `seats` of the council, empty for a rule; `results` as replayed (members' votes are read from their records);
    `daily` with the returns of `benchmark`; models are judged by those that `served`, {seat: their names}. Nobody is
    asked. A session is placed by its own date, a decision by its instant's.
    """
    models = cutoffs_of(seats, prices, served)
    found: Contamination = {
        "verdict": "",
        "flagged": False,
        "assessable": False,
        "mend": None,
        "models": [_model(one) for one in models],
        "cutoff": None,
        "grey_until": None,
        "benchmark": benchmark,
        "parts": None,
        "alpha_decay": None,
        "disagreement": None,
    }
    if not language_models(models):
        who = "rule-based analysts answered, no model" if models else "no model was asked"
        return {**found, "verdict": f"{who.capitalize()}: nothing to remember."}
    of_seat = {seat: one.cutoff for one in language_models(models) for seat in one.seats}
    days = [result.decision.as_of.astimezone(NEW_YORK).date() for result in results]
    records = [meeting_record(result.decision.record) for result in results]
    meetings = [(day, record) for day, record in zip(days, records, strict=True) if record is not None]
    found["disagreement"] = disagreement(meetings, of_seat)
    cutoff = latest_cutoff(models)
    if cutoff is None:
        names = without_cutoff(models)
        whose = " and of ".join(names) if len(names) < 3 else f"{names[0]} and {len(names) - 1} other models"
        return {
            **found,
            "verdict": f"Not assessable: the cut-off of {whose} is not known.",
            "mend": prices_to_add(names),
        }
    parts = {name: daily.rows(there) for name, there in parts_of(daily.sessions, cutoff).items()}
    decided = Counter(part_of(day, cutoff) for day in days)
    described = {name: _describe_part(parts[name], decided[name], judged=name == AFTER) for name in PARTS}
    decay = alpha_decay(parts[BEFORE], parts[AFTER])
    return {
        **found,
        "verdict": verdict(cutoff, described, decay),
        "flagged": decay["flagged"],
        "assessable": described[AFTER]["assessable"],
        "cutoff": str(cutoff),
        "grey_until": str(grey_until(cutoff)),
        "parts": described,
        "alpha_decay": decay,
    }


def alpha_decay(before: Daily, after: Daily) -> AlphaDecay:
    """α_after − α_before a year: ``value``, ``low``, ``high`` (95 %), ``flagged`` when the interval lies below 0.

    Convention as `CONVENTION`; nothing is flagged on fewer than 60 sessions a side, `reason` says so.
    """
    found: AlphaDecay = {
        "value": None,
        "low": None,
        "high": None,
        "flagged": False,
        "draws": 0,
        "convention": CONVENTION if before.skill is not None else CONVENTION_WITHOUT_POSITIONS,
        "reason": None,
    }
    shorter = min(len(before), len(after))
    if not shorter:
        return {**found, "reason": f"no session {'before' if not len(before) else 'after'} the cut-off"}
    old, new = daily_alpha(before), daily_alpha(after)
    if isinstance(old, Undefined) or isinstance(new, Undefined):
        return {**found, "reason": next(one.reason for one in (old, new) if isinstance(one, Undefined))}
    change = change_in_mean(old, new, PERIODS)
    if isinstance(change, Undefined):
        return {**found, "reason": change.reason}
    short = shorter < ENOUGH_SESSIONS
    return {
        **found,
        "value": change.difference,
        "low": change.low,
        "high": change.high,
        "flagged": change.decayed and not short,
        "reason": f"fewer than {ENOUGH_SESSIONS} sessions on one side: shown, not judged" if short else None,
    }


def daily_alpha(part: Daily) -> Floats | Undefined:
    """(n,) returns per session beyond the run's usual exposure (`simulator.stats.skill`).

    Where positions are not known, e − β·m: excess returns less β times the benchmark's, β by OLS on these sessions.
    """
    if part.skill is not None:
        return part.skill.parts.beyond
    found = alpha_beta(part.returns, part.benchmark, part.free, PERIODS)
    beta = found["beta"]
    if isinstance(beta, Undefined):
        return beta
    return np.asarray(part.returns - part.free - beta * (part.benchmark - part.free))


def verdict(cutoff: date, parts: Mapping[Part, PartRecord], decay: AlphaDecay) -> str:
    """One or two sentences: the headline on the sessions after the cut-off, and whether α decayed."""
    after, before = parts[AFTER], parts[BEFORE]
    rest = before["sessions"] + parts[GREY]["sessions"]
    if not after["assessable"]:
        return (
            f"Not assessable: {_sessions(after['sessions'])} after the cut-off {cutoff} and its 90 grey days, "
            f"{ENOUGH_SESSIONS} are needed; the other {rest} may measure memory."
        )
    where = "Every session lies after" if not rest else f"On the {_sessions(after['sessions'])} after"
    figure = "the Sharpe ratio is not defined"
    if after["sharpe"] is not None:
        low, high = after["sharpe_ci_low"], after["sharpe_ci_high"]
        within = "" if low is None or high is None else f" ({numbers(low, high)})"
        figure = f"the Sharpe ratio is {ratio(after['sharpe'])}{within}"
    sentence = f"{where} the cut-off {cutoff}{', and' if not rest else ''} {figure}."
    value, low, high = decay["value"], decay["low"], decay["high"]
    if value is None or low is None or high is None or decay["reason"]:
        return sentence
    moved = f"α changed by {percent(value, sign=True)} a year ({percents(low, high)})"
    judged = "FLAGGED, what was earned before may be memory" if decay["flagged"] else "no decay beyond chance"
    return f"{sentence} From before to after {moved}: {judged}."


def parts_of(sessions: NDArray[np.datetime64], cutoff: date) -> dict[Part, NDArray[np.bool_]]:
    """Return {before, grey, after: (S,) True where a session lies there}."""
    last, grey = np.datetime64(cutoff), np.datetime64(grey_until(cutoff))
    return {BEFORE: sessions <= last, GREY: (sessions > last) & (sessions <= grey), AFTER: sessions > grey}


def _describe_part(part: Daily, decisions: int, judged: bool) -> PartRecord:
    """Describe a part; intervals only where there are sessions enough, the test of skill only where it is `judged`."""
    n, enough = len(part), len(part) >= ENOUGH_SESSIONS
    names = ("total_return", "annual_return", "sharpe", "sharpe_p_hac", *ENDS)
    few = Undefined(f"fewer than {ENOUGH_SESSIONS} sessions")
    measures: dict[str, Measure] = dict.fromkeys((*names, "alpha", "beta", "alpha_t"), Undefined("no session"))
    if n:
        measures |= {
            "total_return": total_return(part.returns),
            "annual_return": annual_return(part.returns, PERIODS),
            "sharpe": sharpe(part.returns, part.free, PERIODS),
            "sharpe_p_hac": sharpe_p(part.returns, part.free),
            **alpha_beta(part.returns, part.benchmark, part.free, PERIODS),
            **(sharpe_ends(part.returns, part.free) if enough else dict.fromkeys(ENDS, few)),
        }
    values, reasons = split(measures)
    about: OpenSpan = {"from": str(part.sessions[0]) if n else None, "to": str(part.sessions[-1]) if n else None}
    skill = skill_record(part.skill) if judged and part.skill is not None else None
    described = {"sessions": n, **about, "assessable": enough, **values, "reasons": reasons, "decisions": decisions}
    described["skill"] = skill
    return cast(PartRecord, described)


def _model(one: ModelCutoff) -> ModelRecord:
    cutoff = None if one.cutoff is None else str(one.cutoff)
    why = "no model, nothing to remember" if one.answers_by_rule else None if cutoff else "cut-off not known"
    asked = {"model": one.model, "served": list(one.served), "provider": one.provider, "seats": list(one.seats)}
    return cast(ModelRecord, {**asked, "cutoff": cutoff, "note": why})


def _sessions(count: int) -> str:
    return "1 session" if count == 1 else f"{count} sessions"
