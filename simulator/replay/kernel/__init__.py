"""The kernel: tapes replayed by compiled code, some hundred times faster than the event loop.

It shares sizing and the risk limits with the reference engine and nothing else, so that each audits the other.
"""

from simulator.replay.kernel.batch import Batch, enter, play_books, play_many, replay_tape
from simulator.replay.kernel.market import PreparedMarket

__all__ = ["Batch", "PreparedMarket", "enter", "play_books", "play_many", "replay_tape"]
