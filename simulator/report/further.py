"""What other commands found out about a run and left in its folder; each part is left out where nobody asked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.errors import DataError
from simulator.report.ablation import ADDED, EARNED, Added, Earned, added, earned, headline
from simulator.report.evidence import Evidence
from simulator.report.numbers import UNDEFINED, interval, number_of, percent, ratio
from simulator.report.verdict import withheld

TOGGLES = ("Total return", "Sharpe", "95\u00a0% interval", "Largest drawdown")


@dataclass(frozen=True)
class Value:
    """What the council adds: the sentence and both tables of `sim ablate`."""

    headline: str
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
        return Value(headline(facts), EARNED, earned(facts), ADDED, added(facts))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        mend = f"`sim ablate {evidence.run['run_id']}` writes it again"
        raise DataError(f"cannot be understood ({error!r})", where="ablation.json", mend=mend) from None


def toggles(run: Mapping[str, Any]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """(how orders were filled, cells of TOGGLES) over the same decisions; empty where it was not tried."""
    rows = []
    for entry in run.get("execution_toggles") or []:
        metrics, intervals = entry.get("metrics") or {}, entry.get("intervals") or {}
        low, high = _ends(intervals.get("sharpe"), entry, intervals)
        short = withheld(run)
        fall = number_of(metrics.get("max_drawdown"))
        cells = (
            percent(metrics.get("total_return"), sign=True),
            "withheld" if short else ratio(metrics.get("sharpe")),
            "withheld" if short else interval(low, high),
            UNDEFINED if fall is None else percent(-abs(fall)),
        )
        rows.append((str(entry.get("name", "?")).replace("_", " "), cells))
    return tuple(rows)


def _ends(pair: Any, *named: Mapping[str, Any]) -> tuple[Any, Any]:
    if isinstance(pair, list) and len(pair) == 2:
        return pair[0], pair[1]
    if isinstance(pair, Mapping):
        return pair.get("low"), pair.get("high")
    found = next((one for one in named if "sharpe_ci_low" in one), {})
    return found.get("sharpe_ci_low"), found.get("sharpe_ci_high")


@dataclass(frozen=True)
class Contamination:
    """Whether a model may have known the outcome: sentences, then (what, value) as they stand in run.json."""

    sentences: tuple[str, ...]
    facts: tuple[tuple[str, str], ...]


SENTENCES = ("headline", "verdict", "sentence", "sentences", "flags", "notes", "reasons")


def contamination(run: Mapping[str, Any]) -> Contamination | None:
    """The findings on contamination; None where none are recorded."""
    found = run.get("contamination")
    if not found:
        return None
    said = [text for key in SENTENCES for text in _sentences(found.get(key))]
    rest = {key: value for key, value in found.items() if key not in SENTENCES}
    return Contamination(tuple(said), tuple(_rows(rest)))


def _sentences(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    if isinstance(value, list):
        return [text for one in value for text in _sentences(one)]
    return [text for one in value.values() for text in _sentences(one)] if isinstance(value, Mapping) else []


def _rows(values: Mapping[str, Any], before: str = "") -> list[tuple[str, str]]:
    rows: list[tuple[str, str]] = []
    for key, value in values.items():
        label = f"{before}{key.replace('_', ' ')}"
        if isinstance(value, Mapping):
            rows += _rows(value, f"{label}, ")
        elif isinstance(value, list):
            parts = [part for part in value if not isinstance(part, Mapping)]
            if parts:
                rows.append((label, ", ".join(map(_written, parts))))
            for part in value:
                if isinstance(part, Mapping):
                    named = part.get("name") or part.get("model") or part.get("check") or ""
                    rows += _rows({k: v for k, v in part.items() if v != named}, f"{label}, {named}: ")
        else:
            rows.append((label, _written(value)))
    return rows


def _written(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    number = number_of(value)
    if number is None:
        return UNDEFINED if value is None else str(value)
    return ratio(number, 0 if number == int(number) else 3)
