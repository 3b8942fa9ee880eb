"""Decisions of a member that is a desk: it reads its account at every point, so it is played from its first day to its
last, with the questions of its agents put as its `sim run` puts them.

Member, its own account ──replay, both engines──► Tape ──kernel──► measures, as those of every other member
"""

from __future__ import annotations

import asyncio
from typing import Any

from simulator.desk.strategy import Desk
from simulator.errors import LLMError
from simulator.replay.inputs import ReplayInputs
from simulator.replay.kept_opinions import KeptOpinions
from simulator.replay.run import replay_strategy
from simulator.replay.tape import Tape
from simulator.runs.gateway_setup import open_gateway, open_opinions
from simulator.runs.strategies import load_strategy
from simulator.stopping import refuse_if_stopped
from simulator.studies.ask_councils import add_continuation
from simulator.studies.inputs import Member, SweepInputs
from simulator.trading.strategy import seats_of

MOST_KEPT = 2**27
"""Bytes of tapes that are kept: the best member is among them where there are few."""


def decide_desk(inputs: SweepInputs, member: Member) -> Tape:
    """Return what `member` decides in the end, as its `sim run` carries it out.

    Its agents are asked through the workspace's cache, for the money of the whole sweep; without agents nothing is read
    but `inputs`. Raises LLMError where a question stays open: what was answered is kept.
    """
    if member.number not in inputs.tapes:
        tape = _play_desk(inputs, member)
        while len(inputs.tapes) * tape.weight.nbytes * 8 > MOST_KEPT:
            inputs.tapes.pop(next(iter(inputs.tapes)), None)
        inputs.tapes[member.number] = tape
    return inputs.tapes[member.number]


def _play_desk(inputs: SweepInputs, member: Member) -> Tape:
    assert member.desk is not None, "the members of a desk have one"
    staged = inputs.staged(member).inputs
    if not member.desk.definition.spec.agents:
        with asyncio.Runner() as loop:
            return _replay(inputs, member, member.desk, staged, loop, None)
    spec, workspace = inputs.study.spec(member.number), inputs.workspace
    with open_gateway(spec, workspace, inputs.settings(spec.overrides).config) as asking:
        loaded: Any = load_strategy(spec.strategy, workspace.strategies, asking, spec.own, len(spec.symbols)).strategy
        asking.open_for(inputs.budget_name, seats_of(loaded))
        kept = open_opinions(spec, workspace, asking.gateway)
        try:
            tape = _replay(inputs, member, loaded, staged, asking.loop, kept)
        except LLMError as error:
            raise add_continuation(error, spec.max_cost) from error.__cause__
        asking.drain()
        return tape


def _replay(
    inputs: SweepInputs,
    member: Member,
    desk: Desk,
    staged: ReplayInputs,
    loop: asyncio.Runner,
    kept: KeptOpinions | None,
) -> Tape:
    def report(stage: str, done: int, total: int, session: str) -> None:
        refuse_if_stopped()
        for heard in inputs.heard:
            heard(stage, done, total, session)

    replayed = replay_strategy(desk, staged, member.rules, member.cash, report, loop, kept)
    if replayed.stopped is not None:
        raise replayed.stopped
    return replayed.tape
