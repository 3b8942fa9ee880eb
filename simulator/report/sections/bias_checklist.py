"""Bias checklist: the ways in which a backtest flatters itself, and what this run did about each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simulator.analysis.unanswered import count_replicates
from simulator.analysis.verdict import inferred, p_of_skill, withheld
from simulator.evidence.members import BY_RULE, who_by_seat
from simulator.evidence.records import RunRecord
from simulator.number_format import counted, number_of, p_value, whole
from simulator.report.sections.assumptions_and_notes import describe_audit

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
        Bias(
            "Look-ahead",
            "handled",
            "A decision is shown only bars closed before it, cut from the array itself, and is filled no earlier than "
            "the next open.",
        ),
        _memory(run),
        _selection(run),
        _length(run),
        _replicates(run),
        _costs(run),
        Bias(
            "Survivorship",
            "open",
            "The symbols were named by whoever typed the command, knowing which of them are still listed.",
        ),
        Bias(
            "Capacity",
            "open",
            "Orders of any size are filled at the stated slippage; market impact and thin books are not modelled.",
        ),
        Bias("Prices", "open", "Bars are taken as their source gives them; `sim data check` tells of gaps and jumps."),
        _books(run),
    )


def _memory(run: RunRecord) -> Bias:
    name, models = "Memory of the models", run["llm"]["models"]
    if not models:
        return Bias(name, "handled", "No language model answered: nothing here could remember these years.")
    named = (who for who in who_by_seat(run).values() if who not in ("", BY_RULE))
    who = ", ".join(dict.fromkeys(named)) or ", ".join(models)
    found = run["contamination"]
    if found and found["assessable"]:
        return Bias(name, "open" if found["flagged"] else "handled", found["verdict"])
    if found:
        return Bias(name, "open", f"{who} may have read about these years: {found['verdict']}")
    return Bias(name, "open", f"{who} may have read about these years while in training; this run did not check it.")


def _selection(run: RunRecord) -> Bias:
    trials, skill = inferred(run, "trials"), run.get("skill")
    if trials is None:
        return Bias("Selection", "open", "How many variants were tried before this one is not known here.")
    tried = run["reasons"].get("trials", f"{counted(int(trials), 'trial')} counted").removesuffix(".")
    best = p_of_skill(skill, trials) if skill else None
    if best is None:
        return Bias("Selection", "partly", f"{tried}; the figures are not corrected for them.")
    return Bias("Selection", "handled", f"{tried}; p of skill as the best of them is {p_value(best)}.")


def _length(run: RunRecord) -> Bias:
    sessions, needed = run["sessions"], inferred(run, "min_trl")
    have = f"{counted(sessions, 'session')} of one period"
    if withheld(run):
        return Bias("Sample size", "open", f"{have}: too few for any figure a year.")
    if needed is None:
        return Bias(
            "Sample size", "open", f"{have}; no track record is long enough for a Sharpe ratio of zero or less."
        )
    if needed <= sessions:
        return Bias("Sample size", "handled", f"{have}; {whole(needed)} are enough for a Sharpe ratio as high as this.")
    return Bias("Sample size", "open", f"{have}; a Sharpe ratio as high as this needs {whole(needed)}.")


def _replicates(run: RunRecord) -> Bias:
    name = "Chance in the answers"
    if not run["llm"]["models"]:
        return Bias(name, "handled", "Rules decide: the same bars give the same decisions.")
    count = count_replicates(run)
    if count == 1:
        return Bias(name, "open", "A single draw: asked again, the models may answer differently (--replicates).")
    return Bias(name, "handled", f"Each question was asked {count} times; the spread is under Comparison.")


def _costs(run: RunRecord) -> Bias:
    costs = run["config"].get("costs") or {}
    charged = [number_of(costs.get(k)) for k in ("slippage_bps", "commission_bps", "commission_per_share")]
    if any(charged):
        return Bias(
            "Costs", "handled", "Slippage and commission are paid on every fill; Costs shows other multiples of them."
        )
    return Bias("Costs", "open", "Trading was free of charge in this run.")


def _books(run: RunRecord) -> Bias:
    return Bias("Errors in the engine", "handled" if run["audit"] else "open", describe_audit(run))
