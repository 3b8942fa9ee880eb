from simulator.rules import Rule, Snapshot, vector_forms


class Momentum(Rule):
    """The better half by return from 12 months to 1 month ago, in equal parts, where that return is positive.

    After Jegadeesh and Titman (1993); the newest month is left out because it tends to reverse.
    """

    cadence = "monthly"
    window = 253
    weights_for = classmethod(vector_forms.momentum_12_1)

    def weights(self, market: Snapshot) -> dict[str, float]:
        closes = {symbol: market.history(symbol, last=253) for symbol in market.symbols}
        gains = {symbol: c[-22] / c[0] - 1 for symbol, c in closes.items() if len(c) == 253}
        best = sorted(gains, key=gains.__getitem__, reverse=True)[: (len(gains) + 1) // 2]
        return {symbol: 1 / len(best) for symbol in best if gains[symbol] > 0}
