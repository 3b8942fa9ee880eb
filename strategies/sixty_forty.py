from simulator.rules import Rule, Snapshot, UsageError, vector_forms


class SixtyForty(Rule):
    """60 % the first stock fund, 40 % the first bond or cash fund (of two unknown symbols: in the order given)."""

    cadence = "monthly"
    stocks = 0.6
    bond_funds = ("AGG", "BND", "IEF", "TLT", "TLH", "IEI", "SHY", "GOVT", "LQD", "HYG", "TIP", "BIL", "SHV", "SGOV")
    weights_for = classmethod(vector_forms.constant)

    def weights(self, market: Snapshot) -> dict[str, float]:
        bonds = [symbol for symbol in market.symbols if symbol in self.bond_funds]
        stocks = [symbol for symbol in market.symbols if symbol not in self.bond_funds]
        if not bonds and len(stocks) == 2:
            stocks, bonds = stocks[:1], stocks[1:]
        if not (stocks and bonds):
            raise UsageError(f"no stocks or no bonds in {','.join(market.symbols)}", mend="try --symbols SPY,BIL")
        return {stocks[0]: self.stocks, bonds[0]: 1 - self.stocks}
