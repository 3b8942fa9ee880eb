"""Everything a run leaves behind: the files of its folder and the facts of run.json."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.config import Config
from simulator.errors import LLMError
from simulator.llm.gateway import Gateway
from simulator.llm.prices import Prices
from simulator.replay.ledger import Ledger
from simulator.replay.run import Replayed
from simulator.research import evidence, identity, measure
from simulator.research.accounts import Account, accounts_of, own_account
from simulator.research.benchmarks import benchmark_ledgers, exposure_matched
from simulator.research.contamination.split import Daily, contamination_facts
from simulator.research.happenings import happenings
from simulator.research.leaderboard import leaderboard
from simulator.research.replicates import spreads
from simulator.research.shortfalls import shortfalls
from simulator.research.spec import RunSpec
from simulator.research.staging import Staged
from simulator.research.toggles import execution_toggles
from simulator.stats.inference import inference_summary
from simulator.stats.metrics import Summary
from simulator.store.events import Event
from simulator.store.folders import jsonl_bytes
from simulator.strategies import Loaded
from simulator.trading.cycle import Terms
from simulator.workspace import Workspace


@dataclass(frozen=True)
class Work:
    """Replays that are done, and what they were done with.

    `draws` holds one per replicate: the first is what the run reports, the others say how far it carries. `stopped` is
    why there are fewer dates or draws than asked for.
    """

    spec: RunSpec
    workspace: Workspace
    config: Config
    loaded: Loaded
    staged: Staged
    terms: Terms
    draws: tuple[Replayed, ...]
    gateway: Gateway
    identity: Mapping[str, Any]
    stopped: LLMError | None = None

    @property
    def replayed(self) -> Replayed:
        return self.draws[0]

    @property
    def cash(self) -> float:
        return self.config.accounts.cash


@dataclass(frozen=True)
class Recorded:
    """The evidence of a run: its files, run.json, and what happened in it, in order of time."""

    files: dict[str, bytes]
    facts: dict[str, Any]
    events: Iterable[Event]


def record(work: Work) -> Recorded:
    """A pure function of the work. The events are put together when they are first asked for."""
    scene, ledger = work.replayed.scene, work.replayed.ledger
    free = measure.risk_free(scene, work.config.assets)
    benchmarks = benchmark_ledgers(scene, work.terms.rules, work.cash)
    net = float(ledger.net[evidence.session_ends(ledger.bars)].mean())
    benchmarks["exposure_matched"] = exposure_matched(scene, work.terms.rules, work.cash, net)
    accounts = accounts_of(work.loaded.strategy, work.replayed, work.terms, work.config.accounts)
    others = [account for account in accounts if account.replayed is not work.replayed]

    further = {f"replicate:{n}": draw.ledger for n, draw in enumerate(work.draws) if n}
    files = evidence.result_files(ledger, work.replayed.turns, _curves(free, benchmarks, accounts, further))
    for account in others:
        files |= evidence.account_files(account.folder, account.replayed.ledger, account.replayed.turns)
    files |= {evidence.replicate_file(n): evidence.decision_lines(d.turns) for n, d in enumerate(work.draws) if n}
    calls = _calls(work.gateway)
    files["llm_calls.jsonl"] = jsonl_bytes(calls)

    hold = measure.session_returns(benchmarks["buy_and_hold"], work.cash)
    facts = {
        **work.identity,
        **_partial(work),
        "digest": evidence.result_digest(files),
        "risk_free": free.source,
        **_own(work, free, hold),
        "benchmarks": {n: _benchmark(b, work.cash, free, hold) for n, b in benchmarks.items()},
        "account": own_account(accounts, work.replayed),
        "accounts": leaderboard(accounts, calls, free.returns, work.cash),
        **_otherwise(work, free, hold),
        "audit": {
            "engine": "backtrader",
            "auditor": "kernel",
            "max_relative_difference": work.replayed.largest_difference,
        },
        "llm": _llm(work, calls),
        "shortfalls": shortfalls(work.draws),
    }
    return Recorded(files, facts, _later(lambda: happenings(accounts, calls, work.draws)))


def _own(work: Work, free: measure.RiskFree, hold: measure.Floats) -> dict[str, Any]:
    """What the run's own account reached, and how sure that is."""
    ledger = work.replayed.ledger
    summary = measure.account(ledger, work.cash, free.returns, hold)
    inference = inference_summary(measure.session_returns(ledger, work.cash), free.returns)
    timing, untimed = measure.timing(ledger)
    return {
        "sessions": summary.sessions,
        "metrics": dict(summary.values),
        "reasons": {**summary.reasons, **inference.reasons, **untimed},
        "replicates": _replicates(work, summary, free, hold),
        "inference": {**inference.values, **timing},
    }


