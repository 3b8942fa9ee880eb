"""Orders that a broker carries out one after the other and a bar shows at one instant: both steps of a flip, and buys
together with the sales they are paid from."""

from __future__ import annotations

from itertools import groupby

import numpy as np

from simulator.replay.ledger import AT_OPEN, Ledger
from simulator.trading.orders import COLLAR, buying_power


def count_same_open(ledger: Ledger) -> tuple[int, int]:
    """Return how many second steps of flips, and how many buys beyond the buying power before the sales, filled at the
    same open as what they wait for at a broker."""
    rows = ledger.fill_rows[ledger.fill_rows["why"] == AT_OPEN]
    bars = np.searchsorted(ledger.bars.opens_at, rows["at"]).tolist()
    fills = zip(bars, rows["symbol"].tolist(), rows["quantity"].tolist(), strict=True)
    closes, flips, financed = ledger.marks, 0, 0
    for t, at_once in groupby(fills, lambda fill: fill[0]):
        held = ledger.positions[t - 1].tolist() if t else [0.0] * len(ledger.bars.symbols)
        marks = (closes[t - 1] if t else ledger.opening_marks).tolist()
        gross = sum(abs(shares) * mark for shares, mark in zip(held, marks, strict=True))
        power, sold = buying_power(float(ledger.equity[t - 1 if t else 0]), gross), set[int]()
        for _, n, quantity in at_once:
            if held[n] * quantity < 0.0:
                sold.add(n)
            else:
                flips += n in sold
                power -= abs(quantity) * marks[n] * (1.0 + COLLAR)
                financed += bool(power < 0.0 and sold)
            held[n] += quantity
    return flips, financed
