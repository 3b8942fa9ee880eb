"""Accounts of a forward test from outside its loop: closed all at once, or held against its books.

RUN ──► its registration: accounts and their numbers ──► keys ──► close_all, reconcile
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from math import isclose
from typing import TypeVar

from simulator.errors import BrokerError, UsageError
from simulator.forward.accounts import Closing, close_all_positions, get_all_accounts
from simulator.forward.alpaca import AlpacaAccount
from simulator.forward.mode import Keys
from simulator.forward.registration import Registration, registrations
from simulator.forward.settings import load_settings
from simulator.forward.status import read_positions
from simulator.forward.switches import STOP, read_heartbeats, read_switches, throw
from simulator.runs.forward import exchange_of
from simulator.runs.forward_start import Ask, make_patience, open_all_keys
from simulator.store.database import open_store
from simulator.trading.model import Book
from simulator.workspace import Workspace

T = TypeVar("T")
LOOP_ENDS_WITHIN_S = 30.0


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
    """Raise UsageError where `run` is a rehearsal, whose accounts ended with its exchange."""
    ids = [one.name.rpartition("-")[2] for one in workspace.reports.glob("forward-*") if one.is_dir()]
    found = [one for one in ids if one.startswith(run)]
    if found:
        mend = f"`sim forward report {found[0]}` and `sim forward parity {found[0]}` read what it left"
        raise UsageError(f"{found[0]} is a rehearsal: its accounts ended with its exchange", mend=mend)


def close_all(
    registration: Registration, workspace: Workspace, ask: Ask, url: str | None = None
) -> dict[str, Closing | BrokerError]:
    """Throw the kill switch, wait for the loop to end, cancel our orders and order the close of every position.

    Repeated, it goes on with the same closing until the switch is put back. Raises ConfigError where keys are missing.
    """
    if load_settings(workspace.config).mode != "live":
        _open_keys(registration, workspace, ask, url)  # refused before a loop ends for nothing: pages may have no keys
    throw(workspace, STOP, f"close-all at {datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC")
    until = time.monotonic() + LOOP_ENDS_WITHIN_S
    while any(one.is_running() for one in read_heartbeats(workspace) if one.run == registration.id):
        if time.monotonic() > until:
            break  # it hangs, and what hangs orders nothing
        time.sleep(0.1)
    reason = f"{registration.id} {read_switches(workspace).stop}"
    return _with_accounts(registration, workspace, ask, url, lambda some: close_all_positions(some, reason))


def read_closings(found: Mapping[str, Closing | BrokerError]) -> dict[str, tuple[list[str], dict[str, str]]]:
    """Return {account: (symbols ordered to close, {symbol: why one was not})} of what `close_all` returned; the symbol
    is empty where the account was not reached."""
    return {
        name: ([one.symbol for one in done.orders], {symbol: str(error) for symbol, error in done.failed.items()})
        if isinstance(done, Closing)
        else ([], {"": str(done)})
        for name, done in found.items()
    }


def reconcile(registration: Registration, workspace: Workspace, ask: Ask, url: str | None = None) -> Reconciled:
    """Hold the books of every account against what its broker has. Changes nothing."""
    with open_store(workspace) as store:
        events = store.of_forward(registration.id)
    answers = _with_accounts(registration, workspace, ask, url, get_all_accounts)
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


def _with_accounts(
    registration: Registration, workspace: Workspace, ask: Ask, url: str | None,
    work: Callable[[Mapping[str, AlpacaAccount]], Awaitable[T]],
) -> T:  # fmt: skip
    keys, url = _open_keys(registration, workspace, ask, url)
    patience = make_patience(load_settings(workspace.config))

    @asynccontextmanager
    async def open_accounts() -> AsyncIterator[dict[str, AlpacaAccount]]:
        numbers = registration.accounts
        some = {
            name: AlpacaAccount(one, url=url, number=numbers[name], patience=patience) for name, one in keys.items()
        }
        try:
            yield some
        finally:
            for one in some.values():
                one.close()

    async def run() -> T:
        async with open_accounts() as some:
            return await work(some)

    return asyncio.run(run())
