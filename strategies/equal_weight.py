from simulator.rules import Rule, Snapshot, vector_forms


class EqualWeight(Rule):
    """Equal parts of every symbol that trades by now, restored each month."""

    cadence = "monthly"
    weights_for = classmethod(vector_forms.equal_weight)

    def weights(self, market: Snapshot) -> dict[str, float]:
        trading = [symbol for symbol in market.symbols if market.has(symbol)]
        return {symbol: 1 / len(trading) for symbol in trading}
