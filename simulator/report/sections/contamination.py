"""Contamination: whether a model may have known what happened next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from simulator.evidence.members import served_names
from simulator.evidence.reader import Evidence
from simulator.evidence.records import AlphaDecay, Disagreement, PartRecord
from simulator.number_format import (
    interval,
    number_of,
    percent,
    ratio,
    rough_percent,
    signed_percent,
    whole,
)
from simulator.report.catalogue import WITHHELD
from simulator.report.table import Column, Row, Table, make_row, make_table

PARTS: tuple[tuple[Literal["before", "grey", "after"], str], ...] = (
    ("before", "Before the cut-off"),
    ("grey", "The 90 days after it"),
    ("after", "After both"),
)


@dataclass(frozen=True)
class ContaminationSection:
    """`sentences` in the order of their weight; `checks` of `sim check`: title, outcome, verdict."""

    flagged: bool
    sentences: tuple[str, ...]
    models: Table | None
    parts: Table | None
    checks: tuple[tuple[str, str, str], ...]


def compose(evidence: Evidence) -> ContaminationSection | None:
    """Return the findings of run.json and of checks.json; None where there are none."""
    run, found = evidence.run, evidence.run["contamination"]
    checks = evidence.checks if evidence.checks and evidence.checks["digest"] == run["digest"] else None
    made = checks["checks"].values() if checks else ()
    listed = tuple((one["title"], one["outcome"], one["verdict"]) for one in made)
    if found is None and not listed:
        return None
    sentences = [found["verdict"] if found else "", checks["verdict"] if checks else ""]
    models, parts = [], []
    if found:
        sentences.append(f"To have it assessed: {found['mend']}." if found["mend"] else "")
        sentences += [_describe_decay(found["alpha_decay"]), _describe_agreement(found["disagreement"])]
        parts = [_row(label, found["parts"][key]) for key, label in PARTS] if found["parts"] else []
        for one in found["models"] if run["llm"]["models"] else ():
            served, seats = served_names(one["provider"], one.get("served", ())), ", ".join(one["seats"])
            models.append(make_row(one["model"], (served, seats, one["cutoff"] or one["note"] or "unknown")))
    columns = ("Sessions", "Decisions", "Total return", "Sharpe", "95\u00a0% interval", "Alpha a year")
    words = [Column(name, words=True) for name in ("Served", "Seats", "Cut-off")]
    return ContaminationSection(
        bool(found and found["flagged"]) or any(outcome == "flagged" for _, outcome, _ in listed),
        tuple(filter(None, sentences)),
        make_table("Cut-offs", words, models, corner="Model") if models else None,
        make_table("Before and after the cut-off", columns, parts, corner="Part") if parts else None,
        listed,
    )


def _row(label: str, part: PartRecord) -> Row:
    span = f"{part['from']} to {part['to']}" if part["from"] else "no session"
    yearly = (
        ratio(part["sharpe"]),
        interval(part["sharpe_ci_low"], part["sharpe_ci_high"]),
        signed_percent(part["alpha"]),
    )
    shown = yearly if part["assessable"] else (WITHHELD,) * 3
    cells = (whole(part["sessions"]), whole(part["decisions"]), signed_percent(part["total_return"]), *shown)
    return make_row(label, cells, span)


def _describe_decay(decay: AlphaDecay | None) -> str:
    if decay is None or number_of(decay["value"]) is None:
        return ""
    bounds = interval(decay["low"], decay["high"], signed_percent)
    why = f"; {decay['reason']}" if decay["reason"] else ""
    return f"Alpha after the cut-off less alpha before it: {signed_percent(decay['value'])} a year, {bounds}{why}."


def _describe_agreement(found: Disagreement | None) -> str:
    if found is None or number_of(found["difference"]) is None:
        return ""
    bounds = interval(found["low"], found["high"], lambda x: percent(x, 0, sign=True))
    return (
        "Members whose training covers a date and members whose does not agree in "
        f"{rough_percent(found['across'])} of {whole(found['meetings'])} meetings, members on one side in "
        f"{rough_percent(found['within'])}: difference {percent(found['difference'], 0, sign=True)}, {bounds}."
    )
