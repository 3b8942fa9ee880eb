"""`sim stats` for a pandas object: anyone's returns, their metrics, how sure one can be, and the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simulator.errors import DataError, UsageError

if TYPE_CHECKING:
    import pandas as pd

    from simulator.analysis.returns.load import Returns

SOURCE = "returns"


def summary(
    returns: pd.Series | pd.DataFrame,
    benchmark: str | None = None,
    risk_free: str | float | None = None,
    periods: float | None = None,
    draws: int = 10_000,
    seed: int = 0,
) -> pd.DataFrame:
    """Return every metric and all inference of each column, as ``sim stats`` does.

    Parameters
    ----------
    returns : simple returns as fractions, a column per strategy, indexed by date (or by row), oldest first
    benchmark : a column the others are held against
    risk_free : a column of returns per row, or a yearly rate such as 0.04
    periods : rows a year; as the dates lie apart where None
    draws, seed : of every bootstrap

    A row per metric, a column per strategy, float64, NaN where undefined; ``attrs["verdict"]`` has a sentence for each,
    ``attrs["reasons"]`` why a value is undefined. Raises DataError, UsageError as the command does.
    """
    import pandas as pd

    from simulator.analysis.returns.summary import Settings, choose_periods, describe, judge_figures

    read = _as_returns(returns)
    chosen, warnings = choose_periods(read, periods)
    rate = None if risk_free is None else str(risk_free)
    found = describe(read, Settings(benchmark, rate, chosen, draws=draws, seed=seed, warnings=warnings))
    every = {**found.strategies}
    if benchmark is not None and found.benchmark_metrics is not None:
        every[benchmark] = found.benchmark_metrics
    table = pd.DataFrame({name: dict(one.values) for name, one in every.items()}, dtype="float64")
    table.attrs["verdict"] = {name: judge_figures(one).headline for name, one in found.strategies.items()}
    table.attrs["reasons"] = {name: dict(one.reasons) for name, one in every.items()}
    table.attrs["notes"] = [*found.about.warnings, *found.about.notes]
    return table


def _as_returns(given: pd.Series | pd.DataFrame) -> Returns:
    """Return a pandas object as the reader of files would. Raises UsageError, DataError naming column and row."""
    import pandas as pd

    from simulator.analysis.returns.load import Returns

    if not isinstance(given, pd.Series | pd.DataFrame):
        raise UsageError(f"returns was {type(given).__name__}", mend="pass a pandas Series or DataFrame")
    table = given.to_frame(given.name or "returns") if isinstance(given, pd.Series) else given
    dates = None
    if isinstance(table.index, pd.DatetimeIndex | pd.PeriodIndex):
        index = table.index.to_timestamp() if isinstance(table.index, pd.PeriodIndex) else table.index
        table = table.set_axis(index.tz_localize(None), axis=0).sort_index()
        if table.index.has_duplicates:
            day = table.index[table.index.duplicated()][0]
            raise DataError(f"two rows for {day:%Y-%m-%d}", where=SOURCE, mend="keep one of them")
        dates = table.index.to_numpy().astype("datetime64[s]")
    columns = {}
    for name in table.columns:
        try:
            values = table[name].to_numpy(dtype=np.float64)
        except (TypeError, ValueError):
            raise DataError(f'column "{name}" holds no numbers', where=SOURCE, mend="leave it out") from None
        there = np.flatnonzero(np.isfinite(values))
        inside = values[there[0] : there[-1] + 1] if there.size else values[:0]
        if np.isnan(inside).any() or np.isinf(values).any():
            row = (
                int(np.argmax(~np.isfinite(values)))
                if not there.size
                else int(there[0] + np.argmax(~np.isfinite(inside)))
            )
            raise DataError(f'column "{name}" has no value in row {row}', where=SOURCE, mend="fill it or leave it out")
        columns[str(name)] = values
    return Returns(SOURCE, dates, columns, np.arange(1, len(table) + 1))
