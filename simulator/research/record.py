"""Everything a run leaves behind: the files of its folder and the facts of run.json."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from simulator.config import Config
from simulator.llm.gateway import Gateway
from simulator.replay.ledger import Ledger
from simulator.replay.run import Replayed
from simulator.research import evidence, identity, measure
from simulator.research.benchmarks import benchmark_ledgers
from simulator.research.members import Member, member_accounts
from simulator.research.spec import RunSpec
from simulator.research.staging import Staged
from simulator.stats.inference import inference_summary
from simulator.stats.metrics import Summary
from simulator.store.folders import jsonl_bytes
from simulator.strategies import Loaded
from simulator.trading.cycle import Terms
from simulator.workspace import Workspace

SCHEMA = 1


@dataclass(frozen=True)
class Work:
    """A replay that is done, and what it was done with."""

    spec: RunSpec
    workspace: Workspace
    config: Config
    loaded: Loaded
    staged: Staged
    terms: Terms
    replayed: Replayed
    gateway: Gateway

    @property
    def cash(self) -> float:
        return self.config.accounts.cash


def record(work: Work) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The evidence files and run.json of a run: a pure function of its work."""
    scene, ledger = work.staged.scene, work.replayed.ledger
    free = measure.risk_free(scene, work.config.assets)
    benchmarks = benchmark_ledgers(scene, work.terms.rules, work.cash)
    members = member_accounts(work.loaded.strategy, scene, work.replayed, work.terms, work.cash)

    files = evidence.result_files(ledger, work.replayed.turns, _curves(free, benchmarks, members))
    calls = _calls(work.gateway)
    files["llm_calls.jsonl"] = jsonl_bytes(calls)

    hold = measure.session_returns(benchmarks["buy_and_hold"], work.cash)
    summary = measure.account(ledger, work.cash, free.returns, hold)
    inference = inference_summary(measure.session_returns(ledger, work.cash), free.returns)
    facts = {
        **_identity(work),
        "digest": evidence.result_digest(files),
        "sessions": summary.sessions,
        "risk_free": free.source,
        "metrics": dict(summary.values),
        "reasons": {**summary.reasons, **inference.reasons},
        "inference": dict(inference.values),
        "benchmarks": {n: _benchmark(b, work.cash, free, hold) for n, b in benchmarks.items()},
        "members": [_member(m, work.cash, free) for m in members],
        "cost_sensitivity": measure.cost_sensitivity(
            scene, work.replayed.tape, work.terms.rules, work.cash, free.returns
        ),
        "audit": {
            "engine": "backtrader",
            "auditor": "kernel",
            "max_relative_difference": work.replayed.largest_difference,
        },
        "llm": _llm(work, calls),
    }
    return files, facts


def _identity(work: Work) -> dict[str, Any]:
    """What was run on what, and the id that follows from it."""
    spec, scene = work.spec, work.staged.scene
    made_of = {
        "schema": SCHEMA,
        "strategy": work.loaded.strategy.name,
        "symbols": list(spec.symbols),
        "from": str(spec.first),
        "to": str(work.staged.last),
        "models": spec.models or work.config.models.default,
        "parameters": dict(spec.parameters),
        "cash": work.cash,
        "config": work.config.dump(),
        "strategy_files": dict(work.loaded.files),
        "data_digest": identity.digest_of(
            [
                scene.bars.digest,
                scene.context.digest,
                [[str(e.at), e.name, e.importance, str(e.known_at)] for e in scene.events],
            ]
        ),
        "code": identity.code_version(),
    }
    named = {**made_of, "code": identity.code_digest()}
    return {
        "run_id": identity.run_id(named),
        **made_of,
        "command": shlex.join(spec.command(work.loaded.strategy.name, work.staged.last)),
        "analysts": work.loaded.label,
        "sources": dict(zip(scene.bars.symbols, scene.bars.sources, strict=True)),
        "context": dict(zip(scene.context.symbols, scene.context.sources, strict=True)),
        "notes": list(work.staged.notes),
        "packages": identity.packages(),
    }


def _curves(
    free: measure.RiskFree, benchmarks: Mapping[str, Ledger], members: Sequence[Member]
) -> dict[str, measure.Floats]:
    """The columns of equity.csv beside the run's own."""
    accounts = {**benchmarks, **{f"member:{m.name}": m.ledger for m in members}}
    closes = {name: ledger.equity[evidence.session_ends(ledger.bars)] for name, ledger in accounts.items()}
    return {"risk_free": free.returns, **closes}


def _benchmark(ledger: Ledger, cash: float, free: measure.RiskFree, hold: measure.Floats) -> dict[str, Any]:
    summary = measure.account(ledger, cash, free.returns, hold)
    inference = inference_summary(measure.session_returns(ledger, cash), free.returns)
    interval = {key: inference.values[key] for key in ("sharpe_ci_low", "sharpe_ci_high")}
    return {**summary.values, **interval, "reasons": {**inference.reasons, **summary.reasons}}


def _member(member: Member, cash: float, free: measure.RiskFree) -> dict[str, Any]:
    summary: Summary = measure.account(member.ledger, cash, free.returns)
    return {
        "name": member.name,
        "model": member.model,
        "decisions": member.decisions,
        "hit_rate": summary.values["hit_rate"],
        "metrics": dict(summary.values),
        "reasons": dict(summary.reasons),
    }


def _calls(gateway: Gateway) -> list[dict[str, Any]]:
    """A line per question, by date and stage: the order does not depend on who answered first."""
    rows = [
        {
            "key": call.key,
            "session": call.purpose.get("session", ""),
            "stage": call.purpose.get("stage", ""),
            "seat": call.purpose.get("seat", ""),
            "provider": call.provider,
            "model": call.model,
            "outcome": call.outcome,
            "prompt_tokens": call.usage.prompt_tokens,
            "completion_tokens": call.usage.completion_tokens,
            "cost_usd": call.usage.cost_usd,
        }
        for call in gateway.calls
    ]
    return sorted(rows, key=lambda row: (row["session"], row["stage"], row["seat"], row["key"]))


def _llm(work: Work, calls: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    return {
        "calls": len(calls),
        "failed": sum(c["outcome"] != "answer" for c in calls),
        "cost_usd": sum(c["cost_usd"] for c in calls),
        "analysts": work.loaded.label,
        "cache_entries": identity.digest_of(sorted(c["key"] for c in calls)),
    }
