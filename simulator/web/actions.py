"""Acts of a person on a page. Each is on record before it is done; the loop carries it out.

A close-all alone is carried out here where no loop is at work, and this process has keys.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from simulator.errors import SimError, UsageError
from simulator.forward.approvals import CHANGEABLE, Answer, StaleError, answer_together, read_approvals
from simulator.forward.closing import FILL_LATER, find_owed, list_closed, withdraw
from simulator.forward.review import review
from simulator.forward.switches import PAUSE, STOP, ask_to_stop, read_heartbeats, reset, throw
from simulator.store.database import Store
from simulator.store.events import Event
from simulator.web.starting import start_test
from simulator.workspace import Workspace

RUN = "web"
"""Where acts stand in the store that belong to no approval."""
RELEASE = "release kill switch"
WITHDRAW = "withdraw close-all"
ACTIONS = ("pause", "resume", "stop", "kill switch", "close-all", "start", RELEASE, WITHDRAW)
LOGGED_IN, LOGIN_REFUSED = "logged in", "login refused"
MOST_TEXT = 300
MOST = 1e15
"""Of any price or quantity."""
SWITCHES = {"pause": PAUSE, "kill switch": STOP}
ANSWERS = ("approve", "reject", "modify")
PLACES = {
    "`sim forward approvals` lists them": "the page of approvals lists them",
    "`sim forward status` lists the loops": "the overview lists the loops",
    "`sim forward start` registers one": "the overview starts one",
    "give --reason": "type a reason",
}
"""Places on the pages for what commands do at a terminal."""


@dataclass(frozen=True)
class Person:
    """Person who acts, by name and address."""

    name: str
    address: str


def tell(error: SimError) -> str:
    """Return the line of an error for who reads it on a page: where that has what a command would mend, its name."""
    text = re.sub("`rm [^`]*` when it is understood", "the overview releases it when it is understood", str(error))
    for command, place in PLACES.items():
        text = text.replace(command, place)
    return text


def record(store: Store, person: Person, action: str, **facts: Any) -> None:
    """Append an act to the audit trail."""
    payload = {"by": person.name, "from": person.address, "action": action, **facts}
    store.append(RUN, [Event("web.acted", None, None, payload)])


def act(workspace: Workspace, store: Store, person: Person, given: Mapping[str, Any]) -> str:
    """Do what a person confirmed by typing the id of the loop, or the action; returns what was done.

    Raises UsageError for a confirmation that is none, or a loop that is not at work here.
    """
    action, run, typed = (str(given.get(name, "")) for name in ("action", "run", "typed"))
    if action not in ACTIONS:
        raise UsageError(f'no action "{action}"', mend=f"one of {', '.join(ACTIONS)}")
    due = {"start": str(given.get("strategy", "")), "stop": run, "close-all": run, WITHDRAW: run}.get(action, action)
    if not due or typed.strip() != due:
        raise UsageError(f"{action} is confirmed by typing {due or 'the id of its loop'}")
    reason = " ".join(str(given.get("reason", "")).split())[:300]
    words = {name: str(given[name])[:300] for name in ("symbols", "models", "sessions", "exchange") if given.get(name)}
    words |= {"what": due} if action == "start" else {}
    told, unrecorded = f"{person.name}, on the page" + (f": {reason}" if reason else ""), ""
    if action in SWITCHES:  # whatever has become of the store
        throw(workspace, SWITCHES[action], told)
    try:
        record(store, person, action, run=run, typed=typed[:100], reason=reason, **words)
    except SimError as error:
        if action not in (*SWITCHES, "stop", "close-all"):
            raise
        unrecorded = f"; not on record: {error.found}"
    try:
        return _do(workspace, store, person, action, run, given) + unrecorded
    except SimError as error:
        with suppress(SimError):
            record(store, person, f"{action}: refused", run=run, what=error.found[:MOST_TEXT])
        raise


def _do(workspace: Workspace, store: Store, person: Person, action: str, run: str, given: Mapping[str, Any]) -> str:
    if action == "resume":
        return "entries go on" if reset(workspace, PAUSE) else "entries were not paused"
    if action == RELEASE:
        return release(workspace, store)
    if action == "start":
        return start_test(workspace, given, lambda why: record(store, person, "start: failed", what=why[:MOST_TEXT]))
    if action == "stop":
        hearts = [one for one in read_heartbeats(workspace) if one.run == run]
        if not hearts:
            raise UsageError(f"no loop of {run} ever was at work here")
        ask_to_stop(hearts[-1])
    if action == WITHDRAW:
        withdraw(workspace, store, run, person.name)
        return f"the close-all of {run} is withdrawn: its next start trades on with what it holds"
    if action == "close-all":
        return close(workspace, run, person.name)
    return {"pause": "entries are paused", "stop": f"{run} ends after what it is doing"}.get(action, "switch is thrown")


def release(workspace: Workspace, store: Store) -> str:
    """Put the kill switch back. Raises UsageError while a loop has not ended: it would go on as if nothing had been."""
    for one in read_heartbeats(workspace):
        if one.is_running():
            raise UsageError(f"{one.run} has not ended yet", mend="wait until the overview shows it stopped")
    owed = find_owed(store)
    told = "the kill switch is released: loops may be started" if reset(workspace, STOP) else "it was not thrown"
    return told + "".join(f"; {run} closes every position first: that was asked, and is not done" for run in owed)


def close(workspace: Workspace, run: str, by: str) -> str:
    """Throw the kill switch and have the loop cancel our orders and close the positions of a test; where none is at
    work it is done from here, but for live accounts, whose sentence is typed at a terminal."""
    from simulator.runs.forward_accounts import close_all, find_registration

    def refuse(_sentence: str) -> str:
        mend = f"`sim forward close-all {run}`"
        raise UsageError("live accounts without a loop are closed by a person at a terminal; the kill switch is thrown",
                         mend=mend)  # fmt: skip

    closings = close_all(find_registration(workspace, run), workspace, refuse, by=by)
    waits = [FILL_LATER] if any(one.ordered for one in closings.values()) else []
    return "; ".join([*list_closed(closings), *waits])


def answer_all(
    workspace: Workspace, store: Store, person: Person, answers: list[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Answer trades together; returns of each what became of it. Where one is refused, none of its run is answered."""
    newest = {id: one.price for id, one in review(workspace, read_approvals(store)).items()}
    given = [
        Answer(
            str(one.get("id", "")),
            int(one["version"]),
            person.name,
            one["action"],
            str(one.get("reason", ""))[:1000],
            {name: float(value) for name, value in (one.get("changes") or {}).items()},
            one.get("price"),
            price_at=str(one.get("price_at", ""))[:40],
            newest=newest.get(str(one.get("id", ""))),
        )
        for one in answers
    ]
    rows: list[dict[str, Any]] = []
    for one, now in zip(given, answer_together(store, given), strict=True):
        if isinstance(now, StaleError):
            rows.append({"id": one.id, "ok": False, "stale": True, "text": f"changed meanwhile: {tell(now)}"})
        elif isinstance(now, SimError):
            rows.append({"id": one.id, "ok": False, "text": tell(now)})
        else:
            rows.append({"id": one.id, "ok": True, "text": f"{now.symbol} is {now.state}"})
            continue
        record(store, person, f"{one.action}: refused", id=one.id[:40], what=rows[-1]["text"][:MOST_TEXT])
    return rows


