"""Start of a forward test: everything that must be so before the first order, and then the loop itself.

    keys ──► number of each account ──► registration, on disk and on record ──► Session
    broker's clock ───┘ first session                        BrokerClock, AlpacaAccount, alpaca_source ──┘

The same words go on with the test they began: its registration has the same id, and says when it began.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, aclosing, asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from functools import partial
from pathlib import Path
from types import FrameType
from typing import TypeVar
from urllib.parse import urlsplit

from simulator.config import Config, load_config, override_config
from simulator.errors import BrokerError, UsageError
from simulator.forward.actions import alpaca_source
from simulator.forward.alpaca import AlpacaAccount
from simulator.forward.clock import BrokerClock, ask_broker
from simulator.forward.closing import Owed, close_if_owed, close_owed, find_owed
from simulator.forward.lock import hold, locks_folder, refuse_shared
from simulator.forward.market_data import MarketData
from simulator.forward.mode import Keys, make_rehearsal_keys, open_keys
from simulator.forward.quotes import QuotesOfWaiting
from simulator.forward.registration import Registration, as_begun, register, registrations
from simulator.forward.requests import Patience, UnsentError
from simulator.forward.session import Session
from simulator.forward.settings import Forward, load_settings
from simulator.forward.switches import STOP, Heartbeat, beat, give_up, read_switches, refuse_if_stopped
from simulator.forward.watch import StoppedError
from simulator.market.calendar import NEW_YORK, day_of, sessions
from simulator.market.table import DAILY
from simulator.runs.forward import as_traded, members_of, open_session, record_start
from simulator.runs.gateway_setup import open_gateway
from simulator.runs.load_inputs import find_benchmark
from simulator.runs.registering import Backtest, make_registration
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import Loaded, load_strategy
from simulator.store.database import Store, open_store
from simulator.trading.broker import UnansweredError
from simulator.trading.model import Book
from simulator.trading.strategy import points_of
from simulator.workspace import Workspace

T = TypeVar("T")

LISTEN_AGAIN_S = 5.0
ANNOUNCED_DAYS = 340
"""Days ahead of which the exchange's calendar is surely known."""


@dataclass(frozen=True)
class ForwardTest:
    """A test that is asked for: `spec` without its dates, the most `sessions` it is traded for, and the smallest ratio
    a year, of what it earns beyond its own usual exposure, that is of interest. `url` is a rehearsal exchange on this
    machine, `backtest` what starts its usual exposure."""

    spec: RunSpec
    sessions: int = 252
    smallest_edge: float = 1.0
    url: str | None = None
    backtest: Backtest | None = None
    frequency: str = DAILY
    """Bars that it is decided and filled on: ``1d``, or so many minutes, as ``5min``."""


Ask = Callable[[str], str]
"""Shows a sentence that is to be typed, and returns what was."""


