"""A meeting decided otherwise: the same recorded votes with one part of the council taken away.

    PipelineContext ──drop_chairman, drop_seat, follow_manager …──► PipelineContext ──Council.decide──► Decision

Each takes a whole meeting and returns one in which another decision stands in the chairman's place. Nobody is asked.
A meeting that missed a quorum before the chairman's turn decides nothing in any variant; one that only the chairman
failed is decided by those that need no chairman.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from simulator.council.answers import SIGN, ApprovedTrade, ChairmanDecision, pitch_row
from simulator.council.context import Answered, PipelineContext
from simulator.council.spec import CouncilSpec, percent
from simulator.council.vote import VOTE, Ballot, decide_by_vote, net_votes, votes_of
from simulator.market.bars import Floats
from simulator.replay.inputs import ReplayInputs

FEWEST_MEETINGS = 8
"""Meetings of history before a single manager is chosen by its result; until then the council's own decision stands."""


def drop_chairman(meeting: PipelineContext, spec: CouncilSpec) -> PipelineContext:
    """Return the score-weighted vote in the chairman's place, as in a council whose chairman is switched off."""
    if meeting.chairman_decision is None:
        return meeting
    heard = meeting.without(spec.vote.silent)
    votes = votes_of(heard, spec.vote)
    # Rounded as the chairman's prompt has them: a council without a chairman decides on the same figures.
    ballot: Ballot = {
        "max_trades": spec.max_trades,
        "net_votes": net_votes(votes),
        "pitches": {seat: pitch_row(pitch) for seat, pitch in heard.pitches.items()},
        "reviews": {seat: {"mean_score": round(v.score, 2)} for seat, v in votes.items() if v.score is not None},
        "sizes": spec.sizes_in_percent,
    }
    return _with_decision(meeting, VOTE, ChairmanDecision.model_validate(decide_by_vote(ballot, spec.vote)))


def drop_reviews(meeting: PipelineContext, spec: CouncilSpec) -> PipelineContext:
    """Return the vote with every pitch at its own conviction, as if all had been reviewed at the neutral score."""
    return drop_chairman(replace(meeting, peer_reviews=()), spec)


def drop_seat(meeting: PipelineContext, seat: str, spec: CouncilSpec) -> PipelineContext:
    """The score-weighted vote of the others: the pitch of `seat`, the reviews of it and those it wrote are left out."""
    return drop_chairman(meeting.without([seat]), spec)


def count_heads(meeting: PipelineContext, spec: CouncilSpec) -> PipelineContext:
    """One vote a head, whatever its conviction and its score: LONG or SHORT on the instrument pitched, FLAT on none.

    An instrument is traded in the direction more managers want than oppose: at full conviction where that direction
    has more than half of all who pitched, at half conviction otherwise.
    """
    if meeting.chairman_decision is None:
        return meeting
    heads = Counter((pitch.instrument, pitch.direction) for pitch in meeting.pitches.values())
    approved = []
    for instrument in sorted({instrument for instrument, _ in heads}):
        long, short = heads[instrument, "LONG"], heads[instrument, "SHORT"]
        if long != short:
            direction = "LONG" if long > short else "SHORT"
            size = 2 if 2 * max(long, short) > len(meeting.pitches) else 1
            why = f"{max(long, short)} of {len(meeting.pitches)} managers want it, {min(long, short)} oppose it."
            approved.append(_trade(instrument, direction, size, why, spec))
    return _with_decision(replace(meeting, peer_reviews=()), "majority", _decision(approved))


def follow_manager(meeting: PipelineContext, seat: str, spec: CouncilSpec) -> PipelineContext:
    """Return the meeting with what `seat` trades on its own account; no decision without a usable pitch of its own."""
    pitch = meeting.pitches.get(seat)
    if pitch is None:
        return replace(meeting, chairman_decision=None, no_decision=f"{seat} gave no pitch")
    own = replace(meeting, pm_pitches=tuple(one for one in meeting.pm_pitches if one.seat == seat), peer_reviews=())
    size = abs(pitch.conviction)
    trades = [_trade(pitch.instrument, pitch.direction, size, pitch.thesis_bullets[0], spec)] if size else []
    return _with_decision(own, seat, _decision(trades))


def best_managers(
    inputs: ReplayInputs, equity: Mapping[str, Floats], fewest: int = FEWEST_MEETINGS
) -> tuple[str | None, ...]:
    """At each meeting of `inputs` the manager whose own account stands highest; None at the first `fewest` meetings.

    `equity` {seat: (T,) dollars at the close of each bar traded}, all accounts opened with the same cash. Timing: of
    it only closes at or before the instant of the meeting are read. Of equals the first of `equity` is taken.
    """
    known: Sequence[int] = np.searchsorted(inputs.traded.closes_at, inputs.instants, side="right").tolist()
    return tuple(
        max(equity, key=lambda seat: float(equity[seat][rows - 1])) if k >= fewest and rows else None
        for k, rows in enumerate(known)
    )


def _trade(instrument: str, direction: str, size: int, why: str, spec: CouncilSpec) -> ApprovedTrade:
    return ApprovedTrade.model_validate(
        {
            "instrument": instrument,
            "direction": direction,
            "conviction": SIGN[direction] * size,
            "position_size": percent(spec.sizes[2 if size == 2 else 1]),
            "rationale": why,
        }
    )


def _decision(approved: Sequence[ApprovedTrade]) -> ChairmanDecision:
    return ChairmanDecision(
        approved_trades=tuple(approved), rejected_trades=(), dissent_summary="None heard.", monitoring_plan="None made."
    )


def _with_decision(meeting: PipelineContext, who: str, decision: ChairmanDecision) -> PipelineContext:
    return replace(meeting, chairman_decision=Answered(who, (), decision), no_decision=None)