def read_preview(given: Mapping[str, str]) -> tuple[str, int, dict[str, float]]:
    """Return id, version and changes of a query. Raises UsageError where they are none."""
    try:
        changes = {name: float(one) for name, one in given.items() if one and name.rpartition(".")[2] in CHANGEABLE}
        return given.get("id", ""), int(given.get("version", "")), changes
    except ValueError:
        raise UsageError("a trade has a version, and changes are numbers") from None


def _is_number(value: object) -> bool:
    """Return True for a number that a float holds: JSON has integers of any length, and what is on record is read for
    ever."""
    return isinstance(value, int | float) and not isinstance(value, bool) and not abs(value) > MOST


def read_answers(given: Any) -> list[Mapping[str, Any]]:
    """Return the answers of a request. Raises UsageError where they are none."""
    answers = given.get("answers") if isinstance(given, dict) else None
    if not isinstance(answers, list) or not 0 < len(answers) <= 200:
        raise UsageError("1 to 200 answers are taken at once")
    for one in answers:
        changes = one.get("changes") if isinstance(one, dict) else 0
        fits = isinstance(one, dict) and type(one.get("version")) is int and one.get("action") in ANSWERS
        numbers = changes is None or (isinstance(changes, dict) and all(map(_is_number, changes.values())))
        price = one.get("price") if isinstance(one, dict) else None
        if not (fits and numbers and (price is None or (_is_number(price) and 0.0 < price < MOST))):
            raise UsageError("an answer has an id, a version, an action, and a price and changes that are numbers")
    return answers
