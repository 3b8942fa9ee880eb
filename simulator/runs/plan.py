"""Questions of a run and their cost, before anything is asked. Nothing is asked, and nothing is written.

    council ──same code──► Gateway ─► cache ── hit ──► its answer
                                        └── miss ──► stand-in: an analyst's answer in the same schema

Later prompts are built from earlier answers, so what rests on a stand-in is on no disk and is to be asked too. Prompts
are counted in tokens by `prices.prompt_tokens`, corrected by what the model's own answers on disk say of it; answers
are as long as those on disk or, before there are any, as `cost_history.USUAL_TOKENS` has it.
"""

from __future__ import annotations

import asyncio
from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from simulator.config import Config, Seat, load_config, override_config
from simulator.evidence.plan import BatchPlan, Plan, PlanLine, Range
from simulator.llm.batch import SHARE, WINDOW_SECONDS
from simulator.llm.cache import AnswerCache
from simulator.llm.gateway import Gateway
from simulator.llm.messages import ChatRequest
from simulator.llm.registry import OPENAI_COMPATIBLE
from simulator.llm.spending.limits import KNOWN, Limits
from simulator.llm.spending.prices import Prices
from simulator.llm.trace import Call
from simulator.replay.inputs import ReplayInputs
from simulator.replay.prefetch import prefetch, silent
from simulator.replay.run import play
from simulator.runs.batches import LEFT_OUT, check_batch
from simulator.runs.cost_history import outlay, reread_tokens
from simulator.runs.load_inputs import LoadedInputs, find_benchmark, load_inputs, refuse_splits
from simulator.runs.plan_provider import PlanProvider, PlanRounds, plan_gateway
from simulator.runs.replicates import check_replicates, replicate_of
from simulator.runs.spec import RunSpec, check_max_cost
from simulator.runs.strategies import load_strategy
from simulator.trading.cycle import TradingRules
from simulator.trading.model import Book
from simulator.trading.strategy import Asks, Consults, ReadsPast, Strategy, points_of, seats_of, strategy_at
from simulator.workspace import Workspace

STAGES = (
    *("shortlist", "research", "pitch", "review", "chairman", "checkpoint"),
    *("screener", "analyzer", "optimizer", "reviewer", "backtester"),
)

ON_ACCOUNT = ("checkpoint", "optimizer", "reviewer", "backtester")
"""Those whose questions show the account."""


@dataclass(frozen=True, eq=False)
class _Met:
    """All meetings of a run as they were held with stand-ins."""

    config: Config
    strategy: Strategy[Any]
    staged: LoadedInputs
    gateway: Gateway
    rounds: PlanRounds


@contextmanager
def _meet_all(spec: RunSpec, workspace: Workspace, provider: PlanProvider, on_account: bool = True) -> Iterator[_Met]:
    """Hold all meetings of a run; without `on_account` a strategy that reads its past account is not asked on it."""
    config = override_config(load_config(workspace.config), spec.overrides)
    with plan_gateway(workspace, config, spec.models, spec.mode, provider) as asking:
        strategy = load_strategy(spec.strategy, workspace.strategies, asking, spec.own, len(spec.symbols)).strategy
        window, points = strategy.window, points_of(strategy, config.schedule)
        there = workspace.reading(spec.bars)
        beside = find_benchmark(strategy, spec.symbols, there)
        staged = load_inputs(spec.symbols, spec.first, spec.last, window, points, there, config, beside)
        refuse_splits(strategy, staged)
        check_batch(spec, strategy)
        check_replicates(strategy, spec.replicates)
        again = [replicate_of(strategy, number) for number in range(spec.replicates)]
        rounds = PlanRounds(asking.gateway, LEFT_OUT[spec.batch], provider, Prices(config.models.prices))
        asking.gateway.rounds = rounds
        ahead = asking.loop.run(_meet(again, staged.inputs, rounds, config.accounts.cash))
        asking.gateway.rounds = None
        for one, opinions in zip(again, ahead, strict=True):
            if on_account and _reads_past(one, staged.inputs):
                # Its questions follow its account: it trades by what stand-ins say.
                rules, cash = TradingRules.from_config(config), config.accounts.cash
                if (
                    stopped := play(one, staged.inputs, rules, cash, opinions, silent, asking.loop).stopped
                ) is not None:
                    raise stopped
        yield _Met(config, strategy, staged, asking.gateway, rounds)


