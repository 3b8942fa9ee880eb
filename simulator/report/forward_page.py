"""Report of a forward test: its page, Markdown, numbers and terminal output, of one set of facts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.analysis.anytime import BASIS, Course, ForwardVerdict, level_of
from simulator.analysis.forward_facts import AccountFacts, ForwardFacts
from simulator.files import write_file
from simulator.forward.programs import ProgramSpan
from simulator.forward.registration import Registration
from simulator.number_format import (
    cents,
    counted,
    interval,
    number_of,
    percent,
    plain,
    ratio,
    signed_percent,
    write_setting,
)
from simulator.report.charts import Chart
from simulator.report.drawing import Panel, TimeAxis
from simulator.report.renderers import markdown
from simulator.report.renderers.html import SHELF, PageLink, Section, join_scripts, render_page
from simulator.report.renderers.json import render_table
from simulator.report.sections import forward
from simulator.report.sections.summary import Tile
from simulator.report.sections.sweep_luck import Scaled
from simulator.report.table import Table
from simulator.stats.confidence_sequence import FIRST_LOOK

if TYPE_CHECKING:
    from rich.console import Console

FILE = "report.html"
RESULTS = "forward_test_results.md"
"""In docs/ of the workspace."""
NEWEST = 20
"""Rows of a table before those that are folded away."""


@dataclass(frozen=True)
class ForwardPage:
    """The content of the page, in its order."""

    title: str
    facts: tuple[str, ...]
    headline: str
    details: tuple[str, ...]
    sequence: Scaled | None
    tiles: tuple[Tile, ...]
    validation: Table
    equity: tuple[Chart, TimeAxis] | None
    daily: Panel | None
    accounts: Table
    others: tuple[tuple[str, str], ...]
    days: Table
    hits: Table | None
    points: Table | None
    fills: Table | None
    refused: Table | None
    taken_back: Table | None
    alerts: Table | None
    registration: tuple[tuple[str, str], ...]
    digests: tuple[tuple[str, str], ...]


SECTIONS = (
    Section("validation", "Validation"),
    Section("equity", "Equity", lambda page: page.equity),
    Section("accounts", "Accounts"),
    Section("sessions", "Sessions"),
    Section("recommendations", "Recommendations", lambda page: page.hits),
    Section("points", "Missed points", lambda page: page.points),
    Section("fills", "Fills", lambda page: page.fills or page.refused or page.taken_back),
    Section("alerts", "Alerts", lambda page: page.alerts),
    Section("registration", "Registration"),
)


def compose(facts: ForwardFacts) -> ForwardPage:
    """Return everything the report shows."""
    first, registration = facts.primary, facts.registration
    refused = [order for one in facts.accounts for order in one.refused]
    taken_back = [order for one in facts.accounts for order in one.taken_back]
    fills = [fill for one in facts.accounts for fill in one.fills]
    said = () if facts.record.digest == registration.digest else (
        "The record was made under another registration than the one shown: its digest differs.",
    )  # fmt: skip
    return ForwardPage(
        title=f"Forward test of {registration.strategy}",
        facts=_facts(facts),
        headline=first.verdict.headline,
        details=(
            *said,
            *_describe_approvals(first),
            *first.verdict.details,
            *(f"{one[0].upper()}{one[1:]}." for one in facts.record.programs),
        ),
        sequence=forward.draw_sequence(first.verdict.course),
        tiles=_tiles(facts),
        validation=forward.tabulate_validation(facts),
        equity=forward.draw_equity(facts),
        daily=forward.draw_days(facts),
        accounts=forward.tabulate_accounts(facts),
        others=tuple((one.name, one.verdict.headline) for one in facts.accounts[1:]),
        days=forward.tabulate_days(facts),
        hits=forward.tabulate_hits(facts),
        points=forward.tabulate_points(facts.record.points),
        fills=forward.tabulate_fills(fills) if fills else None,
        refused=forward.tabulate_unsent(refused, "Orders that were refused"),
        taken_back=forward.tabulate_unsent(taken_back, "Orders that were taken back before they were sent"),
        alerts=forward.tabulate_alerts(facts.record.alerts),
        registration=list_registration(registration, facts.record.spans),
        digests=list_digests(registration),
    )


def _describe_approvals(one: AccountFacts) -> tuple[str, ...]:
    """Return what a person added to the book that the verdict is on."""
    if one.approver is None:
        return ()
    added, decided = one.approver.added, float(one.approver.decided[-1] / one.approver.decided[0] - 1.0)
    ends = () if one.approver.unknown_from is None else (
        f"The model's book ends before {one.approver.unknown_from}: from then on its models would have been asked "
        "about a book that is not the account's, which nobody did. Nothing later is in this verdict.",
    )  # fmt: skip
    approved = f"Of the book as approved: {one.approver.verdict.headline}"
    if not added.sessions:
        return "A person stood between decision and order from the first session on.", *ends, approved
    mean, low, high = (float(values[-1]) * BASIS for values in (added.mean, added.low, added.high))
    known = f"95\u00a0% interval {interval(low, high)}" if low == low else "too few for an interval"
    over = counted(len(added.sessions), "session")
    return (
        f"A person stood between decision and order: this verdict is on the model's book, as decided "
        f"({signed_percent(decided)}). As approved it is {signed_percent(one.total_return)}: the approver added "
        f"{ratio(mean, sign=True)} basis points a session over {over}, {known}.",
        *ends,
        approved,
    )


def _facts(facts: ForwardFacts) -> tuple[str, ...]:
    registration, sessions = facts.registration, facts.sessions
    span = f"{sessions[0]} to {sessions[-1]}" if sessions else "not begun"
    kind = "rehearsed" if facts.record.rehearsed else "at the broker"
    accounts = counted(len(facts.accounts), "account")
    return (", ".join(registration.symbols), span, counted(len(sessions), "session"), accounts, kind,
            *([f"registered {registration.registered_at[:10]}"] if registration.is_registered else []))  # fmt: skip


def _tiles(facts: ForwardFacts) -> tuple[Tile, ...]:
    first, hits = facts.primary, facts.hits
    own, held = first.total_return, float(facts.held[-1]) - 1.0
    expected = "no plan" if facts.expected is None else f"expected {cents(facts.expected[1])}"
    seen = first.verdict
    enough = f"the interval leaves 0 out from {ratio(1.0 / level_of(seen.trials), 0)} on"
    registered = facts.registration.is_registered
    more = f"{counted(seen.more, 'session')} of those registered are left" if registered else "nothing was registered"
    return (
        Tile("Return", signed_percent(own), f"symbols held in equal parts {signed_percent(held)}"),
        Tile("Sessions", str(seen.sessions), more),
        Tile("e-value", ratio(seen.e_value), f"from session {FIRST_LOOK} on" if seen.one_look else enough),
        Tile("Came true", percent(hits.share, 0), f"{hits.right} of {hits.of} recommendations"),
        Tile("Models", cents(facts.cost_usd), expected),
        Tile("Uptime", percent(facts.uptime, 2), f"error rate {percent(facts.error_rate, 2)}"),
    )


def list_registration(registration: Registration, spans: Sequence[ProgramSpan]) -> tuple[tuple[str, str], ...]:
    """Return what was registered before the first order, and the programs that held its sessions."""
    prior, usual = registration.prior, registration.usual
    weights = ", ".join(f"{name} {percent(weight)}" for name, weight in usual.weights.items())
    if not registration.is_registered:
        return (
            ("Question", registration.question),
            ("Symbols", ", ".join(registration.symbols)),
            *_programs(spans),
        )
    return (
        ("Question", registration.question),
        ("Benchmark", registration.benchmark),
        ("Primary account", registration.primary),
        ("Accounts", ", ".join(f"{name} {number}" for name, number in registration.accounts.items())),
        ("Smallest edge of interest", f"{ratio(registration.smallest_edge)} a year"),
        ("Sessions it takes", counted(registration.sessions_needed, "session")),
        ("Symbols", ", ".join(registration.symbols)),
        ("Models", ", ".join(f"{seat} {model}" for seat, model in registration.models.items()) or "none asked"),
        ("Settings", ", ".join(f"{n} {write_setting(v)}" for n, v in registration.parameters.items()) or "as shipped"),
        ("Usual exposure starts at", f"{weights} over {usual.bars} bars" if usual.bars else "nothing: no backtest"),
        ("Carried in", f"{prior.first} to {prior.last}, chosen among {prior.trials}" if prior else "nothing"),
        ("Registered at", registration.registered_at),
        ("Earlier tests", ", ".join(registration.earlier) or "none"),
        *_programs(spans),
    )


def _programs(spans: Sequence[ProgramSpan]) -> Iterator[tuple[str, str]]:
    for one in spans:
        span = one.first if one.sessions == 1 else f"{one.first} to {one.last}, {counted(one.sessions, 'session')}"
        yield ("Held by", f"{one.name}: {span}")


def list_digests(registration: Registration) -> tuple[tuple[str, str], ...]:
    """Return the digests of a registration and of its files; none of a rehearsal that registered nothing."""
    if not registration.is_registered:
        return ()
    return (
        ("Registration", registration.id),
        ("Digest", registration.digest),
        ("Config", registration.config),
        ("Code as registered", registration.code),
        *((name, digest) for name, digest in registration.files.items()),
    )


def render(facts: ForwardFacts) -> bytes:
    """Return the page as UTF-8 HTML."""
    page = compose(facts)
    script, digest = join_scripts("sections.js")
    return render_page(
        "forward.html",
        **vars(page),
        name=facts.registration.strategy,
        sections=[section for section in SECTIONS if section.shown(page)],
        pages=(PageLink("All runs", SHELF), PageLink("Forward test")),
        listed={
            name: [(forward.newest(one, NEWEST), one) for one in tables if one is not None]
            for name, tables in _lists(page).items()
        },
        script=script,
        script_digest=digest,
    ).encode()


def _lists(page: ForwardPage) -> dict[str, tuple[Table | None, ...]]:
    """Tables of the sections that are nothing but lists."""
    return {
        "sessions": (page.days,),
        "recommendations": (page.hits,),
        "points": (page.points,),
        "fills": (page.fills, page.refused, page.taken_back),
        "alerts": (page.alerts,),
    }


def write_report(facts: ForwardFacts, folder: Path, docs: Path) -> tuple[Path, Path]:
    """Write ``folder/report.html`` and ``docs/forward_test_results.md``; return both. Raises SimError where that cannot
    be done."""
    page = write_file(folder / FILE, render(facts))
    return page, write_file(docs / RESULTS, as_markdown(facts).encode())


def as_markdown(facts: ForwardFacts) -> str:
    """Return the report in Markdown."""
    page = compose(facts)
    course = facts.primary.verdict.course
    tables = [(page.validation, "Note"), (page.accounts, "Number"), (page.days, ""), (page.hits, ""),
              (page.points, ""), (page.refused, ""), (page.taken_back, ""), (page.alerts, "")]  # fmt: skip
    spark = markdown.sparkline(course.mean)
    named = (("Other accounts", page.others), ("Registration", (*page.registration, *page.digests)))
    lists = {title: markdown.bullets(f"{name}: {text}" for name, text in rows) for title, rows in named}
    parts = [
        f"# {markdown.escape(page.title)}",
        markdown.escape(" · ".join(page.facts)),
        f"**{markdown.prose(page.headline)}**",
        markdown.bullets(page.details),
        f"Mean beyond its usual exposure, session by session: `{spark}`" if spark else "",
        *(f"## {one.title}\n\n{markdown.render_table(one, hints)}" for one, hints in tables if one is not None),
        *(f"## {title}\n\n{text}" for title, text in lists.items() if text),
    ]
    return plain("\n\n".join(part for part in parts if part)) + "\n"


def as_json(facts: ForwardFacts) -> dict[str, object]:
    """Return the report as numbers, null for undefined."""
    page, registration = compose(facts), facts.registration
    tables = (page.validation, page.accounts, page.days, page.hits, page.points, page.fills, page.refused,
              page.taken_back, page.alerts)  # fmt: skip
    return {
        "registration": {"id": registration.id, "digest": registration.digest, **asdict(registration)}
        if registration.is_registered
        else None,
        "rehearsed": facts.record.rehearsed,
        "sessions": list(facts.sessions),
        "accounts": [_account(one) for one in facts.accounts],
        "recommendations": {**vars(facts.hits), "share": facts.hits.share, "interval": facts.hits.interval},
        "points": facts.points,
        "executed": facts.executed,
        "cost": {"usd": facts.cost_usd, "calls": facts.calls, "expected": facts.expected},
        "error_rate": facts.error_rate,
        "uptime": facts.uptime,
        "restarts": facts.restarts,
        "programs": list(facts.record.programs),
        "held_by": [asdict(one) for one in facts.record.spans],
        "tables": [render_table(one) for one in tables if one is not None],
    }


def _account(one: AccountFacts) -> dict[str, object]:
    money = {name: getattr(one, name) for name in ("equity", "pnl", "total_return", "max_drawdown")}
    left = ("verdict", "path", "refused", "taken_back", "fills", "approver")
    kept = {name: value for name, value in vars(one).items() if name not in left}
    numbers = {"fills": len(one.fills), **one.not_sent, "path": one.path.tolist()}
    approver = one.approver and {
        "verdict": _verdict(one.approver.verdict),
        "decided": one.approver.decided.tolist(),
        "added": _by_session(one.approver.added),
        "unknown_from": one.approver.unknown_from,
    }
    return {**kept, **money, **numbers, "verdict": _verdict(one.verdict), "approver": approver}


def _by_session(course: Course) -> dict[str, object]:
    names = ("mean", "low", "high", "e_value")
    values = {name: [number_of(value) for value in getattr(course, name).tolist()] for name in names}
    return {"sessions": list(course.sessions), "first": course.first, **values}


def _verdict(found: ForwardVerdict) -> dict[str, object]:
    kept = {name: value for name, value in vars(found).items() if name not in ("course", "account")}
    return {**kept, "course": _by_session(found.course)}


def print_forward(facts: ForwardFacts, console: Console, written: tuple[Path, Path]) -> None:
    """Print verdict, validation and where the report lies. Fits 80 columns."""
    from simulator.report.renderers.console import Text
    from simulator.report.renderers.terminal import print_paragraph, print_path, print_table

    page = compose(facts)
    console.print()
    console.print(Text(page.title, style="bold cyan"))
    print_paragraph(console, " · ".join(page.facts), "dim")
    console.print()
    print_paragraph(console, page.headline, "bold")
    for sentence in page.details:
        print_paragraph(console, sentence)
    console.print()
    print_table(console, page.validation, headings=False)
    console.print()
    for name, headline in page.others:
        print_paragraph(console, headline, label=name)
    if facts.registration.is_registered:
        print_paragraph(console, facts.registration.digest, "dim", label="digest")
    for label, path in zip(("report", "results"), written, strict=True):
        print_path(console, label, path)
