"""Sentences on the questions of a run: stopped early, asked several times, answers that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from simulator.evidence.records import JudgedRun, Spread
from simulator.number_format import counted, percent, ratio, whole

MOST_FAILED = 50
"""Failed answers listed one by one in the report."""


NO_SPREAD: Spread = {"mean": None, "min": None, "max": None, "sd": None}


def partial_sentence(run: JudgedRun) -> str:
    """Return a sentence at the head of a run that stopped early, empty for a whole one."""
    stopped = run.get("stopped")
    if not run["partial"] or stopped is None:
        return ""
    if count_replicates(run) < stopped["replicates"] and stopped["decided"] == stopped["planned"]:
        got = f"{count_replicates(run)} of {counted(stopped['replicates'], 'replicate')}"
    else:
        decisions = f"{whole(stopped['decided'])} of {counted(stopped['planned'], 'decision')}"
        got = f"{decisions}, up to {run['to']} of {stopped['to']}"
    return f"PARTIAL: {got}. It stopped: {stopped['why']}."


def replicates_sentence(run: JudgedRun) -> str:
    """Return how far the result carries where models answered: a single replicate, or the spread over several."""
    if not run["llm"]["calls"] or (not run["llm"]["models"] and run["analysts"]):
        return ""
    if count_replicates(run) == 1:
        return "A single draw: the same prompts, asked again, may be answered differently."
    text = f"{count_replicates(run)} draws of the same questions: total return {_range(run, 'total_return', percent)}"
    if run["sessions"] >= 60:
        text += f"; Sharpe {_range(run, 'sharpe', ratio)}"
    return f"{text}. All other figures are the first draw's."


def shortfalls_sentence(run: JudgedRun) -> str:
    """Return how many answers failed, whose, and which meetings they kept from deciding; empty where none did."""
    shortfalls = run["shortfalls"]
    failed, undecided = shortfalls["failed"], shortfalls["no_decision"]
    if not failed:
        return ""
    seats = Counter(one["seat"] for one in failed)
    who = ", ".join(f"{seat} {count}" for seat, count in sorted(seats.items(), key=lambda item: (-item[1], item[0])))
    text = f"{whole(len(failed))} of {counted(shortfalls['answers'], 'answer')} could not be used ({who})"
    if not undecided:
        return f"{text}; every meeting kept its quorum."
    dates = ", ".join(one["session"] for one in undecided[:3]) + (" …" if len(undecided) > 3 else "")
    meetings = f"{whole(len(undecided))} of {counted(shortfalls['meetings'], 'meeting')}"
    return f"{text}; {meetings} ended without a decision and positions stayed as they were: {dates}."


def failed_answers(run: JudgedRun) -> tuple[tuple[str, str, str, str], ...]:
    """Return the first failed answers, then meetings that could not decide, as (session, stage, seat, why)."""
    shortfalls = run["shortfalls"]
    rows = []
    for one in shortfalls["failed"]:
        about = f" on {one['about']}" if "about" in one else ""
        replicate = f", draw {one['replicate'] + 1}" if one["replicate"] else ""
        rows.append((one["session"], one["stage"], f"{one['seat']}{about}{replicate}", one["error"]))
    rows += [(one["session"], "meeting", "no decision", one["why"]) for one in shortfalls["no_decision"]]
    return tuple(sorted(rows, key=lambda row: row[0])[:MOST_FAILED])


def count_replicates(run: JudgedRun) -> int:
    """Return how often each question was asked."""
    return max(1, run["replicates"]["count"])


def spread_of(run: JudgedRun, metric: str) -> Spread | None:
    """Return mean, min, max and sd of a metric over the replicates; None where there is one."""
    return run["replicates"].get("metrics", {}).get(metric)


def _range(run: JudgedRun, metric: str, write: Callable[[Any], str]) -> str:
    spread = spread_of(run, metric) or NO_SPREAD
    low, high, mean, sd = (write(value) for value in (spread["min"], spread["max"], spread["mean"], spread["sd"]))
    return f"{low} to {high}, mean {mean}, sd {sd}"
