"""Registration of a forward test made of what a run is made of.

strategy, config, parameters ──► digests ──► Registration ◄── Backtest: usual exposure, cost, evidence carried in
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from simulator.config import Config
from simulator.errors import UsageError
from simulator.forward.registration import PriorEvidence, Registration, Usual
from simulator.forward.settings import Forward
from simulator.market.calendar import NEW_YORK
from simulator.runs.identity import code_digest, digest_of
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import Loaded
from simulator.stats.confidence_sequence import sessions_to_find
from simulator.stats.metrics import PERIODS
from simulator.stats.series import Undefined
from simulator.trading.strategy import Strategy, seats_of


@dataclass(frozen=True)
class Backtest:
    """Parts of a registration that come from a run's folder, and what that was made of; `command` makes it again."""

    run_id: str
    files: Mapping[str, str]
    symbols: tuple[str, ...]
    command: str
    usual: Usual
    expected_usd: tuple[float, float, float] | None = None
    prior: PriorEvidence | None = None


def make_registration(
    spec: RunSpec,
    loaded: Loaded,
    config: Config,
    accounts: Mapping[str, str],
    at: datetime,
    edge: float = 1.0,
    backtest: Backtest | None = None,
    terms: Mapping[str, object] | None = None,
) -> Registration:
    """Return the registration of `spec` on `accounts` {name: the broker's number}, made at `at`.

    `config` holds the overrides of the spec already, `edge` is the smallest ratio a year of interest, `terms` are those
    of config/forward.yaml. The primary account is that of the whole strategy, the last one. Raises UsageError for an
    edge that no number of sessions would show, and a backtest of another strategy, of other symbols, or whose
    evidence is not over yet.
    """
    needed = sessions_to_find(edge / math.sqrt(PERIODS)) if math.isfinite(edge) else Undefined("it is no number")
    if isinstance(needed, Undefined):
        raise UsageError(f"--edge was {edge:g}: {needed.reason}", mend="give a ratio a year, 1.0 for one")
    day = at.astimezone(NEW_YORK)
    if backtest is not None:
        _check_backtest(backtest, spec, loaded, str(day.date()))
    name, seats = loaded.strategy.name, seats_of(loaded.strategy)
    return Registration(
        strategy=name,
        files=dict(loaded.files),
        prompts={file: digest for file, digest in loaded.files.items() if file.endswith(".md")},
        models={seat: f"{one.provider}/{one.model}" for seat, one in seats.items()},
        parameters=dict(spec.parameters),
        # Of the models only those that sit in it, as in the identity of a run.
        config=digest_of({**config.dump(), "models": describe_seats(loaded.strategy)}),
        code=code_digest(),
        symbols=tuple(spec.symbols),
        benchmark="its own usual exposure",
        question=f"Does {name} earn more than its own usual exposure to {', '.join(spec.symbols)}?",
        primary=[*accounts][-1],
        smallest_edge=float(edge),
        sessions_needed=int(needed),
        accounts=dict(accounts),
        registered_at=day.isoformat(),
        cash_instrument=config.assets.cash_instrument,
        backtest=backtest.run_id if backtest else None,
        usual=backtest.usual if backtest else Usual(),
        prior=backtest.prior if backtest else None,
        expected_usd=backtest.expected_usd if backtest else None,
        terms=terms or Forward().terms,
    )


def describe_seats(strategy: Strategy[Any]) -> Mapping[str, object]:
    """Return {seat: settings of its model}, JSON-able."""
    return {seat: one.model_dump(mode="json") for seat, one in seats_of(strategy).items()}


def _check_backtest(backtest: Backtest, spec: RunSpec, loaded: Loaded, day: str) -> None:
    same = dict(backtest.files) == dict(loaded.files)
    if not same or set(backtest.symbols) != set(spec.symbols):
        what = "symbols" if same else "files of the strategy"
        raise UsageError(f"{backtest.run_id} was made with other {what}", mend=f"run it again: {backtest.command}")
    if backtest.prior and backtest.prior.last >= day:
        raise UsageError(
            f"the evidence of {backtest.run_id} goes on to {backtest.prior.last}", mend=f"run it to before {day}"
        )
