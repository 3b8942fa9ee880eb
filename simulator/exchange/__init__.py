"""Rehearsal exchange: Alpaca's trading and data interfaces on this machine, over historical bars and a simulated clock.

    python -m simulator.exchange --bars data --symbols SPY,QQQ --from 2024-06-03
    TradingClient(key, secret, url_override="http://127.0.0.1:8901")        any key opens a paper account of its own

    rest.py, data.py, streams.py ──► Exchange (exchange.py): accounts, clock, who listens
    (the wire)                          │  advance(to): bar by bar, first its open, then what lies within it
                                        ├──► accounts.py, orders.py: what is held, what is asked for, what is refused
                                        ├──► matching.py: who fills where, by the rules of trading.fills
                                        └──► prices.py: bars known by now, last prices, quotes

Nothing here moves by itself: the clock stands until somebody advances it, or runs at a stated speed.
"""
