"""The verdict on a sweep: that on its best member, which was chosen among all members, and these among all else."""

from __future__ import annotations

from pathlib import Path
from typing import cast

from simulator.analysis.trials import p_within, summarise, trials, with_members
from simulator.analysis.verdict import Verdict, judge, p_of_skill
from simulator.evidence.records import Contamination, JudgedRun, Metrics, Reasons, SkillRecord
from simulator.evidence.sweep_records import MemoryRecord, SweepRecord, SweepVerdict
from simulator.evidence.sweep_trials import sweep_facts
from simulator.evidence.unrecorded import Seen
from simulator.number_format import counted
from simulator.stats.metrics import PERIODS
from simulator.stats.series import Floats


def judge_sweep(seen: Seen, record: SweepRecord, folder: Path, beyond: Floats) -> SweepVerdict:
    """Return verdict.json of the sweep in `folder`; its best member earned `beyond` (S,) beyond its usual exposure."""
    best = record["best"]
    facts = {**sweep_facts(record, seen.rows), "folder": folder.name}
    tried = with_members(trials(seen.rows, facts, seen.at_least), folder.parent)
    within = max(best["p"], p_within(tried, beyond, best["skill"].get("level", 0.0) / PERIODS))
    counts = {"trials": float(tried.count), "units": float(tried.units), "sweep_p": within}
    why = {"trials": summarise(tried), **({"at_least": tried.at_least} if tried.at_least else {})}
    found = judge_member(record, best["skill"], {**best["interval"], **counts}, why)
    settings = ", ".join(f"{name} {value}" for name, value in best["settings"].items())
    p = p_of_skill(best["skill"], tried.units, within)
    return {
        "digest": record["identity"]["digest"],
        "standing": found.standing,
        "headline": f"The best of {counted(record['counts']['members'], 'member')} ({settings}): {found.headline}",
        "details": [found.returns, *found.details],
        "p": 1.0 if p is None else p,
        "units": tried.units,
        "trials": tried.count,
        "summary": summarise(tried),
        "at_least": tried.at_least,
        "hold_out": None,
    }


def judge_member(record: SweepRecord, skill: SkillRecord, inference: Metrics, reasons: Reasons) -> Verdict:
    """Return the verdict on the best member, with `skill` and `inference` of the sessions that are judged; `reasons`
    say what was counted."""
    known = "memory" not in record or record["memory"]["judged"] is not None
    run: JudgedRun = {
        "from": record["identity"]["from"],
        "to": record["identity"]["to"],
        "partial": False,
        "sessions": skill["sessions"],
        "analysts": None,
        "metrics": record["best"]["measures"],
        "reasons": reasons,
        "inference": inference,
        "skill": skill,
        "benchmarks": {},
        "replicates": {"count": 1},
        "contamination": None if known else _unknown(record["memory"]),
        "llm": {
            "calls": 0,
            "failed": 0,
            "cost_usd": 0.0,
            "analysts": None,
            "models": [] if known else ["of the members"],
            "cache_entries": "",
        },
        "shortfalls": {"meetings": 0, "answers": 0, "failed": [], "no_decision": []},
        "risk_free": "",
    }
    return judge(run)


def _unknown(memory: MemoryRecord) -> Contamination:
    """Return the cut-off split as far as a verdict reads it where too few sessions lie after it."""
    cutoff = memory["cutoff"]
    parts = None if cutoff is None else {"after": {"sessions": memory["after"]}}
    nothing = dict.fromkeys(("mend", "grey_until", "alpha_decay", "disagreement"))
    known = {"verdict": "", "flagged": False, "assessable": False, "models": [], "benchmark": ""}
    return cast(Contamination, {**nothing, **known, "cutoff": cutoff, "parts": parts})
