"""The hold-out: last sessions that a sweep does not play, and how often somebody has looked at them.

Opening it makes the run of the best member over all sessions, hold-out included: a run as every other, which the store
counts, whatever becomes of the folders. So does every other run or sweep over these sessions of these bars.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import numpy as np

from simulator.analysis.sweep_verdict import judge_member
from simulator.analysis.trials import Trial, trials
from simulator.analysis.verdict import p_of_skill
from simulator.evidence.records import SkillRecord
from simulator.evidence.sweep_records import HoldOutRecord, SweepRecord
from simulator.evidence.sweep_trials import sweep_facts
from simulator.evidence.unrecorded import Seen
from simulator.market.months import month_digests
from simulator.number_format import counted
from simulator.runs.exposure import skill_record, skill_series
from simulator.studies.chunks import batch_of
from simulator.studies.inputs import SweepInputs
from simulator.studies.walk_forward import Play


def open_hold_out(inputs: SweepInputs, best: int, play: Play | None) -> SkillRecord | None:
    """Return `skill` of member `best` on the hold-out, played as one account from the first session of the sweep on;
    None where it is not to be opened. `play` makes its run."""
    held = inputs.study.hold_out
    if held is None or not held.opened:
        return None
    longer = _whole(inputs)
    if play is not None:
        play(longer.study.spec(best))
    member = longer.member(best)
    batch, free = batch_of(longer, [member]), longer.free(member)
    rules, instrument = member.rules.execution, longer.config.assets.cash_instrument
    series = skill_series(batch.ledger(0), batch.tape(0), rules, member.cash, free, instrument)
    return skill_record(series.rows(longer.sessions >= np.datetime64(held.first)))


def describe_hold_out(
    inputs: SweepInputs, record: SweepRecord, seen: Seen, skill: SkillRecord | None
) -> HoldOutRecord | None:
    """Return what verdict.json says of the hold-out; `skill` is that of the best member on it, once it was opened."""
    held = inputs.study.hold_out
    if held is None:
        return None
    longer = _whole(inputs)
    staged = longer.staged(longer.member(record["best"]["member"]))
    last, bars = str(staged.last), staged.inputs.bars
    months = {"bar_months": month_digests(bars, held.first), "from": str(held.first), "to": last, "run_id": ""}
    looks = [
        one
        for one in trials(seen.rows, {**sweep_facts(record), **months, "digest": ""}).looks
        if one.last >= str(held.first) and one.first <= last and _same_bars(one, record["identity"]["symbols"])
    ]
    times = {(row["run_id"], row["digest"]): row["times"] for row in seen.rows}
    opened = sum(int(str(times[one.run_id, one.digest])) for one in looks)
    count = max(len(looks), 1)
    sessions = int((longer.sessions >= np.datetime64(held.first)).sum())
    span = f"hold-out, {held.first} to {last}"
    if skill is None:
        seen_by = f"; {counted(len(looks), 'result')} over these sessions are on record" if looks else ""
        headline = f"The {span}, is closed: `--open-hold-out` plays the best member on it{seen_by}."
    else:
        inference = {"trials": float(count)}
        headline = judge_member(record, skill, inference, counted(count, "look")).headline
        headline = f"On the {span}, opened {counted(opened, 'time')}: {headline}"
    return {
        "from": str(held.first),
        "to": last,
        "sessions": sessions,
        "opened": opened,
        "openings": [{"at": one.made_at, "by": one.run_id, "member": None} for one in looks],
        "skill": skill,
        "p": None if skill is None else p_of_skill(skill, count),
        "headline": headline,
    }


def _whole(inputs: SweepInputs) -> SweepInputs:
    """The same study with the sessions of the hold-out."""
    study, held = inputs.study, inputs.study.hold_out
    last: date | None = held.last if held else None
    return SweepInputs(replace(study, base=replace(study.base, last=last), hold_out=None), inputs.workspace)


def _same_bars(look: Trial, symbols: list[str]) -> bool:
    """True where a look was at these symbols, or at their bars under other names."""
    return bool({*look.symbols} & {*symbols}) or "common" in look.why
