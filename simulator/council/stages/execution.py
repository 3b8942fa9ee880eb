"""Execution: from an approved trade to a target. No model is asked; the book decides on which side a limit stands.

    conviction   size (sizes in strategy.yaml)   order
    +2 / −2      +20 % / −20 % of equity         MARKET
    +1 / −1      +10 % / −10 %                   LIMIT, limit_atr × ATR(14) on the better side of the last close
    not approved  0 %                            MARKET

Stop and take-profit are those of the best-reviewed pitch for the trade.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import nan

from simulator.council.answers import ApprovedTrade, Pitch
from simulator.council.context import PipelineContext
from simulator.council.facts import last_close
from simulator.council.records import Facts, SymbolFacts
from simulator.council.spec import CouncilSpec
from simulator.number_format import price_text, round_price
from simulator.trading.conditional import SET, Conditional
from simulator.trading.fills import price_or_nan
from simulator.trading.model import Book, Target


@dataclass(frozen=True)
class Executed:
    """A target in one symbol, the seat whose pitch it rests on, and what was changed and why."""

    target: Target
    seat: str | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Proposed:
    """A target that waits for the account, the seat whose pitch it rests on, and what was changed and why."""

    target: Conditional
    seat: str | None = None
    notes: tuple[str, ...] = ()

    def on(self, book: Book) -> Executed:
        """Return it on the account with `book`."""
        target = self.target.on(book)
        if target is None:
            raise ValueError(f"{self.target.target.symbol} is left alone by an account without a position")
        return Executed(target, self.seat, self.notes)


class ExecutionStage:
    """The last stage. Unlike the others it reads the account, so it runs when the replay has come to its date."""

    name = "execution"
    reads = ("facts", "pm_pitches", "peer_reviews", "chairman_decision")
    writes = "execution_results"

    def run(self, context: PipelineContext, spec: CouncilSpec, book: Book) -> PipelineContext:
        """A new context with one result per symbol that has a price; without any when there was no decision."""
        if context.no_decision is not None:
            return context
        return replace(context, execution_results=self.produce(context.only(self.reads), spec, book))

    def produce(self, context: PipelineContext, spec: CouncilSpec, book: Book) -> tuple[Executed, ...]:
        return tuple(one.on(book) for one in self.propose(context, spec))

    def propose(self, context: PipelineContext, spec: CouncilSpec) -> tuple[Proposed, ...]:
        """Return what is to be done in each symbol, before an account is looked at."""
        decision, context = context.chairman_decision, context.without(spec.vote.silent)
        approved = () if decision is None or decision.value is None else decision.value.approved_trades
        ranked = sorted(approved, key=lambda trade: (-abs(trade.conviction), trade.instrument))
        kept = {trade.instrument: trade for trade in ranked[: spec.max_trades]}
        beyond = {trade.instrument for trade in ranked[spec.max_trades :]}
        results = []
        for symbol in context.facts["symbols"]:
            if symbol in kept:
                results.append(_propose(kept[symbol], context, spec))
            else:
                why = f"approved beyond max_trades {spec.max_trades}" if symbol in beyond else "not approved"
                results.append(Proposed(Conditional(Target(symbol, 0.0, reason=why))))
        return tuple(results)


def _propose(trade: ApprovedTrade, context: PipelineContext, spec: CouncilSpec) -> Proposed:
    supporters = [
        seat
        for seat, pitch in context.pitches.items()
        if pitch.instrument == trade.instrument and pitch.direction == trade.direction
    ]
    if not supporters:
        note = f"the chairman approved {trade.direction} {trade.instrument}, which nobody pitched"
        return Proposed(Conditional(Target(trade.instrument, 0.0, reason=note)), notes=(note,))
    seat = min(supporters, key=lambda s: (-(context.score(s) or 0.0), -abs(context.pitches[s].conviction), s))
    return propose(context.pitches[seat], seat, trade.conviction, trade.rationale, context.facts, spec)


def propose(pitch: Pitch, seat: str, conviction: int, reason: str, facts: Facts, spec: CouncilSpec) -> Proposed:
    """Return the target for `pitch` at `conviction` ≠ 0, protected by its stop and target where they make sense, all of
    it as ``spec.trade`` has it."""
    symbol, notes = pitch.instrument, []
    if below := below_conviction(conviction, spec):
        return Proposed(Conditional(Target(symbol, 0.0, conviction=conviction, reason=below)), seat, (below,))
    close = last_close(facts, symbol)
    sign = 1 if conviction > 0 else -1
    stop, target = pitch.stop, pitch.target
    if stop is not None and close is not None and (close - stop) * sign <= 0:
        notes.append(f"stop {price_text(stop)} left out: not on the losing side of the last close {price_text(close)}")
        stop = None
    if target is not None and close is not None and (target - close) * sign <= 0:
        notes.append(
            f"target {price_text(target)} left out: not on the winning side of the last close {price_text(close)}"
        )
        target = None
    asked = Target(
        symbol,
        0.0,
        stop=move_level(stop, close, spec.trade.stops),
        take_profit=move_level(target, close, spec.trade.targets),
        conviction=conviction,
        reason=reason,
    )
    buying, selling = (nan, nan) if abs(conviction) == 2 else limit_prices(facts["symbols"][symbol], spec)
    done = Conditional(asked, SET, size=sign * spec.size(conviction), buying=buying, selling=selling)
    return Proposed(done, seat, tuple(notes))


def limit_prices(known: SymbolFacts, spec: CouncilSpec) -> tuple[float, float]:
    """Return :func:`limit_price` of buying and of selling, NaN for none."""
    buying, selling = (price_or_nan(limit_price(known, side, spec)) for side in (True, False))
    return buying, selling


def below_conviction(conviction: int, spec: CouncilSpec) -> str:
    """Return why nothing is held at `conviction`; empty where it is carried out."""
    least = spec.trade.min_conviction
    return f"conviction {conviction:+d} is not traded: min_conviction is {least}" if abs(conviction) < least else ""


def move_level(level: float | None, close: float | None, times: float) -> float | None:
    """Return a stop or target at so many `times` its distance from `close`; None where that is 0, or no price."""
    if level is None or close is None or times == 1.0:
        return level
    moved = close + times * (level - close)
    return round_price(moved) if times and moved > 0 else None


def limit_price(known: SymbolFacts, buying: bool, spec: CouncilSpec) -> float | None:
    """Return the last close less (buying) or plus (selling) the limit's multiple of ATR(14), rounded as prices are.

    None, hence a market order, while there are too few bars for an ATR.
    """
    if "atr_14" not in known:
        return None
    own = spec.trade.limit_atr
    away = (spec.limit_atr if own is None else own) * known["atr_14"]
    price = known["close"] - away if buying else known["close"] + away
    return round_price(price)
