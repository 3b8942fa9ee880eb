"""Columns of a file of bars by role, from the names that vendors, programs and languages give them."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence

from simulator.errors import DataError
from simulator.market.table import PRICES

NAMES: Mapping[str, str] = {
    "date": "Date|Datetime|Timestamp|Day|Session|t|Trade Date|Trading Date|Trading Day|Exchange Date|Open Time|"
    "Window Start|ts_event|Local Time|GMT Time|Datum|Datum/Uhrzeit|Fecha|Data|Tarih|Дата|日期|交易日期|交易日|日付|"
    "日付け|年月日|日時|날짜|일자",
    "open": "Open|O|Open Price|Opening Price|Eröffnung|Eröffnungskurs|Eröffn.|Erster|Ouverture|Ouv.|Apertura|Abertura|"
    "Opening|Öppning|Otwarcie|Açılış|Откр.|Открытие|开盘|开盘价|開盤|開盤價|今开|始値|시가",
    "high": "High|H|High Price|Hoch|Höchst|Höchstkurs|Tageshoch|Haut|Plus Haut|Máximo|Máx.|Máxima|Massimo|Hoog|Högst|"
    "Najwyższy|Yüksek|Макс.|Максимум|最高|最高价|最高價|高|高値|고가",
    "low": "Low|L|Low Price|Tief|Tiefst|Tiefstkurs|Tagestief|Bas|Plus Bas|Mínimo|Mín.|Mínima|Minimo|Laag|Lägst|"
    "Najniższy|Düşük|Мин.|Минимум|最低|最低价|最低價|低|安値|저가",
    "close": "Close|C|Close Price|Closing Price|Close/Last|Schluss|Schlusskurs|Zuletzt|Clôture|Clôt.|Dernier|Cierre|"
    "Último|Chiusura|Fechamento|Slotkoers|Stängning|Zamknięcie|Kapanış|Şimdi|Закрытие|收盘|收盘价|收盤|收盤價|終値|종가",
    "volume": "Volume|Vol|V|Share Volume|Volumen|Stück|Volumes|Volumi|Wolumen|Hacim|Объем|成交量|交易量|出来高|거래량",
    "dividend": "Dividend|Dividends|Div|divCash|Dividend Amount|Dividende|Dividenden|Dividendes|Dividendo|Dividendos",
    "adjusted": "Adj Close|Adjusted Close|Close Adj|Adj|Adj Closing Price|Bereinigter Schlusskurs|Clôture ajustée|"
    "Cierre ajustado|调整后收盘价|调整收盘价|調整後終値|修正後終値|수정종가",
    "split": "Stock Splits|Stock Split|Split Factor|Split|Splits|Split Ratio|Split Coefficient|Aktiensplits",
    "time": "Time|Hour|Uhrzeit|Zeit|Heure|Hora|Ora|Время|时间|時間|時刻|시간",
    "symbol": "Symbol|Ticker|Tic|ts_code|股票代码|銘柄コード",
    "source": "Source",
}
SECOND_NAMES: Mapping[str, str] = {
    "date": "|Unnamed: 0|__index_level_0__|Index",
    "close": "Price|Last|Last Price|Settle|Kurs|Cours|Цена|Курс",
    "volume": "Tick Volume|TickVol",
    "symbol": "Name|Code|Stock",
}
"""Names that count where no column has one of NAMES."""

Named = Sequence[tuple[str, str]]
"""A header: (name, symbol) of each column, the symbol empty where the header says none."""


def plain(name: str) -> str:
    """Return `name` without case, accents, blanks, signs, ``1.`` in front and what stands in parentheses."""
    bare = re.sub(r"^\s*\d+[a-z]?\.\s|\(.*?\)", "", name).casefold()
    return "".join(letter for letter in unicodedata.normalize("NFKD", bare) if letter.isalnum())


def _by_name(names: Mapping[str, str]) -> dict[str, str]:
    return {plain(name): role for role, several in names.items() for name in several.split("|")}


ROLES, SECOND_ROLES = _by_name(NAMES), _by_name(SECOND_NAMES)


def same_symbol(one: str, other: str) -> bool:
    """Return True where two spellings name one symbol: ``BRK.B`` and ``BRK-B``, ``SPY`` and ``^spy US``."""
    left, right = (re.sub(r"[^A-Z0-9]", "", name.upper().partition(" ")[0]) for name in (one, other))
    return left == right


def name_columns(cells: Sequence[str]) -> Named:
    """Return (name, symbol) of each column; ``('Close', 'SPY')`` and ``SPY_Close`` are those of a flattened frame."""
    pairs = [_split_pair(cell) for cell in cells]
    if any(symbol for _, symbol in pairs) or has_prices(pairs):
        return pairs
    joined = [_split_joined(cell) for cell in cells]
    return joined if has_prices(joined) else pairs


def _split_pair(cell: str) -> tuple[str, str]:
    pair = re.fullmatch(r"\(\s*['\"](.*?)['\"]\s*,\s*['\"](.*?)['\"]\s*\)", cell.strip())
    if not pair:
        return cell, ""
    first, second = pair.groups()
    return (second, first) if plain(second) in ROLES and plain(first) not in ROLES else (first, second)


def _split_joined(cell: str) -> tuple[str, str]:
    parts = re.fullmatch(r"\s*(.+?)[ _:|/]+(\S+)\s*", cell)
    for name, symbol in (parts.groups(), parts.groups()[::-1]) if parts else ():
        if plain(name) in ROLES:
            return name, symbol
    return cell, ""


def has_prices(header: Named) -> bool:
    """Return True where `header` has a column for each of open, high, low and close."""
    found = {ROLES.get(plain(name)) or SECOND_ROLES.get(plain(name)) for name, _ in header}
    return found >= set(PRICES)


def find_columns(header: Named, symbol: str, shown: str, where: str) -> dict[str, int]:
    """Return {role: position of its column}; of several symbols side by side those of `symbol`.

    Raises DataError where a role has two columns, a needed one none, or `symbol` is not among the symbols.
    """
    owners = list(dict.fromkeys(owner for name, owner in header if owner and ROLES.get(plain(name)) in PRICES))
    owner = pick_symbol(owners, symbol, where, shown) if owners else ""
    columns = [plain(name) if own in ("", owner) else None for name, own in header]
    roles: dict[str, int] = {}
    for role in (*NAMES,):
        found = [at for at, name in enumerate(columns) if name is not None and ROLES.get(name) == role]
        found = found or [at for at, name in enumerate(columns) if name is not None and SECOND_ROLES.get(name) == role]
        if len(found) > 1:
            names = " and ".join(f'"{header[at][0]}"' for at in found)
            raise DataError(f"columns {names} both look like the {role}", where=where, mend="rename one")
        roles |= {role: found[0]} if found else {}
    if "time" in roles and ROLES.get(columns[roles.get("date", roles["time"])] or "") != "date":
        roles["date"] = roles.pop("time")  # a column "time" and no date but perhaps an index
    missing = [role for role in ("date", *PRICES) if role not in roles]
    if missing:
        there = ", ".join(name for name, _ in header) or "nothing"
        raise DataError(f"no column for {', '.join(missing)}; it has {there:.300}", where=where)
    return roles


def pick_symbol(there: Iterable[str], symbol: str, where: str, shown: str) -> str:
    """Return the one of `there` that names `symbol`, or the only one. Raises DataError where none of several does."""
    names = list(there)
    same = [name for name in names if same_symbol(name, symbol)]
    if same or len(names) == 1:
        return (same or names)[0]
    listed = ",".join(sorted(names)[:8])
    take = f"take them apart with `sim data fetch --source files --path {quote(shown)} --symbols {listed}`"
    raise DataError(f"holds bars of {len(names)} symbols and none for {symbol}", where=where, mend=take)


def quote(path: str) -> str:
    """Return `path` as a shell wants it typed."""
    return path if re.fullmatch(r"[\w./=^-]+", path) else "'" + path.replace("'", "'\\''") + "'"