def start_forward(
    test: ForwardTest,
    workspace: Workspace,
    ask: Ask,
    tell: Callable[[Registration, bool, date, date], None],
    echo: Callable[[str], None] = lambda _line: None,
) -> Session:
    """Trade `test` until its last session, or until it is stopped; returns the session as it ended.

    `ask` is called before live trading alone. `tell` gets the registration, True where it is new, and the first and
    last session, `echo` a line for each alert. Raises StoppedError where the loop was stopped from outside,
    ConfigError and UsageError for what must be mended first, BrokerError where no broker answers.
    """
    with open_store(workspace) as store:
        if not find_owed(store):
            refuse_if_stopped(workspace)
    spec = as_traded(test.spec)
    config = override_config(load_config(workspace.config), spec.overrides)
    settings = load_settings(workspace.config, config.accounts.accounts)
    with open_gateway(spec, workspace, config) as asking:
        loaded = load_strategy(spec.strategy, workspace.strategies, asking, spec.own, len(spec.symbols))
    find_benchmark(loaded.strategy, spec.symbols, workspace)
    names = tuple(members_of(loaded.strategy, config))
    keys = open_all_keys(names, settings, test.url, ask)
    patience = make_patience(settings)
    books, numbers, now = asyncio.run(_introduce(keys, test.url, patience))
    edge, terms = test.smallest_edge, {**settings.terms, "bars": test.frequency}
    made = make_registration(test.spec, loaded, config, numbers, now, edge, test.backtest, terms)
    made = as_begun(made, workspace.reports)
    locks = hold([f"test {made.id}", *(f"account {one}" for one in numbers.values())], exchange_locks(test.url))
    with locks, open_store(workspace) as store:
        if (owed := find_owed(store).get(made.id)) is not None:
            _close_first(made, keys, test.url, settings, workspace, store, owed)
        refuse_if_stopped(workspace)
        if test.url is None:  # accounts of one number at two rehearsal exchanges are two
            refuse_shared(store, made.id, numbers.values())
        if not any("opening" in one.event.payload for one in store.of_forward(made.id)):
            refuse_held(made.id, books, numbers, registrations(workspace.reports))
        registration, fresh = register(made, workspace.reports, store)
    first = first_session(datetime.fromisoformat(registration.registered_at), loaded, config)
    announced = sessions(first, first + timedelta(days=min(test.sessions * 8 // 5 + 10, ANNOUNCED_DAYS)))
    last = day_of(announced.session_of[: test.sessions][-1])
    tell(registration, fresh, first, last)
    if fresh and (passed := list_passed(now, first, loaded, config)):
        echo(passed)
    loop = Loop(replace(spec, first=first), last, workspace, registration, keys, test.url, settings, echo)
    return loop.run()


def _close_first(
    test: Registration,
    keys: Mapping[str, Keys],
    url: str | None,
    settings: Forward,
    workspace: Workspace,
    store: Store,
    owed: Owed,
) -> None:
    """Close what a loop that was killed did not, or what was ordered and is not known to have filled; returns where
    that has. Raises StoppedError once anything is ordered, BrokerError where it could not be."""
    heart = _make_heart(test, settings, url, "stopping")
    beat(workspace, heart)
    try:
        patience = make_patience(settings)
        closings = with_accounts(keys, test, url, patience, lambda some: close_owed(some, store, test.id, owed.thrown))
    finally:
        beat(workspace, replace(heart, state="stopped"))
    then = f"`rm {STOP}`" if read_switches(workspace).stop is not None else "the same words trade on"
    waits = any(one.ordered for one in closings.values())
    if owed.ordered and not waits and not any(one.closed for one in closings.values()):
        return
    done = "ordered, and closed first again until it has filled" if waits else "done"
    raise StoppedError(f"every position was to be closed, and that is {done}; then {then}")


def _mode_of(settings: Forward, url: str | None) -> str:
    return settings.mode if url is None else "rehearsal"


def _make_heart(test: Registration, settings: Forward, url: str | None, state: str) -> Heartbeat:
    """Return the heartbeat of a test before its loop has one of its own."""
    now, every = datetime.now(UTC).isoformat(), settings.heartbeat_s
    return Heartbeat(test.id, test.strategy, test.accounts, _mode_of(settings, url), state, now, now, None, every)


def with_accounts(
    keys: Mapping[str, Keys], test: Registration, url: str | None, patience: Patience,
    work: Callable[[Mapping[str, AlpacaAccount]], Awaitable[T]],
) -> T:  # fmt: skip
    """Return what `work` does with the accounts of a test, whose `keys` these are."""
    opened = {
        name: AlpacaAccount(one, url=url, number=test.accounts[name], patience=patience) for name, one in keys.items()
    }

    async def run() -> T:
        return await work(opened)

    try:
        return asyncio.run(run())
    finally:
        for one in opened.values():
            one.close()


def make_patience(settings: Forward) -> Patience:
    """Return how long a broker is waited for, by config/forward.yaml."""
    timeout = settings.timeout_s
    return Patience(
        connect_s=min(5.0, timeout), read_s=timeout, whole_s=2.0 * timeout, clock_limit_s=settings.clock_tolerance_s
    )


def open_all_keys(names: tuple[str, ...], settings: Forward, url: str | None, ask: Ask) -> dict[str, Keys]:
    """Return the keys of all accounts that are traded together: a rehearsal's where there is a `url`.

    Raises ConfigError for what is missing, before anything is asked of a person.
    """
    if url is not None:
        return {name: make_rehearsal_keys(name) for name in names}
    typed = ""
    if settings.mode == "live":
        from simulator.forward.mode import find_lacks, sentence

        lacks = [lack for name in names for lack in find_lacks(name, settings, names, sentence(names))]
        typed = "" if lacks else ask(sentence(names))  # nobody types it for what cannot be
    return {name: open_keys(name, settings, names, typed) for name in names}


def exchange_locks(url: str | None) -> Path | None:
    """Return the folder of locks, the same for all workspaces: accounts of one number elsewhere are others."""
    if url is None:
        return None
    port = str(urlsplit(url).port)  # `check_address` allows this machine alone, which has several names
    return locks_folder() / hashlib.sha256(port.encode()).hexdigest()[:16]


def refuse_held(run: str, books: Mapping[str, Book], numbers: Mapping[str, str], known: Sequence[Registration]) -> None:
    """Raise UsageError where a test would begin on an account that holds positions or has orders of ours: neither its
    prompts nor its verdict would know whose they are."""
    for name, book in books.items():
        ours = {one.symbol for one in book.open_orders if not one.external}
        if not book.positions and not ours:
            continue
        there = [one.id for one in known if one.accounts.get(name) == numbers[name]]
        held = ", ".join(f"{count:g} {symbol}" for symbol, count in book.positions.items())
        what = f"holds {held}" if held else f"has open orders on {', '.join(sorted(ours))}"
        close = "close them at the broker"
        if there:
            close = f"`sim forward close-all {there[-1]}` (outside a session it fills at the open), then `rm {STOP}`"
        if run in there:  # these are the same words, and nothing is on record
            mend = f"put the store's backup back: `sim db restore FILE`; or {close}"
            raise UsageError(f"the store has nothing of {run}, and {name} {what}", mend=mend)
        mend = f"{close}; or go on with the test it trades, by the same words" if there else close
        raise UsageError(f"a test begins on flat accounts, {name} {what}", mend=mend)


async def _introduce(
    keys: Mapping[str, Keys], url: str | None, patience: Patience
) -> tuple[dict[str, Book], dict[str, str], datetime]:
    """Return what each account holds, its number, and the broker's time. Raises BrokerError."""
    accounts = {name: AlpacaAccount(one, url=url, patience=patience) for name, one in keys.items()}
    try:
        states = await asyncio.gather(*(account.state() for account in accounts.values()))
        books = await asyncio.gather(*(account.account() for account in accounts.values()))
        now = (await next(iter(accounts.values())).clock()).now
    except (UnsentError, UnansweredError) as error:
        error.found = f"{url or 'the broker'} does not answer: {error.found}"
        error.mend = error.mend or ("is an exchange at work there?" if url else "try again: nothing was begun")
        raise
    finally:
        for account in accounts.values():
            account.close()
    numbers = {name: state.number for name, state in zip(accounts, states, strict=True)}
    if len(set(numbers.values())) < len(numbers):
        twice = sorted(name for name, one in numbers.items() if [*numbers.values()].count(one) > 1)
        raise UsageError(f"{' and '.join(twice)} have keys of one account", mend="each account has keys of its own")
    return dict(zip(accounts, books, strict=True)), numbers, now


def first_session(registered: datetime, loaded: Loaded, config: Config) -> date:
    """Return the first session of a test: that of its day while all its points are ahead, else the next."""
    at = registered.astimezone(NEW_YORK)
    earliest = min(point.at for point in points_of(loaded.strategy, config.schedule))
    begin = at.date() if at.time() < earliest else at.date() + timedelta(days=1)
    return day_of(sessions(begin, begin + timedelta(days=15)).session_of[0])


def list_passed(now: datetime, first: date, loaded: Loaded, config: Config) -> str:
    """Return a sentence on the points of today that had passed at `now`, for which a test that begins with `first`
    comes too late; empty where none had, or today is no session."""
    at = now.astimezone(NEW_YORK)
    passed = [one for one in points_of(loaded.strategy, config.schedule) if one.at <= at.time()]
    if not passed or not len(sessions(at.date(), at.date())):
        return ""
    at_times = sorted((one.at, one.name.removesuffix(f" {one.at:%H:%M}")) for one in passed)
    named = ", ".join(f"{name} {time:%H:%M}" for time, name in at_times)
    return f"  too late for {at:%Y-%m-%d} ({named}): the first session is {first}"


@dataclass(frozen=True, eq=False)
class Loop:
    """A registered test at work: its accounts, the clock they tell and the session that trades them."""

    spec: RunSpec
    last: date
    workspace: Workspace
    registration: Registration
    keys: Mapping[str, Keys]
    url: str | None
    settings: Forward
    echo: Callable[[str], None]

    def run(self) -> Session:
        """Trade until the last session; returns the session. Raises StoppedError where it is stopped from outside."""
        patience, numbers = make_patience(self.settings), self.registration.accounts
        accounts = {
            name: AlpacaAccount(one, url=self.url, number=numbers[name], patience=patience)
            for name, one in self.keys.items()
        }
        try:
            return self._trade(accounts, patience)
        finally:
            for account in accounts.values():
                account.close()

    def _trade(self, accounts: Mapping[str, AlpacaAccount], patience: Patience) -> Session:
        leading, hints, test = next(iter(accounts.values())), Hints(accounts), self.registration

        async def ask_time() -> datetime:
            if self.url is not None:  # several times a second, which no account's rate limit would bear
                return await asyncio.to_thread(_read_rehearsal, self.url)
            return await ask_broker(leading.clock, lambda why: watch.doubt_clock(why))

        poll_s, rehearsed = self.settings.poll_s, self.url is not None
        clock = BrokerClock(ask_time, lambda now: watch.look(now), poll_s, hints.wait_for_change, rehearsed=rehearsed)
        frequency = str(test.terms.get("bars", DAILY))
        news = self.settings.news == "broker"
        source = alpaca_source(self.keys[leading.name], self.url, patience, frequency, self.settings.bars_feed, news)
        mode = _mode_of(self.settings, self.url)
        opened = open_session(self.spec, self.last, self.workspace, test, mode, accounts.__getitem__, clock, source)
        data = MarketData(self.keys[leading.name], url=self.url, patience=patience)
        with closing(data) as prices, ExitStack() as entered:
            with self._preparing():
                session, loop = entered.enter_context(opened)
            if session.watch is None:
                raise UsageError("nobody watches over the loop")
            watch = session.watch
            session.staging.quotes = QuotesOfWaiting(prices.quotes)
            if not rehearsed:
                session.quotes = prices.quotes
            watch.alerts.echo = self.echo
            record_start(session, self.spec, rehearsed=rehearsed, exchange=self.url)
            session.locks = exchange_locks(self.url)
            session.closing = partial(close_if_owed, accounts, session.store, test.id)
            watch.owed = lambda: find_owed(session.store).get(test.id)

            for account in accounts.values():
                account.hurry_while(watch.is_asked_to_end)

            async def trade() -> None:
                async with hints.running():
                    await session.go()

            def ask_to_stop(number: int, _frame: FrameType | None) -> None:
                if watch.stop_asked is not None:  # asked twice: whatever it is doing hangs
                    signal.raise_signal(signal.SIGINT)  # cancels it; once more breaks it off
                watch.stop_asked = signal.Signals(number).name

            with _on_signal(ask_to_stop):
                loop.run(trade())
            return session

    @contextmanager
    def _preparing(self) -> Iterator[None]:
        """Be seen and heed the kill switch while bars are loaded, which may take minutes or hang: SIGTERM ends it."""
        heart = _make_heart(self.registration, self.settings, self.url, "starting")
        ready = threading.Event()

        def look() -> None:
            while not ready.wait(1.0):
                beat(self.workspace, heart)
                if (why := read_switches(self.workspace).stop) is not None:
                    give_up(self.workspace, replace(heart, pid=os.getpid(), beat_at=datetime.now(UTC).isoformat()))
                    self.echo(f"stopped: the kill switch is thrown: {why}")
                    os.kill(os.getpid(), signal.SIGTERM)

        beat(self.workspace, heart)
        looking = threading.Thread(target=look, daemon=True)
        looking.start()
        try:
            yield
        except BaseException:
            heart = replace(heart, state="stopped")
            raise
        finally:
            ready.set()
            looking.join()  # no older beat comes after what follows
            if heart.state == "stopped":
                beat(self.workspace, heart)


def _read_rehearsal(url: str) -> datetime:
    """Return the time of a rehearsal exchange, which tells it those who conduct it."""
    from urllib.request import ProxyHandler, build_opener

    try:
        with build_opener(ProxyHandler({})).open(f"{url.rstrip('/')}/rehearsal", timeout=5.0) as answer:
            return datetime.fromisoformat(json.load(answer)["now"])
    except (OSError, ValueError, KeyError) as error:
        raise BrokerError(f"no rehearsal exchange answers at {url} ({type(error).__name__})") from None


@contextmanager
def _on_signal(handle: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class Hints:
    """Streams of all accounts together: a hint from any of them ends a wait."""

    def __init__(self, accounts: Mapping[str, AlpacaAccount]) -> None:
        self._accounts = accounts
        self._changed = asyncio.Event()

    async def wait_for_change(self, within_s: float) -> bool:
        """Return True as soon as something may have changed, False where nothing came in that time."""
        try:
            await asyncio.wait_for(self._changed.wait(), within_s)
        except TimeoutError:
            return False
        self._changed.clear()
        return True

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen to all of them within the context."""
        tasks = [asyncio.create_task(self._listen(account)) for account in self._accounts.values()]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            for task in tasks:
                with suppress(asyncio.CancelledError):
                    await task

    async def _listen(self, account: AlpacaAccount) -> None:
        while True:
            with suppress(BrokerError):
                async with aclosing(account.updates()) as updates:
                    async for _ in updates:
                        self._changed.set()
            self._changed.set()
            await asyncio.sleep(LISTEN_AGAIN_S)
