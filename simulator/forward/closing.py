"""Close of every position of a test, asked for from outside and carried out by its loop, which has the keys.

    a person ──► forward.closing: asked ──► kill switch ──► the loop stands down ──► closes ──► forward.closing: done
                                                              │                        └── orders that wait: ordered
                                                              └── killed before: its next start closes, first of all,
                                                                  unless a person withdraws it

A request stays owed until every position is gone, for an order that waits may end unfilled, or until it is expressly
withdrawn, whatever becomes of the kill switch it came with: no loop of its test starts before, and one that was
starting meanwhile stands down at its first look. The orders of one closing have the ids of one closing, whoever sends
them: repeated, what is left is closed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from simulator.errors import BrokerError, UsageError
from simulator.forward.accounts import Closing, close_all_positions
from simulator.forward.alpaca import AlpacaAccount
from simulator.forward.switches import read_heartbeats
from simulator.store.database import Store
from simulator.store.events import Event, Stored
from simulator.store.kept import Kept
from simulator.workspace import Workspace

KIND = "forward.closing"

LOOKS, PAUSE_S = 6, 0.5
"""At positions that are ordered to close in an open market, and seconds between two."""
FILL_LATER = (
    "outside of a session these fill at the next open; the exits of the positions are withdrawn until then, and the "
    "close-all is owed until they have filled"
)


class Closed(NamedTuple):
    """Outcome of a closing in an account: symbols ordered to close and not known to have filled, {symbol: why one was
    not ordered}, with an empty symbol where the account was not reached, and symbols that are closed."""

    ordered: list[str]
    failed: dict[str, str]
    closed: list[str]


Closings = Mapping[str, Closed]
"""{account: what came of it}"""


def ask_to_close(store: Store, run: str, by: str, thrown: str) -> None:
    """Put on record that every position of `run` is to be closed, along with the kill switch thrown as `thrown`."""
    store.append(run, [Event("forward.closing", None, None, {"state": "asked", "by": by, "thrown": thrown})])


def withdraw(workspace: Workspace, store: Store, run: str, by: str) -> None:
    """Put on record that positions of `run` that were to be closed are kept. Raises UsageError where nothing is owed,
    or where a loop is at work on it."""
    if (owed := find_owed(store).get(run)) is None:
        raise UsageError(f"no close-all of {run} is owed", mend="`sim forward status` lists the loops")
    if any(one.run == run and one.is_running() for one in read_heartbeats(workspace)):
        raise UsageError(f"{run} has not ended yet: it closes", mend="wait until it has")
    facts = {"state": "withdrawn", "by": by, "thrown": owed.thrown}
    store.append(run, [Event("forward.closing", None, None, facts)])


@dataclass(frozen=True)
class Owed:
    """Close of every position that was asked for and is not done: the instant (ISO, UTC) and the person that it was
    asked at and by, and the words of the kill switch that came with it."""

    since: str
    by: str
    thrown: str
    ordered: tuple[str, ...] = ()
    """A line for each account in which an order was sent that is not known to have filled."""

    def __str__(self) -> str:
        asked = f"{self.by or 'somebody'} asked for it on {self.since[:16].replace('T', ' ')} UTC"
        return "; ".join((asked, *(f"{one}, not known to have filled" for one in self.ordered)))


_events = Kept(
    (KIND, "forward.started"), dict[str, list[Stored]], lambda known, one: known.setdefault(one.run_id, []).append(one)
)


def read_closing(store: Store, run: str, thrown: str | None = None) -> Mapping[str, Any] | None:
    """Return the newest state of the closing of `run`, or of the one that came with `thrown`; None where none is asked
    for."""
    with _events.of(store) as known:
        return _fold(known.get(run, ()), thrown)[0]


def _fold(stored: Sequence[Stored], thrown: str | None = None) -> tuple[Mapping[str, Any] | None, Owed | None]:
    """Return the newest state of a closing, and who asked for what of it is owed."""
    newest: Mapping[str, Any] | None = None
    owed: Owed | None = None
    for one in stored:
        given = one.event.payload
        if one.event.kind != KIND:
            newest = newest if is_owed(newest) else None  # a loop trades on; what was asked while it started is owed
        elif thrown in (None, given["thrown"]) and not _is_repeated(given, newest):
            newest = given
            if given["state"] == "asked":
                owed = Owed(one.recorded_at, str(given.get("by", "")), str(given["thrown"]))
    if newest is None or owed is None or not is_owed(newest):
        return newest, None
    waiting = {name: one for name, one in read(newest).items() if one.ordered}
    return newest, replace(owed, ordered=tuple(list_closed(waiting)))


def _is_repeated(closing: Mapping[str, Any], newest: Mapping[str, Any] | None) -> bool:
    """Return True for a request that was made before: what came of it stands."""
    if newest is None or closing["state"] != "asked" or newest["state"] == "withdrawn":
        return False
    return bool(closing["thrown"] == newest["thrown"])


def find_owed(store: Store) -> dict[str, Owed]:
    """Return the tests whose positions were to be closed, and are not."""
    with _events.of(store) as known:
        found = {run: _fold(stored)[1] for run, stored in known.items()}
    return {run: owed for run, owed in found.items() if owed is not None}


def is_owed(closing: Mapping[str, Any] | None) -> bool:
    """Return True for a closing that is asked for and not done, or not in every position. Of records that earlier
    versions made, ``done`` meant ordered."""
    if closing is None or closing["state"] != "done":
        return closing is not None and closing["state"] != "withdrawn"
    return any(one.failed for one in read(closing).values())


def read(closing: Mapping[str, Any]) -> Closings:
    """Return what came of a closing, nothing of one that is only asked for."""
    return {
        name: Closed(list(one["ordered"]), dict(one["failed"]), list(one.get("closed", ())))
        for name, one in closing.get("accounts", {}).items()
    }


def list_closed(closings: Closings) -> list[str]:
    """Return a line an account, and one for each position that could not be closed."""
    lines = []
    for name, (ordered, failed, closed) in closings.items():
        came = [
            f"{', '.join(them)} {word}" for them, word in ((closed, "closed"), (ordered, "ordered to close")) if them
        ]
        lines.append(f"{name}: {', '.join(came) or 'nothing to close'}")
        lines += [f"{name}: {symbol or 'not reached'}: {why}" for symbol, why in failed.items()]
    return lines


def record_closed(store: Store, run: str, thrown: str, closings: Closings) -> None:
    """Put on record what came of a closing."""
    rows = {name: one._asdict() for name, one in closings.items()}
    state = "ordered" if any(one.ordered for one in closings.values()) else "done"
    store.append(run, [Event("forward.closing", None, None, {"state": state, "thrown": thrown, "accounts": rows})])


async def close_now(accounts: Mapping[str, AlpacaAccount], run: str, thrown: str) -> Closings:
    """Cancel our orders and order the close of every position; in an open market it is waited for a moment until they
    have filled."""
    done = await close_all_positions(accounts, f"{run} {thrown}")

    async def look(name: str) -> Closed:
        found = done[name]
        if not isinstance(found, Closing):
            return Closed([], {"": str(found)}, [])
        ordered, failed = [one.symbol for one in found.orders], {one: str(why) for one, why in found.failed.items()}
        left = await _find_left(accounts[name], ordered)
        return Closed([one for one in ordered if one in left], failed, [one for one in ordered if one not in left])

    return dict(zip(done, await asyncio.gather(*map(look, done)), strict=True))


async def _find_left(account: AlpacaAccount, ordered: Sequence[str]) -> set[str]:
    """Return the symbols whose order to close is not known to have filled."""
    left = set(ordered)
    with suppress(BrokerError):
        for _ in range(LOOKS if left else 0):
            left &= (await account.positions()).keys()
            if not left or not (await account.clock()).is_open:
                break
            await asyncio.sleep(PAUSE_S)
    return left


async def close_if_owed(accounts: Mapping[str, AlpacaAccount], store: Store, run: str) -> None:
    """Close what was asked for, if anything was. Raises BrokerError where a position is left, SimError where the store
    does not answer."""
    if (owed := find_owed(store).get(run)) is not None:
        await close_owed(accounts, store, run, owed.thrown)


async def close_owed(accounts: Mapping[str, AlpacaAccount], store: Store, run: str, thrown: str) -> Closings:
    """Close what was asked for along with `thrown`. Raises as `close_if_owed`."""
    closings = await close_now(accounts, run, thrown)
    record_closed(store, run, thrown, closings)
    if left := [f"{name} {symbol}: {why}" for name, one in closings.items() for symbol, why in one.failed.items()]:
        raise BrokerError(f"not closed: {'; '.join(left)}", mend="the same words go on closing")
    return closings
