"""Records of decisions in words: facts, theses and reviews."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from simulator.council.records import AnswerRow, MeetingRecord, ReviewAnswer, RevisedThesis, ShortlistRow
from simulator.number_format import percent, price, price_text, ratio

PRICES = {"limit": "limit", "stop": "stop", "take_profit": "take profit"}
SHOWN_OF_KEY = 12


def describe_prices(target: Mapping[str, object]) -> list[str]:
    """Return the prices of a target in words, as far as it has any."""
    found = {key: target.get(key) for key in PRICES}
    named = [f"{label} {price(found[key])}" for key, label in PRICES.items() if found[key] is not None]
    return [*named, *describe_exits(target)]


def describe_exits(target: Mapping[str, object]) -> list[str]:
    """Return what leaves of a target before the rest, as "50 % at 110.00"."""
    given: Any = target.get("exits") or ()
    return [f"{percent(share, 0)} at {price(level)}" for share, level in given]


def describe_thesis(thesis: RevisedThesis) -> str:
    """Return what a checkpoint made of one thesis, in words."""
    conviction, before = (ratio(thesis[key], 0, sign=True) for key in ("conviction", "conviction_before"))
    changed = f"conviction {conviction}" if before == conviction else f"conviction {before} to {conviction}"
    entry = thesis["entry"]
    since = f", entered {entry['at'][:10]} at {price(entry['price'])}" if entry else ""
    ends = ((name, thesis[name]) for name in ("stop", "target"))
    where = "".join(f", {name} {price(level)}" for name, level in ends if level is not None)
    answer, error = thesis.get("answer"), thesis.get("error")
    reason = f"no answer: {error}" if error else thesis["reason"] or (answer["reason"] if answer else "")
    return (
        f"{thesis['action']} {thesis['direction']} {thesis['instrument']}, {changed}, {thesis['state']}{since}{where}. "
        f"{reason}"
    ).strip()


def describe_shortlist(row: ShortlistRow) -> str:
    """Return which of many symbols a meeting was about, in words."""
    held = f"; on it because held: {', '.join(row['held'])}" if row["held"] else ""
    answer = row.get("answer", {})
    reason = answer["answer"]["reason"] if "answer" in answer else ""
    failed = f"no answer ({answer['error']}), so by " if answer.get("error") else ""
    how = f"{len(row['symbols'])} of {row['of']} symbols, by {failed}{row['by']}{held}"
    return f"{how}: {', '.join(row['symbols'])}. {reason}".strip()


def flatten_facts(content: Mapping[str, object], before: str = "") -> Iterator[tuple[str, object]]:
    """Yield nested facts as (name, value), lists in words."""
    for key, value in content.items():
        if isinstance(value, Mapping):
            yield from flatten_facts(value, f"{before}{key} ")
        elif isinstance(value, list):
            words = (" ".join(map(str, v.values())) if isinstance(v, Mapping) else str(v) for v in value)
            yield f"{before}{key}", "; ".join(words) or "none"
        else:
            # A price of a fraction of a cent has many digits and no power of ten.
            yield f"{before}{key}", price_text(value) if isinstance(value, float) and 0 < abs(value) < 1e-4 else value


def find_label(record: MeetingRecord, seat: str) -> str:
    """Return the letter under which the chairman was shown the pitch of `seat`; empty where it was not."""
    chairman = record["chairman"]
    shown = record["labels"].get(chairman["seat"], {}) if chairman else {}
    return next((label for label, who in shown.items() if who == seat), "")


def find_reviews(record: MeetingRecord, seat: str) -> list[tuple[AnswerRow[ReviewAnswer], ReviewAnswer]]:
    """Return the reviews of the pitch of `seat` that could be used, with their answers."""
    rows = ((one, one.get("answer")) for one in record["reviews"] if one.get("about") == seat)
    return [(one, answer) for one, answer in rows if answer]
