"""From a meeting to theses, from a checkpoint's answers to new terms, and from these to what an account is to do.

meeting ──theses_of──► Thesis … ──trace──► Followed ──question──► CheckpointReview
                          ▲                                             │ revise
                          └───────────────── Revision ◄─────────────────┘
                                                │ carry_out (+ Book)
                                                ▼
                                             Target, or nothing

conviction            open                  pending
as before             KEEP                  KEEP
smaller, same side    TRIM, market          TRIM, the smaller order
larger, same side     ADD, market           ADD, the larger order
0                     CLOSE, market         CANCEL
other side            FLIP, market          FLIP, the other order
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from math import isnan
from typing import Literal

import numpy as np

from simulator.council.answers import CheckpointReview
from simulator.council.context import Answered, PipelineContext
from simulator.council.fact_table import six_digits
from simulator.council.facts import last_close
from simulator.council.records import Facts
from simulator.council.spec import CouncilSpec
from simulator.council.stages.execution import (
    Executed,
    ExecutionStage,
    below_conviction,
    limit_price,
    limit_prices,
    move_level,
    propose,
)
from simulator.council.thesis import Followed, Terms, Thesis, new_york
from simulator.council.vote import VOTE, conviction_of, net_votes
from simulator.market.bars import Bars, instant
from simulator.number_format import price_text
from simulator.trading.conditional import ADD, CLOSE, ENTER, FLIP, KEEP, SET, TRIM, Conditional
from simulator.trading.fills import price_or_nan
from simulator.trading.model import Book, Target

Action = Literal["KEEP", "TRIM", "ADD", "CLOSE", "CANCEL", "FLIP"]

NOTHING_HELD = Book(1.0, {}, {}, 1.0)


@dataclass(frozen=True)
class Revision:
    """A thesis as a checkpoint left it.

    Attributes
    ----------
    followed : the thesis as it stood, traced to the checkpoint
    conviction, stop, target : from now on; as before where nothing changed
    action : what that comes to; None for a thesis that its stop or target had ended already
    answered : the answer; None where nobody was asked
    terms : in force from now on; None when the thesis is over
    notes : what was left out of the answer, and why
    """

    followed: Followed
    conviction: int
    stop: float | None
    target: float | None
    action: Action | None = None
    answered: Answered[CheckpointReview] | None = None
    terms: Terms | None = None
    notes: tuple[str, ...] = ()

    @property
    def thesis(self) -> Thesis:
        return self.followed.thesis

    @property
    def changed(self) -> bool:
        """True where an account that holds the thesis has something to do."""
        now = self.thesis.terms[-1]
        return self.action not in (None, "KEEP") or (
            self.followed.live and (self.stop, self.target) != (now.stop, now.target)
        )

    @property
    def reason(self) -> str:
        if self.answered is None:
            return "netted votes of the managers' theses"
        return self.answered.value.reason if self.answered.value is not None else "no usable answer: left as it is"


# ----------------------------------------------------------------------------------------------------- after a meeting


def theses_of(context: PipelineContext, spec: CouncilSpec) -> tuple[Thesis, ...]:
    """Return the theses a meeting opens: one per manager who proposes a position, one per trade the council goes into.

    Orders are those of an account that holds nothing yet.
    """
    theses, silent, spec = [], spec.vote.silent, spec.as_told
    heard = context.without(silent)
    for seat, pitch in context.pitches.items():
        if pitch.conviction:
            done = propose(pitch, seat, pitch.conviction, "", context.facts, spec).on(NOTHING_HELD)
            theses.append(_open(seat, done, context if seat in silent else heard))
    if context.no_decision is None and context.chairman_decision is not None:
        holder = context.chairman_decision.seat
        for done in ExecutionStage().produce(context, spec, NOTHING_HELD):
            if done.target.weight and done.seat is not None:
                theses.append(_open(holder, done, heard))
    return tuple(theses)


def _open(holder: str, done: Executed, context: PipelineContext) -> Thesis:
    author, target = str(done.seat), done.target
    pitch, at = context.pitches[author], new_york(context.as_of)
    terms = Terms(at, target.conviction or 0, target.order, target.limit, target.stop, target.take_profit)
    idea = (pitch.instrument, pitch.horizon, pitch.thesis_bullets, pitch.invalidation)
    return Thesis(holder, author, *idea, (terms,), context.score(author))


# ----------------------------------------------------------------------------------------------------- at a checkpoint


def revise(context: PipelineContext, spec: CouncilSpec) -> tuple[Revision, ...]:
    """Return what the answers of a checkpoint make of its theses, in the order of ``context.theses``.

    A thesis without a usable answer stays as it is. Without a chairman the council's theses follow the managers'
    convictions as netted now.
    """
    spec = spec.as_told
    answers = {(one.seat, one.about): one for one in context.checkpoint_reviews}
    asked = [
        _revise_by_answer(one, answers.get((one.thesis.seat, one.thesis.instrument)), context, spec)
        for one in context.theses
        if one.thesis.seat != VOTE
    ]
    voted = [_revise_by_vote(one, asked, context, spec) for one in context.theses if one.thesis.seat == VOTE]
    of = {(one.thesis.seat, one.thesis.instrument): one for one in (*asked, *voted)}
    return tuple(of[one.thesis.seat, one.thesis.instrument] for one in context.theses)


def action_of(followed: Followed, after: int) -> Action:
    """Return the name of a change of conviction to `after`."""
    before, pending = followed.thesis.conviction, followed.standing.state == "pending"
    if after == before:
        return "KEEP"
    if after == 0:
        return "CANCEL" if pending else "CLOSE"
    if after * before < 0:
        return "FLIP"
    return "TRIM" if abs(after) < abs(before) else "ADD"


def _revise_by_answer(
    followed: Followed, answered: Answered[CheckpointReview] | None, context: PipelineContext, spec: CouncilSpec
) -> Revision:
    now = followed.thesis.terms[-1]
    as_it_was = Revision(followed, now.conviction, now.stop, now.target)
    if not followed.live:
        return as_it_was
    if answered is None or answered.value is None:
        return replace(as_it_was, action="KEEP", answered=answered, terms=now)
    answer = answered.value
    changed = _change(followed, answer.conviction, (answer.stop, answer.target), context, spec)
    return replace(changed, answered=answered)


def _revise_by_vote(
    followed: Followed, managers: Sequence[Revision], context: PipelineContext, spec: CouncilSpec
) -> Revision:
    now, instrument = followed.thesis.terms[-1], followed.thesis.instrument
    if not followed.live:
        return Revision(followed, now.conviction, now.stop, now.target)
    rule = spec.vote
    behind = [
        one
        for one in managers
        if one.followed.live and one.thesis.instrument == instrument and one.thesis.seat not in rule.silent
    ]
    votes = {
        one.thesis.seat: rule.vote(one.thesis.seat, instrument, one.conviction, one.thesis.score) for one in behind
    }
    conviction = conviction_of(net_votes(votes).get(instrument, 0.0), rule)
    levels: tuple[float | None, float | None] = (None, None)
    if conviction * now.conviction < 0:
        agreeing = [one for one in behind if one.conviction * conviction > 0]
        best = min(agreeing, key=lambda one: (-(one.thesis.score or 0.0), -abs(one.conviction), one.thesis.seat))
        levels = (best.stop, best.target)
    return _change(followed, conviction, levels, context, spec)


def _change(
    followed: Followed,
    conviction: int,
    levels: tuple[float | None, float | None],
    context: PipelineContext,
    spec: CouncilSpec,
) -> Revision:
    action = action_of(followed, conviction)
    if not conviction:
        return Revision(followed, 0, None, None, action)
    now = followed.thesis.terms[-1]
    kept = (None, None) if action == "FLIP" else (now.stop, now.target)
    close, sign = last_close(context.facts, followed.thesis.instrument), 1 if conviction > 0 else -1
    stop, note = _level("stop", levels[0], kept[0], close, -sign)
    target, other = _level("target", levels[1], kept[1], close, sign)
    notes = [one for one in (note, other) if one]
    if action == "FLIP" and stop is None:
        notes.append("turned around without a stop of the new side: none is set")
    order, limit = _way_in(followed, action, conviction, context.facts, spec)
    terms = Terms(new_york(context.as_of), conviction, order, limit, stop, target)
    return Revision(followed, conviction, stop, target, action, None, terms, tuple(notes))


def _level(
    name: str, asked: float | None, kept: float | None, close: float | None, side: int
) -> tuple[float | None, str | None]:
    """The new protective price, on the `side` (+1 above, −1 below) of the last close where it belongs."""
    if asked is None:
        return kept, None
    if close is not None and (asked - close) * side <= 0:
        losing = "losing" if name == "stop" else "winning"
        shown, last = price_text(asked), price_text(close)
        return kept, f"{name} {shown} not taken: not on the {losing} side of the last close {last}"
    return asked, None


def _way_in(
    followed: Followed, action: Action, conviction: int, facts: Facts, spec: CouncilSpec
) -> tuple[Literal["market", "limit"], float | None]:
    """Order and limit of a position that is still to be opened; whatever is open already changes at the market."""
    now = followed.thesis.terms[-1]
    if followed.standing.state == "open" or abs(conviction) == 2:
        return "market", None
    if action == "KEEP":
        return now.order, now.limit
    limit = limit_price(facts["symbols"][followed.thesis.instrument], conviction > 0, spec)
    return ("market", None) if limit is None else ("limit", limit)


# ------------------------------------------------------------------------------------------------------ for an account


def execute(
    revision: Revision, facts: Facts, spec: CouncilSpec, book: Book, bars: Bars | None = None
) -> Executed | str | None:
    """Return what the account with `book` does about `revision`: a target, a sentence why it does nothing, or None
    where there is nothing to do. Levels are moved from where the `bars` known now say they were set.

    Only a position that is really held is changed. A trimmed one shrinks as its size in strategy.yaml does, an added
    one grows to it; new protective prices alone leave the shares as they are.
    """
    proposed = propose_change(revision, facts, spec, bars)
    if proposed is None:
        return None
    target = proposed.on(book)
    if target is None:
        return f"{revision.thesis.instrument}: {revision.action} of a position that is not held: left alone"
    below = below_conviction(revision.conviction, spec) if revision.terms is not None else ""
    return Executed(target, revision.thesis.seat, (*revision.notes, below) if below else revision.notes)


def propose_change(revision: Revision, facts: Facts, spec: CouncilSpec, bars: Bars | None = None) -> Conditional | None:
    """Return what is to be done about `revision`, before an account is looked at; None for nothing."""
    if not revision.changed:
        return None
    symbol, conviction, trade = revision.thesis.instrument, revision.conviction, spec.trade
    side = 1 if revision.thesis.conviction > 0 else -1
    pending = revision.followed.standing.state == "pending"
    below = "" if revision.terms is None else below_conviction(conviction, spec)
    if revision.terms is None or below:
        out = Target(symbol, 0.0, conviction=conviction, reason=below or revision.reason)
        return Conditional(out, SET if pending else CLOSE, side)
    target = Target(
        symbol,
        0.0,
        stop=move_level(revision.stop, level_set_on("stop", revision, bars), trade.stops),
        take_profit=move_level(revision.target, level_set_on("target", revision, bars), trade.targets),
        conviction=conviction,
        reason=revision.reason,
    )
    size = spec.size(conviction)
    if not pending:
        return Conditional(target, KINDS[revision.action or "KEEP"], side, size, spec.size(2))
    # The order that waits, as it is to be now. What an account still holds from before decides where a limit stands.
    limit = price_or_nan(revision.terms.limit)
    buying, selling = limit_prices(facts["symbols"][symbol], spec)
    after = 1 if conviction > 0 else -1
    if trade.limit_atr is not None and not isnan(limit):
        limit = buying if after > 0 else selling
    return Conditional(target, ENTER, side, after * size, 1.0, limit, buying, selling)


KINDS = {"KEEP": KEEP, "TRIM": TRIM, "ADD": ADD, "FLIP": FLIP}


def level_set_on(name: Literal["stop", "target"], revision: Revision, bars: Bars | None) -> float | None:
    """Return the newest close known when that level of `revision` was set, from the `bars` known now."""
    if bars is None or revision.terms is None:
        return None
    level: float | None = getattr(revision, name)
    at = revision.terms.at
    for terms in reversed(revision.thesis.terms):
        if getattr(terms, name) != level:
            break
        at = terms.at
    rows = int(np.searchsorted(bars.closes_at, instant(datetime.fromisoformat(at)), side="right"))
    closes = bars.close[:rows, bars.column(revision.thesis.instrument)]
    known = closes[~np.isnan(closes)]
    return six_digits(float(known[-1])) if known.size else None
