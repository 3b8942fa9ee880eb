from simulator.rules import Rule, Snapshot


class BuyAndHold(Rule):
    """Equal parts of every symbol at the first decision, then left alone."""

    cadence = "once"

    def weights(self, market: Snapshot) -> dict[str, float]:
        return {symbol: 1 / len(market.symbols) for symbol in market.symbols}
