"""Statistics on plain arrays: what a return series was worth, how sure one can be, and what selection does to that.

metrics, drawdowns, trades                what happened
inference, bootstrap, hac, power          one strategy: how sure
compare, timing                           two strategies; one strategy against its own positions at other times
selection, overfitting, adjust            the best of many
splits                                    which sessions to fit on and which to judge on
series, distributions                     the ground under all of it

Nothing here knows of markets, orders or LLMs. Each module states its conventions at the top, its sources by function.
"""
