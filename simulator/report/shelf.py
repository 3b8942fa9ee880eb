"""reports/index.html: every run of a workspace in one table, brought up to date by whatever changes a run's folder.

    reports/*  ──stat──► key ──the page has it──► the row as it stands there
                          └──new or changed─────► run.json, trials.json, equity.csv ──► a row made anew

A row is a line of the page, and the page is all that is kept: of a thousand folders a run opens its own. Rows are taken
from a page whose digest holds and that this version made; any other page is made anew as a whole.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

from simulator.errors import SimError
from simulator.files import locked, read_bytes, write_file
from simulator.number_format import counted, gate
from simulator.printing import say
from simulator.report.renderers.html import TEMPLATES, join_scripts, render_page
from simulator.store.folders import COMPARED, NAMED, is_partial, run_id_of

if TYPE_CHECKING:
    from simulator.evidence.records import RunRecord
    from simulator.report.table import Cell

FILE = "index.html"
READ = ("run.json", "trials.json", "equity.csv", "study.json", "verdict.json")
PAGES = {"ablation.html": "ablation", "checks.html": "checks"}
"""Pages that other commands put beside the report, and their names."""
COMPARISON = "comparison.html"

PLACE_OF_ROWS = "<!--rows-->"
DIGEST = re.compile(r' data-rows="([0-9a-f]{64})"')
ROW = re.compile(r'<tr data-folder="([^"]*)" data-key="([^"]*)" data-words="([^"]*)">')
MADE_BY = (
    "report/shelf.py",
    "report/sweep_page.py",
    "report/templates/shelf_row.html",
    "report/catalogue.py",
    "analysis/verdict.py",
)
"""Files that decide the text of a row, which another version of them makes anew."""

POINTS, HEIGHT = 48, 56
"""Of a sparkline."""
ATTEMPTS = 8
"""Times that folders which keep changing are looked at; then their rows are those of a moment ago."""
MOST_SYMBOLS, MOST_MODELS = 4, 3
PAGE = 500
"""Rows shown at a time, and without a script."""
SKILL, BROKEN = "skill beyond its exposure", "cannot be read"


@dataclass(frozen=True)
class Place:
    """A run folder as it stands: `key` changes with anything its row is made of; `written` in nanoseconds."""

    name: str
    key: str
    written: int


@dataclass(frozen=True)
class Spark:
    """A curve in the SVG viewBox `box`: its path, and a line where it starts."""

    box: str
    path: str
    start: str


@dataclass(frozen=True)
class ShelfRow:
    """A row as its template takes it. `words` are those of the verdict, or say that the folder cannot be read, with
    `headline` the whole sentence; `compare` is what `sim compare` takes, empty where it cannot."""

    place: Place
    title: str
    id: str
    pages: tuple[tuple[str, str], ...]
    made: str
    words: str
    headline: str
    compare: str = ""
    badges: tuple[str, ...] = ()
    symbols: str = ""
    first: str = ""
    last: str = ""
    spark: Spark | None = None
    figures: tuple[Cell, ...] = ()
    counts: tuple[Cell, ...] = ()
    models: str = ""


def keep_shelf(folder: Path, reports: Path) -> None:
    """Bring the page up to date after a command that changed `folder`; one that lies elsewhere is on no shelf.

    The command has done its work: where this fails a note on stderr says so.
    """
    if folder.resolve().parent != reports.resolve():
        return
    try:
        update_shelf(reports)
    except (SimError, OSError) as error:
        why = error.found if isinstance(error, SimError) else error.strerror
        say(f"sim: note: {reports / FILE}: {why}; `sim runs --html` writes it", err=True)


def update_shelf(reports: Path) -> Path:
    """Write ``reports/index.html`` where a row of it has changed, in one step, and return its path.

    Folders are read one after another and without the lock; what was found is written under it and only where it
    still holds, so that of two runs at once neither is lost. Raises SimError where it cannot be written.
    """
    page = reports / FILE
    before = _read_page(page)
    rows = _read_rows(before)
    for left in reversed(range(ATTEMPTS)):
        with locked(reports):
            places, compared = _list_places(reports)
            changed = [place for place in places if rows.get(place.name, ("",))[0] != place.key]
            if not changed or not left:
                content = _render([rows[place.name][1] for place in places if place.name in rows], compared)
                if content != before:
                    write_file(page, content)
                return page
        for place in changed:
            rows[place.name] = (place.key, _render_row(reports, place))
    raise AssertionError("unreachable: the last attempt returns")


# ── what lies there ─────────────────────────────────────────────────────────────────────────────────────────────────


def _list_places(reports: Path) -> tuple[list[Place], list[str]]:
    """Return the run folders, the last written first, and the names of folders of comparisons."""
    places, compared = [], []
    for name in sorted(os.listdir(reports)) if reports.is_dir() else ():
        if COMPARED.fullmatch(name):
            compared += [name] if os.path.isfile(f"{reports}/{name}/{COMPARISON}") else []
        elif not name.startswith(".") and (place := _look(f"{reports}/{name}", name)):
            places.append(place)
    return sorted(places, key=lambda place: -place.written), compared


def _look(path: str, name: str) -> Place | None:
    """Return a run folder, None for what is none: it has neither the name of one nor a run.json or equity.csv."""
    found: list[tuple[int, ...]] = []
    for file in ("", *READ):
        try:
            at = os.stat(f"{path}/{file}" if file else path)
            # Whatever is added to the folder changes its own times, an edit in place those of the file.
            found.append((at.st_mtime_ns, at.st_ino, at.st_size, at.st_ctime_ns))
        except (OSError, ValueError):
            found.append(())
    run, _, equity, study, _ = found[1:]
    if not (run or equity or study or NAMED.fullmatch(name)):
        return None
    if not (run or study) and os.path.isdir(f"{path}/chunks"):  # of a sweep that is not finished
        return None
    key = hashlib.blake2b(repr(found).encode(), digest_size=8).hexdigest()
    return Place(name, key, (run or study or found[0] or (0,))[0])


def _read_page(page: Path) -> bytes:
    try:
        return read_bytes(page)
    except OSError:
        return b""


def _read_rows(page: bytes) -> dict[str, tuple[str, str]]:
    """{folder: (key, row)} of a page; none where somebody changed it or another version made it."""
    try:
        text = page.decode()
    except UnicodeDecodeError:
        return {}
    lines = [line for line in text.split("\n") if line.startswith("<tr data-folder=")]
    claimed = DIGEST.search(text)
    if claimed is None or claimed[1] != _digest(lines):
        return {}
    # A folder whose name has to be escaped is not found again, and read each time.
    return {match[1]: (match[2], line) for match, line in zip(map(ROW.match, lines), lines, strict=True) if match}


def _digest(lines: Sequence[str]) -> str:
    return hashlib.sha256(_version() + "\n".join(lines).encode()).hexdigest()


@cache
def _version() -> bytes:
    package = TEMPLATES.parents[1]
    return hashlib.sha256(b"".join((package / name).read_bytes() for name in MADE_BY)).digest()


# ── a row ───────────────────────────────────────────────────────────────────────────────────────────────────────────


def _render_row(reports: Path, place: Place) -> str:
    try:
        row = _compose_row(reports / place.name, place)
    except (
        SimError,
        OSError,
        ValueError,
        TypeError,
        LookupError,
        AttributeError,
        ArithmeticError,
        RecursionError,
    ) as e:
        row = _broken_row(reports / place.name, place, e)
    return re.sub(r"\s+", " ", render_page("shelf_row.html", row=row), flags=re.ASCII).strip()


def _broken_row(folder: Path, place: Place, error: Exception) -> ShelfRow:
    """Return the row of a folder that cannot be read, which says why."""
    why = str(error) if isinstance(error, SimError) else f"{type(error).__name__}: {error}"
    why = why.replace(f"{folder}/", "").replace(f"{folder}: ", "")
    return ShelfRow(place, place.name, "", _pages(folder, place), _spell(place.written), BROKEN, why)


def _compose_row(folder: Path, place: Place) -> ShelfRow:
    from simulator.analysis.verdict import JUDGEMENT, judge
    from simulator.evidence.reader import read_run
    from simulator.evidence.sweep_reader import is_sweep

    if is_sweep(folder):
        return _compose_sweep(folder, place)
    run = read_run(folder)
    verdict = judge(run)
    return ShelfRow(
        place,
        title=run["strategy"],
        id=run["run_id"],
        pages=_pages(folder, place),
        made=_spell(place.written),
        words=JUDGEMENT[verdict.standing],
        headline=verdict.headline,
        compare=place.name if is_partial(place.name) or run_id_of(place.name) != run["run_id"] else run["run_id"],
        badges=("partial",) if run["partial"] else (),
        symbols=_shorten(run["symbols"], MOST_SYMBOLS),
        first=run["from"],
        last=run["to"],
        spark=_draw(folder, run),
        figures=tuple(_figures(run)),
        counts=tuple(_counts(run)),
        models=_models(run),
    )


def _compose_sweep(folder: Path, place: Place) -> ShelfRow:
    """Return the row of a sweep: the figures are those of its best member, the trials all members."""
    from simulator.analysis.verdict import JUDGEMENT
    from simulator.evidence.sweep_reader import read_facts
    from simulator.number_format import interval, percent, whole
    from simulator.report.catalogue import METRICS
    from simulator.report.sweep_page import headline_of
    from simulator.report.table import Cell

    facts, verdict = read_facts(folder)
    identity, skill, members = facts["identity"], facts["best"]["skill"], facts["counts"]["members"]
    total, sharpe, fall = (
        METRICS[key].cell(facts["best"]["measures"], {}) for key in ("total_return", "sharpe", "max_drawdown")
    )
    bounds = interval(skill["beyond_low"], skill["beyond_high"], percent)
    beyond = Cell(percent(skill["beyond"], sign=True), note=f"{bounds}, its best", value=skill["beyond"])
    return ShelfRow(
        place,
        title=identity["strategy"],
        id=identity["run_id"],
        pages=_pages(folder, place),
        made=_spell(place.written),
        words=next(
            (words for standing, words in JUDGEMENT.items() if verdict and standing == verdict["standing"]),
            "not judged",
        ),
        headline=headline_of(facts, verdict),
        badges=(f"sweep of {whole(members)}",),
        symbols=_shorten(identity["symbols"], MOST_SYMBOLS),
        first=identity["from"],
        last=identity["to"],
        figures=(total, beyond, sharpe, fall),
        counts=(Cell(whole(members), value=members), Cell("$0", value=0.0)),
        models="none",
    )


def _pages(folder: Path, place: Place) -> tuple[tuple[str, str], ...]:
    """Return (address, name) of the pages there are."""
    found = {"report.html": "report", "sweep.html": "report", **PAGES}
    return tuple(
        (f"{quote(os.fsencode(place.name))}/{file}", name) for file, name in found.items() if (folder / file).is_file()
    )


def _figures(run: RunRecord) -> Iterator[Cell]:
    from simulator.analysis.verdict import is_ruined, part_after_cutoff, withheld
    from simulator.number_format import interval, percent
    from simulator.report.catalogue import METRICS, WITHHELD, WITHHELD_WHY
    from simulator.report.table import Cell

    short = withheld(run)
    yield METRICS["total_return"].cell(run["metrics"], run["reasons"])
    part = part_after_cutoff(run)
    skill = part and part.get("skill")
    if short:
        yield Cell(WITHHELD, WITHHELD_WHY)
    elif is_ruined(run):
        yield Cell("n/a", "everything was lost")
    elif skill and skill["beyond"] is not None:
        bounds = interval(skill["beyond_low"], skill["beyond_high"], percent)
        yield Cell(percent(skill["beyond"], sign=True), note=bounds, value=skill["beyond"])
    else:
        yield Cell("n/a", "nothing to hold it against")
    for key in ("sharpe", "max_drawdown"):
        yield METRICS[key].cell(run["metrics"], run["reasons"], short)


def _counts(run: RunRecord) -> Iterator[Cell]:
    """Return trials and dollars."""
    from simulator.number_format import dollars
    from simulator.report.catalogue import METRICS
    from simulator.report.table import Cell

    yield METRICS["trials"].cell(run["inference"], run["reasons"])
    spent = run["llm"]["cost_usd"]
    yield Cell(dollars(spent, 2 if spent else 0), value=spent)


def _models(run: RunRecord) -> str:
    """Return who answered."""
    from simulator.evidence.members import BY_RULE

    if run["llm"]["models"]:
        return _shorten(run["llm"]["models"], MOST_MODELS)
    return BY_RULE if run["analysts"] else "none"


def _shorten(names: Sequence[str], most: int) -> str:
    """Return names as a list, of more than `most` the first and how many more."""
    if len(names) <= most:
        return ", ".join(names)
    return f"{', '.join(names[: most - 1])} and {len(names) - most + 1} more"


def _draw(folder: Path, run: RunRecord) -> Spark:
    """Return the equity of a run, and the cash it began with. Raises DataError."""
    from simulator.errors import DataError
    from simulator.evidence.verify import check_parts

    try:
        head, *lines = read_bytes(folder / "equity.csv").decode().splitlines()
        at = head.split(",").index("equity")
        picked = sorted({round(i * (run["sessions"] - 1) / (POINTS - 1)) for i in range(POINTS)})
        path = [gate(run["cash"]), *(gate(float(lines[i].split(",", at + 1)[at])) for i in picked)]
    except (OSError, ValueError, LookupError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is no table of the sessions"
        raise DataError(
            f"cannot be read ({why})", where="equity.csv", mend=f"`{run['command']}` makes it again"
        ) from None
    if run.get("parts"):  # of older folders all files would have to be read
        check_parts(folder, run, ["equity.csv"])
    low, high = min(path), max(path)
    down = [round((high - value) / ((high - low) or 1.0) * HEIGHT) for value in path]
    line = " ".join(f"{across} {y}" for across, y in enumerate(down))
    return Spark(f"0 0 {len(path) - 1} {HEIGHT}", f"M{line}", f"M0 {down[0]}H{len(path) - 1}")


def _spell(nanoseconds: int) -> str:
    return f"{datetime.fromtimestamp(nanoseconds / 1e9, UTC):%Y-%m-%d %H:%M}"


# ── the page ────────────────────────────────────────────────────────────────────────────────────────────────────────


def _summarise(runs: int, skilled: int) -> str:
    if not runs:
        return "No runs yet."
    found = f"{skilled:,} show skill beyond their" if skilled > 1 else f"{skilled or 'none'} shows skill beyond its"
    return f"{counted(runs, 'run')}; {found} exposure."


def _render(lines: Sequence[str], compared: Sequence[str]) -> bytes:
    shown, more = ("".join(f"{line}\n" for line in part) for part in (lines[:PAGE], lines[PAGE:]))
    script, script_digest = join_scripts("sorting.js", "shelf.js")
    verdicts = Counter(match[3] for match in map(ROW.match, lines) if match)
    page = render_page(
        "shelf.html",
        title="Runs",
        name="Runs",
        page=PAGE,
        headline=_summarise(len(lines), verdicts[SKILL]),
        empty=not lines,
        verdicts=verdicts.most_common(),
        digest=_digest(lines),
        compared=[(name, name.split("-")[1:]) for name in compared],
        comparison=COMPARISON,
        script=script,
        script_digest=script_digest,
    )
    for part in (shown, more):
        page = page.replace(PLACE_OF_ROWS, part, 1)
    return page.encode()
