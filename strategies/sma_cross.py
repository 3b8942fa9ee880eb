from simulator.rules import Rule, Snapshot, vector_forms


class SmaCross(Rule):
    """Hold a symbol, in equal parts, while its 50-session average is above its 200-session one."""

    fast = 50
    slow = 200
    weights_for = classmethod(vector_forms.sma_cross)

    @property
    def window(self) -> int:
        return self.slow

    def weights(self, market: Snapshot) -> dict[str, float]:
        closes = {symbol: market.history(symbol, last=self.slow) for symbol in market.symbols}
        up = [s for s, c in closes.items() if len(c) == self.slow and c[-self.fast :].mean() > c.mean()]
        return {symbol: 1 / len(market.symbols) for symbol in up}
