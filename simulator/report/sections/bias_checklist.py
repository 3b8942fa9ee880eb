"""Bias checklist: ways in which a backtest flatters itself beside those that the reporting protocol asks about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simulator.analysis.unanswered import count_replicates
from simulator.analysis.verdict import find_inference, p_of_skill, sweep_p, trials_of, withheld
from simulator.evidence.records import RunRecord
from simulator.number_format import NEVER, counted, p_value, sessions_needed, whole

Standing = Literal["handled", "partly", "open"]


@dataclass(frozen=True)
class Bias:
    """`standing` is ``handled`` where the run excludes it, ``open`` where the reader must judge, ``partly`` between."""

    name: str
    standing: Standing
    sentence: str


def compose(run: RunRecord) -> tuple[Bias, ...]:
    """Return what is known of each bias from the run folder alone."""
    return (
        _selection(run),
        _length(run),
        _replicates(run),
        Bias(
            "Capacity",
            "open",
            "Orders of any size are filled at the stated slippage; market impact and thin books are not modelled.",
        ),
        Bias("Prices", "open", "Bars are taken as their source gives them; `sim data check` tells of gaps and jumps."),
    )


def _selection(run: RunRecord) -> Bias:
    trials, skill = find_inference(run, "trials"), run.get("skill")
    if trials is None:
        return Bias("Selection", "open", "How many variants were tried before this one is not known here.")
    tried = run["reasons"].get("trials", f"{counted(int(trials), 'trial')} counted").removesuffix(".")
    best = p_of_skill(skill, trials_of(run), sweep_p(run)) if skill else None
    if best is None:
        return Bias("Selection", "partly", f"{tried}; the figures are not corrected for them.")
    within = sweep_p(run)
    inside = f"one against all members of a sweep of its strategy ({p_value(within)}) and " if within else ""
    return Bias("Selection", "handled", f"{tried}; p of skill as {inside}the best of them is {p_value(best)}.")


def _length(run: RunRecord) -> Bias:
    sessions, needed = run["sessions"], find_inference(run, "min_trl")
    have = f"{counted(sessions, 'session')} of one period"
    if withheld(run):
        return Bias("Sample size", "open", f"{have}: too few for any figure a year.")
    if needed is None:
        return Bias(
            "Sample size", "open", f"{have}; no track record is long enough for a Sharpe ratio of zero or less."
        )
    if needed <= sessions:
        return Bias("Sample size", "handled", f"{have}; {whole(needed)} are enough for a Sharpe ratio as high as this.")
    length = sessions_needed(needed)
    length = "more than a lifetime" if length == NEVER else length
    return Bias("Sample size", "open", f"{have}; a Sharpe ratio as high as this needs {length}.")


def _replicates(run: RunRecord) -> Bias:
    name = "Chance in the answers"
    if not run["llm"]["models"]:
        return Bias(name, "handled", "Rules decide: the same bars give the same decisions.")
    count = count_replicates(run)
    if count == 1:
        return Bias(name, "open", "A single draw: asked again, the models may answer differently (--replicates).")
    return Bias(name, "handled", f"Each question was asked {count} times; the spread is under Comparison.")