def make_plan(spec: RunSpec, workspace: Workspace) -> Plan:
    """The plan of a run. Raises what the run would raise before its first question, and ConfigError for a model whose
    price nobody knows."""
    check_max_cost(spec.max_cost)
    provider = PlanProvider()
    with _meet_all(spec, workspace, provider) as met:
        config, strategy, staged, rounds = met.config, met.strategy, met.staged, met.rounds
        calls = met.gateway.calls
        lines = _lines(calls, met.gateway.cache, provider.asked, Prices(config.models.prices), _most(met, spec))
    paid, taken = [call.usage for call in calls], seats_of(strategy)
    follows = strategy.reads == "minutes"
    missing = sum(line.misses for line in lines)
    offline = spec.cache == "replay" and missing
    return Plan(
        strategy=strategy.name,
        first=str(spec.first),
        last=str(staged.last),
        decisions=staged.inputs.meetings,
        checkpoints=len(staged.inputs.instants) - staged.inputs.meetings,
        replicates=spec.replicates,
        models=(spec.models or config.models.default) if taken else None,
        max_cost=spec.max_cost,
        max_day=config.models.max_usd_per_day,
        lines=lines,
        minutes=_seconds(lines, taken.values(), config, spec.replicates, staged.inputs.meetings if follows else 1) / 60,
        fails=f"--cache replay asks nothing, and {missing} answers are not on disk" if offline else None,
        shortlist=_describe_shortlist(strategy, len(spec.symbols)),
        read_tokens=sum(usage.prompt_tokens for usage in paid),
        reread_tokens=sum(usage.cached_tokens for usage in paid),
        batch=_in_batches(spec, rounds, lines) if rounds.rounds else None,
        execution=config.risk.execution,
    )


@dataclass(frozen=True)
class SharedQuestions:
    """Questions of several runs: `keys` of each, and `lines` of them all, where one that runs share counts once."""

    keys: tuple[frozenset[str], ...]
    lines: tuple[PlanLine, ...]
    minutes: float


def plan_shared(specs: Iterable[RunSpec], workspace: Workspace, stages: Collection[str] = STAGES) -> SharedQuestions:
    """Return what the runs of `specs` ask together in `stages`. Raises what :func:`make_plan` raises."""
    provider, calls, keys, lines, seconds = PlanProvider(), dict[str, Call](), [], tuple[PlanLine, ...](), 0.0
    on_account = not set(stages).isdisjoint(ON_ACCOUNT)
    for spec in specs:
        with _meet_all(spec, workspace, provider, on_account) as met:
            found = {call.key: call for call in met.gateway.calls if call.purpose.get("stage") in stages}
            keys.append(frozenset(found))
            calls |= found
            lines = _lines(calls.values(), met.gateway.cache, provider.asked, Prices(met.config.models.prices))
            seconds = _seconds(lines, seats_of(met.strategy).values(), met.config, 1, 1)
    return SharedQuestions(tuple(keys), lines, seconds / 60)


async def _meet(
    strategies: Sequence[Strategy[Any]], inputs: ReplayInputs, rounds: PlanRounds, cash: float
) -> list[Mapping[int, Any]]:
    """Return the opinions of each of `strategies` ahead of the replay."""
    async with rounds.going():
        heard = await asyncio.gather(*(prefetch(strategy, inputs, silent) for strategy in strategies))
        for strategy, ahead in zip(strategies, heard, strict=True):
            if ahead.stopped is not None:
                raise ahead.stopped
            if not _reads_past(strategy, inputs):
                await _consult(strategy, inputs, ahead.opinions, cash)
        return [ahead.opinions for ahead in heard]


def _reads_past(strategy: Strategy[Any], inputs: ReplayInputs) -> bool:
    """True of a strategy that is asked about trades of its account, as a desk with agents."""
    at = [strategy_at(strategy, name) for name in dict.fromkeys(inputs.points)]
    return any(isinstance(one, Consults) and isinstance(one, ReadsPast) for one in at)


async def _consult(strategy: Strategy[Any], inputs: ReplayInputs, opinions: Mapping[int, Any], cash: float) -> None:
    """Ask what is asked with an account in hand, of one that holds nothing but `cash`: what it will hold, nobody knows.

    Without earlier decisions, so that all dates are asked side by side.
    """
    asked = []
    for k, name in enumerate(inputs.points):
        deciding, snapshot = strategy_at(strategy, name), inputs.snapshots[k]
        if isinstance(deciding, Consults):
            marks = {symbol: snapshot.last(symbol) for symbol in snapshot.symbols if snapshot.has(symbol)}
            asked.append(deciding.consult(snapshot, opinions.get(k), Book(cash, {}, marks, cash), ()))
    await asyncio.gather(*asked)


def _most(met: _Met, spec: RunSpec) -> Mapping[str, int]:
    """{stage: questions at most} of points where as many are asked as answers call for: of agents with tools."""
    most: Counter[str] = Counter()
    for name, times in Counter(met.staged.inputs.points).items():
        deciding = strategy_at(met.strategy, name)
        if isinstance(deciding, Consults) and isinstance(deciding, Asks):
            most.update({stage: spec.replicates * times * count for stage, count in deciding.questions.items()})
    return most


