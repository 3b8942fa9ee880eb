"""Bars given as pandas objects, kept in the workspace as files: read, checked and cut at each date as others are."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Hashable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from simulator.errors import UsageError
from simulator.files import folder_aside, locked, place_folder
from simulator.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "frames"
PRICES = ("open", "high", "low", "close")
DATES = ("date", "datetime", "timestamp", "time")
"""Columns that the reader of files takes for the date."""

SHAPES = (
    "pass a DataFrame with open, high, low, close, volume indexed by date for one symbol, for several "
    "{symbol: DataFrame}, or one with two levels of columns or a column `symbol`"
)


def store_frames(given: pd.DataFrame | Mapping[str, pd.DataFrame], symbols: Sequence[str], workspace: Workspace) -> str:
    """Write the bars of each symbol into ``data/frames/DIGEST/`` and return that folder, relative to the workspace.

    Equal bars have one folder. Raises UsageError for what is no table of bars, or has none for one of `symbols`.
    """
    named = _by_symbol(given, symbols)
    tables = {name.upper(): table for name, table in named.items()}
    if len(tables) < len(named):
        twice = next(name for name in tables if sum(one.upper() == name for one in named) > 1)
        raise UsageError(f"bars has {twice} more than once, in other letters", mend="name each symbol once")
    odd = [name for name in symbols if not re.fullmatch(r"[A-Z0-9^=_-][A-Z0-9.^=_-]*", name)]
    if odd:
        raise UsageError(f'"{odd[0]}" is no symbol that a file can be named by', mend="letters, digits and . ^ = _ -")
    missing = [name for name in symbols if name not in tables]
    if missing:
        raise UsageError(f"bars has none of {missing[0]}, but of {', '.join(sorted(tables)[:8])}", mend=SHAPES)
    files = {f"{name}.parquet": _as_parquet(name, tables[name]) for name in symbols}
    digest = hashlib.sha256(b"\0".join(part for name in sorted(files) for part in (name.encode(), files[name])))
    place = Path("data") / FOLDER / digest.hexdigest()[:16]
    target = workspace.out / place
    if not target.is_dir():
        target.parent.mkdir(parents=True, exist_ok=True)
        with folder_aside(target) as staging:
            for name, content in files.items():
                (staging / name).write_bytes(content)
            with locked(target.parent):
                place_folder(staging, target)
    return place.as_posix()


def _by_symbol(given: Any, symbols: Sequence[str]) -> dict[str, pd.DataFrame]:
    import pandas as pd

    if isinstance(given, Mapping):
        return {str(name): _check(table, f'bars["{name}"]') for name, table in given.items()}
    table = _check(given, "bars")
    if table.columns.nlevels == 2:
        fields = next((n for n in (0, 1) if _names_prices(table.columns.get_level_values(n))), None)
        if fields is None:
            raise UsageError("bars has no level of columns with open, high, low, close", mend=SHAPES)
        names = dict.fromkeys(table.columns.get_level_values(1 - fields))
        return {str(name): _frame(table.xs(name, axis=1, level=1 - fields)).dropna(how="all") for name in names}
    if isinstance(table.index, pd.MultiIndex) and table.index.nlevels == 2:
        levels = [table.index.get_level_values(n) for n in (0, 1)]
        level = next((n for n in (0, 1) if symbols[0] in {str(one).upper() for one in levels[n].unique()}), 0)
        names = dict.fromkeys(levels[level])
        return {str(name): _frame(table.xs(name, level=level)) for name in names}
    column = next((name for name in table.columns if str(name).lower() in ("symbol", "ticker")), None)
    if column is not None:
        return {str(name): part.drop(columns=column) for name, part in table.groupby(column, sort=False)}
    if len(symbols) != 1:
        raise UsageError(f"bars is one table for {', '.join(symbols)}", mend=SHAPES)
    return {symbols[0]: table}


def _frame(part: pd.DataFrame | pd.Series) -> pd.DataFrame:
    return cast("pd.DataFrame", part)


def _check(table: Any, name: str) -> pd.DataFrame:
    import pandas as pd

    if not isinstance(table, pd.DataFrame):
        raise UsageError(f"{name} was {type(table).__name__}", mend=SHAPES)
    return table


def _names_prices(names: Iterable[Hashable]) -> bool:
    return set(PRICES) <= {str(name).lower() for name in names}


def _as_parquet(symbol: str, table: pd.DataFrame) -> bytes:
    """Return a table as a file that any reader of bars takes: dates in a column, sorted as they were."""
    import pandas as pd

    if not _names_prices(list(table.columns)):
        raise UsageError(f"bars of {symbol} has columns {', '.join(map(str, table.columns[:8]))}", mend=SHAPES)
    kept = table.rename(columns=lambda name: str(name))
    index = kept.index.to_timestamp() if isinstance(kept.index, pd.PeriodIndex) else kept.index
    dated = isinstance(index, pd.DatetimeIndex)
    if any(name.lower() in DATES for name in kept.columns):
        if dated:
            raise UsageError(f"bars of {symbol} has dates in its index and in a column", mend="drop one of them")
        kept = kept.reset_index(drop=True)
    elif not isinstance(index, pd.RangeIndex):
        kept = kept.set_axis(index.rename("date"), axis=0)
        # Text is read as dates first, by the reader of files: 02/01 stands before 31/12 only there.
        kept = (kept.sort_index(kind="stable") if dated else kept).reset_index()
    try:
        return bytes(kept.to_parquet(index=False))
    except (ValueError, TypeError, OSError) as error:
        raise UsageError(f"bars of {symbol} cannot be stored ({str(error).splitlines()[0]})", mend=SHAPES) from None
