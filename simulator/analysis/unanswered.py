"""What became of the questions: a run that stopped early, several draws of the same questions, answers that failed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

from simulator.number_format import counted, number_of, percent, ratio, whole

MOST_FAILED = 50
"""Failed answers listed one by one in the report."""


def partial(run: Mapping[str, Any]) -> str:
    """A sentence at the head of a run that stopped early, empty for a whole one."""
    if not run.get("partial"):
        return ""
    stopped = run.get("stopped") or {}
    decided, planned, wanted = (_count(stopped.get(key)) for key in ("decided", "planned", "replicates"))
    if draws(run) < wanted and decided == planned:
        got = f"{draws(run)} of {counted(wanted, 'replicate')}"
    else:
        got = f"{whole(decided)} of {counted(planned, 'decision')}, up to {run['to']} of {stopped.get('to')}"
    return f"PARTIAL: {got}. It stopped: {stopped.get('why')}."


def drawn(run: Mapping[str, Any]) -> str:
    """How far the result carries where models answered: a single draw, or the spread over several."""
    answering = run.get("llm") or {}
    if not answering.get("calls") or (not answering.get("models") and run.get("analysts")):
        return ""
    if draws(run) == 1:
        return "A single draw: the same prompts, asked again, may be answered differently."
    text = f"{draws(run)} draws of the same questions: total return {_range(run, 'total_return', percent)}"
    if int(run["sessions"]) >= 60:
        text += f"; Sharpe {_range(run, 'sharpe', ratio)}"
    return f"{text}. All other figures are the first draw's."


def lacking(run: Mapping[str, Any]) -> str:
    """How many answers failed, whose, and which meetings they kept from deciding; empty where none did."""
    found = run.get("shortfalls") or {}
    failed, undecided = _rows(found.get("failed")), _rows(found.get("no_decision"))
    if not failed:
        return ""
    seats = Counter(str(one.get("seat")) for one in failed)
    who = ", ".join(f"{seat} {count}" for seat, count in sorted(seats.items(), key=lambda item: (-item[1], item[0])))
    text = f"{whole(len(failed))} of {counted(_count(found.get('answers')), 'answer')} could not be used ({who})"
    if not undecided:
        return f"{text}; every meeting kept its quorum."
    dates = ", ".join(str(one.get("session")) for one in undecided[:3]) + (" …" if len(undecided) > 3 else "")
    meetings = f"{whole(len(undecided))} of {counted(_count(found.get('meetings')), 'meeting')}"
    return f"{text}; {meetings} ended without a decision and positions stayed as they were: {dates}."


def failed_answers(run: Mapping[str, Any]) -> tuple[tuple[str, str, str, str], ...]:
    """(session, stage, seat, why) of failed answers, then of meetings that could not decide; the first ones."""
    found = run.get("shortfalls") or {}
    rows = [
        (str(one.get("session")), str(one.get("stage")), _whose(one), str(one.get("error")))
        for one in _rows(found.get("failed"))
    ]
    rows += [
        (str(one.get("session")), "meeting", "no decision", str(one.get("why")))
        for one in _rows(found.get("no_decision"))
    ]
    return tuple(sorted(rows, key=lambda row: row[0])[:MOST_FAILED])


def draws(run: Mapping[str, Any]) -> int:
    """How often each question was asked."""
    return max(1, _count((run.get("replicates") or {}).get("count")))


def spread_of(run: Mapping[str, Any], metric: str) -> Mapping[str, Any]:
    """mean, min, max and sd of a metric over the draws; empty where there is one draw."""
    metrics = (run.get("replicates") or {}).get("metrics")
    found = metrics.get(metric) if isinstance(metrics, Mapping) else None
    return found if isinstance(found, Mapping) else {}


def _whose(failed: Mapping[str, Any]) -> str:
    number = _count(failed.get("replicate"))
    about = f" on {failed['about']}" if "about" in failed else ""
    return f"{failed.get('seat')}{about}{f', draw {number + 1}' if number else ''}"


def _range(run: Mapping[str, Any], metric: str, write: Callable[[Any], str]) -> str:
    low, high, mean, sd = (write(spread_of(run, metric).get(key)) for key in ("min", "max", "mean", "sd"))
    return f"{low} to {high}, mean {mean}, sd {sd}"


def _rows(value: Any) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, Mapping)] if isinstance(value, list) else []


def _count(value: Any) -> int:
    return int(number_of(value) or 0)
