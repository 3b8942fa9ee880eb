"""Terminal output of `sim run --plan`: questions, tokens and dollars by stage and model."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from simulator.evidence.plan import BatchPlan, Plan, PlanLine, Range, SweepPlan
from simulator.report.renderers.console import Text


def print_plan(plan: Plan, console: Console) -> None:
    """Print `plan`, sentences within 79 columns."""
    _print(console, title(plan))
    if not plan.lines:
        _print(console, "It asks no model: nothing to pay.")
        return
    console.print(_table(plan.lines))
    for sentence in _sentences(plan):
        _print(console, sentence)


def print_sweep_plan(plan: SweepPlan, console: Console) -> None:
    """Print `plan`: parameters by what they change, members, questions, dollars and minutes."""
    _print(console, f"{plan.strategy}, {plan.first} to {plan.last}, {plan.search} of {plan.members:,} members")
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    for name in ("parameter", "changes", "values", ""):
        table.add_column(name, justify="right" if name == "values" else "left", overflow="fold")
    for one in plan.parameters:
        count = "any" if one.values is None else f"{one.values:,}"
        table.add_row(*map(Text, (one.name, one.kind, count, one.shown)))
    console.print(table)
    for sentence in plan.splits:
        _print(console, sentence)
    if plan.minutes:
        how = "this process plays member after member" if plan.lines else "as many processes share it as there are"
        _print(console, f"Playing takes about {say_duration(plan.minutes)}; {how}.")
    if not plan.lines:
        _print(console, " ".join(("It asks no model: nothing to pay.", *plan.notes)))
        return
    console.print(_table(plan.lines))
    hits = sum(line.hits for line in plan.lines)
    apart = f", of {plan.asked_apart:,} combinations that ask for themselves" if plan.asked_apart > 1 else ""
    _print(console, f"{hits + plan.misses:,} questions{apart}: {hits:,} answered on disk, {plan.misses:,} to ask.")
    if plan.most_calls > plan.calls:
        _print(console, f"At most {plan.most_calls:,} questions, where agents ask every tool they may.")
    if plan.usd.high:
        usd = plan.usd
        money = f"About ${usd.likely:.2f} (${usd.low:.2f} to ${usd.high:.2f})"
        _print(console, f"{money}, {say_duration(plan.asking_minutes)}.")
        if usd.likely > plan.max_cost:
            _print(console, f"More than --max-cost {plan.max_cost:g}: it would stop there and keep what it paid for.")
    for sentence in plan.notes:
        _print(console, sentence)


def title(plan: Plan) -> str:
    """Return what would be run, in one line."""
    checkpoints = f" and {plan.checkpoints} checkpoints" if plan.checkpoints else ""
    occasions = f"{plan.decisions} decisions{checkpoints}"
    terms = "" if plan.execution == "ideal" else f", orders by the terms of {plan.execution}"
    return f"{plan.strategy}, {plan.first} to {plan.last}, {occasions}, models {plan.models or 'none'}{terms}"


def summarise(plan: Plan) -> tuple[str, ...]:
    """Return five lines: what would be run, questions, tokens, money and time, and what stands in the way of it."""
    prompt, completion = _tokens(plan)
    tokens = (
        f"{_count(prompt.likely)} in, {_count(plan.cached_tokens)} of them read before, {_count(completion.likely)} out"
    )
    usd = plan.paid
    if plan.fails:
        last = f"as asked for it would fail: {plan.fails}"
    elif usd.likely > plan.max_cost:
        last = f"more than max_cost, ${plan.max_cost:g}: the run would stop there and keep what it paid for"
    else:
        last = f"within max_cost, ${plan.max_cost:g}" if usd.high <= plan.max_cost else f"may reach ${plan.max_cost:g}"
    takes = say_duration(plan.minutes) if plan.minutes else "no time"
    return (
        title(plan),
        f"questions: {plan.calls:,}, of which {plan.calls - plan.misses:,} answered on disk and {plan.misses:,} to ask",
        f"tokens to ask for: {tokens}",
        f"dollars: {usd.likely:.2f} ({usd.low:.2f} to {usd.high:.2f}), {takes}",
        last,
    )


def _tokens(plan: Plan) -> tuple[Range, Range]:
    return (
        sum((line.prompt_tokens for line in plan.lines), Range()),
        sum((line.completion_tokens for line in plan.lines), Range()),
    )


def _print(console: Console, sentence: str) -> None:
    text = textwrap.fill(sentence, 79, break_on_hyphens=False)
    console.print(Text(text), soft_wrap=True)


def _sentences(plan: Plan) -> list[str]:
    """Return what the lines of `plan` add up to, which limits it would meet, and what the estimates rest on."""
    hits = plan.calls - plan.misses
    found = [f"{plan.calls:,} questions: {hits:,} answered on disk, {plan.misses:,} to ask."]
    if plan.usd.high:
        money = f"About ${plan.usd.likely:.2f} (${plan.usd.low:.2f} to ${plan.usd.high:.2f})"
        found[0] += f" {money}, {say_duration(plan.minutes)}."
        if plan.saved_usd:
            found.append(_price_classes(plan))
    elif plan.minutes:
        found[0] += f" No money, {say_duration(plan.minutes)}."
    if plan.most_calls > plan.calls:
        found.append(f"At most {plan.most_calls:,} questions, where agents ask every tool they may: the highest price.")
    if plan.batch is not None:
        found.append(_batches(plan, plan.batch))
    if plan.reread_tokens:
        share = plan.reread_tokens / plan.read_tokens
        found.append(f"Of the prompts answered on disk, services had read {share:.0%} before and charged less for it.")
    if plan.shortlist:
        found.append(plan.shortlist)
    if plan.paid.likely > plan.max_cost:
        found.append(f"More than --max-cost {plan.max_cost:g}: the run would stop there and keep what it paid for.")
    elif plan.paid.high > plan.max_cost:
        found.append(f"It may come to more than --max-cost {plan.max_cost:g}, where the run would stop.")
    if plan.paid.high > plan.max_day:
        found.append(f"All runs of a day may spend ${plan.max_day:g} (max_usd_per_day in config/models.yaml).")
    if guessed := sorted({line.model for line in plan.lines if line.usd.high and not line.past}):
        found.append(f"A first guess for {', '.join(guessed)}: no answers of theirs are on disk yet.")
    if plan.fails:
        found.append(f"As asked for it would fail: {plan.fails}.")
    return found


def _price_classes(plan: Plan) -> str:
    """Tokens by price class, and the total without the discount on what a service reads again."""
    prompt, completion = _tokens(plan)
    fresh = prompt.likely - plan.cached_tokens
    tokens = f"fresh {_count(fresh)}, cached {_count(plan.cached_tokens)}, output {_count(completion.likely)}"
    return (
        f"Tokens by price: {tokens}. ${plan.usd.likely + plan.saved_usd:.2f} where nothing is read from a service's "
        "cache, which no money set aside counts on."
    )


def _batches(plan: Plan, batch: BatchPlan) -> str:
    """Return what asking in batches costs, how long it can take, and what it sets aside."""
    how = f"--batch{' meetings' * (batch.asked == 'meetings')}"
    rounds = f"{batch.rounds} round{'s' * (batch.rounds > 1)}"
    money = f"${batch.usd.likely:.2f} (${batch.usd.low:.2f} to ${batch.usd.high:.2f})"
    text = (
        f"{'Asked with' if batch.asked else 'With'} {how}, where the service has batches: about {money} in {rounds} of "
        f"at most 24 h, {batch.hours:,} h in all, and one more for each time that answers must be repaired."
    )
    if batch.asked and batch.set_aside_usd > min(plan.max_cost, plan.max_day):
        return f"{text} A round sets up to ${batch.set_aside_usd:.2f} aside: with less money there are more rounds."
    return text


def say_duration(minutes: float) -> str:
    """Return so many minutes in seconds, minutes or hours."""
    if minutes < 1.5:
        return f"{max(1, round(60 * minutes))} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def _table(lines: Sequence[PlanLine]) -> Table:
    table = Table(box=None, header_style="bold", pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column("stage", no_wrap=True)
    table.add_column("model", overflow="fold", min_width=24)
    for name in ("on disk", "to ask", "tokens in, out", "dollars"):
        table.add_column(name, justify="right", no_wrap=True)
    for line in lines:
        cells = (line.stage, line.model, f"{line.hits:,}", f"{line.misses:,}", *_money(line))
        table.add_row(*map(Text, cells))
    return table


def _money(line: PlanLine) -> tuple[str, str]:
    if not line.prompt_tokens.high:
        return "", ""
    return f"{_count(line.prompt_tokens.likely)}, {_count(line.completion_tokens.likely)}", f"{line.usd.likely:.2f}"


def _count(tokens: float) -> str:
    return f"{tokens / 1000:,.0f}k" if tokens >= 10_000 else f"{tokens / 1000:,.1f}k"
