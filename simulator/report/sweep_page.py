"""sweep.html: one file, no network, the same bytes for the same folder of a sweep but for its last line."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from simulator.analysis import plateau
from simulator.analysis.verdict import FEWEST_DECISIONS
from simulator.evidence.sweep_reader import RATIO, SweepEvidence, read_sweep
from simulator.evidence.sweep_records import ParameterRecord, SweepRecord, SweepVerdict
from simulator.files import write_file
from simulator.number_format import counted, interval, p_value, percent, ratio, rough_percent, whole, write_setting
from simulator.report.charts import Forest, draw_intervals
from simulator.report.renderers.html import SHELF, PageLink, Section, join_scripts, render_page
from simulator.report.sections import sweep_luck, sweep_members, sweep_shape, walk_forward
from simulator.report.sections.summary import Tile
from simulator.report.sweep_measures import MEASURES
from simulator.report.table import Column, Table, make_row, make_table

FILE = "sweep.html"
STEPS = ("imports", "reading", "asking", "play", "inference", "runs")
"""Parts of runtime.json in their order."""
SCRIPTS = ("sorting.js", "sweep.js", "sections.js")


@dataclass(frozen=True)
class SweepPage:
    """The sections of the page in their order."""

    title: str
    facts: tuple[str, ...]
    headline: str
    details: tuple[str, ...]
    interval: Forest | None
    tiles: tuple[Tile, ...]
    best: Table
    neighbours: str
    larger: str
    luck: sweep_luck.Luck
    members: sweep_members.Members
    failed: str
    shape: sweep_shape.Shape
    hold_out: tuple[str, Table] | None
    walk: walk_forward.WalkForward | None
    paths: walk_forward.Combinatorial | None


SECTIONS = (
    Section("best", "Best member"),
    Section("map", "Map", lambda page: len(page.members.axes) > 1),
    Section("slices", "Slices", lambda page: page.shape.slices),
    Section("lines", "Parameters", lambda page: page.shape.lines),
    Section("luck", "Against luck"),
    Section("overfitting", "Overfitting", lambda page: page.luck.overfitting),
    Section("walk_forward", "Walk-forward", lambda page: page.walk),
    Section("combinatorial", "Cross-validation", lambda page: page.paths),
    Section("hold_out", "Hold-out", lambda page: page.hold_out),
    Section("members", "Members"),
    Section("study", "Study"),
)
"""Order of the page."""


def build(folder: Path) -> Path:
    """Write ``folder/sweep.html`` and return its path. Raises DataError for a damaged folder."""
    write_file(folder / FILE, render(folder))
    return folder / FILE


def render(folder: Path) -> bytes:
    """Return the page of a sweep's folder as UTF-8 HTML."""
    sweep = read_sweep(folder)
    page = compose(sweep)
    script, digest = join_scripts(*SCRIPTS)
    identity = sweep.facts["identity"]
    return render_page(
        "sweep.html",
        **vars(page),
        name=identity["strategy"],
        sections=[section for section in SECTIONS if section.shown(page)],
        pages=(PageLink("All runs", SHELF), PageLink("Sweep")),
        script=script,
        script_digest=digest,
        study=tabulate_study(sweep),
        command=identity["command"],
        best_member=sweep.best,
        best_command=sweep.facts["best"]["command"],
        identity=(("Sweep", identity["run_id"]), ("Digest", identity["digest"]), ("Data", identity["data_digest"])),
        runtime=describe_runtime(sweep),
    ).encode()


def compose(sweep: SweepEvidence) -> SweepPage:
    """Return everything the page shows."""
    near = plateau.find_plateau(sweep.settings, sweep.measures[RATIO], sweep.grid)
    members, identity = sweep_members.compose(sweep, near), sweep.facts["identity"]
    walked, paths = sweep.facts.get("walk_forward"), sweep.facts.get("combinatorial")
    return SweepPage(
        title=f"Sweep of {identity['strategy']}: {counted(sweep.facts['counts']['members'], 'member')}",
        facts=_facts(sweep),
        headline=headline_of(sweep.facts, sweep.verdict),
        details=tuple(sweep.verdict["details"]) if sweep.verdict else (),
        interval=_draw_interval(sweep),
        tiles=_tiles(sweep, near),
        best=tabulate_best(sweep),
        neighbours=describe_neighbours(sweep, near),
        larger=describe_larger(sweep),
        luck=sweep_luck.compose(sweep),
        members=members,
        failed=sweep_members.describe_failures(sweep),
        shape=sweep_shape.compose(sweep, members),
        hold_out=describe_hold_out(sweep),
        walk=walked and walk_forward.compose_walk_forward(walked),
        paths=paths and walk_forward.compose_combinatorial(paths),
    )


