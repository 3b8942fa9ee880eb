"""Factors behind a return: its regression on those of a file, and what market and styles explain of it.

read_factors ──► Factors ──┐
returns by date ───────────┴─► sessions both have ──factor_model──► FactorRecord
equity.csv of a run ──run_factors──► factors.json in its folder
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import fsum
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from simulator.analysis.returns.factor_file import MARKET, SPOKEN, Factors, Unit, read_factors
from simulator.analysis.returns.frequency import rows_a_year
from simulator.evidence.factor_records import FactorFigures, FactorRecord, FactorRow
from simulator.evidence.reader import read_equity, read_run
from simulator.evidence.records import about
from simulator.number_format import counted, number_of, plain
from simulator.stats.factors import FactorModel, factor_model
from simulator.stats.metrics import PERIODS
from simulator.stats.series import Floats, Undefined
from simulator.store.folders import json_bytes

FILE = "factors.json"

FEWEST_MET = 0.5
"""Share of the sessions between a file's first date and its last that its dates must meet."""

Dates = NDArray[np.datetime64]


def unit_of(dates: Dates | None) -> Unit:
    """Return the unit of factors that returns on `dates` (T,) are held against: months for monthly ones."""
    return "M" if rows_a_year(dates) == 12 else "D"


def explain_by_factors(
    dates: Dates | None, returns: Floats, free: Floats | None, over: str, factors: Factors, periods: float = PERIODS
) -> FactorRecord:
    """Return the regression of `returns` less `free`, both (T,) on `dates`, on the sessions that the factors have too.

    `over` says where `free` comes from; None takes the factors' own. Selection is what market and styles leave of the
    mean excess return.
    """
    record: FactorRecord = {
        "file": Path(factors.source).name,
        "file_digest": factors.digest,
        "form": factors.form,
        "over": over,
        "sessions": 0,
        "figures": None,
        "reason": None,
        "notes": [],
    }
    why = _explain_mismatch(dates, factors)
    if dates is None or why:
        return {**record, "reason": why}
    days, names = dates.astype(f"datetime64[{factors.unit}]"), tuple(factors.columns)
    at = np.searchsorted(factors.dates, days)
    there = factors.dates[np.minimum(at, len(factors.dates) - 1)] == days
    table = np.column_stack([factors.columns[name] for name in names])[np.where(there, at, 0)]
    if free is None:
        free = np.zeros(len(days)) if factors.free is None else factors.free[np.where(there, at, 0)]
    whole = there & np.isfinite(table).all(axis=1) & np.isfinite(free)
    record["sessions"] = int(whole.sum())
    between = int(((days >= factors.dates[0]) & (days <= factors.dates[-1])).sum())
    if there.sum() < FEWEST_MET * between:
        met = f"{int(there.sum())} of {between} sessions from {factors.dates[0]} to {factors.dates[-1]}"
        return {**record, "reason": f"another frequency: the factors are those of {met}"}
    if not whole.any():
        span = f"{factors.dates[0]} to {factors.dates[-1]}"
        return {**record, "reason": f"no session in common: the factors are those of {span}"}
    if len(days) > record["sessions"]:
        left = plain(counted(len(days) - record["sessions"], "session"))
        record["notes"].append(f"{left} of {len(days)} without a factor left out")
    found = factor_model((returns - free)[whole], table[whole])
    if isinstance(found, Undefined):
        return {**record, "reason": found.reason}
    if not any(name.lower() in MARKET for name in names):
        record["notes"].append("no column is called Mkt-RF: all factors count as styles")
    cash = float(free[whole].mean()) * periods
    figures = _figures(found, names, table[whole].mean(axis=0), periods, cash, days[whole])
    return {**record, "figures": figures}


def _explain_mismatch(dates: Dates | None, factors: Factors) -> str:
    """Say why returns cannot be held against the factors, before any session is looked at; empty where they can."""
    if dates is None:
        return "the returns have no dates"
    if len(np.unique(dates.astype("datetime64[D]"))) < len(dates):
        return "the returns are of more than one session a day"
    if (unit := unit_of(dates)) != factors.unit:
        return f"the returns are {SPOKEN[unit]}, the factors {SPOKEN[factors.unit]}"
    return ""


def _figures(
    found: FactorModel, names: tuple[str, ...], means: Floats, periods: float, cash: float, days: Dates
) -> FactorFigures:
    rows: list[FactorRow] = [
        {
            "name": name,
            "part": "market" if name.lower() in MARKET else "style",
            "loading": one.value,
            "t": number_of(one.t),
            "p": number_of(one.p),
            "mean": mean * periods,
            "contribution": earned * periods,
        }
        for name, one, mean, earned in zip(names, found.loadings, means.tolist(), found.contributions, strict=True)
    ]
    excess = found.mean * periods
    market, style = (fsum(row["contribution"] for row in rows if row["part"] == part) for part in ("market", "style"))
    return {
        "first": str(days[0]),
        "last": str(days[-1]),
        "lag": found.lag,
        "alpha": found.alpha.value * periods,
        "alpha_t": number_of(found.alpha.t),
        "alpha_p": number_of(found.alpha.p),
        "r_squared": found.r_squared,
        "cash": cash,
        "excess": excess,
        "market": market if any(row["part"] == "market" for row in rows) else None,
        "style": style,
        "selection": excess - market - style,
        "factors": rows,
    }


def explaining(file: Path) -> Callable[[Path], dict[str, bytes]]:
    """Return the function that makes factors.json of a run folder by the factors in `file`, which is read at once."""
    return partial(run_factors, factors=read_factors(file))


def run_factors(folder: Path, factors: Factors, altered: str = "") -> dict[str, bytes]:
    """Return factors.json of the run in `folder` by name; `altered` is as in `simulator.evidence.reader.read`.

    Excess returns are those of the whole run over what its idle cash earned. Raises DataError for a damaged folder.
    """
    run = read_run(folder, trials=False)
    sessions, columns = read_equity(folder, run)
    equity, days = columns["equity"], np.array(sessions, dtype="datetime64[D]")
    before = np.r_[run["cash"], equity[:-1]]
    free = columns.get("risk_free", np.zeros(len(equity)))
    over = "what idle cash earned" if "risk_free" in columns else "0: the folder has no risk-free return"
    alive = before > 0.0
    record = explain_by_factors(days[alive], equity[alive] / before[alive] - 1.0, free[alive], over, factors)
    return {FILE: json_bytes({**about(run, altered), "regression": record})}
