"""The hold-out: last sessions that a sweep does not play, and how often somebody has looked at them.

Opening it makes the run of the best member over all sessions, hold-out included: a run as every other, which the store
counts, whatever becomes of the folders. So does every other run or sweep over these sessions of these bars.
"""

from __future__ import annotations

import numpy as np

from simulator.analysis.sweep_verdict import judge_member
from simulator.analysis.trials import trials
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
    longer = inputs.whole()
    if play is not None:
        play(longer.study.spec(best))
    member = longer.member(best)
    batch, free = batch_of(longer, [member]), longer.free(member)
    rules, instrument = member.rules.execution, longer.config.assets.cash_instrument
    series = skill_series(batch.ledger(0), batch.tape(0), rules, member.cash, free, instrument)
    return skill_record(series.rows(longer.sessions >= np.datetime64(held.first)))


def describe_hold_out(
    inputs: SweepInputs, record: SweepRecord, seen: Seen, skill: SkillRecord | None, before: HoldOutRecord | None = None
) -> HoldOutRecord | None:
    """Return what verdict.json says of the hold-out; `skill` is that of the best member where it was opened now, and
    `before` what an earlier verdict.json of the same sweep said: the store may be younger than that."""
    held = inputs.study.hold_out
    if held is None:
        return None
    longer = inputs.whole()
    staged = longer.staged(longer.member(record["best"]["member"]))
    last, bars = str(staged.last), staged.inputs.bars
    months = {"bar_months": month_digests(bars, held.first), "from": str(held.first), "to": last, "run_id": ""}
    # Of no strategy, so that only bars tell who looked at them: by content, or by symbol on common dates.
    nobody = {"digest": "", "strategy": "", "definition": ""}
    looks = trials(seen.rows, {**sweep_facts(record), **months, **nobody}).looks
    times = {(row["run_id"], row["digest"]): row["times"] for row in seen.rows}
    recorded = sum(int(str(times[one.run_id, one.digest])) for one in looks)
    earlier = before["opened"] + (skill is not None) if before else 0
    opened, count = max(recorded, earlier), max(sum(one.results for one in looks), 1)
    if before:
        count = max(count, before.get("results", len(before["openings"])))
    at_least = "at least " if seen.at_least or earlier > recorded else ""
    skill = skill or (before["skill"] if before else None)
    sessions = int((longer.sessions >= np.datetime64(held.first)).sum())
    span = f"hold-out, {held.first} to {last}"
    if skill is None:
        seen_by = f"; {at_least}{counted(count, 'result')} over these sessions on record" if opened else ""
        headline = f"The {span}, is closed: `--open-hold-out` plays the best member on it{seen_by}."
    else:
        inference = {"trials": float(count)}
        tried = f"{at_least}{counted(count, 'result')} over these sessions"
        reasons = {"trials": tried, **({"at_least": at_least} if at_least else {})}
        headline = judge_member(record, skill, inference, reasons).headline
        among = f" among {at_least}{counted(count, 'result')}" if count > 1 else ""
        headline = f"On the {span}, opened {at_least}{counted(opened, 'time')}{among}: {headline}"
    return {
        "from": str(held.first),
        "to": last,
        "sessions": sessions,
        "opened": opened,
        "results": count,
        "openings": [{"at": one.made_at, "by": one.run_id, "member": None} for one in looks],
        "skill": skill,
        "p": None if skill is None else p_of_skill(skill, count),
        "headline": headline,
    }
