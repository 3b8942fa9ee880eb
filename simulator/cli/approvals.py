"""`sim forward approvals`: trades that wait for a person, and answers to them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from simulator.cli.options import AS_JSON, Real
from simulator.cli.output import print_result
from simulator.printing import say

if TYPE_CHECKING:
    from simulator.forward.approvals import Action, Approval
    from simulator.forward.review import Review

TRADES = click.argument("trades", nargs=-1, required=True, metavar="TRADE…")
BY = click.option("--by", metavar="NAME", help="For whom the user of this machine, who is on record, answers.")
REASON = click.option("--reason", default="", help="Why.")


class OfAccount(Real):
    """NUMBER in every account, NAME=NUMBER in one: (name, number)."""

    name = "[NAME=]NUMBER"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        if isinstance(value, tuple):
            return value
        account, _, number = str(value).rpartition("=")
        return account.upper(), super().convert(number, param, ctx)


def change_option(name: str, help: str) -> Callable[[Any], Any]:
    return click.option(name, type=OfAccount(), multiple=True, metavar=OfAccount.name, help=help)


@click.group(invoke_without_command=True, short_help="Trades that wait for a person, and answers to them.")
@click.option("--all", "every", is_flag=True, help="Those that were answered too.")
@AS_JSON
@click.pass_context
def approvals(ctx: click.Context, every: bool, as_json: bool) -> None:
    """Show trades that wait for a person; approve, reject or modify them.

    \b
    sim forward approvals
    sim forward approvals approve 3f9a1c20b7de:1
    sim forward approvals reject all --reason "not before the Fed"

    A trade is named as it is listed, with its version: one that has changed meanwhile is refused. Exit code 5 where an
    account could not be checked: nobody knows what waits there.
    """
    if ctx.invoked_subcommand is None:
        ctx.invoke(list_waiting, every=every, as_json=as_json)


@approvals.command("list", short_help="Show what waits.")
@click.option("--all", "every", is_flag=True, help="Those that were answered too.")
@AS_JSON
@click.pass_context
def list_waiting(ctx: click.Context, every: bool, as_json: bool) -> None:
    """Show trades that wait. Exit code 5 where an account could not be checked."""
    from simulator.forward.approvals import read_approvals, read_outcomes
    from simulator.forward.review import review
    from simulator.forward.status import find_unchecked
    from simulator.store.database import open_store

    with open_store(ctx.obj) as store:
        known = read_approvals(store)
        found = [one for one in known if every or one.state == "waiting"]
        unchecked, outcomes = find_unchecked(ctx.obj, store, known), read_outcomes(store, found)
    looked = review(ctx.obj, known)
    rows = [
        {**asdict(one), "digest": one.digest, "outcome": outcomes.get(one.id, {})}
        | ({"review": asdict(looked[one.id])} if one.id in looked else {})
        for one in found
    ]
    facts = {"approvals": rows, "unchecked": unchecked}
    print_result(_finite(facts), as_json, lambda _: _show(found, looked, unchecked, outcomes))
    ctx.exit(5 if unchecked else 0)


def _finite(value: Any) -> Any:
    from simulator.forward.payloads import to_json

    return to_json(value)


def _show(
    found: Sequence[Approval],
    looked: Mapping[str, Review],
    unchecked: Mapping[str, Mapping[str, str]],
    outcomes: Mapping[str, Mapping[str, Sequence[str]]],
) -> None:
    from simulator.forward.approvals import list_kill_shots, list_reviews
    from simulator.number_format import age, dollars, percent, price

    for one in found:
        until = f"until {one.deadline}" if one.state == "waiting" else f"{one.state} {one.by} {one.reason}".rstrip()
        then = "" if one.price_then is None else f", {price(one.price_then)} then"
        say(f"{one.id}:{one.version}  {one.symbol}{then}, {one.point} of {one.decided_at}: {until}")
        for name, staged in one.sizes.items():
            size = dollars(staged.notional) if staged.quantity is None else f"{abs(staged.quantity):,.10g} shares"
            size = f"{staged.side} {size}" + (f" beside {abs(staged.held):,.10g} held" if staged.held else "")
            prices = {"limit": staged.limit, "stop": staged.stop, "target": staged.take_profit,
                      "stop of all": staged.whole[0], "target of all": staged.whole[1]}  # fmt: skip
            terms = "".join(f", {what} {at:g}" for what, at in prices.items() if at is not None)
            terms += "".join(f", {percent(share)} at {at:g}" for share, at in staged.parts)
            say(f"  {name:10} {size}{terms}" + (f"  blocked: {staged.blocked}" if staged.blocked else ""))
        if (its := looked.get(one.id)) is not None and its.now is not None:
            change = "" if its.change is None else f", {percent(its.change, 2, sign=True)}"
            old = ": old" if its.now.is_old else ""
            say(f"  {price(its.now.price)} now{change}, told {age(its.now.age_s)} ago{old}")
        elif its is not None:
            say("  price now not known")
        for name, after in its.exposures.items() if its is not None else ():
            reached = zip(("weight", "group", "gross"), after.binding, strict=True)
            told = ", ".join(f"{what} {percent(value)} of {percent(limit)}" for what, (value, limit) in reached)
            say(f"  {name:10} then {told}, buying power {dollars(after.buying_power)}")
        for name, why in its.forbidden.items() if its is not None else ():
            say(f"  {name:10} not within its rules: {why}")
        for name, came in outcomes.get(one.id, {}).items():
            say(f"  {name:10} {'; '.join(came)}")
        said = {"thesis": one.thesis, "kill shots": list_kill_shots(one), "dissent": filter(None, (one.dissent,)),
                "reviews": list_reviews(one), "risk rules": one.rules}  # fmt: skip
        for title, texts in said.items():
            for number, text in enumerate(texts):
                say(f"  {title if number == 0 else '':10} {text}")
    for run, accounts in unchecked.items():
        for name, why in accounts.items():
            say(f"{run} {name}: cannot be checked: {why}")
    if not found and not unchecked:
        say("nothing waits for approval")


@approvals.command(short_help="Approve trades as they stand.")
@TRADES
@REASON
@BY
@AS_JSON
@click.pass_context
def approve(ctx: click.Context, trades: tuple[str, ...], reason: str, by: str | None, as_json: bool) -> None:
    """Approve TRADE, as listed (id:version), or `all` that wait."""
    _answer(ctx, trades, "approve", reason, by, {}, as_json)


@approvals.command(short_help="Reject trades, with a reason.")
@TRADES
@click.option("--reason", required=True, help="Why.")
@BY
@AS_JSON
@click.pass_context
def reject(ctx: click.Context, trades: tuple[str, ...], reason: str, by: str | None, as_json: bool) -> None:
    """Reject TRADE, as listed (id:version), or `all` that wait."""
    _answer(ctx, trades, "reject", reason, by, {}, as_json)


@approvals.command(short_help="Change size, limit, stop or target, and approve that.")
@TRADES
@change_option("--quantity", "Shares, in every account; NAME=NUMBER is that of one, as with all of these.")
@change_option("--scale", "Factor of the quantity in each account.")
@change_option("--limit", "Limit price.")
@change_option("--stop", "Stop price.")
@change_option("--take-profit", "Target price.")
@REASON
@BY
@AS_JSON
@click.pass_context
def modify(
    ctx: click.Context, /, trades: tuple[str, ...], reason: str, by: str | None, as_json: bool,
    **changes: tuple[tuple[str, float], ...],
) -> None:  # fmt: skip
    """Approve TRADE with another size, limit, stop or target."""
    given = {f"{account}.{name}" if account else name: value for name, all in changes.items() for account, value in all}
    _answer(ctx, trades, "modify", reason, by, given, as_json)


def _answer(
    ctx: click.Context, trades: Sequence[str], action: Action, reason: str, by: str | None,
    changes: Mapping[str, float], as_json: bool,
) -> None:  # fmt: skip
    """Give the same answer to `trades`: where one of a run is refused, none of that run is answered."""
    from simulator.cli.person import name_person
    from simulator.errors import SimError
    from simulator.forward.approvals import Answer, answer_together, read_approvals
    from simulator.forward.review import review
    from simulator.store.database import open_store

    failed: dict[str, str] = {}
    who = name_person(ctx.obj, by)
    with open_store(ctx.obj) as store:
        known = read_approvals(store)
        prices = {id: one.now for id, one in review(ctx.obj, known).items()}
        waiting = [one for one in known if one.state == "waiting"]
        named = [f"{one.id}:{one.version}" for one in waiting] if tuple(trades) == ("all",) else list(trades)
        given = []
        for name in named:
            try:
                found, version = _find(name, known)
                now = prices.get(found.id)
                seen = (None, "") if now is None else (now.price, now.at)
                given.append(Answer(found.id, version, who, action, reason, changes, seen[0], found.run, seen[1]))
            except SimError as error:
                failed[name] = str(error)
        done = [] if failed else answer_together(store, given)
    rows = [one for one in done if not isinstance(one, SimError)]
    failed |= {name: str(one) for name, one in zip(named, done, strict=False) if isinstance(one, SimError)}

    def show() -> None:
        for one in rows:
            say(f"{one.id}:{one.version}  {one.symbol} {one.state}")
        for name, why in failed.items():
            say(f"{name}: {why}")
        if not rows:
            say("nothing was answered" if named else "nothing waits for approval")

    facts = {"answered": [asdict(one) for one in rows], "failed": failed}
    print_result(_finite(facts), as_json, lambda _: show())
    ctx.exit(1 if failed else 0)


def _find(name: str, known: Sequence[Approval]) -> tuple[Approval, int]:
    from simulator.errors import UsageError

    start, _, version = name.partition(":")
    found = [one for one in known if start and one.id.startswith(start)]
    if len(found) != 1 or not version.isdecimal():
        raise UsageError(f'no trade "{name}"', mend="`sim forward approvals` lists them as id:version")
    return found[0], int(version)
