"""Everything a run leaves behind: the files of its folder and the facts of run.json."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import NotRequired, TypedDict

import numpy as np

from simulator.config import Config
from simulator.errors import LLMError
from simulator.evidence import verify, writer
from simulator.evidence.members import served_by_seat, warn_of_substitutes
from simulator.evidence.prompts import prompts_before, prompts_file
from simulator.evidence.reader import TRADES
from simulator.evidence.records import (
    Audit,
    Benchmark,
    CallRow,
    Findings,
    Identity,
    Llm,
    Metrics,
    Reasons,
    Replicates,
    RunRecord,
    Stopped,
)
from simulator.llm.forms import describe_refusals
from simulator.llm.gateway import Gateway
from simulator.market.bars import instant
from simulator.market.months import month_digests
from simulator.number_format import counted, plain, price
from simulator.replay.ledger import NO_SHARE_REASON, TOO_SMALL_REASON, Ledger, tradable
from simulator.replay.run import Replayed
from simulator.replay.slice import audit_slice, choose_slice
from simulator.runs import identity, measure
from simulator.runs.accounts import Account, own_account, replay_accounts
from simulator.runs.benchmarks import benchmark_ledgers, exposure_matched
from simulator.runs.exposure import SkillSeries, skill_record, skill_series
from simulator.runs.load_inputs import LoadedInputs
from simulator.runs.replicates import spreads
from simulator.runs.run_events import run_events
from simulator.runs.same_open import count_same_open
from simulator.runs.shortfalls import shortfalls
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import SOURCE, Loaded
from simulator.stats.inference import inference_summary
from simulator.stats.metrics import Summary, alpha_beta
from simulator.stats.series import split
from simulator.store.events import Event
from simulator.store.folders import folder_name, jsonl_bytes
from simulator.trading.cycle import TradingRules
from simulator.trading.round_trips import round_trips
from simulator.workspace import Workspace


class Ending(TypedDict):
    partial: bool
    to: str
    stopped: NotRequired[Stopped]


class Result(TypedDict):
    sessions: int
    metrics: Metrics
    reasons: Reasons
    replicates: Replicates
    inference: Metrics


@dataclass(frozen=True)
class Work:
    """Replays that are done, and what they were done with.

    The first of `replicates` is what the run reports, the others say how far it carries. `stopped` is why there are
    fewer dates or replicates than asked for.
    """

    spec: RunSpec
    workspace: Workspace
    config: Config
    loaded: Loaded
    staged: LoadedInputs
    rules: TradingRules
    replicates: tuple[Replayed, ...]
    gateway: Gateway
    identity: Identity
    stopped: LLMError | None = None

    @property
    def replayed(self) -> Replayed:
        return self.replicates[0]

    @property
    def cash(self) -> float:
        return self.config.accounts.cash


@dataclass(frozen=True)
class Recorded:
    """The evidence of a run: its files, run.json, and what happened in it, in order of time."""

    files: dict[str, bytes]
    facts: RunRecord
    events: Iterable[Event]


Analyse = Callable[[Work, Sequence[Account], Sequence[CallRow], SkillSeries, measure.Floats, measure.Floats], Findings]
"""Findings from (work, accounts, llm_calls.jsonl, excess returns in parts, returns (S,) of the risk-free asset and of
buy-and-hold)."""


def record_run(work: Work, analyse: Analyse) -> Recorded:
    """Return the evidence of `work`, a pure function of it. Events are put together when they are first asked for."""
    inputs, ledger = work.replayed.inputs, work.replayed.ledger
    free = measure.risk_free(inputs, work.cash)
    benchmarks = benchmark_ledgers(inputs, work.rules.execution, work.cash)
    net = float(ledger.weights_at(writer.session_ends(ledger.bars)).sum(axis=1).mean())
    benchmarks["exposure_matched"] = exposure_matched(inputs, work.rules.execution, work.cash, net)
    accounts = replay_accounts(work.loaded.strategy, work.replayed, work.rules, work.config.accounts)
    others = [account for account in accounts if account.replayed is not work.replayed]

    further = {f"replicate:{n}": each.ledger for n, each in enumerate(work.replicates) if n}
    instrument = work.config.assets.cash_instrument
    skill = skill_series(ledger, work.replayed.tape, work.rules.execution, work.cash, free, instrument)
    files = writer.result_files(ledger, work.replayed.results, _curves(free, benchmarks, accounts, further))
    for account in others:
        files |= writer.account_files(account.folder, account.replayed.ledger, account.replayed.results)
    files |= writer.exposure_file(ledger.bars, skill.columns)
    files |= {writer.replicate_file(n): writer.decision_lines(d.results) for n, d in enumerate(work.replicates) if n}
    calls = list_calls(work.gateway)
    files["llm_calls.jsonl"] = jsonl_bytes(calls)
    if work.loaded.source is not None:
        files[SOURCE] = work.loaded.source.encode()
    digest = verify.result_digest(files)
    files[TRADES] = writer.trade_lines(round_trips(ledger))
    files |= writer.prices_file([ledger, *(one.replayed.ledger for one in others)], work.replayed.results)
    files |= _prompts(work, files)
    files |= {f"{one.folder}/{TRADES}": writer.trade_lines(round_trips(one.replayed.ledger)) for one in others}

    hold = measure.session_returns(benchmarks["buy_and_hold"], work.cash)
    facts: RunRecord = {
        **work.identity,
        "notes": [
            *(*work.identity["notes"], *_trading_notes(work)),
            *(*describe_refusals(work.gateway.refusals), *warn_of_substitutes(calls)),
        ],
        **_partial(work),
        "digest": digest,
        "risk_free": inputs.risk_free,
        **_own(work, free, hold, measure.session_returns(benchmarks["equal_weight"], work.cash)),
        "benchmarks": {n: _benchmark(b, work.cash, free, hold) for n, b in benchmarks.items()},
        "account": own_account(accounts, work.replayed),
        "cost_sensitivity": measure.cost_sensitivity(
            work.replayed.inputs, work.replayed.tape, work.rules.execution, work.cash, free
        ),
        "skill": skill_record(skill),
        **analyse(work, accounts, calls, skill, free, hold),
        "audit": _audit(work, digest),
        "llm": _llm(work, calls),
        "shortfalls": shortfalls(work.replicates),
        "bars_until": str(work.staged.until),
        "bar_months": month_digests(inputs.bars, inputs.bars.dates[inputs.start].astype(date)),
        "parts": verify.part_digests(files),
    }

    def events() -> Iterator[Event]:
        yield from run_events(accounts, calls, work.replicates)

    return Recorded(files, facts, events())


def _prompts(work: Work, files: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return prompts.json, of an earlier making of the run where that would be the same."""
    known = work.identity
    if not work.gateway.calls:
        return {}
    name = folder_name(known["strategy"], known["from"], str(work.staged.last), known["run_id"])
    if (before := prompts_before(work.workspace.reports / name, files)) is not None:
        return before
    sent = set(work.replayed.ledger.order_rows["submitted_at"].tolist())
    results = work.replayed.results
    acting = [n for n, result in enumerate(results) if instant(result.decision.as_of) in sent]
    return prompts_file([writer.decision_row(result) for result in results], acting, work.gateway.cache)


