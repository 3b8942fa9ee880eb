"""A person's own question to a council: priced first, then asked once, never traded."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping
from datetime import date, datetime
from functools import lru_cache
from typing import Any

from simulator.config import load_config
from simulator.errors import SimError, UsageError
from simulator.market.calendar import NEW_YORK, day_of
from simulator.market.load import Found
from simulator.market.load import available as find_bars
from simulator.number_format import cents, counted
from simulator.runs.meeting import OFFLINE, QUESTIONS, RUN, MeetingRequest, answer_question, estimate_cost
from simulator.runs.strategies import available
from simulator.store.database import Store
from simulator.web.actions import MOST_TEXT, Person, record
from simulator.web.timeline import Occasion, read_parts
from simulator.workspace import Workspace

NEWEST = 20
SYMBOLS = ("SPY", "QQQ")
"""Symbols that a question is about unless others are typed."""
ASKING = threading.Lock()
"""Held while a question is answered: one at a time."""


def look_at_questions(workspace: Workspace, store: Store) -> dict[str, Any]:
    """Return the newest questions with their debates, and what a question may be asked of."""
    found = []
    for stored in store.of_forward(QUESTIONS, ("question.answered",))[::-1][:NEWEST]:
        given = stored.event.payload
        symbols, cost = ", ".join(given["symbols"]), cents(given["cost_usd"])
        unread = ": rule-based analysts, who do not read the question" if given["models"] == OFFLINE else ""
        facts = (
            f"{given['strategy']}, {symbols}",
            f"asked by {given['by']}",
            f"models {given['models']}{unread}",
            cost,
        )
        found.append(Occasion(str(stored.event.at), given["question"], "answered", facts, read_parts(given)))
    councils = [name for name in available(workspace.strategies) if (workspace.strategies / name).is_dir()]
    models = load_config(workspace.config).models
    return {
        "asked": found,
        "councils": [name for name in councils if (workspace.strategies / name / "prompts").is_dir()],
        "profiles": sorted(models.profiles, key=lambda name: name != models.default),
        "newest": _find_newest(workspace),
    }


def _find_newest(workspace: Workspace) -> str:
    """Return the last session that the workspace has bars of SYMBOLS for: a council asked of a later day would answer
    on those. Today where there are none."""
    found = find_bars(workspace.bar_folders)
    days = [_last_day(found[one], found[one].path.stat().st_mtime_ns) for one in SYMBOLS if one in found]
    return str(min(days, default=datetime.now(NEW_YORK).date()))


@lru_cache(maxsize=16)
def _last_day(bars: Found, _changed: int) -> date:
    return day_of(int(bars.read().session_of.max()))


def put_question(workspace: Workspace, store: Store, person: Person, given: Mapping[str, Any]) -> str:
    """Price a question, or ask it within ``most`` dollars; returns what is to be told. Raises SimError."""
    texts = {name: str(given.get(name, "")).strip() for name in ("strategy", "symbols", "as_of", "models", "question")}
    most = given.get("most")
    if isinstance(most, bool) or not isinstance(most, int | float) or not 0.0 <= most < math.inf:
        raise UsageError("the limit is a number of dollars")
    if texts["strategy"] not in available(workspace.strategies):
        raise UsageError("no such council")  # a page names no paths
    symbols = tuple(one.strip().upper() for one in texts["symbols"].split(",") if one.strip())
    request = MeetingRequest(
        RUN, texts["as_of"], texts["strategy"], symbols, texts["models"] or None, most, question=texts["question"]
    )
    expected = estimate_cost(request, workspace)
    told = f"{counted(expected.to_ask, 'question')} to models, about {cents(expected.usd)}"
    told += f", at most {cents(expected.most_usd)}"
    if given.get("action") != "ask":
        return told
    if expected.usd > most:
        raise UsageError(f"{told}: more than the limit of {cents(most)}")
    if not ASKING.acquire(blocking=False):
        raise UsageError("another question is being answered")
    try:
        record(store, person, "asked the council", what=texts["question"][:500], most=most, expected=told)
        held = answer_question(request, workspace, person.name)
    except SimError as error:
        record(store, person, "asked the council: no answer", what=error.found[:MOST_TEXT])
        raise
    finally:
        ASKING.release()
    if held.undecided is not None:
        return f"no decision: {held.undecided.found}"
    return f"answered for {cents(held.facts['llm']['cost_usd'])}; the debate stands below"