def headline_of(facts: SweepRecord, verdict: SweepVerdict | None) -> str:
    """Return the verdict in a sentence, the bare p where none was given yet."""
    if verdict is not None:
        return verdict["headline"]
    best, count = facts["best"], counted(facts["counts"]["members"], "member")
    return f"Member {best['member']} is the best of {count}: p {p_value(best['p'])} as one of all."


def _facts(sweep: SweepEvidence) -> tuple[str, ...]:
    identity = sweep.facts["identity"]
    symbols = identity["symbols"]
    named = ", ".join(symbols[:8]) + (f" and {len(symbols) - 8} more" if len(symbols) > 8 else "")
    span = f"{identity['from']} to {identity['to']}"
    return (named, span, counted(identity["sessions"], "session"), counted(sweep.facts["counts"]["members"], "member"))


def _draw_interval(sweep: SweepEvidence) -> Forest | None:
    """Return what the best member earned beyond its exposure, in percent a year, with its interval."""
    skill = sweep.facts["best"]["skill"]
    point, low, high = skill["beyond"], skill["beyond_low"], skill["beyond_high"]
    if point is None or low is None or high is None:
        return None
    name = f"Member {sweep.best}, percent a year beyond its exposure, uncorrected for its choice"
    spoken = f"{name}: {percent(point, sign=True)}, 95 % interval {interval(low, high, percent)}."
    return draw_intervals([(name, "strategy", 100 * point, 100 * low, 100 * high)], spoken, name=name)


def _tiles(sweep: SweepEvidence, near: plateau.Plateau) -> tuple[Tile, ...]:
    facts, counts = sweep.facts["inference"], sweep.facts["counts"]
    best, test, kept = sweep.best, facts["overfitting"], sweep.verdict and sweep.verdict["hold_out"]
    own, around = (float(values[best]) for values in (sweep.measures[RATIO], near.around))
    tiles = [
        Tile("Members", whole(counts["members"]), f"they amount to {ratio(facts['effective'], 1)} independent ones"),
        Tile(f"Ratio of member {best}", ratio(own), f"without skill {ratio(facts['expected_maximum'])} is expected"),
        Tile("p of the best", p_value(sweep.facts["best"]["p"]), "Romano-Wolf, as one of all members"),
        Tile("Its neighbours", ratio(around), plateau.describe(own, around) or "median of those one step away"),
        Tile("Overfitting", percent(test and test["pbo"], 0), "PBO; noise gives about 50 %"),
    ]
    if kept is not None:
        tiles.append(
            Tile(
                "Hold-out",
                p_value(kept["p"]),
                "opened once" if kept["opened"] == 1 else f"opened {whole(kept['opened'])} times",
            )
        )
    return tuple(tiles)


def describe_neighbours(sweep: SweepEvidence, near: plateau.Plateau) -> str:
    """Return a plateau or a spike, in a sentence or two; empty where the best member has no neighbours."""
    best, values = sweep.best, sweep.measures[RATIO]
    own, around, count = float(values[best]), float(near.around[best]), int(near.neighbours[best])
    kind = plateau.describe(own, around)
    if not count:
        return ""
    one = "nearest" if not sweep.grid else "one step away"
    many = f"The {counted(count, 'member')} {one}" if count > 1 else f"The one member {one}"
    kept = (
        f", {rough_percent(around / own)} of its own {ratio(own)}: a {kind}"
        if kind
        else f" beside its own {ratio(own)}"
    )
    text = f"{many} {'shows a ratio' if count == 1 else 'have a median ratio'} of {ratio(around)}{kept}."
    steady = near.steadiest
    if steady is None or steady == best:
        return f"{text} Nowhere is the median of a member and its neighbours higher."
    where = sweep_members.describe_member(sweep, steady)
    level, beside = (ratio(float(near.level[one])) for one in (steady, best))
    return (
        f"{text} The highest ground is at member {steady} ({where}): a median of {level} with its neighbours, against "
        f"{beside} there."
    )


