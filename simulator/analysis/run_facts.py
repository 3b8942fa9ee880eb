"""Facts of run.json that answer questions: leaderboard, other moments of execution, the models' cut-offs."""

from __future__ import annotations

from collections.abc import Sequence

from simulator.analysis.leaderboard import leaderboard
from simulator.analysis.toggles import execution_toggles
from simulator.contamination.split import Daily, contamination_facts
from simulator.evidence.members import served_by_seat
from simulator.evidence.records import CallRow, Findings
from simulator.evidence.writer import session_ends
from simulator.llm.spending.prices import Prices
from simulator.runs import measure
from simulator.runs.accounts import Account
from simulator.runs.exposure import SkillSeries
from simulator.runs.run_record import Work
from simulator.trading.strategy import seats_of


def analyse(
    work: Work,
    accounts: Sequence[Account],
    calls: Sequence[CallRow],
    skill: SkillSeries,
    free: measure.Floats,
    hold: measure.Floats,
) -> Findings:
    """Keys ``accounts``, ``execution_toggles`` and ``contamination`` of run.json.

    `free` and `hold` are (S,) returns of the risk-free asset and of buy-and-hold per session.
    """
    replayed, ledger = work.replayed, work.replayed.ledger
    days = ledger.bars.dates[session_ends(ledger.bars)]
    daily = Daily(days, measure.session_returns(ledger, work.cash), hold, free, skill)
    return {
        "accounts": leaderboard(accounts, calls, free, work.cash, hold),
        "execution_toggles": execution_toggles(replayed.inputs, replayed.tape, work.rules.execution, work.cash, free),
        "contamination": contamination_facts(
            seats_of(work.loaded.strategy),
            Prices(work.config.models.prices),
            replayed.results,
            daily,
            served=served_by_seat(calls),
        ),
    }
