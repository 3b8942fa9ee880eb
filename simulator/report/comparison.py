"""What may be said of two runs or more side by side: sentences, tables, and the terminal.

Built from the facts of `simulator.analysis.compare` alone.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from simulator.analysis.verdict import FEWEST_SESSIONS
from simulator.number_format import (
    SPACE,
    counted,
    dollars,
    interval,
    number_of,
    p_value,
    percent,
    ratio,
    whole,
)
from simulator.report.tables import GROUPS, WITHHELD, WITHHELD_WHY, Metric

WIDEST = 100
MOST_ROWS = 12
"""Rows of what differs that a terminal shows; the page shows all."""

SESSIONS_A_YEAR = 252


@dataclass(frozen=True)
class Said:
    """`headline` is the verdict in one sentence, `details` qualify it, `parting` says where the runs part."""

    headline: str
    details: tuple[str, ...]
    parting: str


def say(facts: Mapping[str, Any]) -> Said:
    """The verdict on a comparison. It may be "cannot tell them apart", it is never "no difference"."""
    pairs = facts["pairs"]
    if len(pairs) > 1:
        return Said(_headline_of_many(pairs), tuple(_about_runs(facts)), "")
    pair = pairs[0]
    details = [_over(facts, pair), _returns(pair), _together(pair), _power(pair), *_about_runs(facts)]
    return Said(_headline(facts, pair), tuple(d for d in details if d), parting(pair))


def _headline(facts: Mapping[str, Any], pair: Mapping[str, Any]) -> str:
    standing, a, b = pair["standing"], pair["a"], pair["b"]
    if standing == "same":
        return _same(facts, pair)
    if standing == "no overlap":
        spans = [f"{run['label']} runs from {run['from']} to {run['to']}" for run in facts["runs"]]
        return f"Nothing to compare: {' and '.join(spans)}, with no session in common."
    if standing == "too short":
        sessions = counted(pair["sessions"], "common session")
        return f"{sessions}: too few for a verdict, which takes {FEWEST_SESSIONS}."
    values = pair["values"]
    sharpes = [ratio(pair["figures"][side].get("sharpe")) for side in ("a", "b")]
    both = f"Sharpe {sharpes[0]} for {a}, {sharpes[1]} for {b}"
    if standing == "undefined":
        return f"{both}: the difference cannot be tested, {pair['reasons'].get('p') or 'no reason recorded'}."
    judged = {
        "borderline": "Borderline",
        "not apart": "Cannot tell them apart",
        "first": f"{a} is better",
        "second": f"{b} is better",
    }[standing]
    bounds = interval(values["low"], values["high"])
    return (
        f"{judged}: {both}, difference {ratio(values['sharpe_difference'], sign=True)}, 95{SPACE}% interval {bounds}, "
        f"p {p_value(values['p'])}."
    )


def _same(facts: Mapping[str, Any], pair: Mapping[str, Any]) -> str:
    if pair["same"] == "returns":
        return f"The same return on each of {counted(pair['sessions'], 'common session')}; only the records differ."
    if facts["runs"][0]["run_id"] == facts["runs"][1]["run_id"]:
        return "The same run, to the last byte."
    return "The same result, to the last byte, from two runs: what differs between them changed nothing."


def _headline_of_many(pairs: Sequence[Mapping[str, Any]]) -> str:
    apart = [p for p in pairs if p["standing"] in ("first", "second")]
    near = [f"{p['a']} and {p['b']}" for p in pairs if p["standing"] == "borderline"]
    ordered = [(p["a"], p["b"]) if p["standing"] == "first" else (p["b"], p["a"]) for p in apart]
    better = [f"{one} is better than {other}" for one, other in ordered]
    borderline = f" Borderline: {', '.join(near)}." if near else ""
    if not better:
        others = "" if near else f" Cannot tell any of the {whole(len(pairs))} pairs apart."
        return (borderline + others).strip()
    rest = len(pairs) - len(better) - len(near)
    others = f" {counted(rest, 'pair')} cannot be told apart." if rest else ""
    return f"{'; '.join(better)}, all pairs considered.{borderline}{others}"


def _over(facts: Mapping[str, Any], pair: Mapping[str, Any]) -> str:
    lengths = [run["sessions"] for run in facts["runs"]]
    if not pair["sessions"]:
        return ""
    span = f"{counted(pair['sessions'], 'session')}, {pair['from']} to {pair['to']}"
    if all(n == pair["sessions"] for n in lengths):
        return f"Over the same {span}."
    return f"Over the {span}, that both have; {pair['a']} has {whole(lengths[0])}, {pair['b']} {whole(lengths[1])}."


def _returns(pair: Mapping[str, Any]) -> str:
    values = pair["values"]
    if pair["sessions"] < FEWEST_SESSIONS or values["return_difference"] is None:
        return ""
    means = [
        f"{percent(pair['figures'][side].get('annual_return'), sign=True)} for {pair[side]}" for side in ("a", "b")
    ]
    bounds = interval(values["return_low"], values["return_high"], percent)
    found = f"difference {percent(values['return_difference'], sign=True)}, 95{SPACE}% interval {bounds}"
    p = f", p {p_value(values['return_p'])}" if values["return_p"] is not None else ""
    return f"Mean return a year: {means[0]}, {means[1]}; {found}{p} (paired stationary bootstrap)."


def _together(pair: Mapping[str, Any]) -> str:
    values = pair["values"]
    if values["correlation"] is None or pair["sessions"] < FEWEST_SESSIONS:
        return ""
    error = f", tracking error {percent(values['tracking_error'])} a year" if values["tracking_error"] else ""
    return f"Their returns correlate at {ratio(values['correlation'])}{error}."


def _power(pair: Mapping[str, Any]) -> str:
    needed, found = pair["values"]["sessions_needed"], pair["values"]["detectable"]
    if pair["sessions"] < FEWEST_SESSIONS or needed is None or found is None:
        return ""
    years = needed / SESSIONS_A_YEAR
    length = f"{ratio(years, 1 if years < 10 else 0)} years"
    return (
        f"Power: a true difference of this size is found four times in five in {length}; "
        f"in {counted(pair['sessions'], 'session')} only one of {ratio(found)} or more is."
    )


def _about_runs(facts: Mapping[str, Any]) -> Iterator[str]:
    """What holds for whole runs: those that stopped early, single draws, what p is adjusted for."""
    for run in facts["runs"]:
        if run["partial"]:
            why = (run.get("stopped") or {}).get("why")
            yield f"{run['label']} is partial: it stopped at {run['to']}{f', for {why}' if why else ''}."
    drawn = [run["label"] for run in facts["runs"] if run["models"] and run["replicates"] == 1]
    if drawn:
        are = "is a single draw of its models" if len(drawn) == 1 else "are single draws of their models"
        yield f"{' and '.join(drawn)} {are}: replicates say how much of a difference that makes."
    if len(facts["pairs"]) > 1:
        yield f"p is adjusted for all {whole(len(facts['pairs']))} pairs (Holm)."
    elif facts["pairs"][0]["values"]["p"] is not None:
        yield "p is two-sided (Ledoit and Wolf, studentised bootstrap) and unadjusted for other pairs looked at."


def parting(pair: Mapping[str, Any]) -> str:
    """Where two runs part and over what, in a sentence or two; empty where they share no session."""
    found = pair["diverging"]
    if not pair["sessions"]:
        return ""
    if found is None:
        return "Decisions, fills and equity are the same on every common session."
    when = found["session"] + (f" {found['as_of'][11:16]}" if found["as_of"] else "")
    a, b = pair["a"], pair["b"]
    symbol = f", {found['symbol']}" if found["symbol"] else ""
    if found["what"] in ("only a", "only b"):
        who, whose = (a, "a") if found["what"] == "only a" else (b, "b")
        orders = ", ".join(f"{s} {_target(t)}" for s, t in found[whose].items()) or "no position"
        return f"First different decision: {when}. Only {who} decided: {orders}.{_because(found, a, b)}"
    if found["what"] == "equity":
        return (
            f"Decisions and fills are the same. Equity first differs on {when}: {dollars(found['a'], 2)} for {a}, "
            f"{dollars(found['b'], 2)} for {b}.{_because(found, a, b)}"
        )
    if found["what"] == "fill":
        sides = "; ".join(f"{name} {_fill(found[side])}" for name, side in ((a, "a"), (b, "b")))
        return f"All decisions are the same. First different fill: {when}{symbol}: {sides}.{_because(found, a, b)}"
    verb = "may hold" if found["what"] == "limits" else "wants"
    head = "First difference at the risk limits" if found["what"] == "limits" else "First different decision"
    sides = ", ".join(f"{name} {verb} {_target(found[side])}" for name, side in ((a, "a"), (b, "b")))
    return f"{head}: {when}{symbol}: {sides}.{_because(found, a, b)}"


def _because(found: Mapping[str, Any], a: str, b: str) -> str:
    why = found["why"]
    if why is None:
        return " Nothing in the records or in what the runs were made of says why."
    values = f"{a} {shown(why['a'])}, {b} {shown(why['b'])}"
    return f" The first thing to differ is {why['name']}: {why['path']}, {values}."


def _target(target: Any) -> str:
    if target is None:
        return "nothing said"
    if not isinstance(target, Mapping):
        return percent(target, sign=True)
    prices = [f"{name.replace('_', ' ')} {dollars(target[name], 2)}" for name in PRICES if target.get(name) is not None]
    return percent(target.get("weight"), sign=True) + (f" ({', '.join(prices)})" if prices else "")


PRICES = ("limit", "stop", "take_profit")


def _fill(fill: Mapping[str, Any] | None) -> str:
    if fill is None:
        return "has none"
    quantity, price = float(fill["quantity"]), float(fill["price"])
    cost = float(fill["slippage"]) + float(fill["commission"])
    did = "bought" if quantity > 0 else "sold"
    return f"{did} {ratio(abs(quantity), 4)} at {dollars(price, 4)} ({fill['why']}), costs {dollars(cost, 2)}"


def shown(value: Any, most: int = 60) -> str:
    """A value of run.json or of a record in a few words; digests by their beginning."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        text = ", ".join(shown(v, most) for v in value) or "none"
    elif isinstance(value, Mapping):
        text = ", ".join(f"{k} {shown(v, most)}" for k, v in value.items()) or "none"
    else:
        text = str(value)
    if len(text) in (40, 64) and not set(text) - set("0123456789abcdef"):
        return text[:10]
    return text if len(text) <= most else text[: most - 1] + "…"


