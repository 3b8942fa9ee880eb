"""What other commands found out about a run and left in its folder; each part is left out where nobody asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.analysis.verdict import withheld
from simulator.errors import DataError
from simulator.evidence.reader import Evidence
from simulator.number_format import UNDEFINED, interval, number_of, percent, ratio, whole
from simulator.report.ablation import ADDED, EARNED, RULE, Added, Earned, added, earned, headline

TOGGLES = ("Total return", "Sharpe", "95\u00a0% interval", "Sharpe less the default", "Largest drawdown")
PARTS = (("before", "Before the cut-off"), ("grey", "The 90 days after it"), ("after", "After both"))
PART_COLUMNS = ("Sessions", "Decisions", "Total return", "Sharpe", "95\u00a0% interval", "Alpha a year")


@dataclass(frozen=True)
class Value:
    """What the council adds: the sentence and both tables of `sim ablate`."""

    headline: str
    rule: str
    earned_columns: tuple[str, ...]
    earned: Sequence[Earned]
    added_columns: tuple[str, ...]
    added: Sequence[Added]


def council_value(evidence: Evidence) -> Value | None:
    """The tables of ablation.json; None where nobody asked. Raises DataError where `sim ablate` did not write it."""
    facts = evidence.ablation
    if not facts:
        return None
    try:
        return Value(headline(facts), RULE, EARNED, earned(facts), ADDED, added(facts))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        mend = f"`sim ablate {evidence.run['run_id']}` writes it again"
        raise DataError(f"cannot be understood ({error!r})", where="ablation.json", mend=mend) from None


@dataclass(frozen=True)
class Toggle:
    """The decisions of the run, filled at another moment; cells of TOGGLES."""

    name: str
    what: str
    default: bool
    cells: tuple[str, ...]


def toggles(run: Mapping[str, Any]) -> tuple[Toggle, ...]:
    """One row per way to fill the same decisions; empty where none was tried."""
    short = withheld(run)
    rows = []
    for entry in run.get("execution_toggles") or []:
        metrics = entry.get("metrics") or {}
        fall = number_of(metrics.get("max_drawdown"))
        yearly = (
            ratio(metrics.get("sharpe")),
            interval(entry.get("sharpe_ci_low"), entry.get("sharpe_ci_high")),
            ratio(entry.get("sharpe_less_default"), sign=True),
        )
        cells = (
            percent(metrics.get("total_return"), sign=True),
            *(("withheld",) * 3 if short else yearly),
            UNDEFINED if fall is None else percent(-abs(fall)),
        )
        rows.append(
            Toggle(str(entry.get("name", "?")), str(entry.get("what") or ""), bool(entry.get("default")), cells)
        )
    return tuple(rows)


@dataclass(frozen=True)
class Contamination:
    """Whether a model may have known the outcome.

    `sentences` in the order of their weight; `models` (model, seats, cut-off), `parts` (label, span, cells of
    PART_COLUMNS), `checks` (title, outcome, verdict) of `sim check`.
    """

    flagged: bool
    sentences: tuple[str, ...]
    models: tuple[tuple[str, str, str], ...]
    parts: tuple[tuple[str, str, tuple[str, ...]], ...]
    checks: tuple[tuple[str, str, str], ...]


def contamination(evidence: Evidence) -> Contamination | None:
    """The findings of run.json and of checks.json; None where there are none."""
    found: Mapping[str, Any] = evidence.run["contamination"] or {}
    checks = evidence.checks
    tried: Mapping[str, Any] = checks if checks is not None and checks["digest"] == evidence.run["digest"] else {}
    checked = _checks(tried)
    if not found and not checked:
        return None
    mend = f"To have it assessed: {found['mend']}." if found.get("mend") else ""
    said = (
        str(found.get("verdict") or ""),
        str(tried.get("verdict") or ""),
        mend,
        _decay(found.get("alpha_decay")),
        _agreement(found.get("disagreement")),
    )
    run_models = (evidence.run.get("llm") or {}).get("models")
    models = [
        (
            str(m.get("model")),
            ", ".join(map(str, _list(m.get("seats")))),
            str(m.get("cutoff") or m.get("note") or "unknown"),
        )
        for m in _list(found.get("models"))
        if isinstance(m, Mapping) and run_models
    ]
    return Contamination(
        bool(found.get("flagged")) or any(outcome == "flagged" for _, outcome, _ in checked),
        tuple(filter(None, said)),
        tuple(models),
        tuple(_parts(found.get("parts"))),
        checked,
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _parts(parts: Any) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    for name, label in PARTS:
        part = parts.get(name) if isinstance(parts, Mapping) else None
        if isinstance(part, Mapping):
            enough = bool(part.get("assessable"))
            span = f"{part['from']} to {part['to']}" if part.get("from") else "no session"
            bounds = interval(part.get("sharpe_ci_low"), part.get("sharpe_ci_high"))
            yield (
                label,
                span,
                (
                    whole(part.get("sessions")),
                    whole(part.get("decisions")),
                    percent(part.get("total_return"), sign=True),
                    ratio(part.get("sharpe")) if enough else "withheld",
                    bounds if enough else "withheld",
                    percent(part.get("alpha"), sign=True) if enough else "withheld",
                ),
            )


def _decay(decay: Any) -> str:
    if not isinstance(decay, Mapping) or number_of(decay.get("value")) is None:
        return ""
    bounds = interval(decay.get("low"), decay.get("high"), lambda x: percent(x, sign=True))
    why = f"; {decay['reason']}" if decay.get("reason") else ""
    return f"Alpha after the cut-off less alpha before it: {percent(decay['value'], sign=True)} a year, {bounds}{why}."


def _agreement(found: Any) -> str:
    if not isinstance(found, Mapping) or number_of(found.get("difference")) is None:
        return ""
    bounds = interval(found.get("low"), found.get("high"), lambda x: percent(x, 0, sign=True))
    return (
        "Members whose training covers a date and members whose does not agree in "
        f"{percent(found.get('across'), 0)} of {whole(found.get('meetings'))} meetings, members on one side in "
        f"{percent(found.get('within'), 0)}: "
        f"difference {percent(found['difference'], 0, sign=True)}, {bounds}."
    )


def _checks(content: Mapping[str, Any]) -> tuple[tuple[str, str, str], ...]:
    """(title, outcome, verdict) of each check; those without a verdict are left out."""
    listed = content.get("checks")
    rows = list(listed.values()) if isinstance(listed, Mapping) else _list(listed)
    known = [row for row in rows if isinstance(row, Mapping) and row.get("verdict")]
    return tuple(
        (str(row.get("title") or row.get("name") or "?"), str(row.get("outcome") or ""), str(row["verdict"]))
        for row in known
    )
