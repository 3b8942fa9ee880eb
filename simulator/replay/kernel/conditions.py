"""Targets that wait for the account, compiled: settled on the member's book when their decision is carried out."""

from __future__ import annotations

from simulator.compiled import inner
from simulator.replay.kernel.market import MarketArrays, Targets
from simulator.replay.kernel.state import KernelState
from simulator.trading import conditional

inner(conditional.held_weight)
resolve = inner(conditional.resolve)


@inner
def settle(m: MarketArrays, targets: Targets, s: KernelState, t: int, k: int) -> None:
    """Put weights and limits of decision `k` where its targets are read: ``targets.settled`` is their memory."""
    a = s.account[0]
    for n in range(len(s.positions)):
        terms = targets.terms[k, n]
        mark = m.mark[t - 1, n] if t > 0 else m.opening_marks[n]
        targets.settled[0, k, n], targets.settled[1, k, n] = resolve(
            terms.kind,
            terms.side,
            (terms.size, terms.full),
            (terms.limit, terms.buying, terms.selling),
            s.positions[n].held,
            mark,
            a.equity,
        )
