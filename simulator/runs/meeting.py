"""One meeting of a council as of a date, up to the stage that is asked for.

--as-of ──► meeting_time ──► bars known by then ──► research ─► pitch ─► review ─► chairman ─► decide
                                                       └────── the same gateway and keys as `sim run` ──────┘
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from simulator.config import Config, Schedule, load_config
from simulator.council.context import PipelineContext
from simulator.council.fact_table import LOOKBACK
from simulator.council.records import AnswerRow, MeetingRecord
from simulator.errors import CacheCorruptError, CacheMissError, DataError, LLMError, UsageError, did_you_mean
from simulator.evidence.meeting import MeetingFacts, StageResults
from simulator.evidence.members import describe_model, served_by_seat, warn_of_substitutes
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
from simulator.runs.plan_provider import PlanProvider, plan_gateway
from simulator.runs.run_record import list_calls
from simulator.runs.spec import MAX_COST, RunSpec, check_max_cost
from simulator.runs.strategies import available, load_strategy
from simulator.store.database import open_store
from simulator.store.events import Event
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

QUESTIONS = "questions"
"""Where questions of people stand in the store."""
LONGEST_QUESTION = 500
OFFLINE = "offline"
WEEKS = timedelta(days=14)
"""No stretch of days without a whole session is longer."""

Progress = Callable[[int, int, float], None]
"""Called with (questions answered, questions of the meeting, dollars spent) while answers are waited for."""


@dataclass(frozen=True)
class MeetingRequest:
    """Stage to reach, the day or instant as typed, and who is asked about what; `question` in place of the council's
    own."""

    up_to: str
    as_of: str
    strategy: str
    symbols: tuple[str, ...]
    models: str | None = None
    max_cost: float = MAX_COST
    cache: Mode = "record"
    question: str | None = None


@dataclass(frozen=True)
class MeetingTime:
    """The instant of a meeting, its session, and a sentence where it is not the day that was typed."""

    as_of: datetime
    session: date
    moved: str | None = None


@dataclass(frozen=True)
class MeetingCost:
    """Questions to models that are not on disk, and their likely and highest cost in dollars."""

    to_ask: int = 0
    usd: float = 0.0
    most_usd: float = 0.0


@dataclass(frozen=True)
class MeetingResult:
    """A meeting as far as it came, and why it decided nothing."""

    facts: MeetingFacts
    record: MeetingRecord
    undecided: LLMError | DataError | None = None


def meeting_time(typed: str, schedule: Schedule, cadence: Cadence) -> MeetingTime:
    """Return the time of the meeting of that day, by config/schedule.yaml.

    An instant is taken as it stands, in New York time where it has no offset. A day without a session moves to the next
    one; so does an early close, but in a council that meets daily. Raises UsageError for what is no date.
    """
    try:
        day = calendar.check_year(date.fromisoformat(typed), "--as-of")
    except ValueError:
        at = calendar.parse_instant(typed, "--as-of")
        return MeetingTime(at, at.astimezone(NEW_YORK).date())
    sessions = calendar.sessions(day, day + WEEKS)
    whole = sessions.closes_at == calendar.wall_to_utc(sessions.session_of, calendar.CLOSE)
    fit = sessions.dates if (schedule.cadence or cadence) == "daily" else sessions.dates[whole]
    session: date = fit[0].astype(date)
    early = day in sessions.dates.astype(object).tolist()
    moved = None
    if session != day:
        why = "the exchange closes early" if early else "the exchange is closed"
        moved = f"on {day} {why}: the meeting is that of {session}"
    return MeetingTime(datetime.combine(session, schedule.decision_time, NEW_YORK), session, moved)


def hold_meeting(request: MeetingRequest, workspace: Workspace, progress: Progress | None = None) -> MeetingResult:
    """Hold the meeting up to ``request.up_to``; answers on disk are used, as in a run.

    Raises the errors of `simulator.errors` of what cannot be begun or continued; a missed quorum is no error here but
    `MeetingResult.undecided`.
    """
    config = load_config(workspace.config)
    with open_gateway(_spec(request), workspace, config) as asking:
        council = _council(request, workspace, asking)
        stages = _stages(council, request.up_to)
        when = meeting_time(request.as_of, config.schedule, council.cadence)
        snapshot = _snapshot(request, when, council, workspace, config)
        asking.open_for(_ledger_name(request, when), council.seats)
        questions = sum(council.questions.get(stage.name, 0) for stage in stages)
        work = council.hold(stages, snapshot, ())
        try:
            context = asking.loop.run(_with_progress(work, asking.gateway, questions, progress))
        except LLMError as error:
            if not isinstance(error, CacheMissError | CacheCorruptError):
                error.mend = error.mend or "the same command continues"
            raise
        asking.drain()
        facts, record = _facts(request, when, council, snapshot, context, config, asking.gateway)
    return MeetingResult(facts, record, _explain_undecided(context))


def answer_question(
    request: MeetingRequest, workspace: Workspace, by: str, progress: Progress | None = None
) -> MeetingResult:
    """Hold the meeting over the question of a person, and put it on record with its debate. Nothing is traded by it.

    Raises as `hold_meeting`; UsageError for a question that is none.
    """
    asked = _check_question(request.question or "")
    with open_store(workspace) as store:
        store.check()  # what cannot be put on record is not paid for
    held = hold_meeting(replace(request, up_to=RUN), workspace, progress)
    facts = held.facts
    said = {"question": asked, "by": by, "strategy": facts["strategy"], "symbols": facts["symbols"],
            "models": facts["models"], **facts["llm"], "minutes": held.record}  # fmt: skip
    with open_store(workspace) as store:
        store.append(QUESTIONS, [Event("question.answered", facts["as_of"], None, said)])
    return held


def _check_question(asked: str) -> str:
    if not asked.strip() or len(asked) > LONGEST_QUESTION or not asked.isprintable():
        raise UsageError("a question is one line", mend=f"1 to {LONGEST_QUESTION} printable characters")
    return asked


def estimate_cost(request: MeetingRequest, workspace: Workspace) -> MeetingCost:
    """Return the cost of :func:`hold_meeting`; stand-ins answer what is not on disk, nobody is asked.

    Raises ConfigError for a model whose price nobody knows, else as `hold_meeting` and `answer_question` would.
    """
    if request.question is not None:
        _check_question(request.question)
    config = load_config(workspace.config)
    plan_provider, prices = PlanProvider(), Prices(config.models.prices)
    with plan_gateway(workspace, config, request.models, request.cache, plan_provider) as asking:
        council = _council(request, workspace, asking)
        when = meeting_time(request.as_of, config.schedule, council.cadence)
        snapshot = _snapshot(request, when, council, workspace, config)
        if all(seat.provider == OFFLINE for seat in asking.seats.values()):
            return MeetingCost()
        asking.loop.run(council.hold(_stages(council, request.up_to), snapshot, ()))
    missing = [question for question in plan_provider.asked.values() if question.provider != OFFLINE]
    estimates = [prices.estimate(question) for question in missing]
    return MeetingCost(len(missing), sum(likely for likely, _ in estimates), sum(most for _, most in estimates))


def _spec(request: MeetingRequest) -> RunSpec:
    """`request` as the gateway of a run wants it; its dates are not read there."""
    check_max_cost(request.max_cost)
    return RunSpec(
        request.strategy,
        request.symbols,
        date.min,
        models=request.models,
        cache=request.cache,
        max_cost=request.max_cost,
    )


def _council(request: MeetingRequest, workspace: Workspace, asking: Asking) -> Council:
    from simulator.council.strategy import Council

    council = load_strategy(request.strategy, workspace.strategies, asking).strategy
    if isinstance(council, Council):
        return council if request.question is None else council.put_question(request.question)
    folders = [name for name in available(workspace.strategies) if (workspace.strategies / name).is_dir()]
    raise UsageError(
        f'"{request.strategy}" is no council{did_you_mean(request.strategy, folders)}',
        mend=f"there are {', '.join(folders)}" if folders else "a council is a folder with a strategy.yaml",
    )


def _stages(council: Council, up_to: str) -> Sequence[Any]:
    if up_to == RUN:
        return council.stages
    names = [one.name for one in council.stages]
    if up_to not in names:
        raise UsageError(f"{council.name} has no stage {up_to}", mend=f"it has {', '.join(names)}")
    return council.stages[: names.index(up_to) + 1]


def _snapshot(
    request: MeetingRequest, when: MeetingTime, council: Council, workspace: Workspace, config: Config
) -> Snapshot:
    """Return the market as the meeting knows it. Raises DataError where bars end before its last closed session."""
    at = instant(when.as_of)
    before = calendar.sessions(when.session - WEEKS, when.session)
    newest = before.dates[before.closes_at <= at][-1].astype(date)
    window = max(LOOKBACK, council.window)  # enough for every fact, wherever a run began
    staged = load_inputs(request.symbols, newest, None, window, (), workspace, config)
    return replace(staged.inputs, instants=np.array([at]), points=()).snapshots[0]


def _ledger_name(request: MeetingRequest, when: MeetingTime) -> str:
    """Name of the meeting in the ledger of what was spent: the same meeting again may spend what is left of it."""
    words = [request.strategy, request.symbols, request.models, when.as_of.isoformat()]
    return "meeting-" + digest_of(words if request.question is None else [*words, request.question])[:10]


async def _with_progress(
    work: Coroutine[Any, Any, T], gateway: Gateway, questions: int, progress: Progress | None
) -> T:
    task = asyncio.create_task(work)
    try:
        while not task.done():
            await asyncio.wait([task], timeout=HEARTBEAT)
            if progress is not None:
                progress(gateway.asked + gateway.cached, questions, gateway.cost_usd)
    finally:
        task.cancel()
    return await task


def _facts(
    request: MeetingRequest,
    when: MeetingTime,
    council: Council,
    snapshot: Snapshot,
    context: PipelineContext,
    config: Config,
    gateway: Gateway,
) -> tuple[MeetingFacts, MeetingRecord]:
    cash = config.accounts.cash
    book = Book(cash, {}, {}, cash)
    decision = council.decide(snapshot, context, book, ())
    record = cast(MeetingRecord, decision.record)
    accounts = {account.role: name for name, account in config.accounts.accounts.items()}
    # Where nobody chairs, the vote is carried out on the chairman's account.
    accounts[council.chair] = accounts.get(council.spec.stages.chairman.seat, COUNCIL)
    calls = list_calls(gateway)
    served = served_by_seat(calls)
    results = results_of(record, accounts, {call["key"]: call.get("served", "") for call in calls})
    if request.up_to == RUN:
        allowed, cuts = risk.limit(decision, book, Limits.from_config(config.risk, config.assets))
        results["labels"] = record["labels"].get(council.chair, {})
        results["execution_results"] = record["execution"]
        results["allowed"] = {target.symbol: target.weight for target in allowed.targets}
        results["cuts"] = list(cuts)
    else:
        kept = {"research": ("research_pack",), "pitch": ("pm_pitches",), "review": ("peer_reviews", "scores")}
        results = cast(StageResults, {n: value for n, value in results.items() if n in kept[request.up_to]})
    facts: MeetingFacts = {
        "stage": request.up_to,
        "strategy": council.name,
        "models": request.models or config.models.default,
        "as_of": when.as_of.astimezone(NEW_YORK).isoformat(),
        "session": str(when.session),
        "known_to": context.facts.get("session"),
        "moved": when.moved,
        "symbols": list(request.symbols),
        "members": {seat: describe_model(m.provider, m.model, served.get(seat)) for seat, m in council.seats.items()},
        "notes": warn_of_substitutes(calls),
        "no_decision": context.no_decision,
        **results,
        "metadata": {"user_query": context.user_query, "facts": context.facts, **context.metadata},
        "llm": {
            "asked": gateway.asked,
            "cached": gateway.cached,
            "failed": gateway.failed,
            "cost_usd": gateway.cost_usd,
        },
    }
    return facts, record


def results_of(record: MeetingRecord, accounts: Mapping[str, str], served: Mapping[str, str]) -> StageResults:
    """Return the answers of a meeting with the keys of the handoff report; `accounts` is {seat: account}.

    Each has ``model`` (provider/model asked), ``keys`` of the LLM cache and the model that `served`, {key: name}; one
    that could not be used has ``error`` in place of its fields.
    """
    models, chairman = record["seats"], record["chairman"]

    def row(answer: AnswerRow[Any], **further: object) -> Any:
        fields = answer["answer"] if "answer" in answer else {"error": answer["error"]}
        return {**further, **fields, "keys": list(answer["keys"])}

    def seat_row(answer: AnswerRow[Any], **further: object) -> Any:
        answered = served.get(answer["keys"][-1], "") if answer["keys"] else ""
        return row(answer, model=models.get(answer["seat"]), served=answered, **further, seat=answer["seat"])

    return {
        "research_pack": [seat_row(one) for one in record["research"]],
        "pm_pitches": [
            seat_row(one, account=accounts.get(one["seat"])) | {"score": record["scores"].get(one["seat"])}
            for one in record["pitches"]
        ],
        "peer_reviews": [
            row(
                one,
                reviewer_model=models.get(one["seat"]),
                pitch_author=models.get(one["about"]),
                reviewer=one["seat"],
                author=one["about"],
            )
            for one in record["reviews"]
        ],
        "scores": record["scores"],
        "chairman_decision": chairman and seat_row(chairman, account=accounts.get(chairman["seat"])),
    }


def _explain_undecided(context: PipelineContext) -> LLMError | DataError | None:
    if context.no_decision is None:
        return None
    if not context.facts["symbols"]:
        return DataError(context.no_decision, mend="choose a later date")
    found = f"the meeting ends without a decision: {context.no_decision}"
    return LLMError(found, mend="`--cache retry` asks again what failed")
