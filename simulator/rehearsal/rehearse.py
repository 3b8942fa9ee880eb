"""A rehearsal: the complete forward mode against the rehearsal exchange, its clock as fast as the work allows.

bars of the workspace ──► Exchange ──HTTP──► AlpacaAccount, data client ──► Session ──► store, run folder
                             └── its clock advances when the session sleeps, so nothing depends on this machine's speed

The exchange lives in this process, or in one of its own (`python -m simulator.exchange`). Either comes back after a
kill: the session from the store and the broker, the exchange from its journal in the run's folder.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import urllib.error
import urllib.request
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from simulator.config import Config, load_config, override_config
from simulator.errors import BrokerError
from simulator.exchange.accounts import PaperAccount
from simulator.exchange.exchange import Exchange
from simulator.exchange.faults import Faults
from simulator.exchange.journal import Journal
from simulator.exchange.server import serve
from simulator.forward.actions import alpaca_source
from simulator.forward.alpaca import AlpacaAccount
from simulator.forward.market_data import MarketData
from simulator.forward.mode import make_rehearsal_keys
from simulator.forward.protocols import ForwardBroker
from simulator.forward.quotes import QuotesOfWaiting
from simulator.forward.registration import Registration, as_begun, register
from simulator.forward.requests import Patience
from simulator.forward.session import Session
from simulator.forward.settings import load_settings
from simulator.market.bars import instant, moment
from simulator.market.calendar import day_of, sessions
from simulator.market.load import Loaded, available, load_bars
from simulator.market.news import load_news
from simulator.market.table import DAILY
from simulator.number_format import counted
from simulator.rehearsal.answers import PERSON, answer_by_script, parse_answers, wait_for_person
from simulator.runs.forward import as_traded, members_of, open_session, record_start
from simulator.runs.gateway_setup import open_gateway
from simulator.runs.load_inputs import find_benchmark
from simulator.runs.registering import Backtest, make_registration
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import Loaded as LoadedStrategy
from simulator.runs.strategies import load_strategy
from simulator.store.database import open_store
from simulator.trading.execution import ExecutionRules
from simulator.workspace import Workspace

BEFORE_OPEN = timedelta(hours=9)
"""The clock begins so long before the first open."""
HISTORY = 600
"""Sessions before the first that may be asked for."""
SECRET = "rehearsal"
"""Of every account: the exchange takes any."""
JOURNAL = "exchange.jsonl"
PATIENCE = Patience(connect_s=2.0, read_s=0.5, whole_s=2.0, attempts=8, backoff_s=0.01, settle_s=2.0)
"""A broker on this machine answers at once or not at all."""

Told = Callable[[int, int, str], None]
"""Called with sessions done, all sessions, and what happened so far."""


@dataclass(frozen=True)
class Rehearsal:
    """Rehearsal of `count` sessions of `spec` from `spec.first` on, with the faults and deeds of a `script` of the
    exchange, drawn from `seed`. `backtest` is a run that says what is expected.

    Where `answers` are given, ``person`` or the lines of a script of them, every entry waits for approval.
    """

    spec: RunSpec
    count: int
    workspace: Workspace
    script: tuple[str, ...] = ()
    seed: int = 0
    answers: tuple[str, ...] | None = None
    backtest: Backtest | None = None
    until: tuple[datetime, bool] | None = None
    """Of unattended sessions: before the loop sleeps past that instant it ends, asked to (True) or killed. What an
    earlier version of the program began goes on."""

    @cached_property
    def config(self) -> Config:
        return override_config(load_config(self.workspace.config), self.spec.overrides)

    @cached_property
    def last(self) -> date:
        """The last session. Raises DataError where the calendar has no such."""
        on = sessions(self.spec.first, self.spec.first + timedelta(days=self.count * 2 + 10))
        return day_of(on.session_of[self.count - 1])

    @cached_property
    def strategy(self) -> LoadedStrategy:
        """Strategy as the rehearsal begins with it."""
        spec = as_traded(self.spec)
        with open_gateway(spec, self.workspace, self.config) as asking:
            return load_strategy(spec.strategy, self.workspace.strategies, asking, spec.own, len(spec.symbols))

    @cached_property
    def registration(self) -> Registration:
        """Registration of the rehearsal: the same again is the same, and goes on where that ended."""
        spec, own = as_traded(self.spec), self.strategy
        keys = {name: make_rehearsal_keys(name) for name in members_of(own.strategy, self.config)}
        # An account that is reset at the exchange is another one, as it would be at Alpaca.
        numbers = {name: PaperAccount(one.key, one.secret, 0).number for name, one in keys.items()}
        begins = moment(int(sessions(spec.first, self.last).opens_at[0])) - BEFORE_OPEN
        terms = load_settings(self.workspace.config).terms
        made = make_registration(self.spec, own, self.config, numbers, begins, backtest=self.backtest, terms=terms)
        first, bars, script = str(spec.first), str(spec.bars or ""), list(self.script)
        asked = {"first": first, "sessions": self.count, "bars": bars, "script": script, "seed": self.seed}
        answers = {} if self.answers is None else {"answers": list(self.answers)}
        made = replace(made, rehearsal={**asked, **answers})
        return made if self.until is None else as_begun(made, self.workspace.reports)

    @property
    def run(self) -> str:
        """Ten hex digits."""
        return self.registration.id

    @property
    def folder(self) -> Path:
        return self.workspace.reports / self.registration.folder

    @cached_property
    def loaded(self) -> Loaded:
        """Bars of all that is listed at the exchange: the cash instrument and what a desk measures strength against
        too, where they have bars of the same kind."""
        folders, symbols = self.workspace.bar_folders, self.spec.symbols
        load = partial(load_bars, data=folders, first=self.spec.first, last=self.last, history=HISTORY)
        named = find_benchmark(self.strategy.strategy, symbols, self.workspace)
        loaded, files = load(symbols), available(folders)
        frequency = loaded.bars.frequency
        cash = (self.config.assets.cash_instrument,) if frequency == DAILY else ()
        beside = (*cash, *(one for one in named if files[one].read().frequency == frequency))
        return load(tuple(dict.fromkeys((*symbols, *beside)))) if beside else loaded

    def open_exchange(self) -> Exchange:
        """Return the exchange as it is before anybody came."""
        loaded = self.loaded
        begins = int(loaded.bars.opens_at[loaded.start]) - int(BEFORE_OPEN.total_seconds() * 1e9)
        rules = ExecutionRules.from_config(self.config.risk, self.config.costs)
        # As at a paper account: own books charge commission, by replay's rules.
        rules = replace(rules, commission_per_share=0.0, commission_bps=0.0, commission_min=0.0)
        news = load_news(self.workspace.news)
        return Exchange(loaded.bars, begins, self.config.accounts.cash, rules=rules, news=news)


@dataclass
class Conductor:
    """Conducts the exchange at `url`, as `docs/exchange.md` has it: it is also the clock of the session, which moves
    when that sleeps.

    It comes to one of `points` before what opens then, as a replay decides before the bar that begins; asked for the
    same instant again it lets that open.
    """

    url: str
    told: Callable[[datetime], None] | None = None
    points: Collection[datetime] = ()

    def ask(self, what: str = "", **body: object) -> dict[str, Any]:
        """Return the state of the exchange, after `what` was done. Raises BrokerError."""
        content = json.dumps(body).encode() if body else None
        request = urllib.request.Request(f"{self.url}/rehearsal{what and '/'}{what}", content)
        try:
            with urllib.request.urlopen(request) as answer:
                return dict(json.load(answer))
        except (OSError, ValueError) as error:
            told = error.read().decode(errors="replace") if isinstance(error, urllib.error.HTTPError) else error
            raise BrokerError(f"the rehearsal exchange does not answer: {told}", where=self.url) from None

    async def now(self) -> datetime:
        state = await asyncio.to_thread(self.ask)
        return datetime.fromisoformat(state["now"])

    async def sleep_until(self, at: datetime, busy: bool = False) -> None:
        if self.told is not None:
            self.told(at)
        now, point = await self.now(), at in self.points
        if now < at:
            await asyncio.to_thread(self.ask, "advance", to=at.isoformat(), first_event=busy, before_open=point)
        elif now == at and point:
            await asyncio.to_thread(self.ask, "advance", to=at.isoformat())


async def pass_time(seconds: float) -> None:
    """Wait for a minute of requests to pass, or before another attempt: the exchange's clock stands meanwhile."""
    await asyncio.sleep(min(seconds, 0.01))


