"""Values of a parameter as they are written, on the command line and in a study file.

    5:50:5                      5, 10, … 50: both ends are in
    10,20,50   daily,weekly     a list; texts need no quotes
    [5,10]     true     none    one value, as `sim run --set` takes it
    uniform(0.1, 0.9)           any number between, for a random, Sobol or TPE search
    log(0.5, 50)                the same, evenly by its logarithm
    int(5, 200)   logint(5, 500)   the same in whole numbers, ends included

In YAML a list stands for a list, a number for one value, and ``{low: 0.5, high: 50, log: true}`` for a distribution.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from datetime import date
from decimal import Decimal, InvalidOperation
from typing import Any

from simulator.errors import UsageError, did_you_mean
from simulator.studies.space import Parameter, Spread

MOST_VALUES = 100_000
LARGEST_WHOLE = 2**63 - 1
PLAIN = (str, int, float, list, tuple, Mapping, date, type(None))
"""Kinds of values that can be written down, and read again as they were."""

SPREADS = {"uniform": (False, False), "log": (True, False), "int": (False, True), "logint": (True, True)}
"""Distributions by name: evenly by logarithm, in whole numbers."""

NUMBER = r"[-+]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][-+]?[0-9]+)?"
ENDLESS = re.compile(r"[-+]?(?:nan|inf|infinity)", re.IGNORECASE)
RANGE = re.compile(rf"\s*({NUMBER})\s*:\s*({NUMBER})\s*:\s*({NUMBER})\s*")
SPREAD = re.compile(r"\s*([A-Za-z]\w*)\s*\((.*)\)\s*")
EXAMPLES = "5:50:5, 10,20,50, uniform(0.1, 0.9), log(0.5, 50) or int(5, 200)"


def read_parameter(name: str, given: Any) -> Parameter:
    """Return the parameter `name` with the values that `given` stands for: text, number, list or mapping.

    Raises UsageError for an empty range, a step of 0, a value that stands there twice, NaN and infinity.
    """
    if not name or name != name.strip():
        raise UsageError(f'"{name}" is no name of a parameter')
    if "@" in name:
        raise UsageError(f"{name} changes at a date, and is not swept", mend=f"sweep {name.partition('@')[0]}")
    if isinstance(given, Mapping):
        return Parameter(name, (), _spread_of(name, given))
    if isinstance(given, str):
        spread = SPREAD.fullmatch(given)
        if spread and not given.lstrip().startswith(("[", '"')):
            return Parameter(name, (), _read_spread(name, spread[1], spread[2]))
        values = _read_values(name, given)
    else:
        values = list(given) if isinstance(given, Sequence) else [given]
    if not values:
        raise UsageError(f"{name} has no value", mend=f"give it some: {EXAMPLES}")
    return Parameter(name, _check_values(name, values))


def _read_values(name: str, text: str) -> list[Any]:
    found = RANGE.fullmatch(text)
    if found:
        return _spell_out(name, text.strip(), *found.groups())
    try:
        return list(json.loads(f"[{text}]"))
    except (ValueError, RecursionError):
        words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise UsageError(f'{name} was "{text}": a value is empty', mend=f"give it values: {EXAMPLES}")
    for word in words:
        ends = [end.strip() for end in word.split(":")]
        endless = next((f"{end} is no finite number" for end in ends if ENDLESS.fullmatch(end)), "no range")
        if len(ends) == 3 and all(ENDLESS.fullmatch(end) or re.fullmatch(r"[-+\d.eE]*", end) for end in ends):
            raise UsageError(f'{name} was "{text}": {endless}', mend="a range is FROM:TO:STEP in numbers, e.g. 5:50:5")
    return [_read_word(word) for word in words]


def _read_word(word: str) -> Any:
    try:
        return None if word.lower() == "none" else json.loads(word)
    except (ValueError, RecursionError):
        return float(word) if ENDLESS.fullmatch(word) else word


def _spell_out(name: str, text: str, *ends: str) -> list[Any]:
    try:
        low, high, step = map(Decimal, ends)
    except InvalidOperation:
        raise UsageError(f'{name} was "{text}": no range of numbers') from None
    if step == 0:
        raise UsageError(f'{name} was "{text}": its step is 0', mend="a range is FROM:TO:STEP, e.g. 5:50:5")
    if (high - low) / step < 0:
        mend = f"write {high}:{low}:{abs(step)}" if step > 0 else f"leave out the minus of the step {step}"
        raise UsageError(f'{name} was "{text}": an empty range', mend=mend)
    if (high - low) / step >= MOST_VALUES:
        many = f"{(high - low) / step + 1:.3g} values"
        raise UsageError(f'{name} was "{text}": {many}', mend=f"a parameter takes at most {MOST_VALUES:,}")
    count = int((high - low) / step) + 1
    # In decimals: 0.1 + 2 × 0.1 is 0.3 there, and the end is reached.
    kind: type[int] | type[float] = float if any(set(text) & set(".eE") for text in ends) else int
    return [kind(low + k * step) for k in range(count)]


def _check_values(name: str, values: Sequence[Any]) -> tuple[Any, ...]:
    seen: set[str] = set()
    for value in values:
        if not isinstance(value, PLAIN):
            raise UsageError(f"a value of {name} was {value!r:.60}", mend="give a list of numbers or texts, or a range")
        if isinstance(value, str) and value.isdecimal() and not value.isascii():
            raise UsageError(f'a value of {name} was "{value}"', mend="write numbers in the digits 0 to 9")
        if isinstance(value, float) and not math.isfinite(value):
            raise UsageError(f"a value of {name} was {value}", mend="give finite numbers")
        if isinstance(value, int) and abs(value) > LARGEST_WHOLE:
            raise UsageError(f"a value of {name} has {len(str(abs(value)))} digits", mend="give a smaller number")
        # By what it is: 1, 1.0 and true are three values to a strategy, 1 and 1.0 the same number to a reader.
        as_text = json.dumps(float(value) if type(value) is int and abs(value) < 2**53 else value, default=str)
        if as_text in seen:
            raise UsageError(f"{name} has the value {json.dumps(value, default=str)} twice")
        seen.add(as_text)
    if len(values) > MOST_VALUES:
        raise UsageError(f"{name} has {len(values):,} values", mend=f"a parameter takes at most {MOST_VALUES:,}")
    return tuple(values)


def _read_spread(name: str, kind: str, inside: str) -> Spread:
    if kind not in SPREADS:
        near = did_you_mean(kind, SPREADS) or f"; there are {', '.join(SPREADS)}"
        raise UsageError(f'{name}: no distribution "{kind}"{near}')
    ends = inside.split(",")
    if len(ends) != 2:
        raise UsageError(f"{name} was {kind}({inside})", mend=f"give its two ends, e.g. {kind}(5, 50)")
    log, whole = SPREADS[kind]
    return _spread_of(name, {"low": _read_word(ends[0]), "high": _read_word(ends[1]), "log": log, "whole": whole})


def _spread_of(name: str, given: Mapping[str, Any]) -> Spread:
    keys = ("low", "high", "log", "whole")
    for key in given:
        if key not in keys:
            near = did_you_mean(str(key), keys) or "; a distribution has low, high, log and whole"
            raise UsageError(f'{name}: unknown key "{key}"{near}')
    for key in ("low", "high"):
        value = given.get(key)
        if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
            raise UsageError(f"{name}: {key} was {value}", mend="give a finite number, e.g. {low: 0.5, high: 50}")
    low, high = given["low"], given["high"]
    log, whole = (given.get(key, False) for key in ("log", "whole"))
    if not isinstance(log, bool) or not isinstance(whole, bool):
        raise UsageError(f"{name}: log and whole are true or false")
    if low >= high:
        raise UsageError(f"{name}: from {low} to {high} is an empty range", mend="low comes before high")
    if log and low <= 0:
        raise UsageError(f"{name}: {low} has no logarithm", mend="begin above 0, or leave log out")
    if whole and (low != int(low) or high != int(high)):
        raise UsageError(f"{name}: {low} and {high} are no whole numbers")
    return Spread(float(low), float(high), log, whole)