def _audit(work: Work, digest: str) -> Audit:
    """Return how far the engines differ; where the kernel played, on the slice that `digest` leads to.

    Raises AuditError where they disagree there.
    """
    done, inputs = work.replayed, work.replayed.inputs
    if done.engine == "backtrader":
        return {"engine": "backtrader", "auditor": "kernel", "max_relative_difference": done.largest_difference}
    chosen = choose_slice(done.ledger, digest)
    found = audit_slice(done.ledger, done.tape, work.rules.execution, work.cash, inputs.opening_marks, chosen)
    days = inputs.traded.dates
    return {
        "engine": "kernel",
        "auditor": "backtrader",
        "max_relative_difference": found.difference,
        "slice": {
            "from": str(days[found.first]),
            "to": str(days[found.end - 1]),
            "bars": found.bars,
            "fills": found.fills,
            "dividends": found.dividends,
            "rejections": found.rejections,
            "of": int(tradable(inputs.traded).sum()),
        },
    }


def _trading_notes(work: Work) -> Iterator[str]:
    """Sentences on what was asked for and could not be meant or had: no whole share, more than the account holds."""
    ledger, largest = work.replayed.ledger, work.rules.limits.max_weight
    refused = ledger.rejection_rows["symbol"][ledger.rejection_rows["why"] == NO_SHARE_REASON]
    for n, count in Counter(refused.tolist()).items():
        symbol, times, last = ledger.bars.symbols[n], counted(count, "time"), price(float(ledger.marks[-1, n]))
        mend = "`shares: fractional` in config/risk.yaml buys parts of one"
        yield f"{symbol}: the weight bought no whole share {plain(times)}, one is {last}; {mend}"
    yield from _name_left_out(work)
    if work.rules.execution.alpaca and any(waits := count_same_open(ledger)):
        steps, buys = counted(waits[0], "second step"), counted(waits[1], "buy")
        yield f"{plain(steps)} of flips and {plain(buys)} paid by sales filled at the open they wait for at a broker"
    beyond = [t for r in work.replayed.results for t in r.decision.targets if abs(t.weight) > max(1.0, largest)]
    if beyond:
        most = max(beyond, key=lambda target: abs(target.weight))
        yield (
            f"{most.symbol} was wanted at {most.weight:g} times the equity and cut to {largest:g}: "
            f"weights are fractions, {abs(most.weight) / 100:g} is {abs(most.weight):g} %"
        )


