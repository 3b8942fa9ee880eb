"""Decisions of councils as tapes: asked once, then carried out in any number of ways by the kernel, on each account.

members ──settings a question may show──► distinct councils ──gateway──► opinions ──► CouncilTape   (in the parent)
CouncilTape, settings of the trade ──► Tape that waits for the account ──► kernel                   (in any worker)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from simulator.config import Seat
from simulator.council.context import PipelineContext
from simulator.council.records import SymbolFacts
from simulator.council.revision import level_set_on, propose_change
from simulator.council.shortlist import priced_symbols
from simulator.council.spec import CouncilSpec, TradeSpec
from simulator.council.stages.execution import ExecutionStage, limit_prices, move_level
from simulator.council.strategy import Council
from simulator.market.bars import Floats, Instants
from simulator.replay.inputs import ReplayInputs
from simulator.replay.tape import TERMS, Tape
from simulator.runs.identity import digest_of
from simulator.trading.conditional import CLOSE, DROP, ENTER, LEAVE, SET, Conditional
from simulator.trading.fills import price_or_nan
from simulator.trading.model import Target
from simulator.trading.schedule import MEETING, Point

MOST_KEPT = 1024
"""Tapes that a process holds, of so many settings of the trade."""


@dataclass(frozen=True)
class Cell:
    """Decision `k` on symbol `n` as it was told: `number` of its checkpoint within the session, −1 at a meeting; the
    closes its stop and target were set on, and the facts of its symbol that limits rest on."""

    k: int
    n: int
    number: int
    target: Conditional
    stop_from: float | None = None
    target_from: float | None = None
    known: SymbolFacts = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class CouncilTape:
    """All that a council decided, before any account is looked at.

    Attributes
    ----------
    spec : its definition
    points, window, seats : when it decides, on how much history, and the model in every seat
    cells : decisions on symbols, oldest first
    unlisted : (k, n, k of the meeting before or −1, 1 for a symbol with a price) of symbols a meeting was not about
    """

    name: str
    spec: CouncilSpec
    points: tuple[Point, ...]
    window: int
    seats: Mapping[str, Seat]
    instants: Instants
    symbols: tuple[str, ...]
    cells: tuple[Cell, ...]
    unlisted: tuple[tuple[int, int, int, bool], ...] = ()
    _made: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def digest(self) -> str:
        """Digest of the decisions, not of how they are carried out."""
        return digest_of([self.instants.tolist(), self.symbols, repr(self.cells), self.unlisted])

    def tape(self, trade: TradeSpec) -> Tape:
        """Return the decisions as `trade` carries them out; equal settings give the same object."""
        if trade not in self._made:
            if len(self._made) >= MOST_KEPT:
                self._made.clear()
            self._made[trade] = self._make(trade)
        made: Tape = self._made[trade]
        return made

    def _make(self, trade: TradeSpec) -> Tape:
        spec, cells = self.spec.model_copy(update={"trade": trade}), self._columns
        kind, conviction = cells["kind"].copy(), cells["conviction"]
        full = np.abs(conviction) == 2
        size = np.where(conviction == 0, 0.0, np.where(full, spec.size(2), spec.size(1)))
        fresh = np.isin(kind, (SET, ENTER))
        below = (conviction != 0) & (np.abs(conviction) < trade.min_conviction)
        kind[below] = np.where(fresh, SET, CLOSE)[below]
        size = np.where(fresh, np.sign(conviction) * size, size)
        size[below] = 0.0
        buying, selling = self._limits(spec)
        limited = ~below & np.where(kind == SET, (conviction != 0) & ~full, kind == ENTER)
        out_of_nothing = cells["limit"]
        if trade.limit_atr is not None:
            anew = np.where(conviction > 0, buying, selling)
            out_of_nothing = np.where(np.isnan(out_of_nothing), np.nan, anew)
        if trade.checkpoints_per_day is not None:
            kind[cells["number"] >= trade.checkpoints_per_day] = LEAVE
        at = cells["k"], cells["n"]
        terms = np.zeros((len(self.instants), len(self.symbols)), dtype=TERMS)
        columns = (kind, cells["side"], size, np.full(len(size), spec.size(2)))
        for name, column in zip(("kind", "side", "size", "full"), columns, strict=True):
            terms[name][at] = column
        for name, column in (("limit", out_of_nothing), ("buying", buying), ("selling", selling)):
            terms[name] = np.nan
            terms[name][at] = np.where(limited, column, np.nan)
        levels = []
        for name, times in (("stop", trade.stops), ("target", trade.targets)):
            found = np.full(terms.shape, np.nan)
            found[at] = np.where(below, np.nan, self._levels(name, times))
            levels.append(found)
        self._drop_unlisted(terms)
        nothing = np.full(terms.shape, np.nan)
        stops, targets = levels
        return Tape(self.instants, self.symbols, nothing, nothing, stops, targets, terms)

    def _drop_unlisted(self, terms: NDArray[Any]) -> None:
        """Close what a meeting was not about: by a target where one was set since the meeting before, or there is none
        before and it has a price; else where it is held."""
        for k, n, before, priced in self.unlisted:
            since = terms[before:k, n]
            wanted = bool(((since["kind"] != LEAVE) & (since["kind"] != CLOSE) & (since["size"] != 0)).any())
            terms["kind"][k, n] = SET if (wanted if before >= 0 else priced) else DROP

    @property
    def _columns(self) -> Mapping[str, NDArray[Any]]:
        if "columns" not in self._made:
            rows = [
                (c.k, c.n, c.number, c.target.kind, c.target.side, c.target.target.conviction or 0) for c in self.cells
            ]
            names = ("k", "n", "number", "kind", "side", "conviction")
            table = np.array(rows, dtype=np.int64).reshape(-1, len(names)).T
            limits = np.array([c.target.limit for c in self.cells])
            self._made["columns"] = dict(zip(names, table, strict=True)) | {"limit": limits}
        found: Mapping[str, NDArray[Any]] = self._made["columns"]
        return found

    def _levels(self, name: str, times: float) -> Floats:
        if (name, times) not in self._made:
            stop = name == "stop"
            self._made[name, times] = np.array(
                [
                    price_or_nan(
                        move_level(
                            c.target.target.stop if stop else c.target.target.take_profit,
                            c.stop_from if stop else c.target_from,
                            times,
                        )
                    )
                    for c in self.cells
                ]
            )
        found: Floats = self._made[name, times]
        return found

    def _limits(self, spec: CouncilSpec) -> Floats:
        """(2, M) limits of buying and of selling."""
        key = "limits", spec.trade.limit_atr
        if key not in self._made:
            self._made[key] = np.array([limit_prices(c.known, spec) for c in self.cells]).reshape(-1, 2).T
        found: Floats = self._made[key]
        return found


def override_trade(spec: CouncilSpec, settings: Mapping[str, Any]) -> TradeSpec:
    """Return how `spec` carries decisions out, with `settings` in place, which were checked before."""
    return TradeSpec.model_validate({**vars(spec.trade), **settings}) if settings else spec.trade


def tape_of(
    council: Council, inputs: ReplayInputs, opinions: Mapping[int, PipelineContext], points: tuple[Point, ...]
) -> CouncilTape:
    """Return the decisions that `opinions` {index of the instant: opinion} come to."""
    cells: list[Cell] = []
    unlisted: list[tuple[int, int, int, bool]] = []
    column = {symbol: n for n, symbol in enumerate(inputs.bars.symbols)}
    before, sessions = -1, [snapshot.session for snapshot in inputs.snapshots]
    number = 0
    for k, (point, opinion) in enumerate(zip(inputs.points, (opinions[k] for k in range(len(sessions))), strict=True)):
        snapshot = inputs.snapshots[k]
        number = number if k and sessions[k] == sessions[k - 1] else 0
        if point == MEETING:
            cells += _meeting(k, council, opinion, column)
            listing, priced = council.spec.listing, priced_symbols(snapshot)
            if listing is not None and len(priced) > listing.size and opinion.no_decision is None:
                left = (s for s in snapshot.symbols if s not in opinion.facts["symbols"])
                unlisted += [(k, column[s], before, s in priced) for s in left]
            before = k
        else:
            cells += _checkpoint(k, number, council, opinion, inputs, column)
            number += 1
    return CouncilTape(
        name=council.name,
        spec=council.spec,
        points=points,
        window=council.window,
        seats=dict(council.seats),
        instants=inputs.instants,
        symbols=inputs.bars.symbols,
        cells=tuple(cells),
        unlisted=tuple(unlisted),
    )


def _meeting(k: int, council: Council, opinion: PipelineContext, column: Mapping[str, int]) -> Iterator[Cell]:
    if opinion.no_decision is not None:
        return
    for proposed in ExecutionStage().propose(opinion, council.spec.as_told):
        target = proposed.target
        known = _find_prices(opinion, target.target)
        yield Cell(k, column[target.target.symbol], -1, target, known["close"], known["close"], known)


def _checkpoint(
    k: int,
    number: int,
    council: Council,
    opinion: PipelineContext,
    inputs: ReplayInputs,
    column: Mapping[str, int],
) -> Iterator[Cell]:
    bars = inputs.snapshots[k].bars
    for one in opinion.revisions:
        if one.thesis.seat == council.chair:
            target = propose_change(one, opinion.facts, council.spec.as_told)
            if target is not None:
                closes = (level_set_on("stop", one, bars), level_set_on("target", one, bars))
                yield Cell(
                    k, column[target.target.symbol], number, target, *closes, _find_prices(opinion, target.target)
                )


def _find_prices(opinion: PipelineContext, target: Target) -> SymbolFacts:
    """Return of the facts of a symbol those that prices of orders rest on."""
    facts = opinion.facts["symbols"][target.symbol]
    return {name: facts[name] for name in ("close", "atr_14") if name in facts}