@contextmanager
def exchange_at(rehearsal: Rehearsal, url: str | None) -> Iterator[str]:
    """Yield the address of the exchange: that of a process of its own, or of one that this process serves."""
    if url is not None:
        yield url
        return
    journal = Journal(rehearsal.folder / JOURNAL, rehearsal.run)
    exchange = rehearsal.open_exchange()
    with serve(exchange, Faults(seed=rehearsal.seed, script=rehearsal.script), 10**9, journal) as served:
        yield served.url


def rehearse(rehearsal: Rehearsal, told: Told | None = None, url: str | None = None) -> Session:
    """Hold the sessions of a rehearsal, or what is left of them; what it leaves stands in its folder and the store.

    `url` is the address of an exchange that runs already. Raises SimError.
    """
    spec, workspace, frequency = rehearsal.spec, rehearsal.workspace, rehearsal.loaded.bars.frequency
    with open_store(workspace) as store:
        registration, _ = register(rehearsal.registration, workspace.reports, store)
    with ExitStack() as opened:
        address = opened.enter_context(exchange_at(rehearsal, url))
        clock = Conductor(address)

        own = load_settings(workspace.config)
        keys = make_rehearsal_keys("DATA")
        data = alpaca_source(keys, address, PATIENCE, frequency, own.bars_feed, own.news == "broker")

        def broker(name: str) -> ForwardBroker:
            keys, number = make_rehearsal_keys(name), registration.accounts[name]
            account = AlpacaAccount(keys, url=address, number=number, patience=PATIENCE, sleep=pass_time)
            return opened.enter_context(closing(account))

        asked = open_session(spec, rehearsal.last, workspace, registration, "rehearsal", broker, clock, data)
        session, loop = opened.enter_context(asked)
        clock.points = {moment(at) for at in session.agenda().instants.tolist()}
        if session.watch is not None and rehearsal.answers is not None:
            asking = {"approval": session.watch.settings.approval or "required"}
            session.watch.settings = session.watch.settings.model_copy(update=asking)
        if rehearsal.answers == (PERSON,) and session.watch is not None:
            prices = opened.enter_context(closing(MarketData(keys, url=address, patience=PATIENCE)))
            session.staging.quotes = QuotesOfWaiting(prices.quotes)
            session.answering = partial(wait_for_person, session.watch.look)
        elif rehearsal.answers is not None:
            session.answering = partial(answer_by_script, parse_answers(rehearsal.answers))
        session.locks = rehearsal.folder / "locks"  # accounts of one number at another exchange are others
        record_start(session, spec, rehearsed=True, seed=rehearsal.seed, script=list(rehearsal.script))
        clock.told = partial(_go_on, rehearsal, session, told)
        loop.run(session.go())
        _record_refused(session, clock.ask().get("refused", []))
        return session


