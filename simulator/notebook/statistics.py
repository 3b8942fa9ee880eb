"""`sim stats` for a pandas object: anyone's returns, their metrics, how sure one can be, and the verdict."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.errors import DataError, SimError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from simulator.analysis.returns.column_file import ColumnFile
    from simulator.analysis.returns.scale import Values

SOURCE = "returns"
FEWEST_DRAWS = 100

OPTIONS = {
    **{f"--{name}": f'values="{name}"' for name in ("prices", "cumulative", "returns")},
    "--percent": "percent=True",
    "--periods ": "periods=",
    "--rf ": "risk_free=",
    "--rf": "risk_free",
    "--benchmark": "benchmark",
}
"""Options that sentences of the command name, and what they are in Python."""


def summary(
    returns: pd.Series | pd.DataFrame,
    benchmark: str | None = None,
    risk_free: str | float | None = None,
    periods: float | None = None,
    draws: int = 10_000,
    seed: int = 0,
    percent: bool = False,
    values: Values = "",
) -> pd.DataFrame:
    """Return every metric and all inference of each column, as ``sim stats`` does.

    Parameters
    ----------
    returns : simple returns as fractions, a column per strategy, in any order of the dates that index them, or that
        their column ``date`` holds, as dates or as texts; without dates consecutive sessions, oldest first
    benchmark : a column the others are held against
    risk_free : a column of returns per row, or a yearly rate such as 0.04
    periods : rows a year; as the dates lie apart where None
    draws, seed : of every bootstrap
    percent : values are percentages: 1.5 is 1.5 %
    values : ``prices`` for levels, ``cumulative`` for returns since the first row, ``returns`` whatever they look like

    A row per metric, a column per strategy, float64, NaN where undefined; ``attrs["verdict"]`` has a sentence for each,
    ``attrs["reasons"]`` why a value is undefined. Raises DataError, UsageError as the command does.
    """
    import pandas as pd

    from simulator.analysis.returns.load import read_rows
    from simulator.analysis.returns.scale import returns_of
    from simulator.analysis.returns.summary import Settings, choose_periods, describe, judge_figures

    _check_options(periods, draws, seed, values)
    rate = None if risk_free is None else str(risk_free)
    try:
        read = returns_of(read_rows(_as_columns(returns), percent=percent), values, rate)
        chosen, warnings = choose_periods(read, periods)
        kept: dict[str, Any] = {"draws": draws, "seed": seed, "percent": percent, "values": values}
        found = describe(read, Settings(benchmark, rate, chosen, warnings=warnings, **kept))
    except SimError as error:
        error.found = _in_python(error.found)
        error.mend = None if error.mend is None else _in_python(error.mend)
        raise
    every = {**found.strategies}
    if benchmark is not None and found.benchmark_metrics is not None:
        every[benchmark] = found.benchmark_metrics
    table = pd.DataFrame({name: dict(one.values) for name, one in every.items()}, dtype="float64")
    table.attrs["verdict"] = {name: judge_figures(one).headline for name, one in found.strategies.items()}
    table.attrs["reasons"] = {name: dict(one.reasons) for name, one in every.items()}
    table.attrs["notes"] = [_in_python(one) for one in (*found.about.warnings, *found.about.notes)]
    return table


def _check_options(periods: Any, draws: Any, seed: Any, values: Any) -> None:
    for name, given, least in (("draws", draws, FEWEST_DRAWS), ("seed", seed, 0)):
        if not isinstance(given, int | np.integer) or isinstance(given, bool) or given < least:
            raise UsageError(f"{name} was {given!r:.60}", mend=f"pass a whole number from {least} on")
    if periods is not None and not (isinstance(periods, int | float | np.number) and 0 < periods < np.inf):
        raise UsageError(f"periods was {periods!r:.60}", mend="pass rows a year, such as 12, or leave it out")
    if values not in ("", "prices", "cumulative", "returns"):
        raise UsageError(f"values was {values!r:.60}", mend="pass prices, cumulative or returns, or leave it out")


def _in_python(sentence: str) -> str:
    """Return a sentence with the command's options as arguments."""
    return re.sub("|".join(OPTIONS), lambda found: OPTIONS[found[0]], sentence)


def _as_columns(given: pd.Series | pd.DataFrame) -> ColumnFile:
    """Return a pandas object as the columns of a file, an index that is more than row numbers as its dates."""
    import pandas as pd

    from simulator.analysis.returns.column_file import ColumnFile

    if not isinstance(given, pd.Series | pd.DataFrame):
        raise UsageError(f"returns was {type(given).__name__}", mend="pass a pandas Series or DataFrame")
    table = given.to_frame("returns" if given.name is None else given.name) if isinstance(given, pd.Series) else given
    for axis, what in ((table.index, "index"), (table.columns, "columns")):
        if isinstance(axis, pd.MultiIndex):
            raise UsageError(f"returns has {axis.nlevels} levels of {what}", mend="unstack() makes a column of each")
    if not len(table):
        raise DataError("holds no row", where=SOURCE, mend="pass a row per session")
    names = [str(name) for name in table.columns]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DataError(f'two columns are called "{twice[0]}"', where=SOURCE, mend="rename one of them")
    columns: dict[str, Any] = {}
    instants = {}
    index = table.index.to_timestamp() if isinstance(table.index, pd.PeriodIndex) else table.index
    if isinstance(index, pd.DatetimeIndex):
        columns["date"] = index.tz_localize(None).to_numpy()
        if index.tz is not None:
            instants["date"] = index.tz_convert(None).to_numpy()
    # Whole numbers such as 20240131 are days; others count rows.
    elif not pd.api.types.is_numeric_dtype(index) or index.to_series().between(19_000_101, 21_001_231).all():
        columns["date"] = ["" if pd.isna(one) else str(one) for one in index]
    for at, name in enumerate(names):
        if name in columns:
            raise DataError("has dates in its index and in a column", where=SOURCE, mend=f'drop(columns="{name}")')
        columns[name] = _values(table.iloc[:, at])
    return ColumnFile(SOURCE, columns, np.arange(1, len(table) + 1), "row", instants=instants)


def _values(column: pd.Series) -> Any:
    """Return numbers as they are, dates and texts as the reader of files has them."""
    import pandas as pd

    if pd.api.types.is_datetime64_dtype(column):
        return column.to_numpy()
    if not pd.api.types.is_complex_dtype(column) and not pd.api.types.is_bool_dtype(column):
        try:
            return column.to_numpy(dtype=np.float64, na_value=np.nan)
        except (TypeError, ValueError):
            pass
    return ["" if pd.isna(one) else str(one) for one in column]