@dataclass(frozen=True)
class Line:
    """A row of a table: what it is, and a text per run."""

    label: str
    hint: str
    texts: tuple[str, ...]


def metric_groups(facts: Mapping[str, Any], brief: bool = False) -> list[tuple[str, list[Line]]]:
    """Metrics side by side, grouped and named as in the report of a run; `brief` keeps those a terminal shows."""
    known = {row["key"]: row["values"] for row in facts["metrics"]}
    short = min(_lengths(facts)) < FEWEST_SESSIONS
    groups = []
    for title, metrics in GROUPS:
        if title == "Against buy-and-hold":
            continue
        lines = [
            _line(metric, known[metric.key], short)
            for metric in metrics
            if metric.key in known and not (brief and (not metric.terminal or (short and metric.annualised)))
        ]
        if lines:
            groups.append((title, lines))
    return groups


def _lengths(facts: Mapping[str, Any]) -> list[int]:
    if facts["metrics_over"] == "common":
        return [facts["common"]["sessions"]]
    return [run["sessions"] for run in facts["runs"]]


def _line(metric: Metric, values: Sequence[Any], short: bool) -> Line:
    hidden = short and metric.annualised
    texts = tuple(WITHHELD if hidden else metric.write(number_of(value)) for value in values)
    return Line(metric.label, WITHHELD_WHY if hidden else metric.hint, texts)


