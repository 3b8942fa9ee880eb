"""Checks on the books alone: sessions before and after the cut-off, the recorded decisions at twice the costs, and
filled at another moment."""

from __future__ import annotations

from datetime import date
from math import fsum

import numpy as np

from simulator.analysis.toggles import NEXT_OPEN, replay_toggles
from simulator.analysis.verdict import describe_skill
from simulator.contamination.case import Case
from simulator.contamination.results import Figure, Outcome, Result
from simulator.contamination.split import Daily, contamination_facts, parts_of
from simulator.contamination.words import percent
from simulator.evidence.members import served_by_seat
from simulator.evidence.writer import session_ends
from simulator.llm.cutoffs import AFTER
from simulator.llm.spending.prices import Prices
from simulator.replay import kernel
from simulator.runs import measure
from simulator.runs.benchmarks import benchmark_ledgers
from simulator.runs.exposure import SkillSeries, skill_record
from simulator.stats.bootstrap import sharpe_interval
from simulator.stats.mean import mean_of
from simulator.stats.metrics import PERIODS, total_return
from simulator.stats.series import Floats, Undefined

REMEMBERED = "may be remembered: no verdict"
NO_TRADES = Result("not assessable", "Not assessable: nothing was traded.")


def judge_cutoff(case: Case, asked: None = None) -> Result:  # noqa: ARG001
    """`contamination` of run.json worked out again, with the cut-offs config/models.yaml says now."""
    done = case.recorded
    hold = benchmark_ledgers(done.inputs, case.rules.execution, case.cash)["buy_and_hold"]
    skill = case.skill(done)
    daily = Daily(case.sessions, case.returns(done), measure.session_returns(hold, case.cash), case.free, skill)
    served = served_by_seat(case.calls)
    found = contamination_facts(case.seats, Prices(case.config.models.prices), done.results, daily, served=served)
    notes = tuple(note for note in (found["mend"],) if note)
    if not case.asks_models:
        return Result("not applicable", found["verdict"])
    decay = found["alpha_decay"]
    if found["parts"] is None or decay is None:
        return Result("not assessable", found["verdict"], (), notes)
    figures: list[Figure] = []
    where = parts_of(case.sessions, date.fromisoformat(found["cutoff"] or ""))
    for name, part in found["parts"].items():
        ends = part["sharpe_ci_low"], part["sharpe_ci_high"]
        figures.append(Figure(f"{name}: Sharpe", part["sharpe"], "Sharpe", *ends, note=f"{part['sessions']} sessions"))
        figures.append(_beyond(name, skill.rows(where[name]), judged=name == AFTER))
    why = decay["reason"] or ""
    figures.append(Figure("alpha after, less before", decay["value"], "a year", decay["low"], decay["high"], note=why))
    both = found["assessable"] and decay["low"] is not None and not decay["reason"]
    outcome: Outcome = "flagged" if found["flagged"] else "passed" if both else "not assessable"
    return Result(outcome, found["verdict"], tuple(figures), notes)


def judge_costs(case: Case, asked: None = None) -> Result:  # noqa: ARG001
    """Flagged where a gain becomes a loss at twice the costs, on the sessions that its models cannot remember."""
    done, rows, kept = case.recorded, {}, case.judged
    if not len(done.ledger.fill_rows):
        return NO_TRADES
    for multiple in (1.0, 2.0):
        rules = case.rules.execution.scale(multiple)
        inputs = done.inputs
        ledger = kernel.replay_tape(inputs.traded, done.tape, rules, case.cash, inputs.opening_marks)
        session = np.searchsorted(ledger.bars.closes_at[session_ends(ledger.bars)], ledger.fill_rows["at"])
        paid = (ledger.fill_rows["slippage"] + ledger.fill_rows["commission"])[kept[session]]
        rows[multiple] = measure.session_returns(ledger, case.cash)[kept], fsum(paid.tolist())
    figures = [_sharpe(f"Sharpe at {multiple:g} × the costs", rows[multiple][0], case.free[kept]) for multiple in rows]
    lost = mean_of(rows[2.0][0] - rows[1.0][0], PERIODS)
    figures.append(Figure("twice the costs, less as run", lost.value, "a year", lost.low, lost.high, lost.p))
    figures += [Figure(f"return at {m:g} × the costs", _earn_total(rows[m][0]), "return") for m in rows]
    figures += [Figure(f"dollars paid at {m:g} × the costs", rows[m][1], "count") for m in rows]
    once, twice = (_earn_total(rows[m][0]) for m in rows)
    sentence = f"At twice the costs the return is {percent(twice, sign=True)} instead of {percent(once, sign=True)}"
    if once > 0 >= twice:
        sentence = f"FLAGGED: {sentence}: the gain does not cover costs paid twice."
        return Result("flagged", sentence, tuple(figures), _notes(case))
    return Result("passed", f"{sentence} ({percent(lost.value, sign=True)} a year).", tuple(figures), _notes(case))


def judge_toggles(case: Case, asked: None = None) -> Result:  # noqa: ARG001
    """Return what prices that were gone when it decided would add; no bar to pass: the run fills at the next open."""
    done = case.recorded
    if not len(done.ledger.fill_rows):
        return NO_TRADES
    kept = case.judged
    toggled = replay_toggles(done.inputs, done.tape, case.rules.execution, case.cash)
    paths = {one.name: one.returns[kept] for one in toggled}
    figures = [_sharpe(f"{name}: Sharpe", returns, case.free[kept]) for name, returns in paths.items()]
    parts = []
    for name, returns in paths.items():
        if name == NEXT_OPEN:
            continue
        more = mean_of(returns - paths[NEXT_OPEN], PERIODS)
        figures.append(Figure(f"{name}, less next open", more.value, "a year", more.low, more.high, more.p))
        parts.append(f"{name} {percent(more.value, sign=True)}")
    sentence = f"A year, against the next open: {', '.join(parts)}. Neither could have been had."
    return Result("shown", sentence, tuple(figures), _notes(case))


def _notes(case: Case) -> tuple[str, ...]:
    return tuple(filter(None, (case.remembered,)))


def _sharpe(name: str, returns: Floats, free: Floats) -> Figure:
    found = sharpe_interval(returns, free, PERIODS)
    if isinstance(found, Undefined):
        return Figure(name, None, "Sharpe", note=found.reason)
    return Figure(name, found.estimate, "Sharpe", found.low, found.high)


def _beyond(name: str, part: SkillSeries, judged: bool) -> Figure:
    """Return beyond the usual exposure in one part, and the verdict's words on it, as one trial, where it is `judged`:
    what a model may remember is no skill, whatever its p."""
    skill = skill_record(part)
    ends, words = (skill["beyond_low"], skill["beyond_high"]), describe_skill(skill) if judged else REMEMBERED
    return Figure(f"{name}: beyond its exposure", skill["beyond"], "a year", *ends, skill["p"], words)


def _earn_total(returns: Floats) -> float:
    found = total_return(returns)
    return 0.0 if isinstance(found, Undefined) else found
