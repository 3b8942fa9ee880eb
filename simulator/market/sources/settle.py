"""Numbers and dates as people write them, each settled by its whole column: ``1,234`` and ``03/04/2024``.

What the column leaves open is refused with the row and what it may mean; it is never guessed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from simulator.errors import DataError
from simulator.market.bars import Floats, Instants

Texts = Sequence[str]
Where = Callable[[int], str]

# ---- numbers -----------------------------------------------------------------------------------------------------

NOTHING = {"", "null", "none", "nan", "n/a", "na", "#n/a", "-", "--", "—", ".", "nil"}
CURRENCY = r"(?:[$€£¥₹]|USD|EUR|GBP|JPY|CHF|CNY|HKD)"
DRESS = re.compile(rf"^{CURRENCY}\s?|\s?{CURRENCY}$|(?<=\d)[ '’\u00a0\u2009\u202f](?=\d{{3}}(?!\d))")
GROUPED = r"[+-]?(?:\d+|[1-9]\d{{0,2}}(?:{0}\d{{2,3}})*{0}\d{{3}})?(?:{1}\d*)?(?:[eE][+-]?\d+)?"
FORMS = {".": re.compile(GROUPED.format(",", r"\.")), ",": re.compile(GROUPED.format(r"\.", ","))}
"""Decimal mark → numbers written with it, thousands set apart by the other mark."""
UNITS = {
    "k": 1e3, "m": 1e6, "mn": 1e6, "mio": 1e6, "b": 1e9, "bn": 1e9, "mrd": 1e9, "t": 1e12,
    "万": 1e4, "萬": 1e4, "만": 1e4, "億": 1e8, "亿": 1e8, "억": 1e8,
}  # fmt: skip
UNIT = re.compile(rf"(?<=[\d.,])\s?({'|'.join(sorted(UNITS, key=len, reverse=True))})\.?$", re.IGNORECASE)
RATIO = re.compile(r"(\d+(?:\.\d+)?)\s*(?::|/|-?\s?for-?\s?)\s*(\d+(?:\.\d+)?)", re.IGNORECASE)
HEADS = 50


def read_numbers(columns: Mapping[str, Texts], where: Where, point: bool = True) -> dict[str, Floats]:
    """Return each column as (n,) float64, NaN where nothing stands. Raises DataError with the row.

    `point`: a column whose only marks are points before three digits (``1.234``) has decimals, as anywhere but in
    files of countries with decimal commas.
    """
    read: dict[str, Floats] = {}
    for role, texts in columns.items():
        if point or not any(_is_open(text) for text in texts[:HEADS]):
            try:
                read[role] = np.fromiter(map(float, texts), dtype=np.float64, count=len(texts))
            except ValueError:
                continue
    rest = {role: _undress(texts, role) for role, texts in columns.items() if role not in read}
    settled = {role: _decimal_mark(texts, columns[role], role, where) for role, texts in rest.items()}
    for role, texts in rest.items():
        mark = (
            settled[role]
            or _mark_of_file(columns, settled)
            or ("." if point and not any("," in text for text in texts) else "")
        )
        if not mark:
            row = next(row for row, text in enumerate(texts) if _is_open(text))
            what = (
                f'{role} was "{columns[role][row].strip():.60}": thousands or decimals, nothing in the file says which'
            )
            raise DataError(what, where=where(row), mend="write it without the mark, or with both decimals and mark")
        plain = (text.replace("," if mark == "." else ".", "").replace(mark, ".") for text in texts)
        read[role] = np.array([float(text) if text else np.nan for text in plain])
        units = [UNIT.search(text.strip()) for text in columns[role] if role == "volume"]
        if any(units):
            read[role] = np.round(read[role] * [UNITS[unit[1].lower()] if unit else 1.0 for unit in units])
    return {role: read[role] for role in columns}


def _undress(texts: Texts, role: str) -> list[str]:
    """Return the texts without currency signs, blanks between thousands, units of volumes and ``:1`` of splits."""
    bare = ["" if text.strip().lower() in NOTHING else DRESS.sub("", text.strip()) for text in texts]
    if role == "volume":
        return [UNIT.sub("", text) for text in bare]
    ratios = map(RATIO.fullmatch, bare if role == "split" else [])
    at = {row: float(parts[1]) / float(parts[2]) for row, parts in enumerate(ratios) if parts and float(parts[2])}
    return [str(at[row]) if row in at else text for row, text in enumerate(bare)] if at else bare


def _decimal_mark(texts: Texts, written: Texts, role: str, where: Where) -> str:
    """Return the decimal mark that a column shows, empty where it shows none. Raises DataError with the row."""
    left = set(FORMS)
    shown_by: dict[str, int] = {}
    for row, text in enumerate(texts):
        if len(left) == 1 and FORMS[min(left)].fullmatch(text):
            continue
        fits = {mark for mark, form in FORMS.items() if form.fullmatch(text)}
        if not fits and text.lower() not in ("inf", "-inf", "infinity", "-infinity"):
            raise DataError(f'{role} was "{written[row].strip():.60}", not a number', where=where(row))
        if len(fits) == 1:
            shown_by.setdefault(min(fits), row)
            left &= fits
        if not left:
            both = " and ".join(f'"{written[at].strip():.60}"' for at in sorted(shown_by.values()))
            raise DataError(f"{role} has {both}: two decimal marks in one column", where=where(row))
    return left.pop() if len(left) == 1 else "" if any(map(_is_open, texts)) else "."


def _is_open(text: str) -> bool:
    """Return True for ``1,234`` and ``1.234``, which may mean two numbers."""
    return ("." in text or "," in text) and all(form.fullmatch(text.strip()) for form in FORMS.values())


def _mark_of_file(columns: Mapping[str, Texts], settled: Mapping[str, str]) -> str:
    """Return the decimal mark that all columns which show one agree on; empty where none does."""
    shown = {mark for role, mark in settled.items() if mark and any(m in t for t in columns[role] for m in ".,")}
    for role, texts in columns.items():
        if role not in settled and any("." in text and not _is_open(text) for text in texts):
            shown.add(".")
    return shown.pop() if len(shown) == 1 else ""


# ---- dates -------------------------------------------------------------------------------------------------------

FORMS_OF_DATES = "write dates as 2024-01-31 or 2024-01-31T09:30-05:00"
MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
COMPACT = re.compile(r"((?:19|20)\d{2})(\d{2})(\d{2})(?=\d{4}(?:\d{2})?$|\D|$)")
NUMERIC = re.compile(r"(\d{4}|\d{1,2})[/.\-\s年](\d{1,2})[/.\-\s月](\d{4}|\d{1,2})(?!\d)日?\.?")
WORDED = re.compile(
    r"(?:[a-z]{3,9},?\s+)??(?:(\d{1,2})[\s.\-]+([a-z]{3,9})|([a-z]{3,9})[\s.\-]+(\d{1,2}))[\s.,\-]+(\d{4}|\d{2})(?!\d)"
)
CLOCK = re.compile(
    r"(\d{1,2}):?(\d{2})(?::?(\d{2})(?:[.,](\d{1,9}))?)?\s*([ap]\.?m\.?)?"
    r"\s*(z|(?:utc|gmt)?[+-]\d{2}:?\d{2}|utc|gmt|[a-z_]+/[a-z_/]+|e[sd]t)?",
    re.IGNORECASE,
)
EPOCH = re.compile(r"\d{9,19}(?:\.\d*)?")
EPOCHS = ((1e11, 1), (1e14, 10**3), (1e17, 10**6), (1e20, 10**9))
"""Numbers below this bound count since 1970 in units of which so many make a second."""


def settle_dates(texts: Texts, where: Where) -> list[datetime]:
    """Return the moments of a column of dates written in any common way, with time of day and zone as they have one.

    Seconds, milli-, micro- and nanoseconds since 1970 are UTC. Raises DataError with the row for what is no date, and
    for a column that may mean two orders of day and month.
    """
    if all(EPOCH.fullmatch(text) and not COMPACT.match(text) for text in texts):
        return [_epoch(text) for text in texts]
    split = [_date_and_clock(text, row, where) for row, text in enumerate(texts)]
    order = _order([parts for parts, _ in split], texts, where)
    return [_moment(order, parts, clock, row, texts, where) for row, (parts, clock) in enumerate(split)]


def _epoch(text: str) -> datetime:
    number = float(text)
    per_second = next(unit for bound, unit in EPOCHS if number < bound)
    whole, rest = divmod(int(text.partition(".")[0]), per_second)
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=whole, microseconds=rest * 10**6 // per_second)


def _date_and_clock(text: str, row: int, where: Where) -> tuple[tuple[int, int, int], str]:
    """Return the three numbers of a date in the order written, a worded month second, and the time of day behind."""
    low = text.lower()
    found = COMPACT.match(low) or NUMERIC.match(low)
    if found:
        return (int(found[1]), int(found[2]), int(found[3])), text[found.end() :]
    worded = WORDED.match(low)
    if worded and (name := (worded[2] or worded[3])[:3]) in MONTHS:
        return (int(worded[1] or worded[4]), -1 - MONTHS.index(name), int(worded[5])), text[worded.end() :]
    if re.fullmatch(r"[2-6]\d{4}(?:\.\d+)?", text):
        mend = "format the column as yyyy-mm-dd in the spreadsheet and save it again"
        raise DataError(f'date was "{text}", a day number of a spreadsheet', where=where(row), mend=mend)
    raise _no_date(text, where(row))


def _order(dates: Sequence[tuple[int, int, int]], texts: Texts, where: Where) -> str:
    """Return the one order of year, month and day in which every date of the column makes sense."""
    numeric = [row for row, (_, month, _) in enumerate(dates) if month >= 0]
    if len(numeric) < len(dates):
        if numeric:
            raise _no_date(texts[numeric[0]], where(numeric[0]))
        return "dmy"
    numbers = np.abs(np.array(dates, dtype=np.int64).reshape(-1, 3))
    years = numbers[:, 0] > 999
    if years.all():
        return "ymd"
    if years.any():
        odd = int(np.argmax(years != (years.mean() >= 0.5)))
        raise _no_date(texts[odd], where(odd))
    orders = ["dmy", "mdy"] + (["ymd"] if (numbers[:, 2] < 100).all() else [])
    left = [order for order in orders if _fits(numbers, order).all()]
    if len(left) == 1:
        return left[0]
    if left:
        meant = [[int(numbers[0][order.index(part)]) for part in "ymd"] for order in left[:2]]
        either = " or ".join(f"{_whole_year(year)}-{month:02}-{day:02}" for year, month, day in meant)
        what = f'date was "{texts[0]:.60}", {either}: nothing in the column says which'
        raise DataError(what, where=where(0), mend=FORMS_OF_DATES)
    # Each row alone may make sense and no order all of them: the row against the order that most rows have.
    fits = {order: _fits(numbers, order) for order in orders}
    best = max(orders, key=lambda order: fits[order].sum())
    row = int(np.argmin(np.any(list(fits.values()), axis=0)))
    row = row if not any(fit[row] for fit in fits.values()) else int(np.argmin(fits[best]))
    raise _no_date(texts[row], where(row))


def _fits(numbers: Instants, order: str) -> NDArray[np.bool_]:
    """(n,) True where month and day of this order are in range."""
    month, day = numbers[:, order.index("m")], numbers[:, order.index("d")]
    return np.asarray((month >= 1) & (month <= 12) & (day >= 1) & (day <= 31))


def _whole_year(year: int) -> int:
    return year if year > 99 else year + (2000 if year < 70 else 1900)


def _moment(order: str, parts: tuple[int, int, int], clock: str, row: int, texts: Texts, where: Where) -> datetime:
    year, month, day = (abs(parts[order.index(part)]) for part in "ymd")
    try:
        hour, minute, second, micro, zone = _clock(clock)
        return datetime(_whole_year(year), month, day, hour, minute, second, micro, zone)
    except ValueError:
        raise _no_date(texts[row], where(row)) from None


def _clock(text: str) -> tuple[int, int, int, int, tzinfo | None]:
    text = re.sub(r"^[\s,;T]+", "", text).strip()
    if not text:
        return 0, 0, 0, 0, None
    found = CLOCK.fullmatch(f"0{text}" if re.fullmatch(r"\d{5}", text) else text)  # 93000: an hour without its zero
    if not found:
        raise ValueError(text)
    hour = int(found[1])
    if found[5]:
        if not 1 <= hour <= 12:
            raise ValueError(text)
        hour = hour % 12 + (12 if found[5].lower().startswith("p") else 0)
    micro = int((found[4] or "0").ljust(6, "0")[:6])
    return hour, int(found[2]), int(found[3] or 0), micro, _zone(found[6] or "")


def _zone(text: str) -> tzinfo | None:
    if not text:
        return None
    if text.upper() in ("Z", "UTC", "GMT"):
        return UTC
    if text.upper() in ("EST", "EDT"):
        return timezone(timedelta(hours=-5 if text.upper() == "EST" else -4))
    if offset := re.fullmatch(r"(?:UTC|GMT)?([+-])(\d{2}):?(\d{2})", text, re.IGNORECASE):
        span = timedelta(hours=int(offset[2]), minutes=int(offset[3]))
        return timezone(-span if offset[1] == "-" else span)
    try:
        return ZoneInfo(text)
    except (KeyError, OSError):
        raise ValueError(text) from None


def _no_date(text: str, where: str) -> DataError:
    return DataError(f'date was "{text:.60}"' if text else "date is missing", where=where, mend=FORMS_OF_DATES)
