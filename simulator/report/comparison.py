"""Two runs or more side by side: sentences and tables, out of `simulator.analysis.compare` alone, and the terminal."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console

from simulator.analysis.compare import ComparedRun, Comparison, RunPair
from simulator.analysis.divergence import Divergence
from simulator.analysis.verdict import FEWEST_SESSIONS
from simulator.number_format import (
    NEVER,
    SESSIONS_A_YEAR,
    SPACE,
    cents,
    counted,
    decimals,
    dollars,
    interval,
    number_of,
    p_value,
    percent,
    ratio,
    shares,
    signed_percent,
    signed_ratio,
    whole,
    years,
)
from simulator.report.catalogue import GROUPS, WITHHELD, WITHHELD_WHY
from simulator.report.decision_text import describe_prices
from simulator.report.renderers.console import Text
from simulator.report.renderers.terminal import print_paragraph, print_path, print_table
from simulator.report.table import Column, Group, Row, Table, make_row, make_table

MOST_ROWS = 12
"""Rows of what differs that a terminal shows; the page shows all."""

CURVES = ("strategy", "hold", "equal", "fourth", "fifth", "sixth", "seventh", "eighth")
"""CSS classes of A, B …"""


@dataclass(frozen=True)
class ComparisonVerdict:
    """`headline` is the verdict in one sentence, `details` qualify it, `parting` says where the runs part."""

    headline: str
    details: tuple[str, ...]
    parting: str


def judge_comparison(facts: Comparison) -> ComparisonVerdict:
    """Return the verdict on a comparison. It may be "cannot tell them apart", it is never "no difference"."""
    pairs = facts["pairs"]
    if len(pairs) > 1:
        return ComparisonVerdict(_headline_of_many(pairs), (*_own_verdicts(facts), *_about_runs(facts)), "")
    pair = pairs[0]
    known = pair["standing"] != "not assessable"
    details = [
        _over(facts, pair),
        _returns(pair) if known else "",
        _beyond(pair) if known else "",
        *_own_verdicts(facts),
        _together(pair),
        _power(pair) if known else "",
        *_about_runs(facts),
    ]
    return ComparisonVerdict(_headline(facts, pair), tuple(d for d in details if d), describe_parting(pair))


def _headline(facts: Comparison, pair: RunPair) -> str:
    standing, a, b = pair["standing"], pair["a"], pair["b"]
    if standing == "same":
        return _same(facts, pair)
    if standing == "no overlap":
        spans = [f"{run['label']} runs from {run['from']} to {run['to']}" for run in facts["runs"]]
        return f"Nothing to compare: {' and '.join(spans)}, with no session in common."
    if standing == "too short":
        sessions = counted(pair["sessions"], "common session")
        return f"{sessions}: too few for a verdict, which takes {FEWEST_SESSIONS}."
    remembered, values = standing == "not assessable", pair["values"]
    sharpes = [ratio(one.get("sharpe")) for one in (pair["figures"]["a"], pair["figures"]["b"])]
    both = f"Sharpe {sharpes[0]} for {a}, {sharpes[1]} for {b}"
    if remembered:
        after = f"{whole(pair['judged'])} of {counted(pair['common'], 'common session')}"
        lie = f"{after} lie after the models' cut-offs, {FEWEST_SESSIONS} are needed"
        return f"Not assessable: {lie}. Over all of them, which the models may remember: {both}."
    if standing == "undefined":
        return f"{both}: the difference cannot be tested, {pair['reasons'].get('p') or 'no reason recorded'}."
    verdict = {
        "borderline": "Borderline",
        "not apart": "Cannot tell them apart",
        "first": f"{a} is better",
        "second": f"{b} is better",
    }[standing]
    bounds = interval(values["low"], values["high"])
    return (
        f"{verdict}: {both}, difference {signed_ratio(values['sharpe_difference'])}, 95{SPACE}% interval {bounds}, "
        f"p {p_value(values['p'])}."
    )


def _same(facts: Comparison, pair: RunPair) -> str:
    if pair["same"] == "returns":
        return f"The same return on each of {counted(pair['sessions'], 'common session')}; only the records differ."
    if facts["runs"][0]["run_id"] == facts["runs"][1]["run_id"]:
        return "The same run, to the last byte."
    return "The same result, to the last byte, from two runs: what differs between them changed nothing."


def _headline_of_many(pairs: Sequence[RunPair]) -> str:
    apart = [p for p in pairs if p["standing"] in ("first", "second")]
    near = [f"{p['a']} and {p['b']}" for p in pairs if p["standing"] == "borderline"]
    ordered = [(p["a"], p["b"]) if p["standing"] == "first" else (p["b"], p["a"]) for p in apart]
    better = [f"{one} is better than {other}" for one, other in ordered]
    borderline = f" Borderline: {', '.join(near)}." if near else ""
    unknown = sum(p["standing"] == "not assessable" for p in pairs)
    rest = len(pairs) - len(better) - len(near) - unknown
    others = f" {counted(rest, 'pair')} cannot be told apart." if rest else ""
    if unknown:
        others += f" {counted(unknown, 'pair')} not assessable: too few common sessions after the models' cut-offs."
    if not better:
        if not near and not unknown:
            others = f" Cannot tell any of the {whole(len(pairs))} pairs apart."
        return f"{borderline}{others if unknown or not near else ''}".strip()
    return f"{'; '.join(better)}, all pairs considered.{borderline}{others}"


def _over(facts: Comparison, pair: RunPair) -> str:
    lengths = [run["sessions"] for run in facts["runs"]]
    if not pair["sessions"]:
        return ""
    span = f"{counted(pair['sessions'], 'session')}, {pair['from']} to {pair['to']}"
    if pair["sessions"] < pair["common"]:
        return f"Over the {span}, that lie after the models' cut-offs, of {whole(pair['common'])} that both have."
    if all(n == pair["sessions"] for n in lengths):
        return f"Over the same {span}."
    return f"Over the {span}, that both have; {pair['a']} has {whole(lengths[0])}, {pair['b']} {whole(lengths[1])}."


def _returns(pair: RunPair) -> str:
    values = pair["values"]
    if pair["sessions"] < FEWEST_SESSIONS or values["return_difference"] is None:
        return ""
    figures = ((pair["a"], pair["figures"]["a"]), (pair["b"], pair["figures"]["b"]))
    means = [f"{signed_percent(one.get('annual_return'))} for {name}" for name, one in figures]
    bounds = interval(values["return_low"], values["return_high"], percent)
    found = f"difference {signed_percent(values['return_difference'])}, 95{SPACE}% interval {bounds}"
    p = f", p {p_value(values['return_p'])}" if values["return_p"] is not None else ""
    return f"Mean return a year: {means[0]}, {means[1]}; {found}{p} (paired stationary bootstrap)."


def _beyond(pair: RunPair) -> str:
    """The difference of what the two earned beyond their own usual exposure, which is what their verdicts judge."""
    beyond = pair["beyond"]
    if pair["sessions"] < FEWEST_SESSIONS or beyond["p"] is None:
        return ""
    means = f"{signed_percent(beyond['a'])} for {pair['a']}, {signed_percent(beyond['b'])} for {pair['b']}"
    found = f"difference {signed_percent(beyond['difference'])}, 95{SPACE}% interval"
    bounds = interval(beyond["low"], beyond["high"], percent)
    return f"A year beyond its own usual exposure: {means}; {found} {bounds}, p {p_value(beyond['p'])}."


def _own_verdicts(facts: Comparison) -> Iterator[str]:
    yield from (f"{run['label']} by itself: {run['verdict']}" for run in facts["runs"])


def _together(pair: RunPair) -> str:
    values = pair["values"]
    if values["correlation"] is None or pair["sessions"] < FEWEST_SESSIONS:
        return ""
    error = f", tracking error {percent(values['tracking_error'])} a year" if values["tracking_error"] else ""
    return f"Their returns correlate at {ratio(values['correlation'])}{error}."


def _power(pair: RunPair) -> str:
    needed, found = pair["values"]["sessions_needed"], pair["values"]["detectable"]
    if pair["sessions"] < FEWEST_SESSIONS or needed is None or found is None:
        return ""
    length = years(needed / SESSIONS_A_YEAR)
    found_in = length if length == NEVER else f"four times in five in {length}"
    return (
        f"Power: a true difference of this size is found {found_in}; "
        f"in {counted(pair['sessions'], 'session')} only one of {ratio(found)} or more is."
    )


def _about_runs(facts: Comparison) -> Iterator[str]:
    """Yield sentences on whole runs: those that stopped early, single draws, what p is adjusted for."""
    for run in facts["runs"]:
        if run["altered"]:
            yield f"{run['label']} is {run['altered']}."
        if run["partial"]:
            why = run["stopped"]["why"] if run["stopped"] else ""
            yield f"{run['label']} is partial: it stopped at {run['to']}{f', for {why}' if why else ''}."
    drawn = [run["label"] for run in facts["runs"] if run["models"] and run["replicates"] == 1]
    if drawn:
        are = "is a single draw of its models" if len(drawn) == 1 else "are single draws of their models"
        yield f"{' and '.join(drawn)} {are}: replicates say how much of a difference that makes."
    if len(facts["pairs"]) > 1:
        yield f"p is adjusted for all {whole(len(facts['pairs']))} pairs (Holm)."
    elif facts["pairs"][0]["values"]["p"] is not None and facts["pairs"][0]["standing"] != "not assessable":
        yield "p is two-sided (Ledoit and Wolf, studentised bootstrap) and unadjusted for other pairs looked at."


def describe_parting(pair: RunPair) -> str:
    """Return where two runs part and over what, in a sentence or two; empty where they share no session."""
    found = pair["diverging"]
    if not pair["sessions"]:
        return ""
    if found is None:
        return "Decisions, fills and equity are the same on every common session."
    when = found["session"] + (f" {found['as_of'][11:16]}" if found["as_of"] else "")
    a, b = pair["a"], pair["b"]
    symbol = f", {found['symbol']}" if found["symbol"] else ""
    if found["what"] in ("only a", "only b"):
        who, targets = (a, found["a"]) if found["what"] == "only a" else (b, found["b"])
        rows = targets.items() if isinstance(targets, Mapping) else ()
        orders = ", ".join(f"{symbol} {_target(target)}" for symbol, target in rows) or "no position"
        return f"First different decision: {when}. Only {who} decided: {orders}.{_because(found, a, b)}"
    if found["what"] == "equity":
        return (
            f"Decisions and fills are the same. Equity first differs on {when}: {cents(found['a'])} for {a}, "
            f"{cents(found['b'])} for {b}.{_because(found, a, b)}"
        )
    if found["what"] == "fill":
        sides = f"{a} {_fill(found['a'])}; {b} {_fill(found['b'])}"
        return f"All decisions are the same. First different fill: {when}{symbol}: {sides}.{_because(found, a, b)}"
    verb = "may hold" if found["what"] == "limits" else "wants"
    head = "First difference at the risk limits" if found["what"] == "limits" else "First different decision"
    sides = f"{a} {verb} {_target(found['a'])}, {b} {verb} {_target(found['b'])}"
    return f"{head}: {when}{symbol}: {sides}.{_because(found, a, b)}"


def _because(found: Divergence, a: str, b: str) -> str:
    why = found["why"]
    if why is None:
        return " Nothing in the records or in what the runs were made of says why."
    values = f"{a} {abridge(why['a'])}, {b} {abridge(why['b'])}"
    return f" The first thing to differ is {why['name']}: {why['path']}, {values}."


def _target(target: object) -> str:
    if target is None:
        return "nothing said"
    if not isinstance(target, Mapping):
        return signed_percent(target)
    prices = describe_prices(target)
    return signed_percent(target.get("weight")) + (f" ({', '.join(prices)})" if prices else "")


def _fill(fill: object) -> str:
    if not isinstance(fill, Mapping):
        return "has none"
    quantity, cost = float(fill["quantity"]), float(fill["slippage"]) + float(fill["commission"])
    did = "bought" if quantity > 0 else "sold"
    paid = dollars(fill["price"], max(4, decimals(float(fill["price"]))))
    return f"{did} {shares(abs(quantity))} at {paid} ({fill['why']}), costs {cents(cost)}"


def abridge(value: object, most: int = 60) -> str:
    """Return a value of run.json or of a record in a few words; digests by their beginning."""
    if value is None:
        return "not set"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        text = ", ".join(abridge(v, most) for v in value) or "none"
    elif isinstance(value, Mapping):
        text = ", ".join(f"{k} {abridge(v, most)}" for k, v in value.items()) or "none"
    else:
        text = str(value)
    if len(text) in (40, 64) and not set(text) - set("0123456789abcdef"):
        return text[:10]
    return text if len(text) <= most else text[: most - 1] + "…"


def tabulate_metrics(facts: Comparison, brief: bool = False) -> Table:
    """Return metrics side by side, grouped and named as in the report; `brief` keeps those a terminal shows."""
    values = {row["key"]: row["values"] for row in facts["metrics"]}
    common = facts["metrics_over"] == "common"
    lengths = [facts["common"]["sessions"]] if common else [run["sessions"] for run in facts["runs"]]
    short, groups = min(lengths) < FEWEST_SESSIONS, []
    for title, metrics in GROUPS.items():
        rows = []
        for metric in metrics if title != "Against buy-and-hold" else ():
            hidden = short and metric.annualised
            if metric.key in values and not (brief and (hidden or not metric.brief)):
                texts = [WITHHELD if hidden else metric.format(number_of(value)) for value in values[metric.key]]
                rows.append(make_row(metric.name, texts, WITHHELD_WHY if hidden else metric.help))
        groups += [Group(title, tuple(rows))] if rows else []
    return Table("Metrics side by side", _columns(facts), tuple(groups), css="sides")


def _columns(facts: Comparison) -> tuple[Column, ...]:
    return tuple(Column(run["label"], css=css) for run, css in zip(facts["runs"], CURVES, strict=False))


def describe_sessions(facts: Comparison) -> str:
    """Return over which sessions the metrics are."""
    common = facts["common"]
    return {
        "all": "Every session of each run.",
        "common": f"The {counted(common['sessions'], 'session')} all have, {common['from']} to {common['to']}; "
        "what is known of trades only over whole runs is left out.",
        "own": "Each over its own sessions: none is common to all.",
    }[facts["metrics_over"]]


def tabulate_configuration(facts: Comparison) -> Table:
    """Return what differs between the runs, a row per key of run.json."""
    rows = [make_row(row["key"], map(abridge, row["values"])) for row in facts["configuration"]]
    return make_table("What differs", _columns(facts), rows, css="sides keys", long_labels=True)


def tabulate_pairs(facts: Comparison) -> Table:
    """Return a row per pair; only for three runs or more."""
    rows = [_pair_row(pair) for pair in facts["pairs"]] if len(facts["pairs"]) > 1 else []
    columns = ("Sharpe difference", f"95{SPACE}% interval", "p", "p, Holm", "Correlation", "Time needed")
    return make_table("Pairs", columns, rows)


STANDINGS = {
    "same": "the same returns",
    "no overlap": "no session in common",
    "too short": "too few common sessions",
    "not assessable": "not assessable: too few common sessions after the cut-offs",
    "undefined": "cannot be compared",
    "borderline": "borderline",
    "not apart": "cannot be told apart",
    "first": "the first is better",
    "second": "the second is better",
}


def _pair_row(pair: RunPair) -> Row:
    values, hidden = pair["values"], pair["standing"] in ("too short", "not assessable")
    needed = number_of(values["sessions_needed"])
    cells = (
        WITHHELD if hidden else signed_ratio(values["sharpe_difference"]),
        WITHHELD if hidden else interval(values["low"], values["high"]),
        p_value(None if pair["standing"] == "not assessable" else values["p"]),
        p_value(values.get("p_adjusted")),
        ratio(values["correlation"]),
        WITHHELD if hidden else years(None if needed is None else needed / SESSIONS_A_YEAR),
    )
    return make_row(f"{pair['a']} and {pair['b']}", cells, STANDINGS[pair["standing"]])


def describe_members(run: ComparedRun) -> str:
    """Return the seats of a run by who answers in them, those of one model together; empty for a rule."""
    seats: dict[str, list[str]] = {}
    for seat, who in run["members"].items():
        if who:
            seats.setdefault(who, []).append(seat)
    return "; ".join(f"{', '.join(names)} · {who}" for who, names in seats.items())


def print_comparison(facts: Comparison, page: Path | None, console: Console) -> None:
    """Print the comparison: the runs, metrics, verdict, where they part, what differs, path of the page."""
    verdict = judge_comparison(facts)
    console.print()
    for run in facts["runs"]:
        partial, symbols = ", partial" if run["partial"] else "", ",".join(run["symbols"])
        text = f"{run['strategy']}{partial} · {symbols} · {run['from']} to {run['to']} · {run['run_id']}"
        console.print(Text.assemble((f"{run['label']}  ", "bold cyan"), text), soft_wrap=True)
        print_paragraph(console, describe_members(run), "dim")
    console.print()
    print_table(console, tabulate_metrics(facts, brief=True), headings=False)
    print_paragraph(console, describe_sessions(facts), "dim")
    if len(facts["pairs"]) > 1:
        console.print()
        print_table(console, tabulate_pairs(facts))
    console.print()
    print_paragraph(console, verdict.headline, "bold")
    for sentence in (*verdict.details, verdict.parting):
        print_paragraph(console, sentence)
    differing = tabulate_configuration(facts)
    more = len(differing.rows) - MOST_ROWS
    console.print()
    heading = "What differs" if differing.rows else "Nothing differs in what the runs were made of."
    console.print(Text(heading, style="bold"))
    if differing.rows:
        print_table(console, differing, most=MOST_ROWS)
    if more > 0:
        console.print(Text(f"and {counted(more, 'more row')} on the page", style="dim"))
    if page is not None:
        console.print()
        print_path(console, "page", page)
