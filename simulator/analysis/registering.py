"""Parts of a run's folder that a forward test is registered with: usual exposure, cost, evidence after the cut-off."""

from __future__ import annotations

import numpy as np

from simulator.analysis.verdict import judged_sessions, part_after_cutoff, trials_of
from simulator.errors import UsageError
from simulator.evidence.reader import read_beyond, read_weights
from simulator.evidence.verify import Verified
from simulator.forward.registration import PriorEvidence, Usual
from simulator.runs.registering import Backtest
from simulator.stats.metrics import PERIODS

SPREAD = 2.0
"""Factor by which models may cost more or less than in the backtest and still be within what was expected."""


def read_backtest(found: Verified, carry: bool = False) -> Backtest:
    """Return what the run in `found` gives a test: mean weights when sessions opened, costs of its models, and with
    `carry` the evidence after their cut-off.

    Raises UsageError for evidence that there is not: only models have a cut-off, whoever writes a rule knows the whole
    of its backtest.
    """
    run = found.run
    _, closes = read_weights(found.folder, run)
    held = {name: float(np.mean(np.r_[0.0, weights[:-1]])) for name, weights in closes.items()}
    sessions, cost = run["sessions"], run["llm"]["cost_usd"] / max(run["sessions"], 1)
    expected = (cost / SPREAD, cost, cost * SPREAD) if run["llm"]["models"] else None
    prior = _read_prior(found) if carry else None
    files, symbols = dict(run["strategy_files"]), tuple(run["symbols"])
    return Backtest(run["run_id"], files, symbols, run["command"], Usual(held, sessions), expected, prior)


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
