"""Plain rule strategies: one file in `strategies/`, one class, one method.

from simulator.rules import Rule, Snapshot

class GoldOrNothing(Rule):
    \"\"\"Half in gold while it stands above its 100-session average.\"\"\"

    window = 100

    def weights(self, market: Snapshot) -> dict[str, float]:
        closes = market.history("GLD", last=100)
        return {"GLD": 0.5} if closes[-1] > closes.mean() else {}
"""

from simulator.errors import UsageError
from simulator.market.bars import Snapshot
from simulator.rules.base import Rule, RuleStrategy, uniform
from simulator.rules.failure import StrategyError
from simulator.rules.loader import load_rule

__all__ = ["Rule", "RuleStrategy", "Snapshot", "StrategyError", "UsageError", "load_rule", "uniform"]
