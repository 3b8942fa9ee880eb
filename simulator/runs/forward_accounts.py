"""Accounts of a forward test from outside its loop: closed all at once, or held against its books.

RUN ──► its registration: accounts and their numbers ──► its loop, or keys ──► close_all, reconcile
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isclose

from simulator.errors import BrokerError, ConfigError, SimError, UsageError
from simulator.forward.accounts import get_all_accounts
from simulator.forward.closing import Closings, ask_to_close, close_now, read, read_closing, record_closed
from simulator.forward.lock import hold
from simulator.forward.mode import Keys
from simulator.forward.registration import Registration, registrations
from simulator.forward.settings import load_settings
from simulator.forward.status import read_positions
from simulator.forward.switches import STOP, Heartbeat, read_heartbeats, read_switches, throw
from simulator.runs.forward import exchange_of
from simulator.runs.forward_start import Ask, exchange_locks, make_patience, open_all_keys, with_accounts
from simulator.store.database import Store, open_store
from simulator.trading.model import Book
from simulator.workspace import Workspace

LOOP_ENDS_WITHIN_S, LOOP_CLOSES_WITHIN_S = 30.0, 300.0


@dataclass(frozen=True)
class Difference:
    """A symbol of which the broker holds other shares than the books have."""

    account: str
    symbol: str
    booked: float
    held: float


@dataclass(frozen=True)
class Reconciled:
    """Differences, {account: why it could not be asked}, and open orders that are not ours, by account and id."""

    differences: tuple[Difference, ...]
    failed: Mapping[str, BrokerError]
    external: tuple[tuple[str, str, str], ...]


def find_registration(workspace: Workspace, run: str | None) -> Registration:
    """Return the registration `run`, an id or its beginning, stands for; without one the last that was at work.

    Raises UsageError where there is none, or several.
    """
    known = {one.id: one for one in registrations(workspace.reports)}
    hearts = [heart.run for heart in read_heartbeats(workspace) if heart.run in known]
    if run and not any(one.startswith(run) for one in known):
        _refuse_rehearsal(workspace, run)
    found = [hearts[-1]] if run is None and hearts else [one for one in known if run is None or one.startswith(run)]
    if len(found) != 1:
        mend = f"name one of {', '.join(known)}" if known else "`sim forward start` registers one"
        raise UsageError(f"{len(found) or 'no'} forward tests fit" if known else "no forward test here", mend=mend)
    return known[found[0]]


def _refuse_rehearsal(workspace: Workspace, run: str) -> None:
    """Raise UsageError where `run` is a rehearsal, whose accounts end with its exchange."""
    ids = [one.name.rpartition("-")[2] for one in workspace.reports.glob("forward-*") if one.is_dir()]
    found = [one for one in ids if one.startswith(run)]
    if found:
        mend = f"`sim forward report {found[0]}` and `sim forward parity {found[0]}` read what it left"
        raise UsageError(
            f"{found[0]} is a rehearsal: its accounts are those of its exchange, which ends with it", mend=mend
        )


def close_all(
    registration: Registration, workspace: Workspace, ask: Ask, url: str | None = None, by: str = ""
) -> Closings:
    """Throw the kill switch, cancel our orders and order the close of every position; returns what came of it.

    The loop does it, which has the keys. Where none is at work, or it hangs, it is done here. Repeated, it goes on with
    the same closing until the switch is put back. Raises ConfigError where keys are missing here.
    """
    run, settings = registration.id, load_settings(workspace.config)
    at_work = _find_heart(workspace, run) is not None
    if not at_work and settings.mode != "live":
        _open_keys(registration, workspace, ask, url)  # refused before a switch is thrown for nothing
    thrown = read_switches(workspace).stop or f"close-all at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"
    with open_store(workspace) as store:
        with suppress(SimError):  # a store that takes nothing keeps nobody from the switch
            ask_to_close(store, run, by, thrown)
        throw(workspace, STOP, thrown)
        if at_work and (closed := _wait_for_loop(workspace, store, run, thrown)) is not None:
            return closed
        try:
            keys, url = _open_keys(registration, workspace, ask, url)
        except ConfigError as error:
            what = f"the kill switch is thrown, and the loop of {run} hangs or ended without closing; {error.found}"
            mend = f"`sim forward close-all {run}` where its keys are, or start it again: it closes first"
            raise UsageError(what, mend=mend) from None
        numbers = [f"account {one}" for one in registration.accounts.values()]
        is_hanging = _find_heart(workspace, run) is not None
        with nullcontext() if is_hanging else hold(numbers, exchange_locks(url)):  # a start would close beside it
            patience = make_patience(settings)
            closed = with_accounts(keys, registration, url, patience, lambda some: close_now(some, run, thrown))
        with suppress(SimError):
            record_closed(store, run, thrown, closed)
        return closed


def _find_heart(workspace: Workspace, run: str) -> Heartbeat | None:
    return next((one for one in read_heartbeats(workspace) if one.run == run and one.is_running()), None)


def _wait_for_loop(workspace: Workspace, store: Store, run: str, thrown: str) -> Closings | None:
    """Return what the loop closed; None where it ended without that, or hangs, and what hangs orders nothing."""
    until, latest = time.monotonic() + LOOP_ENDS_WITHIN_S, time.monotonic() + LOOP_CLOSES_WITHIN_S
    while True:
        heart, now = _find_heart(workspace, run), time.monotonic()
        with suppress(SimError):
            found = read_closing(store, run, thrown)
            if found is not None and found["state"] != "asked":
                return read(found)
        if heart is None or (now > until and heart.state != "stopping"):
            return None
        if now > latest:
            what = f"the kill switch is thrown, and the loop of {run} is still closing (process {heart.pid})"
            raise BrokerError(what, mend="`sim forward status` says when it has ended")
        time.sleep(0.1)


def reconcile(registration: Registration, workspace: Workspace, ask: Ask, url: str | None = None) -> Reconciled:
    """Hold the books of every account against what its broker has. Changes nothing."""
    with open_store(workspace) as store:
        events = store.of_forward(registration.id)
    keys, url = _open_keys(registration, workspace, ask, url)
    patience = make_patience(load_settings(workspace.config))
    answers = with_accounts(keys, registration, url, patience, get_all_accounts)
    books = {name: book for name, book in answers.items() if isinstance(book, Book)}
    differences = []
    for name, book in books.items():
        booked = read_positions(name, events)
        for symbol in sorted({*booked, *book.positions}):
            pair = booked.get(symbol, 0.0), book.positions.get(symbol, 0.0)
            if not isclose(*pair, rel_tol=1e-9, abs_tol=1e-6):
                differences.append(Difference(name, symbol, *pair))
    external = tuple(
        (name, order.symbol, order.client_order_id)
        for name, book in books.items()
        for order in book.open_orders
        if order.external
    )
    failed = {name: error for name, error in answers.items() if isinstance(error, BrokerError)}
    return Reconciled(tuple(differences), failed, external)


def _open_keys(
    registration: Registration, workspace: Workspace, ask: Ask, url: str | None
) -> tuple[dict[str, Keys], str | None]:
    """Return the keys of all accounts, and the rehearsal exchange they traded at, None for Alpaca."""
    with open_store(workspace) as store:
        events = [one.event for one in store.of_forward(registration.id)]
    url = url or exchange_of(events)
    if url is None and any(one.payload.get("rehearsed") for one in events):
        raise UsageError(f"{registration.id} traded at a rehearsal exchange", mend="name it: --exchange URL")
    return open_all_keys(tuple(registration.accounts), load_settings(workspace.config), url, ask), url