def _otherwise(work: Work, free: measure.RiskFree, hold: measure.Floats) -> dict[str, Any]:
    """The same decisions at other costs and at other moments, and apart by what the models could know."""
    replayed, rules = work.replayed, work.terms.rules
    ledger = replayed.ledger
    days = ledger.bars.dates[evidence.session_ends(ledger.bars)]
    daily = Daily(days, measure.session_returns(ledger, work.cash), hold, free.returns)
    seats = getattr(work.loaded.strategy, "seats", {})
    played = (replayed.scene, replayed.tape, rules, work.cash, free.returns)
    return {
        "cost_sensitivity": measure.cost_sensitivity(*played),
        "execution_toggles": execution_toggles(*played),
        "contamination": contamination_facts(seats, Prices(work.config.models.prices), replayed.turns, daily),
    }


def _later(told: Callable[[], Iterable[Event]]) -> Iterator[Event]:
    """What `told` returns, worked out when the first is wanted: a result known to the store wants none."""
    yield from told()


def _partial(work: Work) -> dict[str, Any]:
    """Whether this is all that was asked for; if not, how much of it there is. `to` is the last session replayed."""
    if work.stopped is None:
        return {"partial": False}
    return {
        "partial": True,
        "to": str(work.replayed.scene.bars.dates[-1]),
        "stopped": {
            "why": work.stopped.found,
            "decided": work.replayed.scene.meetings,
            "planned": work.staged.scene.meetings,
            "to": str(work.staged.last),
            "replicates": work.spec.replicates,
        },
    }


def _replicates(work: Work, first: Summary, free: measure.RiskFree, hold: measure.Floats) -> dict[str, Any]:
    """How many draws there are, and for several the spread of each metric over them."""
    if len(work.draws) == 1:
        return {"count": 1}
    others = [measure.account(draw.ledger, work.cash, free.returns, hold) for draw in work.draws[1:]]
    return {"count": len(work.draws), "metrics": spreads([s.values for s in (first, *others)])}


def _curves(
    free: measure.RiskFree,
    benchmarks: Mapping[str, Ledger],
    accounts: Sequence[Account],
    further: Mapping[str, Ledger],
) -> dict[str, measure.Floats]:
    """The columns of equity.csv beside the run's own."""
    books = {**benchmarks, **{f"account:{a.name}": a.replayed.ledger for a in accounts}, **further}
    closes = {name: ledger.equity[evidence.session_ends(ledger.bars)] for name, ledger in books.items()}
    return {"risk_free": free.returns, **closes}


def _benchmark(ledger: Ledger, cash: float, free: measure.RiskFree, hold: measure.Floats) -> dict[str, Any]:
    summary = measure.account(ledger, cash, free.returns, hold)
    inference = inference_summary(measure.session_returns(ledger, cash), free.returns)
    interval = {key: inference.values[key] for key in ("sharpe_ci_low", "sharpe_ci_high")}
    return {**summary.values, **interval, "reasons": {**inference.reasons, **summary.reasons}}


def _calls(gateway: Gateway) -> list[dict[str, Any]]:
    """A line per question, by date and stage: the order does not depend on who answered first."""
    rows = [
        {
            "key": call.key,
            "session": call.purpose.get("session", ""),
            "stage": call.purpose.get("stage", ""),
            "seat": call.purpose.get("seat", ""),
            "replicate": int(call.purpose.get("replicate", 0)),
            "provider": call.provider,
            "model": call.model,
            "outcome": call.outcome,
            "prompt_tokens": call.usage.prompt_tokens,
            "completion_tokens": call.usage.completion_tokens,
            "cost_usd": call.usage.cost_usd,
        }
        for call in gateway.calls
    ]
    return sorted(rows, key=lambda row: (row["session"], row["stage"], row["seat"], row["replicate"], row["key"]))


def _llm(work: Work, calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "calls": len(calls),
        "failed": sum(c["outcome"] != "answer" for c in calls),
        "cost_usd": sum(c["cost_usd"] for c in calls),
        "analysts": work.loaded.label,
        "models": sorted({c["model"] for c in calls if c["provider"] != "offline"}),
        "cache_entries": identity.digest_of(sorted(c["key"] for c in calls)),
    }
