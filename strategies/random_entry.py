from simulator.rules import Rule, Snapshot, uniform, vector_forms


class RandomEntry(Rule):
    """Each week a coin per symbol: held in equal parts or not at all. What luck alone would have done."""

    seed = 0
    probability = 0.5
    weights_for = classmethod(vector_forms.random_entry)

    def weights(self, market: Snapshot) -> dict[str, float]:
        day = market.as_of.date()
        held = [s for s in market.symbols if uniform(self.seed, day, s) < self.probability]
        return {symbol: 1 / len(market.symbols) for symbol in held}
