"""Execution: from an approved trade to a target. No model is asked; the book decides on which side a limit stands.

    conviction   size (sizes in strategy.yaml)   order
    +2 / −2      +20 % / −20 % of equity         MARKET
    +1 / −1      +10 % / −10 %                   LIMIT, limit_atr × ATR(14) on the better side of the last close
    not approved  0 %                            MARKET

Stop and take-profit are those of the best-reviewed pitch for the trade.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from simulator.council.answers import ApprovedTrade, Pitch
from simulator.council.context import PipelineContext
from simulator.council.facts import last_close
from simulator.council.records import Facts, SymbolFacts
from simulator.council.spec import CouncilSpec
from simulator.number_format import price_text, round_price
from simulator.trading.model import Book, Target


@dataclass(frozen=True)
class Executed:
    """A target in one symbol, the seat whose pitch it rests on, and what was changed and why."""

    target: Target
    seat: str | None = None
    notes: tuple[str, ...] = ()


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
        decision = context.chairman_decision
        approved = () if decision is None or decision.value is None else decision.value.approved_trades
        ranked = sorted(approved, key=lambda trade: (-abs(trade.conviction), trade.instrument))
        kept = {trade.instrument: trade for trade in ranked[: spec.max_trades]}
        beyond = {trade.instrument for trade in ranked[spec.max_trades :]}
        results = []
        for symbol in context.facts["symbols"]:
            if symbol in kept:
                results.append(_carry_out(kept[symbol], context, spec, book))
            else:
                why = f"approved beyond max_trades {spec.max_trades}" if symbol in beyond else "not approved"
                results.append(Executed(Target(symbol, 0.0, reason=why)))
        return tuple(results)


def _carry_out(trade: ApprovedTrade, context: PipelineContext, spec: CouncilSpec, book: Book) -> Executed:
    supporters = [
        seat
        for seat, pitch in context.pitches.items()
        if pitch.instrument == trade.instrument and pitch.direction == trade.direction
    ]
    if not supporters:
        note = f"the chairman approved {trade.direction} {trade.instrument}, which nobody pitched"
        return Executed(Target(trade.instrument, 0.0, reason=note), notes=(note,))
    seat = min(supporters, key=lambda s: (-(context.score(s) or 0.0), -abs(context.pitches[s].conviction), s))
    return carry_out(context.pitches[seat], seat, trade.conviction, trade.rationale, context.facts, spec, book)


def carry_out(
    pitch: Pitch,
    seat: str,
    conviction: int,
    reason: str,
    facts: Facts,
    spec: CouncilSpec,
    book: Book,
) -> Executed:
    """Return the target for `pitch` at `conviction` ≠ 0, protected by its stop and target where they make sense."""
    symbol, notes = pitch.instrument, []
    close = last_close(facts, symbol)
    sign = 1 if conviction > 0 else -1
    weight = sign * spec.sizes[2 if abs(conviction) == 2 else 1]
    stop, target = pitch.stop, pitch.target
    if stop is not None and close is not None and (close - stop) * sign <= 0:
        notes.append(f"stop {price_text(stop)} left out: not on the losing side of the last close {price_text(close)}")
        stop = None
    if target is not None and close is not None and (target - close) * sign <= 0:
        notes.append(
            f"target {price_text(target)} left out: not on the winning side of the last close {price_text(close)}"
        )
        target = None
    limit = None if abs(conviction) == 2 else limit_price(facts["symbols"][symbol], weight > book.weight(symbol), spec)
    return Executed(
        Target(
            symbol,
            weight,
            order="market" if limit is None else "limit",
            limit=limit,
            stop=stop,
            take_profit=target,
            conviction=conviction,
            reason=reason,
        ),
        seat,
        tuple(notes),
    )


def limit_price(known: SymbolFacts, buying: bool, spec: CouncilSpec) -> float | None:
    """Return the last close less (buying) or plus (selling) ``limit_atr`` × ATR(14), rounded as prices are.

    None, hence a market order, while there are too few bars for an ATR.
    """
    if "atr_14" not in known:
        return None
    away = spec.limit_atr * known["atr_14"]
    price = known["close"] - away if buying else known["close"] + away
    return round_price(price)
