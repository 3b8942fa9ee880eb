"""Close of every position of a test, asked for from outside and carried out by its loop, which has the keys.

    a person ──► forward.closing: asked ──► kill switch ──► the loop stands down ──► closes ──► forward.closing: done
                                                              └── killed before: its next start closes, first of all,
                                                                  unless a person withdraws it

A request stays owed until it is carried out or expressly withdrawn, whatever becomes of the kill switch it came with:
no loop of its test starts before, and one that was starting meanwhile stands down at its first look. The orders of one
closing have the ids of one closing, whoever sends them: repeated, what is left is closed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.errors import BrokerError, UsageError
from simulator.forward.accounts import Closing, close_all_positions
from simulator.forward.alpaca import AlpacaAccount
from simulator.forward.switches import read_heartbeats
from simulator.store.database import Store
from simulator.store.events import Event, Stored
from simulator.store.kept import Kept
from simulator.workspace import Workspace

KIND = "forward.closing"

Closed = Mapping[str, tuple[list[str], dict[str, str]]]
"""{account: (symbols ordered to close, {symbol: why one was not})}; the symbol is empty where it was not reached."""


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

    def __str__(self) -> str:
        return f"{self.by or 'somebody'} asked for it on {self.since[:16].replace('T', ' ')} UTC"


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
    return newest, owed if is_owed(newest) else None


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
    """Return True for a closing that is asked for and not done, or not in every position."""
    if closing is None or closing["state"] != "done":
        return closing is not None and closing["state"] == "asked"
    return any(failed for _, failed in read(closing).values())


def read(closing: Mapping[str, Any]) -> Closed:
    """Return what came of a closing that is done."""
    return {name: (list(one["ordered"]), dict(one["failed"])) for name, one in closing["accounts"].items()}


def list_closed(closed: Closed) -> list[str]:
    """Return a line an account, and one for each position that could not be closed."""
    lines = []
    for name, (ordered, failed) in closed.items():
        lines.append(f"{name}: {', '.join(ordered) or 'nothing to close'}")
        lines += [f"{name} {symbol}: {why}" for symbol, why in failed.items()]
    return lines


def record_closed(store: Store, run: str, thrown: str, closed: Closed) -> None:
    """Put on record what came of a closing."""
    rows = {name: {"ordered": ordered, "failed": failed} for name, (ordered, failed) in closed.items()}
    store.append(run, [Event("forward.closing", None, None, {"state": "done", "thrown": thrown, "accounts": rows})])


async def close_now(accounts: Mapping[str, AlpacaAccount], run: str, thrown: str) -> Closed:
    """Cancel our orders and order the close of every position."""
    done = await close_all_positions(accounts, f"{run} {thrown}")
    return {
        name: ([one.symbol for one in it.orders], {symbol: str(error) for symbol, error in it.failed.items()})
        if isinstance(it, Closing)
        else ([], {"": str(it)})
        for name, it in done.items()
    }


async def close_if_owed(accounts: Mapping[str, AlpacaAccount], store: Store, run: str) -> None:
    """Close what was asked for, if anything was. Raises BrokerError where a position is left, SimError where the store
    does not answer."""
    if (owed := find_owed(store).get(run)) is not None:
        await close_owed(accounts, store, run, owed.thrown)


async def close_owed(accounts: Mapping[str, AlpacaAccount], store: Store, run: str, thrown: str) -> None:
    """Close what was asked for along with `thrown`. Raises as `close_if_owed`."""
    closed = await close_now(accounts, run, thrown)
    record_closed(store, run, thrown, closed)
    if left := [f"{name} {symbol}: {why}" for name, (_, failed) in closed.items() for symbol, why in failed.items()]:
        raise BrokerError(f"not closed: {'; '.join(left)}", mend="the same words go on closing")