def metrics_note(facts: Mapping[str, Any]) -> str:
    """Over which sessions the metrics are."""
    common = facts["common"]
    return {
        "all": "Every session of each run.",
        "common": f"The {counted(common['sessions'], 'session')} all have, {common['from']} to {common['to']}; "
        "what is known of trades only over whole runs is left out.",
        "own": "Each over its own sessions: none is common to all.",
    }[facts["metrics_over"]]


def configuration_lines(facts: Mapping[str, Any]) -> list[Line]:
    """What differs between the runs, a row per key of run.json."""
    return [Line(row["key"], "", tuple(shown(value) for value in row["values"])) for row in facts["configuration"]]


PAIR_COLUMNS = ("Sharpe difference", f"95{SPACE}% interval", "p", "p, Holm", "Correlation", "Years needed")


def pair_lines(facts: Mapping[str, Any]) -> list[Line]:
    """A row per pair, cells of `PAIR_COLUMNS`; only for three runs or more."""
    if len(facts["pairs"]) == 1:
        return []
    return [Line(f"{p['a']} and {p['b']}", STANDINGS[p["standing"]], tuple(_pair_cells(p))) for p in facts["pairs"]]


STANDINGS = {
    "same": "the same returns",
    "no overlap": "no session in common",
    "too short": "too few common sessions",
    "undefined": "cannot be compared",
    "borderline": "borderline",
    "not apart": "cannot be told apart",
    "first": "the first is better",
    "second": "the second is better",
}


