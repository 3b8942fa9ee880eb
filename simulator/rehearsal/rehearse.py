"""A rehearsal: the complete forward mode against the rehearsal exchange, its clock as fast as the work allows.

bars of the workspace ──► Exchange ──HTTP──► AlpacaAccount, data client ──► Session ──► store, run folder
                             └── its clock advances when the session sleeps, so nothing depends on this machine's speed
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path

from simulator.config import load_config, override_config
from simulator.exchange.exchange import Exchange
from simulator.exchange.server import Served, serve
from simulator.forward.protocols import ForwardBroker
from simulator.forward.session import Session
from simulator.market.bars import instant, moment
from simulator.market.calendar import day_of, sessions
from simulator.market.load import load_bars
from simulator.market.sources import alpaca
from simulator.market.table import BarTable
from simulator.runs.forward import open_session
from simulator.runs.spec import RunSpec
from simulator.workspace import Workspace

BEFORE_OPEN = timedelta(hours=9)
"""The clock begins so long before the first open."""

HISTORY = 600
"""Sessions before the first that may be asked for."""

SECRET = "rehearsal"
"""Of every account: the exchange takes any."""


@dataclass(frozen=True)
class ExchangeClock:
    """Clock of the exchange, which moves when the session sleeps."""

    exchange: Served

    async def now(self) -> datetime:
        return moment(self.exchange.call(lambda exchange: exchange.now))

    async def sleep_until(self, at: datetime, busy: bool = False) -> None:
        await asyncio.to_thread(self.exchange.advance, instant(at), busy)


def rehearse(
    spec: RunSpec,
    count: int,
    workspace: Workspace,
    folder: Path,
    run: str,
    open_account: Callable[[str, tuple[str, str], str], ForwardBroker],
) -> Session:
    """Rehearse `count` sessions of `spec` from `spec.first` on; what it leaves stands in `folder` and the store.

    `open_account` opens the account of a name, with key and secret, at an address.
    """
    on = sessions(spec.first, spec.first + timedelta(days=count * 2 + 10))
    last = day_of(on.session_of[count - 1])
    config = override_config(load_config(workspace.config), spec.overrides)
    symbols = tuple(dict.fromkeys((*spec.symbols, config.assets.cash_instrument)))
    loaded = load_bars(symbols, workspace.bar_folders, first=spec.first, last=last, history=HISTORY)
    begins = int(on.opens_at[0]) - int(BEFORE_OPEN.total_seconds() * 1e9)
    exchange = Exchange(loaded.bars, begins, config.accounts.cash, config.costs.slippage_bps)
    with serve(exchange, per_minute=10**9) as served:
        url = served.url

        def fetch(symbols: Sequence[str], first: date, until: date) -> Sequence[BarTable]:
            return alpaca.fetch(symbols, first, until, lambda _: None, url=url, pair=("DATA", SECRET), adjusted=False)

        def broker(name: str) -> ForwardBroker:
            return open_account(name, (name, SECRET), url)

        opened = open_session(spec, last, workspace, folder, run, broker, ExchangeClock(served), fetch)
        with opened as (session, loop):
            loop.run(session.go())
            return session
