"""Registration of a forward test made of what a run is made of, and of the backtest it rests on.

RunSpec, strategy, config ──► digests ──┐
run folder of the backtest ──► usual exposure, evidence after the cut-off, cost ──┴─► Registration
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from simulator.analysis.verdict import judged_sessions, part_after_cutoff, trials_of
from simulator.config import Config
from simulator.errors import UsageError
from simulator.evidence.reader import read_beyond, read_weights
from simulator.evidence.verify import Verified
from simulator.forward.registration import PriorEvidence, Registration, Usual
from simulator.market.calendar import NEW_YORK
from simulator.runs.identity import code_digest, digest_of
from simulator.runs.spec import RunSpec
from simulator.runs.strategies import Loaded
from simulator.stats.confidence_sequence import sessions_to_find
from simulator.stats.metrics import PERIODS
from simulator.stats.series import Undefined
from simulator.trading.strategy import seats_of

OWN_EXPOSURE = "its own usual exposure"
SPREAD = 2.0
"""Factor by which models may cost more or less than in the backtest and still be within what was expected."""


@dataclass(frozen=True)
class Terms:
    """The question of a test: of which account, against what, the smallest edge of interest (ratio of d a year); an
    empty question is the usual one."""

    primary: str
    smallest_edge: float = 1.0
    question: str = ""
    benchmark: str = OWN_EXPOSURE


@dataclass(frozen=True)
class Backtest:
    """Parts of a registration that come from a run's folder."""

    run_id: str
    usual: Usual
    expected_usd: tuple[float, float, float] | None
    prior: PriorEvidence | None = None


def make_registration(
    spec: RunSpec,
    loaded: Loaded,
    config: Config,
    accounts: Mapping[str, str],
    terms: Terms,
    at: datetime,
    backtest: Backtest | None = None,
) -> Registration:
    """Return the registration of `spec` on `accounts` {name: the broker's number}, made at `at`.

    `config` holds the overrides of the spec already. Raises UsageError for a primary account there is not, an edge that
    is not positive, and carried evidence that is not over yet.
    """
    needed = sessions_to_find(terms.smallest_edge / math.sqrt(PERIODS)) if math.isfinite(terms.smallest_edge) else None
    if needed is None or isinstance(needed, Undefined):
        raise UsageError(f"the smallest edge was {terms.smallest_edge:g}", mend="give a ratio a year above 0, 1 or 2")
    if terms.primary not in accounts:
        raise UsageError(f'no account "{terms.primary}"', mend=f"the primary one is one of {', '.join(accounts)}")
    day = str(at.astimezone(NEW_YORK).date())
    if backtest and backtest.prior and backtest.prior.last >= day:
        raise UsageError(f"its evidence goes on to {backtest.prior.last}", mend=f"run the backtest to before {day}")
    name, seats = loaded.strategy.name, seats_of(loaded.strategy)
    seated = {seat: one.model_dump(mode="json") for seat, one in seats.items()}
    asked = f"Does {name} in {terms.primary} earn more than {terms.benchmark} to {', '.join(spec.symbols)}?"
    return Registration(
        strategy=name,
        files=dict(loaded.files),
        prompts={file: digest for file, digest in loaded.files.items() if file.endswith(".md")},
        models={seat: f"{one.provider}/{one.model}" for seat, one in seats.items()},
        parameters=dict(spec.parameters),
        # Of the models only those that sit in it, as in the identity of a run.
        config=digest_of({**config.dump(), "models": seated}),
        code=code_digest(),
        symbols=tuple(spec.symbols),
        benchmark=terms.benchmark,
        question=terms.question or asked,
        primary=terms.primary,
        smallest_edge=float(terms.smallest_edge),
        sessions_needed=int(needed),
        accounts=dict(accounts),
        registered_at=at.astimezone(NEW_YORK).isoformat(),
        cash_instrument=config.assets.cash_instrument,
        backtest=backtest.run_id if backtest else None,
        usual=backtest.usual if backtest else Usual(),
        prior=backtest.prior if backtest else None,
        expected_usd=backtest.expected_usd if backtest else None,
    )


def read_backtest(found: Verified, spec: RunSpec, loaded: Loaded, carry: bool = False) -> Backtest:
    """Return what the run in `found` gives a test of `spec`: mean weights when sessions opened, costs of its models,
    and with `carry` the evidence after their cut-off.

    Raises UsageError for a run of another strategy or other symbols, and for evidence that there is not: only models
    have a cut-off, whoever writes a rule knows the whole of its backtest.
    """
    run, folder = found.run, found.folder
    if dict(run["strategy_files"]) != dict(loaded.files) or set(run["symbols"]) != set(spec.symbols):
        what = "symbols" if dict(run["strategy_files"]) == dict(loaded.files) else "files of the strategy"
        raise UsageError(f"{folder.name} was made with other {what}", mend=f"run it again: {run['command']}")
    _, closes = read_weights(folder, run)
    held = {name: float(np.mean(np.r_[0.0, weights[:-1]])) for name, weights in closes.items()}
    sessions, cost = run["sessions"], run["llm"]["cost_usd"] / max(run["sessions"], 1)
    expected = (cost / SPREAD, cost, cost * SPREAD) if run["llm"]["models"] else None
    prior = _read_prior(found) if carry else None
    return Backtest(run["run_id"], Usual(held, sessions), expected, prior)


def _read_prior(found: Verified) -> PriorEvidence:
    run = found.run
    count, part = judged_sessions(run) if run["llm"]["models"] else 0, part_after_cutoff(run)
    skill = part.get("skill") if part else None
    beyond = read_beyond(found.folder, run)
    if not count or skill is None or not beyond:
        why = "no session can be judged after its models' cut-off" if run["llm"]["models"] else "no model was asked"
        raise UsageError(f"nothing of {found.folder.name} can be carried in: {why}", mend="leave out --carry")
    days = sorted(beyond)[-count:]
    return PriorEvidence(
        str(days[0]),
        str(days[-1]),
        tuple(beyond[day] for day in days),
        skill.get("level", 0.0) / PERIODS,
        skill["decisions"],
        int(trials_of(run)),
    )