def _pair_cells(pair: Mapping[str, Any]) -> Iterator[str]:
    values = pair["values"]
    hidden = pair["standing"] == "too short"
    yield WITHHELD if hidden else ratio(values["sharpe_difference"], sign=True)
    yield WITHHELD if hidden else interval(values["low"], values["high"])
    yield p_value(values["p"])
    yield p_value(values.get("p_adjusted"))
    yield ratio(values["correlation"])
    needed = number_of(values["sessions_needed"])
    yield WITHHELD if hidden else ratio(needed / SESSIONS_A_YEAR if needed is not None else None, 1)


def print_comparison(facts: Mapping[str, Any], page: Path | None, console: Console) -> None:
    """The comparison for a terminal: who is who, metrics, verdict, where they part, what differs, path of the page."""
    width, said = min(console.width, WIDEST), say(facts)
    console.print()
    for run in facts["runs"]:
        partial = ", partial" if run["partial"] else ""
        symbols = ",".join(run["symbols"])
        text = f"{run['strategy']}{partial} · {symbols} · {run['from']} to {run['to']} · {run['run_id']}"
        console.print(Text.assemble((f"{run['label']}  ", "bold cyan"), text), soft_wrap=True)
    console.print()
    _print_lines(console, [line for _, lines in metric_groups(facts, brief=True) for line in lines], facts)
    _print_paragraph(console, metrics_note(facts), width, "dim")
    if len(facts["pairs"]) > 1:
        console.print()
        _print_pairs(console, facts)
    console.print()
    _print_paragraph(console, said.headline, width, "bold")
    for sentence in (*said.details, said.parting):
        _print_paragraph(console, sentence, width)
    lines = configuration_lines(facts)
    console.print()
    console.print(Text("What differs" if lines else "Nothing differs in what the runs were made of.", style="bold"))
    _print_lines(console, lines[:MOST_ROWS], facts)
    if len(lines) > MOST_ROWS:
        console.print(Text(f"and {counted(len(lines) - MOST_ROWS, 'more row')} on the page", style="dim"))
    if page is not None:
        console.print()
        console.print(Text.assemble(("page    ", "dim"), str(_nearest(page))), soft_wrap=True)


def _print_lines(console: Console, lines: Sequence[Line], facts: Mapping[str, Any]) -> None:
    if not lines:
        return
    table = Table(box=None, padding=(0, 0, 0, 2), pad_edge=False, header_style="bold cyan")
    table.add_column(overflow="fold")
    for run in facts["runs"]:
        table.add_column(run["label"], justify="right", overflow="fold")
    for line in lines:
        table.add_row(_plain(line.label), *map(_plain, line.texts))
    console.print(table)


def _print_pairs(console: Console, facts: Mapping[str, Any]) -> None:
    table = Table(box=None, padding=(0, 0, 0, 2), pad_edge=False, header_style="dim")
    for name in ("", *PAIR_COLUMNS):
        table.add_column(_plain(name), justify="right" if name else "left")
    for line in pair_lines(facts):
        table.add_row(_plain(line.label), *map(_plain, line.texts))
    console.print(table)


def _print_paragraph(console: Console, sentence: str, width: int, style: str = "") -> None:
    if sentence:
        # Wrapped before the hard spaces become soft ones: a number stays with its unit.
        wrapped = textwrap.fill(sentence, width - 1, break_on_hyphens=False)
        console.print(Text(_plain(wrapped), style=style), soft_wrap=True)


def _plain(text: str) -> str:
    return text.replace(SPACE, " ")


def _nearest(path: Path) -> Path:
    """`path` as seen from the current folder where it lies below it."""
    here, whole_path = Path.cwd(), path.resolve()
    return whole_path.relative_to(here) if whole_path.is_relative_to(here) else whole_path
