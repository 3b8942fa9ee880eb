from simulator.rules import Rule, Snapshot, uniform


class RandomEntry(Rule):
    """Each week a coin per symbol: held in equal parts or not at all. What luck alone would have done."""

    seed = 0
    probability = 0.5

    def weights(self, market: Snapshot) -> dict[str, float]:
        day = market.as_of.date()
        held = [s for s in market.symbols if uniform(self.seed, day, s) < self.probability]
        return {symbol: 1 / len(market.symbols) for symbol in held}