def _in_batches(spec: RunSpec, rounds: PlanRounds, lines: Iterable[PlanLine]) -> BatchPlan:
    """Plan of the run in batches: what is not taken by them at its price, all else at half, without other discounts."""
    usd = Range()
    for line in lines:
        batched = line.provider == OPENAI_COMPATIBLE and line.stage not in rounds.left_out
        whole = Range(line.usd.low, line.usd.likely + line.saved_usd, line.usd.high)
        usd += whole.times(SHARE) if batched else line.usd
    hours = round(WINDOW_SECONDS / 3600) * rounds.rounds
    return BatchPlan(spec.batch, rounds.rounds, hours, usd, SHARE * rounds.most_usd)


def _lines(
    calls: Iterable[Call],
    cache: AnswerCache,
    missing: Mapping[str, ChatRequest],
    prices: Prices,
    most: Mapping[str, int] = MappingProxyType({}),
) -> tuple[PlanLine, ...]:
    found: dict[tuple[str, str, str], int] = defaultdict(int)
    unanswered: dict[tuple[str, str, str], list[ChatRequest]] = defaultdict(list)
    for call in calls:
        at = (call.purpose.get("stage", ""), call.provider, call.model)
        if call.key in missing:
            unanswered[at].append(missing[call.key])
        else:
            found[at] += 1
    reread = reread_tokens(missing.values())
    places = sorted({*found, *unanswered}, key=lambda at: (STAGES.index(at[0]) if at[0] in STAGES else len(STAGES), at))
    lines = (_line(at, found[at], unanswered[at], cache, prices, reread) for at in places)
    return tuple(line.at_most(most.get(line.stage, 0)) for line in lines)


def _line(
    at: tuple[str, str, str],
    hits: int,
    asked: Sequence[ChatRequest],
    cache: AnswerCache,
    prices: Prices,
    reread: Mapping[str, int],
) -> PlanLine:
    name, provider, model = at
    calls, shown = hits + len(asked), model.partition("@")[0]
    nothing = Range()
    if not asked or provider == "offline":
        return PlanLine(name, provider, shown, "", calls, hits, len(asked), nothing, nothing, nothing, 0.0, 0)
    takes = outlay(asked, cache, prices, sum(reread.get(request.key, 0) for request in asked))
    return PlanLine(
        *(name, provider, shown, asked[0].endpoint, calls, hits, len(asked)),
        *(takes.prompt, takes.completion, takes.usd, takes.past.seconds, takes.past.answers),
        *(takes.cached, takes.saved_usd),
    )


def _describe_shortlist(strategy: Strategy[Any], traded: int) -> str | None:
    from simulator.council.strategy import Council

    listing = strategy.spec.listing if isinstance(strategy, Council) else None
    if listing is None or not isinstance(strategy, Council) or traded <= listing.size:
        return None
    by = f"the model in seat {listing.seat}" if strategy.spec.screener else " and ".join(listing.rank_by)
    held = "sold where it leaves the list"
    if listing.held:
        held = "on it too: meetings wait for the one before (`held: false` asks them side by side)"
    return f"A meeting is about {listing.size} of {traded} symbols, by {by}; what may be held is {held}."


def _seconds(lines: Sequence[PlanLine], taken: Iterable[Seat], config: Config, replicates: int, in_a_row: int) -> float:
    """Seconds of asking: as many questions at once as each endpoint is asked, and no stage before the last, of as many
    meetings as go `in_a_row`.

    What an endpoint's calls per hour and tokens per minute do not allow at once is waited for.
    """
    by_endpoint: dict[str, list[PlanLine]] = defaultdict(list)
    for line in lines:
        if line.misses and line.provider != "offline":
            by_endpoint[line.endpoint or line.provider].append(line)
    limits = Limits.for_seats(taken, config.models.limits)
    chain = sum(max(line.seconds for line in lines if line.stage == name) for name in {line.stage for line in lines})
    longest = replicates * in_a_row * chain
    for endpoint, here in by_endpoint.items():
        limit = config.models.limits.get(endpoint) or KNOWN.get(endpoint)
        busy = sum(line.misses * line.seconds for line in here) / limits.room(endpoint)
        calls = sum(line.misses for line in here)
        tokens = sum(line.prompt_tokens.likely + line.completion_tokens.likely for line in here)
        hourly = 3600 * (calls / limit.calls_per_hour - 1) if limit and limit.calls_per_hour else 0.0
        minutely = 60 * (tokens / limit.tokens_per_minute - 1) if limit and limit.tokens_per_minute else 0.0
        longest = max(longest, busy, hourly, minutely)
    return longest
