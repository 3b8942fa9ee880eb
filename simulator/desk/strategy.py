"""The desk as a Strategy: named points of the day, one state machine, plans that wait for the open.

06:30 pre-market  screen ─► score the best three ─► size and protect what is approved ─► plans
09:30 open        plans ─► held against the rules once more ─► targets
10:00 … monitor   stops moved, halves sold, what is near its target left
16:00 review      report of the day; week: report of the week, on its last session

It keeps no state: workflow, plans and stops are read from the record of its last decision. Agents judge (`Agents`),
code counts; without them the formulas decide.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime
from functools import cached_property
from typing import Any, Literal

from simulator.config import Seat
from simulator.desk import formulas, screening
from simulator.desk.agents import meeting
from simulator.desk.agents.answers import Optimization, PerformanceReview, Validation
from simulator.desk.agents.meeting import NOBODY, Morning
from simulator.desk.agents.personas import AGENTS
from simulator.desk.agents.protocol import Agents, Said
from simulator.desk.backtests import Backtester
from simulator.desk.formulas import Caps, Recommendation, Technicals
from simulator.desk.holding import HAIR, HALF, Kept, keep
from simulator.desk.new_shares import in_new_shares
from simulator.desk.reasons import explain_trade
from simulator.desk.records import AnalysisRow, DeskRecord, HeldRecord, PlanRecord, VetoRecord, last_workflow
from simulator.desk.report import report_period, session_of
from simulator.desk.rules import CLOSING, Proposal, find_vetoes
from simulator.desk.screening import Screen, propose, screen, with_plan
from simulator.desk.spec import DeskDefinition
from simulator.desk.state import DeskState
from simulator.desk.workflow import Event, Workflow
from simulator.errors import SimError
from simulator.market.bars import Snapshot
from simulator.market.calendar import NEW_YORK, day_number
from simulator.trading.model import Book, Cadence, Decision, Past, Target
from simulator.trading.risk import EntryRules
from simulator.trading.schedule import Point
from simulator.trading.sizing import on_tick
from simulator.trading.strategy import Reads

PRE_MARKET, OPEN, MONITOR, REVIEW, WEEK = "pre-market", "open", "monitor", "review", "week"

NOTHING = Past()


@dataclass(frozen=True)
class Words:
    """All that agents said at a point: screener and analyzers, an optimizer for each plan, the reviewer."""

    morning: Morning = field(default_factory=Morning)
    optimizations: Mapping[str, Said[Optimization]] = field(default_factory=dict)
    review: Said[PerformanceReview] | None = None
    validations: tuple[Said[Validation], ...] = ()

    @property
    def rows(self) -> list[Any]:
        """Their part of the record."""
        reviewed = () if self.review is None else (self.review.row,)
        later = (*reviewed, *(said.row for said in self.validations))
        return [*self.morning.rows, *(said.row for said in self.optimizations.values()), *later]


class Desk:
    """A desk of momentum traders, long only. `agents` None asks nobody, `backtester` None makes no backtests."""

    cadence: Cadence = "daily"
    reads_past: Literal[True] = True

    def __init__(
        self, definition: DeskDefinition, agents: Agents | None = None, backtester: Backtester | None = None
    ) -> None:
        self.definition, self.agents, self.backtester = definition, agents, backtester
        self.name, self.window = definition.name, definition.spec.window

    @property
    def reads(self) -> Reads:
        return self.at(PRE_MARKET).reads

    @property
    def points(self) -> tuple[Point, ...]:
        """Points of a session; those that are switched off are left out."""
        times = self.definition.house.schedule
        named = (
            (PRE_MARKET, times.pre_market, False),
            (OPEN, times.open, False),
            (REVIEW, times.review, False),
            (WEEK, times.week, True),
        )
        fixed = tuple(Point(name, at, always=True, ends_week=ends) for name, at, ends in named if at is not None)
        return (*fixed, *(Point(f"{MONITOR} {at:%H:%M}", at) for at in times.monitor))

    def entry_rules(self, symbol: str) -> EntryRules:
        """Return the caps that size a trade, which hold for a person too."""
        caps, sectors = self.definition.caps, self.definition.sectors
        peers = (name for name, sector in sectors.items() if sector == sectors.get(symbol) and name != symbol)
        return EntryRules(caps.risk, caps.position, caps.sector, caps.stop, tuple(peers))

    def explain(self, symbol: str, journal: Sequence[Decision]) -> list[str]:
        """Return analysis, plan and words of agents on the newest trade."""
        return explain_trade(symbol, journal)

    @property
    def seats(self) -> Mapping[str, Seat]:
        """Model of every agent."""
        return {} if self.agents is None else {name: self.agents.seat(name) for name in AGENTS}

    @property
    def is_monitored(self) -> bool:
        """False where all of monitoring is switched off."""
        return bool(self.definition.house.schedule.monitor)

    @property
    def is_reviewed(self) -> bool:
        """False where the review that ends a day is switched off."""
        return self.definition.house.schedule.review is not None

    @cached_property
    def basis(self) -> str | None:
        """As JSON, what words before the open rest on beside market and code; None where nobody is asked."""
        if self.agents is None:
            return None
        parts = {
            "spec": self.definition.spec.model_dump(mode="json"),
            "sectors": dict(self.definition.sectors),
            "personas": {name: one.digest for name, one in self.agents.personas.items()},
            "seats": {name: model.model_dump(mode="json") for name, model in self.seats.items()},
            "replicate": self.agents.replicate,
        }
        return json.dumps(parts)

    @property
    def questions(self) -> Mapping[str, int]:
        """{agent: questions it is asked at most} before the open."""
        return self.at(PRE_MARKET).questions

    def at(self, point: str) -> DeskPoint:
        return DeskPoint(self, point) if self.agents is None else AskingPoint(self, point)

    async def opine(self, snapshot: Snapshot, journal: Sequence[Decision]) -> Words | None:
        """Return the words of screener and analyzers."""
        return await self.at(PRE_MARKET).opine(snapshot, journal)

    def decide(self, snapshot: Snapshot, opinion: Words | None, book: Book, journal: Sequence[Decision]) -> Decision:
        """Return what is decided before the open."""
        return self.at(PRE_MARKET).decide(snapshot, opinion, book, journal)

    def for_replicate(self, replicate: int) -> Desk:
        """Return the desk for the answers of that number."""
        return (
            self
            if self.agents is None
            else Desk(self.definition, replace(self.agents, replicate=replicate), self.backtester)
        )

    def state(self, snapshot: Snapshot, book: Book, held: Mapping[str, HeldRecord] | None = None) -> DeskState:
        """Return all that tools see at an instant."""
        past, spec, today = book.past or NOTHING, self.definition.spec, snapshot.as_of.astimezone(NEW_YORK).date()
        held = held or {}
        return DeskState(
            snapshot,
            book,
            self.definition.sectors,
            self.definition.caps,
            past.trips,
            past.equity,
            {symbol: one["stop"] for symbol, one in held.items()},
            {symbol: one["targets"][1] for symbol, one in held.items()},
            sum(session_of(trip.entry_at) == today for trip in past.trips),
            spec.benchmark,
            spec.as_traded,
            backtester=self.backtester,
            began=past.began,
        )


@dataclass(frozen=True)
class Work:
    """Outcome of a point: the workflow after it, targets, its part of the record."""

    workflow: Workflow
    targets: tuple[Target, ...] = ()
    record: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class DeskPoint:
    """The desk at one of its points, by the formulas alone."""

    desk: Desk
    point: str
    cadence: Cadence = "daily"
    reads_past: Literal[True] = True

    @property
    def name(self) -> str:
        return self.desk.name

    @property
    def window(self) -> int:
        return self.desk.window

    @property
    def reads(self) -> Reads:
        return "market" if self.point == PRE_MARKET and self.desk.agents is not None else "nothing"

    @property
    def reports(self) -> bool:
        """True of the reviews of the day and the week, which the last session has like any other."""
        return self.point in (REVIEW, WEEK)

    @property
    def seats(self) -> Mapping[str, Seat]:
        return self.desk.seats

    @property
    def questions(self) -> Mapping[str, int]:
        return {}

    async def opine(self, snapshot: Snapshot, _journal: Sequence[Decision]) -> Words | None:
        """Return the words of screener and analyzers; None where nobody is asked."""
        agents, state = self.desk.agents, self.desk.state(snapshot, NOBODY)
        if agents is None:
            return None
        found = screen(state)
        analysed = self.desk.definition.spec.analysed
        return Words(await meeting.hold_morning(agents, state, found.passed, found.rejected, analysed))

    def decide(self, snapshot: Snapshot, opinion: Words | None, book: Book, journal: Sequence[Decision]) -> Decision:
        """Return what the desk does at this point, with its workflow after it in the record."""
        now, words = snapshot.as_of, opinion or Words()
        before = in_new_shares(workflow_of(journal, now), book)
        workflow = before.at(now, self.desk.is_reviewed)
        state, kept = self._keep(snapshot, book, journal)
        workflow = workflow.learn(held=dict(kept.held))
        given_up, vetoes = withdraw(state, before, self.point == REVIEW)
        if given_up and before.day == workflow.day:
            workflow = workflow.learn(sent=[one for one in workflow.context["sent"] if one not in given_up])
        try:
            done = self._work(state, workflow, words)
        except SimError as error:  # the positions are protected all the same, and the next point goes on
            done = Work(workflow if workflow.state == "ERROR" else workflow.on("ERROR_OCCURRED", now, error=str(error)))
        moved = {target.symbol for target in kept.targets}
        wanted = (*given_up.values(), *done.targets)
        targets = (*kept.targets, *(one for one in wanted if one.symbol not in moved))
        record: DeskRecord = {"kind": "desk", "point": self.point, "workflow": done.workflow.as_record()}
        more = {"vetoes": [*vetoes, *done.record.get("vetoes", ())]} if vetoes else {}
        rows = {"agents": words.rows} if words.rows else {}
        moves = {"moves": [*kept.moves]} if kept.moves else {}
        return Decision(now, targets, {**record, **done.record, **more, **rows, **moves})

    def _keep(self, snapshot: Snapshot, book: Book, journal: Sequence[Decision]) -> tuple[DeskState, Kept]:
        held = in_new_shares(workflow_of(journal, snapshot.as_of), book).context.get("held", {})
        new = any(shares > 0.0 and symbol not in held for symbol, shares in book.positions.items())
        plans = plans_of(journal, book) if new else []
        sells = self.point not in (PRE_MARKET, OPEN, WEEK)
        kept = keep(self.desk.state(snapshot, book, held), held, plans, sells)
        return self.desk.state(snapshot, book, kept.held), kept

    def _work(self, state: DeskState, workflow: Workflow, words: Words) -> Work:
        now = state.snapshot.as_of
        if workflow.takes("EXECUTION_COMPLETE") and self.point not in (PRE_MARKET, OPEN):
            if workflow.context.get("waiting") and self.point.startswith(MONITOR):
                return self._execute(state, workflow)
            workflow = workflow.on("EXECUTION_COMPLETE", now)
        if self.point == PRE_MARKET:
            begun = enter(workflow, "START_PRE_MARKET", now)
            return self._plan(state, begun, words) if begun.state == "PRE_MARKET_SCREENING" else Work(begun)
        if self.point == OPEN:
            begun = enter(workflow, "MARKET_OPEN", now)
            return self._execute(state, begun) if begun.state == "MARKET_EXECUTION" else Work(begun)
        if self.point == REVIEW:
            begun = enter(workflow, "MARKET_CLOSE", now)
            if begun.state != "END_OF_DAY_REVIEW":
                return Work(begun)
            report = report_period(state, len(state.equity), 1)
            return Work(begun.on("REVIEW_COMPLETE", now), (), {"report": report})
        if self.point == WEEK:
            if not self.desk.is_reviewed and workflow.takes("MARKET_CLOSE"):
                workflow = workflow.on("MARKET_CLOSE", now).on("REVIEW_COMPLETE", now)
            begun = enter(workflow, "START_WEEKLY_REVIEW", now)
            return self._week(state, begun) if begun.state == "WEEKLY_REVIEW" else Work(begun)
        return Work(enter(workflow, "START_MONITORING", now) if workflow.state != "INTRADAY_MONITORING" else workflow)

    def look(self, state: DeskState, words: Words) -> tuple[Screen, list[AnalysisRow], list[Technicals]]:
        """Return the screen, the analyses of its best, and these, best first: as the screener ranks them if asked."""
        found = screen(state)
        by_symbol = {t.symbol: t for t in found.passed}
        order = words.morning.watchlist if words.morning.screening is not None else tuple(by_symbol)
        chosen = [by_symbol[symbol] for symbol in order if symbol in by_symbol][: self.desk.definition.spec.analysed]
        analyses = [screening.analyze(t) for t in chosen]
        for row, t in zip(analyses, chosen, strict=True):
            if self.desk.agents is not None:
                row["agent"] = self.class_of(t, words)
        return found, analyses, chosen

    def class_of(self, t: Technicals, words: Words) -> Recommendation:
        """Return the class of a symbol that counts."""
        if self.desk.agents is None:
            return formulas.classify(screening.analyze(t)["score"])
        return meeting.recommended(words.morning.analysis_of(t.symbol), t)

    def plan(self, state: DeskState, words: Words) -> tuple[list[PlanRecord], list[VetoRecord]]:
        """Return plans that the rules allow, before an optimizer has seen them, and the vetoes."""
        _, _, chosen = self.look(state, words)
        return propose(state, chosen, lambda t: self.class_of(t, words))

    def _plan(self, state: DeskState, workflow: Workflow, words: Words) -> Work:
        now = state.snapshot.as_of
        if words.morning.screening is not None and words.morning.screening.value is None:
            return Work(workflow.on("ERROR_OCCURRED", now, error=f"screener: {words.morning.screening.error}"))
        found, analyses, chosen = self.look(state, words)
        record: dict[str, Any] = {"watchlist": found.rows, "rejected": found.rejected, "analyses": analyses}
        record["limits"] = state.caps.model_dump()
        if not analyses:
            return Work(workflow.on("PRE_MARKET_COMPLETE", now, plans=[], outcome="nothing to trade"), (), record)
        plans, vetoes = self.plan(state, words)
        for t in chosen:
            if why := meeting.overruled(words.morning.analysis_of(t.symbol), t):
                vetoes.append({"rule": "class of the score", "symbol": t.symbol, "why": why})
        workflow = workflow.on("SCREENING_COMPLETE", now)
        record |= {"vetoes": vetoes} if vetoes else {}
        if plans:
            workflow = workflow.on("ANALYSIS_COMPLETE", now)
            if self.desk.agents is not None:
                said = words.optimizations
                plans = [one for one in plans if one["symbol"] in said and meeting.approved(said[one["symbol"]])]
        outcome = f"{len(plans)} plans" if plans else "nothing to trade"
        return Work(
            workflow.on("PRE_MARKET_COMPLETE", now, plans=plans, outcome=outcome), (), {**record, "plans": plans}
        )

    def _execute(self, state: DeskState, workflow: Workflow) -> Work:
        """Order the plans that are checked. Bars within a day bring a price soon: plans wait for it to the first point
        of monitoring, and a symbol that has none then is halted and not bought. Bars of a day never do: a limit holds
        the check, but for an open at or below the stop."""
        plans: Sequence[PlanRecord] = workflow.context.get("plans", ())
        now, targets, notes, sent = state.snapshot.as_of, [], [], []
        waits = self.point == OPEN and state.snapshot.bars.frequency != "1d" and self.desk.is_monitored
        if waits and plans and all(price_today(state, plan["symbol"]) is None for plan in plans):
            first = "no price of this session yet: plans wait for the first point of monitoring"
            return Work(workflow.learn(waiting=True), (), {"plans": list(plans), "notes": [first]})
        workflow = workflow.learn(waiting=False) if workflow.context.get("waiting") else workflow
        vetoes: list[VetoRecord] = []
        priced: dict[str, PlanRecord] = {}
        for plan in plans:
            price = price_today(state, plan["symbol"])
            if price is None and state.snapshot.bars.frequency != "1d":
                why = "no price of this session: it may be halted"
                if not self.desk.is_monitored:
                    why = "no price of this session at the open, and monitoring, which would wait for one, is off"
                vetoes.append({"rule": "check at the open", "symbol": plan["symbol"], "why": why})
                continue
            if price is None:
                plan = {**plan, "limit": highest_entry(plan, state.caps)}
                notes.append(
                    f"{plan['symbol']}: no price of this session yet, bought at {plan['limit']:.2f} or less; "
                    "the check that it opens above its stop is skipped"
                )
            elif why := refuse_at_open(plan, price, state.caps.exits.gap_atr):
                vetoes.append({"rule": "check at the open", "symbol": plan["symbol"], "why": why})
                continue
            elif (now_at := screening.at_price(plan, price, state.caps)) is None:
                vetoes.append({"rule": "stop", "symbol": plan["symbol"], "why": f"no stop fits at {price:.2f}"})
                continue
            else:
                size = screening.size_of(state, plan["symbol"], now_at["entry"], now_at["stop"])
                priced[plan["symbol"]] = now_at
                plan = {**now_at, "shares": min(plan["shares"], size.shares)}
            found = find_vetoes(Proposal(plan["symbol"], plan["shares"], plan["entry"], plan["stop"]), state)
            vetoes += [{"rule": one.rule, "symbol": one.symbol, "why": one.why} for one in found]
            if found or plan["shares"] <= 0 or state.book.equity <= 0.0 or plan["symbol"] not in state.book.marks:
                continue
            targets.append(as_entry(state, plan))
            sent.append(plan["symbol"])
            state = with_plan(state, plan)
        if priced:  # the stop that goes with the order is the one that a fill may not lower
            workflow = workflow.learn(plans=[priced.get(one["symbol"], one) for one in plans])
        done = not sent or self.point != OPEN
        workflow = workflow.on("EXECUTION_COMPLETE", now, sent=sent) if done else workflow.learn(sent=sent)
        record = {"plans": list(plans), "vetoes": vetoes, "notes": notes}
        return Work(workflow, tuple(targets), {name: rows for name, rows in record.items() if rows})

    def _week(self, state: DeskState, workflow: Workflow) -> Work:
        report = report_period(state, len(state.equity), 7)
        alternatives = self.desk.definition.house.alternatives
        if report["poor_performers"] and alternatives:
            report["alternatives"] = [*alternatives]
            workflow = workflow.on("START_BACKTEST", state.snapshot.as_of)
        return Work(workflow.on("REVIEW_COMPLETE", state.snapshot.as_of), (), {"report": report})


class AskingPoint(DeskPoint):
    """The desk at one of its points, with agents that judge on the account."""

    @property
    def basis(self) -> str | None:
        """Settings, sectors, personas and seats: all else that screener and analyzers are asked by."""
        return self.desk.basis

    def write_opinion(self, opinion: Words) -> Mapping[str, object]:
        return {"agents": [*opinion.morning.rows]}

    def read_opinion(self, content: Mapping[str, Any], _snapshot: Snapshot) -> Words:
        return Words(Morning.from_rows(content["agents"]))

    @property
    def questions(self) -> Mapping[str, int]:
        agents, analysed = self.desk.agents, self.desk.definition.spec.analysed
        times = {PRE_MARKET: {"screener": 1, "analyzer": analysed, "optimizer": analysed}}
        asked = times.get(self.point, {"reviewer": 1} if self.point in (REVIEW, WEEK) else {})
        if self.point == WEEK:
            asked = {**asked, "backtester": len(self.desk.definition.house.alternatives)}
        if agents is None:
            return {}
        return {name: count * (1 + agents.personas[name].settings.calls) for name, count in asked.items()}  # type: ignore[index]

    async def consult(
        self, snapshot: Snapshot, opinion: Words | None, book: Book, journal: Sequence[Decision]
    ) -> Words | None:
        """Return `opinion` with the words of the optimizer on every plan, or of the reviewer at the end of a day that
        traded and of a week."""
        agents, now = self.desk.agents, snapshot.as_of
        workflow = in_new_shares(workflow_of(journal, now), book).at(now, self.desk.is_reviewed)
        if agents is None or workflow.state == "ERROR" or self.point not in (PRE_MARKET, REVIEW, WEEK):
            return opinion
        words = opinion or Words()
        state, _ = self._keep(snapshot, book, journal)
        if self.point == PRE_MARKET:
            plans, _ = self.plan(state, words)
            said = {
                one["symbol"]: await meeting.optimize(agents, state, one, words.morning.analysis_of(one["symbol"]))
                for one in plans
            }
            return replace(words, optimizations=said)
        days = 1 if self.point == REVIEW else 7
        report = report_period(state, len(state.equity), days)
        if days == 1 and not report["trades"] and not report["entries"]:
            return words
        said_of = await meeting.review(agents, state, days, report["so_far"], report["grade"], detailed=days > 1)
        return replace(words, review=said_of, validations=await self._validate(agents, state, report))

    async def _validate(
        self, agents: Agents, state: DeskState, report: Mapping[str, Any]
    ) -> tuple[Said[Validation], ...]:
        """Return the word of the backtester on each alternative, where a week had poor performers."""
        if self.point != WEEK or not report["poor_performers"] or self.desk.backtester is None:
            return ()
        names = self.desk.definition.house.alternatives
        return tuple([await meeting.validate(agents, state, name, meeting.backtest(state, name)) for name in names])


def workflow_of(journal: Sequence[Decision], now: datetime) -> Workflow:
    """Return the workflow after the last decision; that of a new desk where there is none."""
    written = last_workflow([journal[-1].record]) if journal else None
    return Workflow(now.astimezone(NEW_YORK).date()) if written is None else Workflow.from_record(written)


def plans_of(journal: Sequence[Decision], book: Book) -> list[PlanRecord]:
    """Return the newest plan of each symbol of the last day on record, or the one before: a fill may be seen when its
    day is over, or come late, and has the stop of its plan all the same."""
    plans, days = dict[str, PlanRecord](), set[date]()
    for one in reversed(journal):
        workflow = in_new_shares(workflow_of([one], one.as_of), book)
        days.add(workflow.day)
        if len(days) > 2:
            break
        for plan in workflow.context.get("plans", ()):
            plans.setdefault(plan["symbol"], plan)
    return [*plans.values()]


def enter(workflow: Workflow, event: Event, now: datetime) -> Workflow:
    """Return the workflow after `event`; where its state has no such edge an ERROR is on record, left by itself while
    it may be."""
    if workflow.takes(event):
        return workflow.on(event, now)
    if workflow.state != "ERROR":
        workflow = workflow.on("ERROR_OCCURRED", now, error=f"{event} in state {workflow.state}").at(now)
    return workflow.on(event, now) if workflow.takes(event) else workflow


def withdraw(state: DeskState, workflow: Workflow, day_is_over: bool) -> tuple[Mapping[str, Target], list[VetoRecord]]:
    """Return {symbol: target that gives its waiting entry up}, and the vetoes behind it.

    `workflow` is that of the last decision. An entry waits, at its limit or for a price at all, for its session alone,
    and no longer than every rule allows one: what forbids a new one takes back those that have not filled.
    """
    plans = {plan["symbol"]: plan for plan in workflow.context.get("plans", ())}
    since = [trip.symbol for trip in state.trips if session_of(trip.entry_at) >= workflow.day]
    filled = {*state.held, *since}
    given_up: dict[str, Target] = {}
    vetoes: list[VetoRecord] = []
    for symbol in workflow.context.get("sent", ()):
        if symbol not in plans or symbol in filled:
            continue
        plan = plans[symbol]
        wanted = Proposal(symbol, plan["shares"], plan["entry"], plan["stop"])
        if day_is_over or workflow.day != state.today:
            given_up[symbol] = Target(symbol, 0.0, reason="good for its session")
        elif found := [one for one in find_vetoes(wanted, state) if one.rule in CLOSING]:
            given_up[symbol] = Target(symbol, 0.0, reason=f"withdrawn: {found[0].rule}")
            vetoes += [{"rule": one.rule, "symbol": symbol, "why": f"{one.why}: withdrawn"} for one in found]
    return given_up, vetoes


def price_today(state: DeskState, symbol: str) -> float | None:
    """Return the last price of the session that goes on; None where there is none yet."""
    bars = state.snapshot.bars
    today = day_number(state.snapshot.as_of.astimezone(NEW_YORK).date())
    if not state.snapshot.has(symbol):
        return None
    last = int(bars.fresh[:, bars.column(symbol)].nonzero()[0][-1])
    return state.snapshot.last(symbol) if int(bars.session_of[last]) == today else None


def refuse_at_open(plan: PlanRecord, price: float, gap_atr: float) -> str:
    """Return why a plan is not carried out at today's price; empty where it is."""
    most = plan["entry"] + gap_atr * plan["atr"]
    if price > most:
        return f"opened at {price:.2f}, above {most:.2f}: {gap_atr:g} ATR over the plan"
    return f"opened at {price:.2f}, not above its stop {plan['stop']:.2f}" if price <= plan["stop"] else ""


def highest_entry(plan: PlanRecord, caps: Caps) -> float:
    """Return the limit of an entry whose price is not known before it is paid: no more over the plan than the check at
    the open allows, and no further above the stop than a stop may be away."""
    if plan["limit"] is not None:
        return plan["limit"]
    over, away = plan["entry"] + caps.exits.gap_atr * plan["atr"], plan["stop"] / (1.0 - caps.stop)
    return on_tick(min(over, away), False)


def as_entry(state: DeskState, plan: PlanRecord) -> Target:
    """Return the target that buys a plan."""
    symbol, limit, (first, second) = plan["symbol"], plan["limit"], plan["targets"]
    weight = plan["shares"] * state.book.marks[symbol] / state.book.equity * (1.0 + HAIR)
    return Target(
        symbol,
        weight,
        order="market" if limit is None else "limit",
        limit=limit,
        stop=plan["stop"],
        take_profit=second,
        exits=((HALF, first),),
        reason=f"planned before the open, bound by {plan['binding']}",
    )
