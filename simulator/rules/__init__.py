"""Plain rule strategies: one file in `strategies/`, one class, one method.

from simulator.rules import Rule, Snapshot

class GoldOrNothing(Rule):
    \"\"\"Half in gold while it stands above its 100-session average.\"\"\"

    window = 100

    def weights(self, market: Snapshot) -> dict[str, float]:
        closes = market.history("GLD", last=100)
        return {"GLD": 0.5} if closes[-1] > closes.mean() else {}

A sweep asks for all dates at once, by `Rule.weights_for(market, parameters)`: (K, N) targets at the K dates of `market`
(`Occasions`). Without one of its own a rule is asked date by date; with one, such as those of `vector_forms`, the two
forms must agree bit for bit.
"""

from simulator.errors import UsageError
from simulator.market.bars import Snapshot
from simulator.rules import vector_forms
from simulator.rules.base import Rule, RuleStrategy, uniform
from simulator.rules.failure import StrategyError
from simulator.rules.loader import load_rule
from simulator.rules.occasions import Occasions

__all__ = ["Occasions", "Rule", "RuleStrategy", "Snapshot", "StrategyError", "UsageError"]
__all__ += ["load_rule", "uniform", "vector_forms"]