def _name_left_out(work: Work) -> Iterator[str]:
    """Sentence on changes that were too small for an order; those of symbols not held leave a target at nothing."""
    ledger, rules = work.replayed.ledger, work.rules.execution
    rows = ledger.rejection_rows[ledger.rejection_rows["why"] == TOO_SMALL_REASON]
    if not len(rows):
        return
    before = np.searchsorted(ledger.bars.opens_at, rows["at"]) - 1
    entries = int(((before < 0) | (ledger.positions[before, rows["symbol"]] == 0)).sum())
    least = f"{100 * rules.min_trade_share:.15g} % of equity" if rules.min_trade_share else f"${rules.min_trade:,.15g}"
    also = f", {entries} of them to enter a symbol" if entries else ""
    yield (
        f"{plain(counted(len(rows), 'change'))} below {least} left out as too small{also}: see rejected.csv; "
        "`min_trade` in config/risk.yaml sets the size"
    )


def _own(work: Work, free: measure.Floats, hold: measure.Floats, equal: measure.Floats) -> Result:
    """Metrics of the run's own account, and the inference on them."""
    ledger = work.replayed.ledger
    summary = measure.account(ledger, work.cash, free, hold)
    returns = measure.session_returns(ledger, work.cash)
    inference = inference_summary(returns, free)
    timing, untimed = measure.timing(ledger)
    basket, unfit = split({f"{name}_basket": one for name, one in alpha_beta(returns, equal, free).items()})
    return {
        "sessions": summary.sessions,
        "metrics": dict(summary.values),
        "reasons": {**summary.reasons, **inference.reasons, **untimed, **unfit},
        "replicates": _replicates(work, summary, free, hold),
        "inference": {**inference.values, **timing, **basket},
    }


def _partial(work: Work) -> Ending:
    """State whether the run is partial and how far it came; `to` is the last session replayed."""
    if work.stopped is None:
        return {"partial": False, "to": work.identity["to"]}
    return {
        "partial": True,
        "to": str(work.replayed.inputs.bars.dates[-1]),
        "stopped": {
            "why": work.stopped.found,
            "decided": work.replayed.inputs.meetings,
            "planned": work.staged.inputs.meetings,
            "to": str(work.staged.last),
            "replicates": work.spec.replicates,
        },
    }


def _replicates(work: Work, first: Summary, free: measure.Floats, hold: measure.Floats) -> Replicates:
    if len(work.replicates) == 1:
        return {"count": 1}
    others = [measure.account(each.ledger, work.cash, free, hold) for each in work.replicates[1:]]
    return {"count": len(work.replicates), "metrics": spreads([s.values for s in (first, *others)])}


def _curves(
    free: measure.Floats,
    benchmarks: Mapping[str, Ledger],
    accounts: Sequence[Account],
    further: Mapping[str, Ledger],
) -> dict[str, measure.Floats]:
    """The columns of equity.csv beside the run's own."""
    books = {**benchmarks, **{f"account:{a.name}": a.replayed.ledger for a in accounts}, **further}
    closes = {name: ledger.equity[writer.session_ends(ledger.bars)] for name, ledger in books.items()}
    return {"risk_free": free, **closes}


def _benchmark(ledger: Ledger, cash: float, free: measure.Floats, hold: measure.Floats) -> Benchmark:
    summary = measure.account(ledger, cash, free, hold)
    inference = inference_summary(measure.session_returns(ledger, cash), free)
    interval = {key: inference.values[key] for key in ("sharpe_ci_low", "sharpe_ci_high")}
    return {**summary.values, **interval, "reasons": {**inference.reasons, **summary.reasons}}


def list_calls(gateway: Gateway) -> list[CallRow]:
    """Return a line per question, by date and stage: the order does not depend on who answered first."""
    rows: list[CallRow] = [
        {
            "key": call.key,
            "session": call.purpose.get("session", ""),
            "stage": call.purpose.get("stage", ""),
            "seat": call.purpose.get("seat", ""),
            "replicate": int(call.purpose.get("replicate", 0)),
            "provider": call.provider,
            "model": call.model,
            "served": call.served,
            "outcome": call.outcome,
            "prompt_tokens": call.usage.prompt_tokens,
            "completion_tokens": call.usage.completion_tokens,
            "cost_usd": call.usage.cost_usd,
        }
        for call in gateway.calls
    ]
    for row, call in zip(rows, gateway.calls, strict=True):
        if call.usage.cached_tokens:
            row["cached_tokens"] = call.usage.cached_tokens
    return sorted(rows, key=lambda row: (row["session"], row["stage"], row["seat"], row["replicate"], row["key"]))


def _llm(work: Work, calls: Sequence[CallRow]) -> Llm:
    return {
        "calls": len(calls),
        "failed": sum(c["outcome"] != "answer" for c in calls),
        "cost_usd": sum(c["cost_usd"] for c in calls),
        "analysts": work.loaded.label,
        "models": sorted({c["model"] for c in calls if c["provider"] != "offline"}),
        "served": served_by_seat(c for c in calls if c["provider"] != "offline"),
        "cache_entries": identity.digest_of(sorted(c["key"] for c in calls)),
    }
