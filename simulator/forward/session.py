"""A forward test: the strategy's points, one after the other, on accounts at a broker.

    wake at: a morning ─► what happened over night: splits, orders that ended, the broker's calendar
             a point ───► bars recorded ─► opine ─► per account: book ─► consult ─► plan ─► recorded ─► execute
             an open, an update ─► fills booked, what waits is sent, what is held is protected
             an end of a session ─► books against the broker, a row of the day

What is impure is handed in: clock, feed, brokers. All that must last stands in the store, event by event, before
anything is sent; after a crash the same command reads store and broker and goes on.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext, suppress
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

from simulator.errors import BrokerError, DataError, SimError, StoppedByUserError
from simulator.forward.account_errors import Work, await_answers, leave_all, say_undecided, try_each, try_one
from simulator.forward.agenda import ASK_AGAIN, MORNING, Due, judge, list_wakes, make_agenda, newest_close, wait_until
from simulator.forward.alerts import Kind as AlertKind
from simulator.forward.day import find_late
from simulator.forward.evening import SOON, Evening
from simulator.forward.lock import hold, refuse_second, this_process
from simulator.forward.market_data import Quote
from simulator.forward.programs import Program, last_program, say_change
from simulator.forward.protocols import Clock, Feed, Known
from simulator.forward.quotes import with_fresh_quotes
from simulator.forward.settings import Forward
from simulator.forward.stages import record_stages
from simulator.forward.staging import Staging
from simulator.forward.trader import Trader
from simulator.forward.watch import StoppedError, Watch, without_entries
from simulator.market.bars import instant, moment
from simulator.market.calendar import NEW_YORK, say_time, sessions
from simulator.store.database import Store
from simulator.store.events import Event, Kind
from simulator.trading.cycle import Intent, TradingRules, plan
from simulator.trading.model import Book, Decision
from simulator.trading.orders import Ticket, session_hours
from simulator.trading.schedule import Point, Schedule
from simulator.trading.strategy import Consults, KeepsMinutes, Strategy, strategy_at

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Deliberation:
    """Knowledge at a point and the opinion that was formed of it."""

    at: datetime
    known: Known
    opinion: Any
    minutes: Mapping[str, Any] | None


@dataclass(eq=False)
class Session:
    """A forward test of `strategy` on `traders`, from the session `first` on.

    `points` and `weekday` make the agenda, the same as a replay's; `run` names it in the store and in every order's id.
    `late` says whether a point that was missed is held later in its session.
    """

    run: str
    strategy: Strategy[Any]
    traders: Sequence[Trader]
    points: Sequence[Point]
    rules: TradingRules
    clock: Clock
    feed: Feed
    store: Store
    first: date
    last: date
    weekday: int = 0
    late: bool = False
    step: int = 0
    """Nanoseconds of an intraday bar; 0 for days."""
    watch: Watch | None = None
    quotes: Callable[[Sequence[str]], Awaitable[Mapping[str, Quote]]] | None = None
    """Latest quotes, asked where orders would go out in an open market; None where prices are known by bars alone."""
    locks: Path | None = None
    """Folder of locks; None for this user's, in which no two loops of the machine have one account."""
    answering: Callable[[Staging], Awaitable[bool]] | None = None
    """Lets a person answer what waits before a rehearsal's clock goes on; True where something was answered."""
    program: Program = field(default_factory=dict)
    """The code that holds it, on record with each start."""
    closing: Callable[[], Awaitable[None]] | None = None
    """Closes every position, as the last thing, where that was asked for along with the kill switch."""
    spent: Callable[[], Mapping[str, float]] = dict
    """Sums so far of ``calls``, ``failed_calls`` and ``cost_usd``."""
    inputs: Callable[[], Mapping[str, object]] = dict
    """Digests of what was recorded so far."""
    done: set[tuple[int, str]] = field(default_factory=set)
    """(instant, why) of what was held."""
    minutes: dict[int, Mapping[str, Any] | None] = field(default_factory=dict)
    """{instant of a point: its minutes}."""
    begun: set[int] = field(default_factory=set)
    """Instants of points that were begun."""
    closed: set[str] = field(default_factory=set)
    """Sessions on which the broker is closed."""
    staging: Staging = field(init=False)
    evening: Evening = field(init=False)
    _began: datetime | None = None
    _held: Deliberation | None = None
    _splits: set[tuple[str, date]] = field(default_factory=set)
    _spent: Mapping[str, float] = field(default_factory=dict)
    _opened: bool = False
    _clock_said: datetime | None = None

    def __post_init__(self) -> None:
        agenda = self.agenda()
        self._names = dict(zip(agenda.instants.tolist(), agenda.names, strict=True))
        self.staging = Staging(self.run, self.store, self.rules, self._settings, self._alert)
        self.evening = Evening(
            self.traders, self._known, self._settle, self._each, self._is_closed, lambda: self.inputs(),
            self._record, self._alert,
        )  # fmt: skip
        for trader in self.traders:
            trader.check = partial(self._check_ticket, trader)
            trader.hold = partial(self.staging.hold, trader)

    def _settings(self) -> tuple[Forward, str]:
        return (Forward(), "") if self.watch is None else (self.watch.settings, self.watch.watched.mode)

    def agenda(self) -> Schedule:
        """Return the points from `first` to `last`."""
        return make_agenda(self.points, self.first, self.last, self.weekday, self.step)

    def wakes(self) -> list[Due]:
        """Return everything that is due, oldest first."""
        return list_wakes(self._names, self.first, self.last)

    async def go(self) -> None:
        """Hold everything that is due, until the end of `last`; what was begun before a crash is finished.

        Raises SimError where nothing can go on, StoppedError where the loop is to end.
        """
        with ExitStack() as locks:
            locks.enter_context(hold([f"test {self.run}"], self.locks))
            refuse_second(self.store.of_forward(self.run))
            self.resume()  # before anything is awaited: from it a broker knows which orders are ours
            now = self._began = await self._tick()
            opening: dict[str, dict[str, Any]] = {}
            for trader in self.traders:
                await self._try(trader, partial(self._open_account, opening))
                if trader.name not in opening and not self._opened:
                    raise BrokerError(f"{trader.name} was not reached: {trader.barred or 'the broker is down'}")
            locks.enter_context(hold([f"account {one['number']}" for one in opening.values()], self.locks))
            before = last_program(one.event for one in self.store.of_forward(self.run))
            started = {"opening": opening, **this_process(), "program": self.program}
            self._record("forward.started", now, None, started)
            if self.watch is not None:
                self.watch.start(now)
            if before is not None and self.program and before["digest"] != self.program["digest"]:
                self._alert("program changed", say_change(before, self.program), "")
            await self._hold_all(now)

    async def _hold_all(self, now: datetime) -> None:
        why = "failed"
        try:
            await self._after_start(now)
            for due in self.wakes():
                if (due.at, due.why) not in self.done:
                    await self._wait(due)
                    await self._beating(self._do(due))
            why = f"the end of {self.last}"
            while self.evening.owed:
                (*_, last), now = self.evening.owed, self._now()
                if now >= moment(last.at) + MORNING:
                    why = f"{why}; not booked: {', '.join(one.name for one in self.evening.owed)}"
                    break
                await self._wait(Due(instant(now + SOON), "end", last.name))
        except StoppedError as error:
            why = error.found
            raise
        except BaseException as error:
            why = f"{type(error).__name__}: {error}"
            raise
        finally:
            try:
                await self._stand_down()
                self._record("forward.stopped", self._now(), None, {"why": why})
                if self.closing is not None:
                    await self._beating(self.closing())
            finally:  # the store may be why it ends
                if self.watch is not None:
                    self.watch.end(why)

    async def _stand_down(self) -> None:
        """Leave the accounts: what waits has ended where the kill switch is thrown, and what is held has its exits."""
        now, killed = self._now(), "" if self.watch is None else self.watch.killed
        if self.watch is not None:
            self.watch.beat("stopping", now)
        if killed:
            with suppress(SimError):  # the store may be why it ends
                self.staging.withdraw(now, killed)
        await leave_all(self.traders, now, killed, self._record, self._alert)

    async def _open_account(self, opening: dict[str, dict[str, Any]], trader: Trader) -> None:
        """Read what an account holds; one that is not reached any more does not keep the others from going on."""
        state, held = await trader.broker.state(), await trader.broker.account()
        if state.restrictions:
            self._alert("account restricted", ", ".join(state.restrictions), trader.name)
        read = {"number": state.number, "cash": held.cash, "equity": held.equity, "positions": dict(held.positions)}
        opening[trader.name] = read

    async def _after_start(self, now: datetime) -> None:
        """Go on where an earlier loop was: its intents are finished, its books compared."""
        for trader in self.traders:
            trader.execution_open, trader.guard.asleep = trader.state.intent is not None, True
        traded = any(trader.state.intent or trader.state.fills for trader in self.traders)
        if traded and now >= moment(int(sessions(self.first, self.last).opens_at[0])) - MORNING:
            await self._known(now)

        async def one(trader: Trader) -> None:
            await trader.restore_exits(now, self._record, self._alert)
            intent = trader.state.intent
            if trader.state.again and intent is not None and now < session_hours(intent.decision.as_of)[1]:
                await trader.plan_anew(now, self._planner(trader), self._record, self._alert)
            await self._settle(trader)
            await trader.reconcile(now, await trader.broker.account(), self._record, self._alert)

        if traded:
            self.staging.read(now)
            await self._each(one)

    # ── waiting ─────────────────────────────────────────────────────────────────────────────────────────────────────

    async def _wait(self, due: Due) -> None:
        """Wait until `due`; whatever changes before is seen to at once."""
        at = moment(due.at)
        while True:
            now = await self._tick()
            if self.watch is not None:
                self.watch.look(now, f"{due.why} {due.name}, {say_time(at)}")
            await self._beating(self._settle_all(now >= at))
            if now >= at:
                return
            if self.answering is not None and self.staging.waiting and await self.answering(self.staging):
                continue
            guarded = [when for one in self.traders for when in one.guard.again_at.values()]
            owed = [self.evening.again_at] if self.evening.again_at is not None else []
            again = [when for when in (*guarded, *owed, *self.staging.deadlines) if when > now]
            await self.clock.sleep_until(min([at, *again]), any(one.busy for one in self.traders))
            for trader in self.traders:
                trader.guard.stirred = trader.guard.stirred or bool(trader.state.protection)

    async def _settle_all(self, due: bool = False) -> None:
        if any(one.guard.doubted and not one.guard.asleep for one in self.traders):
            await self._known(self._now())
        owed = self.evening.again_at
        if owed is not None and (due or self._now() >= owed):
            await self.evening.make_good(self._now())
        self.staging.read(self._now())
        await self._each(self._settle)
        self.staging.ask(self._now(), self.traders, lambda at: self._names[instant(at)])
        await self.staging.show_prices(self._now(), self.watch, self.traders)

    async def _beating(self, work: Awaitable[None]) -> None:
        await (work if self.watch is None else self.watch.beat_while(work))

    async def _looking(self, work: Awaitable[T]) -> T:
        return await (work if self.watch is None else self.watch.look_while(work))

    async def _tick(self) -> datetime:
        """Return the broker's time; what is done until the next tick happens at it."""
        self._clock_said = await self.clock.now()
        return self._clock_said

    async def _settle(self, trader: Trader) -> None:
        pending, trader.pending = trader.pending, None
        if trader.guard.doubted:
            await trader.settle(self._now(), self._planner(trader), self._record, self._alert)
        if pending is not None and not trader.state.decided_at(pending[0]):
            if self._now() < session_hours(pending[0])[1]:
                trader.pending = pending
                if not trader.guard.doubted:
                    if said := await await_answers(self._decide(trader, *pending)):
                        self._alert("decision failed", f"{pending[1]} of {say_time(pending[0])}: {said}", trader.name)
                    trader.pending = None
                return
            why = "its shares were in doubt" if trader.guard.doubted else "broker down"
            self._alert("point missed", f"{pending[1]} of {say_time(pending[0])}: {why}", trader.name)
        await self.staging.follow(trader, self._now(), self.quotes, self._record, self._alert)
        await trader.settle(self._now(), self._planner(trader), self._record, self._alert)

    async def _each(self, work: Work, traders: Sequence[Trader] | None = None) -> list[bool]:
        return await try_each(self.traders if traders is None else traders, work, self._alert)

    async def _try(self, trader: Trader, work: Work) -> bool:
        return await try_one(trader, work, self._alert)

    # ── what is due ─────────────────────────────────────────────────────────────────────────────────────────────────

    async def _do(self, due: Due) -> None:
        at = moment(due.at)
        if due.why == "point":
            await self._point(at, due.name)
        elif due.why == "morning":
            await self._morning(at, due.name)
        elif due.why == "open":
            await self.clock.sleep_until(at)  # a rehearsal's stands before the auction where a point was held
            await self._settle_all()
        elif due.name not in self.closed:
            await self.evening.close(due, self._now())
            if self.watch is not None:
                self.watch.alerts.tell_folded()
        self.done.add((due.at, due.why))

    async def _morning(self, at: datetime, day: str) -> None:
        """See to what happened over night, before the open. A broker that is closed today is left alone."""
        if self._now() > at + MORNING:
            return
        await self._is_closed(day)
        known = await self._known(at)
        if known is None:
            return

        async def one(trader: Trader) -> None:
            await trader.review(at, self._record, self._alert)
            trader.guard.stirred = True
            await self._settle(trader)

        await self._each(one)

    async def _is_closed(self, day: str) -> bool:
        """Ask the broker whether it is closed on `day`; False where none answers."""
        for trader in self.traders:
            if not trader.barred:
                try:
                    hours = await trader.broker.calendar(date.fromisoformat(day), date.fromisoformat(day))
                    if not hours:
                        self.closed.add(day)
                        self._alert("halt", f"the broker is closed on {day}: nothing is decided", "")
                    break
                except BrokerError:
                    continue
        return day in self.closed

    async def _known(self, at: datetime, take_in: bool = True) -> Known | None:
        """Return knowledge as of `at`, its new splits in all books; None where it cannot be had."""
        known = await self._ask_feed(at)
        if isinstance(known, str):
            self._alert("decision failed", f"no bars: {known}", "")
            return None
        return await self._take_in(at, known) if take_in else known

    async def _ask_feed(self, at: datetime) -> Known | str:
        """Return knowledge as of `at`, or why there is none."""
        try:
            return await self._looking(self.feed.known_at(at))
        except StoppedError:
            raise
        except SimError as error:
            return error.found

    async def _await_bars(self, at: datetime) -> Known:
        """Return knowledge as of `at`; while the bar that closed before it may still come, that is waited for. Raises
        DataError where it does not come in time: nothing is decided on the bar before as if it were that."""
        closed, until = newest_close(at, self.step), wait_until(at, self.step, self._settings()[0].bars_wait_minutes)
        just = instant(at) - instant(closed) < self.step
        expected, pause = (instant(closed), (until - closed) / 10) if just else (0, ASK_AGAIN)
        while True:
            known = await self._ask_feed(at)
            if not isinstance(known, str) and known.snapshot.bars.closes_at[-1] >= expected:
                return await self._take_in(at, known)
            why = known if isinstance(known, str) else f"no symbol has the bar that closed at {say_time(closed)}"
            now = await self._tick()
            if now >= until:
                raise DataError(f"no bars: {why}")
            if self.watch is not None:
                self.watch.look(now)
            await self.clock.sleep_until(min(until, now + pause), True)

    async def _take_in(self, at: datetime, known: Known) -> Known:
        if known.silent:
            self._alert("no bar", f"of {', '.join(known.silent)} in {known.snapshot.session}", "")
        for trader in self.traders:
            trader.guard.asleep = False
        for split in known.splits:
            if (split.symbol, split.session) not in self._splits:
                self._held = None  # an opinion on prices of before, where it is told late
                self._record("forward.split", at, None, vars(split) | {"session": str(split.session)})
                self._alert("split", f"{split.symbol} {split.ratio:g} for 1 on {split.session}", "")
                why, symbol = "its symbol was split", split.symbol
                for trader in self.traders:  # a limit of old prices would fill at once
                    await self._try(
                        trader,
                        lambda one: one.withdraw(self._now(), why, self._record, self._alert, symbol),  # noqa: B023
                    )
        return known

    # ── one point ───────────────────────────────────────────────────────────────────────────────────────────────────

    async def _point(self, at: datetime, name: str) -> None:
        """Hold a point that is due, or say why it is not held."""
        decided = any(one.state.decided_at(at) for one in self.traders)
        state, why = judge(at, self._now(), self._began, instant(at) in self.begun, decided, self.late)
        if str(at.astimezone(NEW_YORK).date()) in self.closed:
            self._close_point(at, name, "missed", "the broker is closed")
        elif why:
            self._close_point(at, name, state, why)
        else:
            await self.hold(at, name, state)

    async def hold(self, at: datetime, name: str, state: str = "done") -> None:
        """Ask, decide and order at `name` in every account; those that have decided go on where they were."""
        self._record("forward.asked", at, None, {"name": name, "clock": self._now().isoformat()})
        try:
            held = await self._deliberate(at, name)
            decided_at = await self._tick()
        except (StoppedByUserError, StoppedError):
            raise
        except SimError as error:
            self._close_point(at, name, "failed", f"{error.found}")
            return
        if self.watch is not None:
            self.watch.look(self._now())  # it may have taken minutes
        open_traders = [one for one in self.traders if not one.barred]
        silent: dict[str, str] = {}

        async def decide(trader: Trader) -> None:
            if said := await await_answers(self._decide(trader, at, name)):
                silent[trader.name] = said

        async def check(trader: Trader) -> None:
            theirs = await trader.broker.positions()
            await trader.check_shares(self._now(), theirs, self._record, self._alert)

        sound = await self._each(check, open_traders)  # all, before any orders what another cannot explain
        able = [one for one, ok in zip(open_traders, sound, strict=True) if ok]
        decided = await self._each(decide, able)
        done = {one.name for one, ok in zip(able, decided, strict=True) if ok}
        failed = [one.name for one in self.traders if one.name not in done]
        before, self._spent = self._spent, self.spent()
        costs = {what: total - before.get(what, 0.0) for what, total in self._spent.items()}
        why = say_undecided(failed, silent)
        with suppress(BrokerError):  # what was sent is not undone by a clock that does not answer
            await self._tick()
        times = {"decided_at": decided_at.isoformat(), "sent_at": self._now().isoformat()}
        if slow := find_late(at, decided_at, self._now(), self.traders):
            self._alert("point late", f"{name} of {say_time(at)} {slow}", "")
            state, why = "late", "; ".join(filter(None, (why, slow)))
        state = "failed" if silent and len(silent) == len(able) else state
        self._close_point(at, name, state, why, held.minutes, {**costs, **times, "left": failed, "silent": silent})

    def _close_point(
        self, at: datetime, name: str, state: str, why: str = "",
        minutes: Mapping[str, Any] | None = None, more: Mapping[str, Any] | None = None,
    ) -> None:  # fmt: skip
        undecided = str((minutes or {}).get("no_decision") or "")
        why = "; ".join(filter(None, (undecided, why)))
        ran_at = self._now().astimezone(NEW_YORK).isoformat()
        payload = {"name": name, "state": state, "why": why, "minutes": minutes, "ran_at": ran_at}
        self._record("forward.point", at, None, {**payload, **(more or {})})
        if undecided or state in ("missed", "failed") or (more or {}).get("silent"):
            told: AlertKind = "point missed" if state == "missed" else "decision failed"
            self._alert(told, f"{name} of {say_time(at)}: {why}", "")

    async def _deliberate(self, at: datetime, name: str) -> Deliberation:
        """Return knowledge and opinion at a point; asked again after a crash, when answers are in the cache."""
        if self._held is not None and self._held.at == at:
            return self._held
        known = await self._await_bars(at)
        deciding = strategy_at(self.strategy, name)
        silent = deciding.reads == "nothing"
        before = self._read_by(deciding, at)
        with self._stages(at, name):
            opinion = None if silent else await self._looking(deciding.opine(known.snapshot, before))
        written = deciding.minutes(opinion) if isinstance(deciding, KeepsMinutes) else None
        self._held = Deliberation(at, known, opinion, written)
        return self._held

    def _stages(self, at: datetime, name: str) -> AbstractContextManager[None]:
        return record_stages(partial(self._record, "forward.stage", at, None), name)

    def _read_by(self, deciding: Strategy[Any], at: datetime) -> tuple[Decision, ...]:
        """Return what the opinion of a point rests on beside the market."""
        if deciding.reads == "journal":
            return tuple(one for one in self.traders[0].state.journal if one.as_of < at)
        before = max((one for one in self.minutes if one < instant(at)), default=None)
        written = None if before is None else self.minutes[before]
        if deciding.reads != "minutes" or before is None or written is None:
            return ()
        return (Decision(moment(before), (), written),)

    def _planner(self, trader: Trader, at: datetime | None = None, name: str = "") -> Callable[[Book, int], Any]:
        """Return the function that plans the point at `at` for `trader`, by default that of its newest intent."""

        async def planned(account: Book, revision: int) -> Intent:
            newest = trader.state.intent
            when = newest.decision.as_of if at is None and newest is not None else at
            assert when is not None
            point = name or self._names[instant(when)]
            held = await self._deliberate(when, point)
            await trader.book_fills(self._record, self._alert)
            past = tuple(one for one in trader.state.journal if one.as_of < when)
            book, told, deciding = trader.book(held.known, account), held.opinion, strategy_at(trader.strategy, point)
            if isinstance(deciding, Consults):
                with nullcontext() if revision else self._stages(when, point):  # what is planned anew was said before
                    told = await deciding.consult(held.known.snapshot, held.opinion, book, past)
            first = trader.state.orders - (len(newest.orders) if newest and trader.state.decided_at(when) else 0)
            intent = plan(held.known.snapshot, deciding, book, past, self.rules, told, first, revision)
            intent, why = self.staging.amend(trader, intent), await self._refuse_entries(trader)
            intent = without_entries(intent, why) if why else intent
            if self.quotes is None or not intent.orders or self._now() < session_hours(self._now())[0]:
                return intent
            stale = timedelta(seconds=self._settings()[0].stale_quote_s)
            return await with_fresh_quotes(trader, intent, self.quotes, self._now() - stale, self._alert)

        return planned

    async def _refuse_entries(self, trader: Trader) -> str:
        """Return why nothing may be entered, empty where it may."""
        state = await trader.broker.state()
        if state.restrictions:
            said = ", ".join(state.restrictions)
            self._alert("account restricted", said, trader.name)
            return said
        return "" if self.watch is None else self.watch.refuse_entries(trader.name, trader.morning, state.equity)

    def _check_ticket(self, trader: Trader, ticket: Ticket, book: Book) -> str:
        """Return why `ticket` is not to be sent now, empty where it may be. Raises StoppedError."""
        if doubts := [one.name for one in self.traders if ticket.symbol in one.guard.doubted]:
            return f"the broker of {', '.join(doubts)} has other shares of it than the books"
        if self.watch is None:
            return ""
        return self.watch.check(ticket, book, self._now(), trader.name, trader.morning)

    async def _decide(self, trader: Trader, at: datetime, name: str) -> None:
        if not trader.state.decided_at(at):
            now = self._now()
            await trader.review(now, self._record, self._alert)
            trader.give_up(now, "a newer decision took its place", self._record, self._alert)
            account = await trader.broker.account()
            await trader.check_shares(now, account.positions, self._record, self._alert)
            intent = await self._planner(trader, at, name)(account, 0)
            trader.record_intent(intent, self._record, name)
            if self.watch is not None:
                self.watch.keep_report(intent.decision)
        trader.execution_open = True
        await self._settle(trader)

    # ── the record ──────────────────────────────────────────────────────────────────────────────────────────────────

    def _record(self, kind: Kind, at: datetime, account: str | None, payload: Mapping[str, Any]) -> None:
        """Put an event on record, then apply it."""
        local = at.astimezone(NEW_YORK)
        self.store.append(self.run, [Event(kind, local.isoformat(), account, payload)])
        if self.watch is not None:
            facts = {name: value for name, value in payload.items() if isinstance(value, str | float | int)}
            self.watch.tell(kind, at, account or "", **facts)
        self._apply(kind, local, account, payload)

    def record(self, kind: str, at: datetime, account: str, payload: Mapping[str, Any]) -> None:
        """Put an event ``forward.<kind>`` of the watch on record."""
        whole: Any = f"forward.{kind}"
        self.store.append(self.run, [Event(whole, at.astimezone(NEW_YORK).isoformat(), account or None, payload)])

    def _apply(self, kind: str, at: datetime, account: str | None, payload: Mapping[str, Any]) -> None:
        if kind == "forward.point":
            self.done.add((instant(at), "point"))
            self.minutes[instant(at)] = payload["minutes"]
            for trader in self.traders:
                if trader.name in payload.get("left", ()):
                    trader.pending = at, str(payload["name"])
        elif kind == "forward.asked":
            self.begun.add(instant(at))
        elif kind == "forward.session":
            self.evening.rows.add((str(payload["session"]), account))
            if self.evening.is_booked(str(payload["session"])):
                self.done.add((instant(at), "end"))
        elif kind == "forward.started" and "opening" in payload and not self._opened:
            self._opened = True  # the first of the run: what the books begin with
            for trader in self.traders:
                trader.begin(at, payload["opening"].get(trader.name, {}))
        elif kind == "forward.split":
            self._splits.add((str(payload["symbol"]), date.fromisoformat(payload["session"])))
        for trader in self.traders:
            if account == trader.name or kind == "forward.split":
                trader.state.apply(kind, payload)

    def _alert(self, kind: AlertKind, text: str, account: str) -> None:
        if self.watch is not None:
            self.watch.alert(kind, text, self._now(), account)

    def _now(self) -> datetime:
        return self._clock_said or self._began or datetime.combine(self.first, datetime.min.time(), NEW_YORK)

    def resume(self) -> None:
        """Read what stands in the store: every event once, in its order."""
        for event in (one.event for one in self.store.of_forward(self.run)):
            if event.at is not None:
                self._apply(event.kind, datetime.fromisoformat(event.at), event.account, event.payload)
