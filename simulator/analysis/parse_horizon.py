"""Parser of horizons: the free text of a manager as a number of sessions.

    "2-4 weeks" ─► 15      "3 months" ─► 63      "days to two weeks" ─► 7      "until the picture clears" ─► None

A day is a session unless it is called a calendar day, a week has 5, a month 21, a quarter 63, a year 252. The first
span of time in the text counts, and of a range its midpoint. "A few", "several" and a bare plural ("weeks") are 3; a
bound standing alone ("up to a month", "10+ sessions") is taken as the span itself. Ends of periods ("month-end")
and dates say how long only to whoever knows the day, and are not read.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

CALENDAR_DAY = 252 / 365
"""Sessions in a calendar day."""

FEW = 3.0

_UNITS = {
    "minute": 0.0,
    "hour": 0.0,
    "intraday": 1.0,
    "session": 1.0,
    "day": 1.0,
    "week": 5.0,
    "fortnight": 10.0,
    "month": 21.0,
    "quarter": 63.0,
    "year": 252.0,
}
_SHORT = {
    **dict.fromkeys(("min", "mins", "h", "hr", "hrs"), 0.0),
    **dict.fromkeys(("d",), 1.0),
    **dict.fromkeys(("w", "wk", "wks"), 5.0),
    **dict.fromkeys(("m", "mo", "mos", "mth", "mths"), 21.0),
    **dict.fromkeys(("q", "qtr", "qtrs"), 63.0),
    **dict.fromkeys(("y", "yr", "yrs"), 252.0),
}
_COUNTS = (
    *("one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve", "thirteen"),
    *("fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty"),
)
_NUMBERS = {
    **dict(zip(_COUNTS, range(1, 21), strict=True)),
    **dict(zip(("thirty", "forty", "sixty", "ninety"), (30, 40, 60, 90), strict=True)),
    **dict(zip(("a", "an", "single", "half", "couple"), (1, 1, 1, 0.5, 2), strict=True)),
    **dict.fromkeys(("few", "several", "multi", "multiple"), FEW),
}
_BETWEEN = {"-", "/", "to", "or", "and", "through"}
_PASSED_OVER = {"of", "trading", "business", "market", "full", "+"}

_ENDS = re.compile(
    r"\b(?:week|month|quarter|year)s?[ -]end\b|\bend of (?:the |this |next )?(?:day|week|month|quarter|year)\b"
)
_WORDS = re.compile(r"\d+(?:\.\d+)?|[a-z]+|[-+/]|[^\s]")


@dataclass
class _Reader:
    """The words of a horizon, and how far they have been read."""

    words: list[str]
    at: int = 0

    def number(self) -> float | None:
        """Return the number that stands next, as digits or in words: "a few" is 1 × 3, "half a" 0.5 × 1."""
        found: float | None = None
        while (word := self.word) is not None:
            value = float(word) if word[0].isdigit() else _NUMBERS.get(word)
            if value is None and word not in _PASSED_OVER:
                break
            found = found if value is None else value if found is None else found * value
            self.at += 1
        return found

    def unit(self, counted: bool) -> tuple[float, bool] | None:
        """(sessions, whether it is a bare plural) of the unit that stands next; short forms only behind a number."""
        start, calendar = self.at, False
        while self.word is not None and (self.word in _PASSED_OVER or self.word in ("-", "calendar")):
            calendar = calendar or self.word == "calendar"
            self.at += 1
        word = self.word or ""
        single = word.removesuffix("s")
        sessions = _UNITS.get(single, _SHORT.get(word) if counted else None)
        if sessions is None:
            self.at = start
            return None
        self.at += 1
        return (CALENDAR_DAY if calendar and single == "day" else sessions), word != single and not counted

    def between(self) -> bool:
        """Read a word that joins the ends of a range; False where none stands next."""
        if self.word not in _BETWEEN:
            return False
        self.at += 1
        return True

    def span(self) -> float | None:
        """Sessions of the span of time that stands next: "2-4 weeks", "2 weeks to 3 months", "weeks"."""
        low = self.number()
        mark = self.at
        high = self.number() if low is not None and self.between() else None
        if low is not None and high is None:
            self.at = mark
        unit = self.unit(counted=low is not None)
        if unit is None:
            return None
        sessions, plural = unit
        first = sessions * (FEW if plural else 1.0 if low is None else low)
        if low is not None and high is not None:
            return (low + high) / 2 * sessions
        mark = self.at
        last = self._other_end(sessions) if self.between() else None
        if last is None:
            self.at = mark
        return first if last is None else (first + last) / 2

    @property
    def word(self) -> str | None:
        return self.words[self.at] if self.at < len(self.words) else None

    def _other_end(self, sessions: float) -> float | None:
        """Sessions of what stands behind "to", in the unit before it where it has none: "a week or two"."""
        spelt = self.word is not None and self.word.isalpha()
        count = self.number()
        unit = self.unit(counted=count is not None)
        if unit is not None:
            return unit[0] * (FEW if unit[1] else 1.0 if count is None else count)
        return count * sessions if count is not None and spelt else None


@lru_cache(maxsize=4096)
def horizon_sessions(text: str) -> int | None:
    """Sessions that `text` speaks of, at least 1, halves rounded up; None where it names no span of time."""
    plain = re.sub(r"[‐-―−~]", "-", text.lower())
    words = _WORDS.findall(_ENDS.sub(" ; ", plain))
    for start in range(len(words)):
        found = _Reader(words, start).span()
        if found is not None:
            return max(1, int(found + 0.5))
    return None