def _go_on(rehearsal: Rehearsal, session: Session, told: Told | None, at: datetime) -> None:
    """Tell how far `session` has come, or end it where that was asked for."""
    if told is not None:
        told(*progress(session, at))
    if rehearsal.until is not None and at >= rehearsal.until[0]:
        if not rehearsal.until[1]:
            os.kill(os.getpid(), signal.SIGKILL)
        if session.watch is not None:
            session.watch.stop_asked = "an upgrade or a restart"


def _record_refused(session: Session, deeds: Sequence[Mapping[str, str]]) -> None:
    """Put on record, once, the deeds of the script that the exchange refused."""
    events = session.store.of_forward(session.run)
    there = {str(one.event.payload.get("text")) for one in events if one.event.kind == "forward.alert"}
    for one in deeds:
        text = f"the script's {one['deed']} at {one['at']}: {one['why']}"
        if text not in there:
            session.record("alert", datetime.fromisoformat(one["at"]), "", {"kind": "deed refused", "text": text})


def progress(session: Session, at: datetime) -> tuple[int, int, str]:
    """Return (sessions done, all sessions, a line of what happened) as of `at`."""
    on = sessions(session.first, session.last)
    orders = sum(trader.state.sent for trader in session.traders)
    return int((on.closes_at < instant(at)).sum()), len(on), f"{at:%Y-%m-%d %H:%M} · {counted(orders, 'order')}"
