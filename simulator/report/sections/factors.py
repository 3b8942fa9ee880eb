"""Factors: the return over cash held against those of a file, and the parts of it that market and styles explain."""

from __future__ import annotations

from dataclasses import dataclass

from simulator.evidence.factor_records import FactorRecord
from simulator.number_format import counted, p_value, percent, ratio
from simulator.report.table import Cell, Column, Group, Row, Table


@dataclass(frozen=True)
class FactorSection:
    """`table` is None without a regression; `sentences` say why, or what it rests on."""

    table: Table | None
    sentences: tuple[str, ...]


def compose(record: FactorRecord | None) -> FactorSection | None:
    """Return the section; None where nobody named factors."""
    if record is None:
        return None
    table = tabulate_factors(record)
    file = f"Factors: {record['file']}, {record['form']}, sha256 {record['file_digest'][:10]}."
    notes = "; ".join(record["notes"])
    if table is None or record["figures"] is None:
        return FactorSection(None, (f"n/a: {record['reason']}.", f"{file}{f' {notes}.' if notes else ''}"))
    found = record["figures"]
    return FactorSection(
        table,
        (
            f"R² {ratio(found['r_squared'])} over {counted(record['sessions'], 'session')}, {found['first']} to "
            f"{found['last']}{f'; {notes}' if notes else ''}. Returns over {record['over']}, "
            f"t with HAC errors of {counted(found['lag'], 'lag')}.",
            file,
        ),
    )


def tabulate_factors(record: FactorRecord) -> Table | None:
    """Return loadings and what they earned, then market, styles and selection, which add up to the return."""
    found = record["figures"]
    if found is None:
        return None
    loadings = tuple(
        _row(one["name"], one["contribution"], _figure(one["loading"]), _figure(one["t"]), Cell(p_value(one["p"])))
        for one in found["factors"]
    )
    alpha = (Cell(""), _figure(found["alpha_t"]), Cell(p_value(found["alpha_p"])))
    parts = (
        *((_row("Market", found["market"]),) if found["market"] is not None else ()),
        _row("Styles", found["style"]),
        _row("Selection (alpha)", found["selection"], *alpha),
        _row("Return over cash", found["excess"]),
        _row("Cash", found["cash"]),
    )
    columns = tuple(map(Column, ("Loading", "t", "p", "A year")))
    return Table("Factors", columns, (Group("Loadings", loadings), Group("Where the return came from", parts)))


def _row(name: str, earned: float, *tested: Cell) -> Row:
    return Row(name, (*(tested or [Cell("")] * 3), Cell(percent(earned, 2, sign=True), value=earned)))


def _figure(value: float | None) -> Cell:
    why = "" if value is not None else "the factors explain the returns exactly"
    return Cell(ratio(value), why=why, value=value)
