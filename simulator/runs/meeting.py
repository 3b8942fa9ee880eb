"""One meeting of a council as of a date, up to the stage that is asked for.

--as-of ──► due ──► stage (bars known by then) ──► research ─► pitch ─► review ─► chairman ─► decide
                                                   └────── the same gateway and keys as `sim run` ──────┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np

from simulator.config import Config, Schedule, load_config
from simulator.council.context import PipelineContext
from simulator.council.facts import LOOKBACK
from simulator.council.stages.base import run_stages
from simulator.errors import CacheCorruptError, CacheMissError, DataError, LLMError, UsageError, did_you_mean
from simulator.llm.gateway import Gateway, Mode
from simulator.llm.spending.prices import Prices
from simulator.market import calendar
from simulator.market.bars import Snapshot, instant
from simulator.market.calendar import NEW_YORK
from simulator.replay.prefetch import HEARTBEAT
from simulator.runs.accounts import COUNCIL
from simulator.runs.gateway_setup import Asking, open_gateway
from simulator.runs.identity import digest_of
from simulator.runs.load_inputs import load_inputs
from simulator.runs.plan_provider import PlanProvider, asking_nobody
from simulator.runs.spec import MAX_COST, RunSpec
from simulator.runs.strategies import available, load_strategy
from simulator.trading import risk
from simulator.trading.model import Book, Cadence
from simulator.trading.risk import Limits
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from simulator.council.strategy import Council

T = TypeVar("T")

RUN = "run"
UP_TO = ("research", "pitch", "review", RUN)
"""Stages whose result can be asked for; ``run`` is the whole meeting, decision and targets included."""

OFFLINE = "offline"
WEEKS = timedelta(days=14)
"""No stretch of days without a whole session is longer."""

Progress = Callable[[int, int, float], None]
"""Called with (questions answered, questions of the meeting, dollars spent) while answers are waited for."""


@dataclass(frozen=True)
class Call:
    """What was asked for: the stage to reach, the day or instant as typed, and who is asked about what."""

    up_to: str
    as_of: str
    strategy: str
    symbols: tuple[str, ...]
    models: str | None = None
    max_cost: float = MAX_COST
    cache: Mode = "record"


@dataclass(frozen=True)
class Due:
    """The instant of a meeting, its session, and a sentence where it is not the day that was typed."""

    as_of: datetime
    session: date
    moved: str | None = None


@dataclass(frozen=True)
class Cost:
    """What a meeting asks of models that are paid or slow: questions not on disk, and likely and most dollars."""

    to_ask: int = 0
    usd: float = 0.0
    most_usd: float = 0.0


@dataclass(frozen=True)
class Held:
    """A meeting as far as it was held: JSON-able `facts`, see :func:`hold`, and why it decided nothing."""

    facts: Mapping[str, Any]
    undecided: LLMError | DataError | None = None


def due(typed: str, schedule: Schedule, cadence: Cadence) -> Due:
    """When the meeting of that day is, by config/schedule.yaml; an instant (New York time without an offset) is taken
    as it stands.

    A day without a session moves to the next one; so does an early close, but in a council that meets daily. Raises
    UsageError for what is no date.
    """
    day = _day(typed)
    if day is None:
        at = _instant(typed)
        return Due(at, at.astimezone(NEW_YORK).date())
    sessions = calendar.sessions(day, day + WEEKS)
    whole = sessions.closes_at == calendar.wall_to_utc(sessions.session_of, calendar.CLOSE)
    fit = sessions.dates if (schedule.cadence or cadence) == "daily" else sessions.dates[whole]
    session: date = fit[0].astype(date)
    early = day in sessions.dates.astype(object).tolist()
    moved = None
    if session != day:
        why = "the exchange closes early" if early else "the exchange is closed"
        moved = f"on {day} {why}: the meeting is that of {session}"
    return Due(datetime.combine(session, schedule.decision_time, NEW_YORK), session, moved)


def _day(typed: str) -> date | None:
    try:
        return date.fromisoformat(typed)
    except ValueError:
        return None


def _instant(typed: str) -> datetime:
    try:
        at = datetime.fromisoformat(typed)
    except ValueError:
        raise UsageError(
            f'--as-of was "{typed}", which is not a date', mend="write it as 2024-01-31 or 2024-01-31T08:00"
        ) from None
    return at if at.tzinfo else at.replace(tzinfo=NEW_YORK)


def hold(call: Call, workspace: Workspace, progress: Progress | None = None) -> Held:
    """Hold the meeting up to ``call.up_to``; answers on disk are used, as in a run.

    Keys of the facts: stage, strategy, models, as_of, session, moved, symbols, no_decision, the result of the stage in
    the words of the handoff report (``research_pack``, ``pm_pitches``, ``peer_reviews`` with ``scores``, for ``run``
    all of them, ``chairman_decision``, ``labels`` {label the chairman saw: seat}, ``execution_results``, ``allowed``
    and ``cuts``), ``metadata`` and ``llm``.
    Raises the errors of `simulator.errors` of what cannot be begun or continued; a missed quorum is no error here but
    `Held.undecided`.
    """
    config = load_config(workspace.config)
    with open_gateway(_spec(call), workspace, config) as asking:
        council = _council(call, workspace, asking)
        stages = _stages(council, call.up_to)
        when = due(call.as_of, config.schedule, council.cadence)
        snapshot = _known(call, when, council, workspace, config)
        asking.open_for(_name(call, when), council.seats)
        asked = sum(council.questions.get(name, 0) for name in (one.name for one in stages))
        watched = _watched(run_stages(stages, council.open(snapshot), council.setup), asking.gateway, asked, progress)
        try:
            context = asking.loop.run(watched)
        except LLMError as error:
            if not isinstance(error, CacheMissError | CacheCorruptError):
                error.mend = error.mend or "the same command continues"
            raise
        asking.drain()
        facts = asking.loop.run(_told(call, when, council, snapshot, context, config))
        facts["llm"] = _spent(asking.gateway)
    return Held(facts, _undecided(context))


def cost(call: Call, workspace: Workspace) -> Cost:
    """What :func:`hold` would have to ask, by asking stand-ins for what is not on disk. Nobody is asked.

    Raises ConfigError for a model whose price nobody knows.
    """
    config = load_config(workspace.config)
    stand_ins, prices = PlanProvider(), Prices(config.models.prices)
    with asking_nobody(workspace, config, call.models, call.cache, stand_ins) as asking:
        if all(seat.provider == OFFLINE for seat in asking.seats.values()):
            return Cost()
        council = _council(call, workspace, asking)
        when = due(call.as_of, config.schedule, council.cadence)
        snapshot = _known(call, when, council, workspace, config)
        asking.loop.run(run_stages(_stages(council, call.up_to), council.open(snapshot), council.setup))
    missing = [request for request in stand_ins.asked.values() if request.provider != OFFLINE]
    estimates = [prices.estimate(request) for request in missing]
    return Cost(len(missing), sum(likely for likely, _ in estimates), sum(most for _, most in estimates))


def _spec(call: Call) -> RunSpec:
    """`call` as the gateway of a run wants it; its dates are not read there."""
    if not call.max_cost >= 0:
        raise UsageError(f"--max-cost was {call.max_cost:g}", mend="dollars the meeting may cost, 0 or more")
    return RunSpec(call.strategy, call.symbols, date.min, models=call.models, cache=call.cache, max_cost=call.max_cost)


def _council(call: Call, workspace: Workspace, asking: Asking) -> Council:
    from simulator.council.strategy import Council

    council = load_strategy(call.strategy, workspace.strategies, asking).strategy
    if isinstance(council, Council):
        return council
    folders = [name for name in available(workspace.strategies) if (workspace.strategies / name).is_dir()]
    raise UsageError(
        f'"{call.strategy}" is no council{did_you_mean(call.strategy, folders)}',
        mend=f"there are {', '.join(folders)}" if folders else "a council is a folder with a strategy.yaml",
    )


def _stages(council: Council, up_to: str) -> Sequence[Any]:
    if up_to == RUN:
        return council.stages
    names = [one.name for one in council.stages]
    if up_to not in names:
        raise UsageError(f"{council.name} has no stage {up_to}", mend=f"it has {', '.join(names)}")
    return council.stages[: names.index(up_to) + 1]


def _known(call: Call, when: Due, council: Council, workspace: Workspace, config: Config) -> Snapshot:
    """The market as the meeting knows it. Raises DataError where bars end before the last session closed by then."""
    at = instant(when.as_of)
    before = calendar.sessions(when.session - WEEKS, when.session)
    newest = before.dates[before.closes_at <= at][-1].astype(date)
    window = max(LOOKBACK, council.window)  # enough for every fact, wherever a run began
    staged = load_inputs(call.symbols, newest, None, window, (), workspace, config)
    return replace(staged.inputs, instants=np.array([at]), points=()).snapshots[0]


def _name(call: Call, when: Due) -> str:
    """Names the meeting in the books of what was spent: the same meeting again may spend what is left of it."""
    return "meeting-" + digest_of([call.strategy, call.symbols, call.models, when.as_of.isoformat()])[:10]


async def _watched(work: Coroutine[Any, Any, T], gateway: Gateway, asked: int, progress: Progress | None) -> T:
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=HEARTBEAT)
            if progress is not None:
                progress(gateway.asked + gateway.cached, asked, gateway.cost_usd)
    finally:
        task.cancel()
    return await task


async def _told(
    call: Call, when: Due, council: Council, snapshot: Snapshot, context: PipelineContext, config: Config
) -> dict[str, Any]:
    cash = config.accounts.cash
    book = Book(cash, {}, {}, cash)
    decision = council.decide(snapshot, context, book, ())
    record = decision.record
    accounts = {account.role: name for name, account in config.accounts.accounts.items()}
    # Where nobody chairs, the vote is carried out on the chairman's account.
    accounts[council.chair] = accounts.get(council.spec.stages.chairman.seat, COUNCIL)
    results = results_of(record, accounts)
    if call.up_to == RUN:
        allowed, cuts = risk.limit(decision, book, Limits.from_config(config.risk, config.assets))
        results |= {
            "labels": dict(record["labels"].get(council.chair, {})),
            "execution_results": list(record["execution"]),
            "allowed": {target.symbol: target.weight for target in allowed.targets},
            "cuts": list(cuts),
        }
    else:
        kept = {"research": ("research_pack",), "pitch": ("pm_pitches",), "review": ("peer_reviews", "scores")}
        results = {name: results[name] for name in kept[call.up_to]}
    facts = context.facts
    return {
        "stage": call.up_to,
        "strategy": council.name,
        "models": call.models or config.models.default,
        "as_of": when.as_of.astimezone(NEW_YORK).isoformat(),
        "session": str(when.session),
        "known_to": facts.get("session"),
        "moved": when.moved,
        "symbols": list(call.symbols),
        "no_decision": context.no_decision,
        **results,
        "metadata": {"user_query": context.user_query, "facts": facts, **context.metadata},
    }


def results_of(record: Mapping[str, Any], accounts: Mapping[str, str]) -> dict[str, Any]:
    """The answers of a meeting's `record` with the keys of the handoff report; `accounts` is {seat: account}.

    Each has ``model`` (provider/model) and ``keys`` of the LLM cache; one that could not be used has ``error`` in
    place of its fields.
    """
    models = record["seats"]

    def who(seat: str) -> dict[str, Any]:
        return {"model": models.get(seat), "account": accounts.get(seat), "seat": seat}

    chairman = record["chairman"]
    return {
        "research_pack": [
            {"model": models.get(one["seat"]), "seat": one["seat"], **_answer(one)} for one in record["research"]
        ],
        "pm_pitches": [
            {**who(one["seat"]), **_answer(one), "score": record["scores"].get(one["seat"])}
            for one in record["pitches"]
        ],
        "peer_reviews": [
            {
                "reviewer_model": models.get(one["seat"]),
                "pitch_author": models.get(one["about"]),
                "reviewer": one["seat"],
                "author": one["about"],
                **_answer(one),
            }
            for one in record["reviews"]
        ],
        "scores": dict(record["scores"]),
        "chairman_decision": chairman and {**who(chairman["seat"]), **_answer(chairman)},
    }


def _answer(said: Mapping[str, Any]) -> dict[str, Any]:
    return {**(said["answer"] if "answer" in said else {"error": said["error"]}), "keys": list(said["keys"])}


def _spent(gateway: Gateway) -> dict[str, Any]:
    return {"asked": gateway.asked, "cached": gateway.cached, "failed": gateway.failed, "cost_usd": gateway.cost_usd}


def _undecided(context: PipelineContext) -> LLMError | DataError | None:
    if context.no_decision is None:
        return None
    if not context.facts["symbols"]:
        return DataError(context.no_decision, mend="choose a later date")
    said = f"the meeting ends without a decision: {context.no_decision}"
    return LLMError(said, mend="`--cache refresh` asks again")
