from simulator.rules import Rule, Snapshot, vector_forms


class BuyAndHold(Rule):
    """Equal parts of every symbol at the first decision, then left alone."""

    cadence = "once"
    weights_for = classmethod(vector_forms.buy_and_hold)

    def weights(self, market: Snapshot) -> dict[str, float]:
        return {symbol: 1 / len(market.symbols) for symbol in market.symbols}
