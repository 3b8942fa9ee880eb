"""Splits as the desk's record takes them: what it says of a symbol is told in shares and dollars of now.

Prices that the desk is shown are in new shares from the morning of a split on, and so are fills and positions; what it
wrote down before is in old ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from simulator.desk.records import HeldRecord, PlanRecord
from simulator.desk.workflow import Workflow
from simulator.trading.model import Book
from simulator.trading.sizing import on_tick


def in_new_shares(workflow: Workflow, book: Book) -> Workflow:
    """Return `workflow` with stops, targets and plans in the shares of `book`, whose past counts them since the account
    began; the context keeps the count it is told in."""
    now: Mapping[str, float] = {} if book.past is None else book.past.splits
    then: Mapping[str, float] = workflow.context.get("splits", {})
    ratios = {symbol: ratio / then.get(symbol, 1.0) for symbol, ratio in now.items()}
    if not any(ratio != 1.0 for ratio in ratios.values()):
        return workflow
    held: Mapping[str, HeldRecord] = workflow.context.get("held", {})
    told = {symbol: divide_held(one, ratios.get(symbol, 1.0)) for symbol, one in held.items()}
    plans: Sequence[PlanRecord] = workflow.context.get("plans", ())
    divided = {"plans": [divide_plan(one, ratios.get(one["symbol"], 1.0)) for one in plans]} if plans else {}
    return workflow.learn(held=told, splits=dict(now), **divided)


def divide_held(held: HeldRecord, ratio: float) -> HeldRecord:
    """Return the protection of a position after a split: its exits on the tick of the new prices, as they stand at the
    broker."""
    if ratio == 1.0:
        return held
    return {
        "entry": held["entry"] / ratio,
        "shares": held["shares"] * ratio,
        "first_stop": held["first_stop"] / ratio,
        "stop": on_tick(held["stop"] / ratio, True),
        "targets": [on_tick(price / ratio, True) for price in held["targets"]],
    }


def divide_plan(plan: PlanRecord, ratio: float) -> PlanRecord:
    """Return a plan in the shares after a split, whole ones."""
    if ratio == 1.0:
        return plan
    limit, support = plan["limit"], plan["support"]
    return {
        **plan,
        "shares": math.floor(plan["shares"] * ratio + 1e-9),
        "entry": plan["entry"] / ratio,
        "limit": None if limit is None else on_tick(limit / ratio, False),
        "stop": on_tick(plan["stop"] / ratio, True),
        "targets": [on_tick(price / ratio, True) for price in plan["targets"]],
        "atr": plan["atr"] / ratio,
        "support": None if support is None else support / ratio,
        "lows": [low / ratio for low in plan.get("lows", ())],
    }