def describe_larger(sweep: SweepEvidence) -> str:
    """Return why members with a larger ratio than the best are not the one that is judged; empty without any."""
    values, own = sweep.measures, sweep.best
    larger = np.flatnonzero(values[RATIO] > values[RATIO][own])
    if not larger.size:
        return ""
    top = int(larger[values[RATIO][larger].argmax()])
    named, most = f"member {top} ({sweep_members.describe_member(sweep, top)})", ratio(values[RATIO][top])
    few = int(((values["decisions"][larger] < FEWEST_DECISIONS) | (values["held"][larger] != 1)).sum())
    rest, seldom = larger.size - few, f"decided on fewer than {FEWEST_DECISIONS} sessions"
    if larger.size == 1:
        why = seldom if few else f"has a larger p as one of all, {p_value(values['p'][top])}"
        return f"M{named[1:]} has a larger ratio, {most}, but is not judged: it {why}."
    counts = ((few, seldom), (rest, "have a larger p as one of all" if rest > 1 else "has a larger p as one of all"))
    why = ", ".join(f"{whole(count)} {words}" for count, words in counts if count)
    return f"{whole(larger.size)} members have larger ratios, up to {most} of {named}, but are not judged: {why}."


def tabulate_best(sweep: SweepEvidence) -> Table:
    """Return settings and measures of the best member, and of the highest and the median of all."""
    rows = []
    for one in MEASURES:
        values = sweep.measures.get(one.key)
        if values is None:
            continue
        finite = values[np.isfinite(values)]
        middle, low, high = (np.quantile(finite, q) for q in (0.5, 0.05, 0.95)) if len(finite) else (np.nan,) * 3
        cells = (one.write(values[sweep.best]), one.write(middle), interval(low, high, one.format))
        rows.append(make_row(one.name, cells, one.help))
    columns = (Column(f"Member {sweep.best}"), Column("Median"), Column("Nine in ten"))
    return make_table("The best member among all", columns, rows, css="results")


def tabulate_study(sweep: SweepEvidence) -> Table:
    """Return the parameters with their values."""
    study = sweep.facts["study"]
    rows = [
        make_row(one["name"], (_list_values(one), one.get("kind", "swept")), css="swept") for one in study["parameters"]
    ]
    rows += [make_row(name, (write_setting(value), "fixed"), css="swept") for name, value in study["fixed"].items()]
    rows += [make_row("constraint", (text, "")) for text in study["constraints"]]
    rows.append(make_row("search", (f"{study['search']}, seed {study['seed']}", "")))
    columns = (Column("Values", words=True), Column("Acts on", words=True))
    return make_table("The study", columns, rows, corner="Parameter", long_labels=True)


def _list_values(given: ParameterRecord) -> str:
    spread = given.get("spread")
    if spread is not None:
        scale = ", by its logarithm" if spread["log"] else ""
        return f"{spread['low']:g} to {spread['high']:g}{scale}{', whole numbers' if spread['whole'] else ''}"
    written = [write_setting(one) for one in given["values"]]
    if len(written) <= 12:
        return ", ".join(written)
    return f"{', '.join(written[:4])} … {written[-1]} ({whole(len(written))})"


def describe_hold_out(sweep: SweepEvidence) -> tuple[str, Table] | None:
    """Return a sentence on the hold-out, and its openings; None where nothing is held out."""
    kept = sweep.verdict and sweep.verdict["hold_out"]
    if kept is None:
        return None
    rows = [
        make_row(
            str(n), (one["at"][:16].replace("T", " "), one["by"], "" if one["member"] is None else str(one["member"]))
        )
        for n, one in enumerate(kept["openings"], 1)
    ]
    columns = (Column("At", words=True), Column("By", words=True), Column("Member"))
    return kept["headline"], make_table("Openings", columns, rows)


def describe_runtime(sweep: SweepEvidence) -> str:
    """Return how long each part took, and who played; empty where that is not known."""
    made = sweep.runtime
    if made is None:
        return ""
    cpu = {name: f" ({seconds:.3g} s of processors)" for name, seconds in made["cpu_seconds"].items()}
    known = {name: made["seconds"][name] for name in STEPS if name in made["seconds"]}
    parts = ", ".join(f"{name} {seconds:.3g} s{cpu.get(name, '')}" for name, seconds in known.items())
    others = sweep.facts["counts"]["members"] - made["played"]
    before = f", {counted(others, 'member')} played before" if others else ""
    where = f"Python {made['python']} on {made['machine']}"
    return f"{parts}{before}; {made['threads']} × {made['executor']}; {where}."
