"""Results that count as trials of a run, and what is left of its Sharpe ratio once it is admitted there were others.

    store, reports/, earlier trials.json ──► rows + run.json ──trials──► Trials ──► N, by which the verdict is corrected
                                                                           │
    equity.csv of the runs counted ──correlations──────────────────────────┴──deflate──► DSR as published

What is a trial and why: docs/decisions/0006-trials.md. The number grows as a workspace is used, so none of this stands
in run.json or in the digest of a result; it goes to ``trials.json`` beside them.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import ArrayLike

from simulator.analysis.swept import FIGURES, SweptFigures, p_beside
from simulator.analysis.trial_returns import Excess, mean_correlation, read_excess
from simulator.analysis.verdict import judged_sessions
from simulator.errors import DataError
from simulator.evidence.reader import read_beyond, read_trials, with_trials
from simulator.evidence.records import HeldOut, Metrics, Reasons, RunRecord, TrialRow, TrialsRecord
from simulator.evidence.sweep_records import SweptRow
from simulator.evidence.unrecorded import Seen, all_results
from simulator.evidence.verify import own_name
from simulator.market import calendar
from simulator.market.months import BarMonths, days_alike, returns_of, shared_keys
from simulator.number_format import counted
from simulator.stats import inference
from simulator.stats.metrics import kurtosis, skew
from simulator.stats.series import Floats, Measure, Undefined, excess_over, is_constant, split
from simulator.store.events import definition_of
from simulator.store.folders import add_files, json_bytes
from simulator.trading.execution import SESSIONS_A_YEAR
from simulator.workspace import Workspace

FILE = "trials.json"

RegistryRow = Mapping[str, Any]
"""A row of `simulator.store.database.Store.results`."""

MOST_LISTED = 200
"""Trials that trials.json lists of each kind; `sim runs --trials` lists all."""

NO_MONTHS: BarMonths = {}
ITSELF, SAME_STRATEGY = "this run", "same strategy"

MOST_READ = 20
"""Run folders opened for correlations. Of more, evenly spaced ones stand for all."""


class Trial(NamedTuple):
    """One result. `sharpe` is annual over its own `sessions`, None where undefined; `first` is the date asked for.

    `why` says why it counts, or why not; `definition` is the digest of the strategy's file, empty where not on record,
    as is `made_at` (ISO) where nothing tells when it was first made. `sweep` is None for a run.
    """

    run_id: str
    digest: str
    strategy: str
    symbols: tuple[str, ...]
    first: str
    last: str
    partial: bool
    folder: str
    sessions: int
    sharpe: float | None
    why: str = ""
    figures: tuple[float | None, ...] = ()
    definition: str = ""
    bar_months: BarMonths = NO_MONTHS
    counted_before: bool = False
    parameters: Mapping[str, object] | None = None
    made_at: str = ""
    sweep: SweptRow | None = None

    @property
    def results(self) -> int:
        """Results it stands for: those of all members of a sweep."""
        return self.sweep["members"] if self.sweep else 1


@dataclass(frozen=True)
class Trials:
    """Results tried on the data of a run, the run itself included.

    Attributes
    ----------
    count : distinct results, members of sweeps too
    effective : how many independent trials they amount to, 1 … count; None before `correlated`
    sharpe_variance : variance of their Sharpe ratios per session, at the length of the run; None below two of them
    counted : the run first, the others as they were made
    left_out : the others of the registry
    at_least : why there may be more than are counted; empty where nothing tells of any
    looks : all that were made of the same bars or the same strategy, equal results and beginnings as well
    member_of : {digest of a sweep: (number, p) of the member that the run is}
    """

    count: int
    effective: float | None
    sharpe_variance: float | None
    counted: tuple[Trial, ...]
    left_out: tuple[Trial, ...]
    at_least: str = ""
    looks: tuple[Trial, ...] = ()
    member_of: Mapping[str, tuple[int, float]] = field(default_factory=dict)

    @property
    def sweeps(self) -> list[Trial]:
        return [trial for trial in self.counted if trial.sweep]

    @property
    def within(self) -> list[Trial]:
        """Sweeps the run is judged in, as one of their members: those it is a member of, and those of its strategy."""
        return [
            t for t in self.sweeps if not t.partial and (t.digest in self.member_of or t.why.startswith(SAME_STRATEGY))
        ]

    @property
    def units(self) -> int:
        """Results p is corrected for: all, but each sweep whose own p the run takes is one, with the run in it.

        Other sweeps are all their members: what is run here may be a copy of the best of them.
        """
        own = self.counted[0]
        inside = [own, *self.within]
        beside = not own.sweep and bool(self.within) and not self.member_of  # judged with them, though none of them
        return self.count - sum(t.results - 1 for t in inside) - beside


def trials(rows: Iterable[RegistryRow], run: RunRecord | RegistryRow, at_least: str = "") -> Trials:
    """Return the trials that count against `run`, or a sweep, of the rows of a registry; it may be among them.

    The variance is that of SRᵢ√Tᵢ over T, the Sharpe ratios brought to the T sessions of the run: with trials of one
    length it is the variance of their Sharpe ratios, and a trial of two weeks does not drown years.
    """
    span = {"first": run["from"], "last": run["to"], "folder": run.get("folder", "")}
    own = _trial({**run, **span, "definition": definition_of(run)})
    others = [_trial(row) for row in rows]
    whole = {t.run_id for t in (own, *others) if not t.partial}
    latest = {t.run_id: t.digest for t in (*others, own) if t.partial}
    shared = stored = _Shared(own, others)
    recorded = next((one for one in others if (one.run_id, one.digest) == (own.run_id, own.digest)), own)
    told = (recorded.strategy, recorded.symbols, recorded.definition, recorded.bar_months)
    if told != (own.strategy, own.symbols, own.definition, own.bar_months):
        stored = _Shared(recorded, others)
    own = own._replace(sessions=int(run["sessions"]), why=ITSELF, made_at=recorded.made_at)
    among, left_out, looks = [own], list[Trial](), list[Trial]()
    seen: dict[object, list[Trial]] = {}
    _explain_repeat(own, seen)
    for bare in others:
        if (bare.run_id, bare.digest) == (own.run_id, own.digest):
            continue
        counts, why = shared.relation(bare)
        if not counts:  # run.json was edited, perhaps: what the store has of the run counts as well
            counts, why = stored.relation(bare)
        why_not = "" if counts else why
        why_not = (
            why_not
            or _explain_unfinished(bare, whole, latest)
            or _explain_repeat(bare, seen)
            or _explain_walk_forward(bare, own)
        )
        # `_replace` of sessions and why, at a quarter of its time.
        trial = Trial(*bare[:8], shared.count(bare.first, bare.last), bare.sharpe, why_not or why, *bare[11:])
        (left_out if why_not else among).append(trial)
        looks += [trial] if counts else []
    count = sum(trial.results for trial in among)
    return Trials(count, None, _variance(among), tuple(among), tuple(left_out), at_least, tuple(looks))


def with_members(tried: Trials, reports: Path) -> Trials:
    """`tried` without runs that are members of a sweep that counts, known again by their results in its folder."""
    swept = {t.digest: found for t in tried.sweeps if (found := SweptFigures.of(reports / t.folder))}
    if not swept:
        return tried

    def member_of(trial: Trial) -> dict[str, int]:
        spans = {t.digest for t in tried.sweeps if (t.first, t.last) == (trial.first, trial.last)}
        found = {digest: one.find(trial.figures) for digest, one in swept.items() if digest in spans}
        return {digest: number for digest, number in found.items() if number is not None}

    own, names = tried.counted[0], {t.digest: t.run_id for t in tried.sweeps}
    counted, left_out = [own], list(tried.left_out)
    for trial in tried.counted[1:]:
        digest, number = next(iter({} if trial.sweep else member_of(trial).items()), ("", 0))
        if digest:
            left_out.append(trial._replace(why=f"member {number} of the sweep {names[digest]}"))
        else:
            counted.append(trial)
    mine = member_of(own)
    count = sum(t.results for t in counted) - bool(mine)
    known = {
        digest: (number, float(p[number])) for digest, number in mine.items() if (p := swept[digest].p) is not None
    }
    return replace(tried, count=count, counted=tuple(counted), left_out=tuple(left_out), member_of=known)


def p_within(tried: Trials, beyond: Floats, level: float) -> float:
    """Return the p of the run as one of the members of the sweeps it is judged in, the largest of several, 0 without
    any. `beyond` (n,) is its d, of which a change of level earned `level` per session."""
    known = {digest: p for digest, (_, p) in tried.member_of.items()}
    return max(
        (known[t.digest] if t.digest in known else p_beside(t.sweep, beyond, level) for t in tried.within if t.sweep),
        default=0.0,
    )


def held_out(tried: Trials) -> HeldOut:
    """Return which results made before the run were of the same rule on earlier sessions, and which had seen its own.

    A result that nothing dates counts as made before. Of the run itself, stopped early or made again, none counts.
    """
    own = tried.counted[0]
    before = [t for t in tried.looks if t.run_id != own.run_id and not (own.made_at and t.made_at > own.made_at)]
    same = (own.strategy, sorted(own.symbols), own.parameters)
    definitions = (own.definition, own.definition.partition("-")[0])  # of a council earlier versions have the first
    alike = [
        trial
        for trial in before
        if trial.made_at and trial.last < own.first and not trial.partial
        if (trial.strategy, sorted(trial.symbols), trial.parameters) == same and trial.definition in definitions
    ]
    seen = [trial for trial in before if trial.last >= own.first and trial.first <= own.last]
    chosen_on, seen_by = (max(some, key=lambda t: t.last, default=None) for some in (alike, seen))
    return {"chosen_on": chosen_on and _row(chosen_on), "seen_by": seen_by and _row(seen_by)}


def with_correlations(tried: Trials, excess: Mapping[str, Excess | None]) -> Trials:
    """`tried` with the effective number: ρ̄ + (1 − ρ̄)K for the K trials in `excess` (by digest), one each for others.

    None stands for a trial whose returns are there but were not read: it moves with the others as they do on average.
    Source: Bailey & López de Prado (2014), appendix.
    """
    there = [excess[t.digest] for t in tried.counted if t.digest in excess]
    known = [one for one in there if one is not None]
    if not known:
        return tried
    average, size = mean_correlation(known), len(there)
    effective = float(np.clip(average + (1.0 - average) * size, 1.0, size))
    alone = (t.sweep["effective"] if t.sweep else 1.0 for t in tried.counted if t.digest not in excess)
    return replace(tried, effective=effective + math.fsum(alone))


def deflate(returns: ArrayLike, free: ArrayLike | float, tried: Trials) -> tuple[Metrics, Reasons]:
    """Return the deflated Sharpe ratio of the run that was judged: (values, reasons of those that are None).

    Values: ``trials``, ``effective_trials``; ``trial_sharpe_sd`` and ``expected_max_sharpe`` (annual: the best Sharpe
    ratio expected of so many trials without skill); ``dsr``, the probability that the true one is higher; the last two
    with ``_effective`` for the effective number. `returns` and `free` (T,) per session. One trial is not deflated:
    its DSR is the PSR. Source: Bailey & López de Prado (2014).
    """
    e, root = excess_over(returns, free), math.sqrt(SESSIONS_A_YEAR)
    spread = _spread(tried)
    measures: dict[str, Measure] = {
        "trial_sharpe_sd": spread if isinstance(spread, Undefined) else spread * root,
        **_against(e, float(tried.count), spread, ""),
    }
    if tried.effective is None:
        unknown = Undefined("no run folder is left to take correlations from")
        measures |= {
            "effective_trials": unknown,
            "expected_max_sharpe_effective": unknown,
            "dsr_effective": unknown,
        }
    else:
        measures |= {"effective_trials": tried.effective, **_against(e, tried.effective, spread, "_effective")}
    values, reasons = split(measures)
    return {"trials": tried.count, **values}, reasons


def trials_facts(
    seen: Seen, run: RunRecord, folder: Path, reports: Path | None = None, most: int | None = None
) -> TrialsRecord:
    """Return the content of trials.json for the run in `folder`; `reports` (its parent) holds the other runs.

    Keys: ``run_id``, ``digest``, ``summary`` (what was counted, in a sentence), ``at_least``, ``inference`` (as
    `deflate`, without its reasons), ``reasons``, ``counted`` and ``left_out``: rows with run_id, digest, strategy,
    symbols, first, last, partial, folder, sessions, sharpe, why, figures; at most `most` of each; ``held_out``, see
    `held_out`. Raises DataError when
    equity.csv of `folder` cannot be read; other folders may be gone.
    """
    own = read_excess(folder)
    if own is None:
        raise DataError("cannot be read", where=str(folder / "equity.csv"), mend=f"`{run['command']}` writes it again")
    reports = folder.parent if reports is None else reports
    tried = with_members(trials(seen.rows, run, seen.at_least), reports)
    others = _read_all(tried.counted[1:], reports, seen.folders)
    tried = with_correlations(tried, {str(run["digest"]): own, **others})
    inferred, reasons = deflate(own.returns, own.free, tried)
    if tried.within:
        beyond, skill = [*read_beyond(folder, run).values()], run.get("skill")
        judged, level = judged_sessions(run) or len(beyond), skill.get("level", 0.0) / SESSIONS_A_YEAR if skill else 0.0
        within = p_within(tried, np.array(beyond[-judged:]), level) if beyond else 0.0
        inferred = {**inferred, "units": tried.units, "sweep_p": within}
    return {
        "run_id": run["run_id"],
        "digest": run["digest"],
        "summary": summarise(tried),
        "at_least": tried.at_least,
        "inference": inferred,
        "reasons": reasons,
        "counted": [_row(t) for t in tried.counted[:most]],
        "left_out": [_row(t) for t in tried.left_out[:most]],
        "held_out": held_out(tried),
    }


def summarise(tried: Trials) -> str:
    """Return a sentence on how many trials are counted and which: this run, its strategy elsewhere, its bars."""
    own, *others = tried.counted
    it = f"{counted(own.results, 'member')} of this sweep" if own.sweep else "this run"
    same = sum(trial.results for trial in others if trial.why.startswith(SAME_STRATEGY)) - bool(tried.member_of)
    kinds = [f"{counted(same, 'other result')} of {own.strategy} on any bars"] if same else []
    if elsewhere := tried.count - own.results - same:
        kinds.append(f"{counted(elsewhere, 'result')} of other strategies on the same bars")
    how_many = counted(tried.count, "trial")
    number = f"At least {how_many}" if tried.at_least else how_many
    of = f"{it}, {' and '.join(kinds)}" if kinds else f"{it}; no other of {own.strategy} or on the same bars"
    sweeps = [trial for trial in others if trial.sweep]
    swept = counted(sum(trial.results for trial in sweeps), "member")
    among = f", {swept} of {counted(len(sweeps), 'sweep')} among them" if sweeps else ""
    return f"{number} counted: {of}{among}{f' ({tried.at_least})' if tried.at_least else ''}."


def fresh_trials(workspace: Workspace, folder: Path, run: RunRecord, most: int | None = MOST_LISTED) -> TrialsRecord:
    """Return `trials_facts` of the run in `folder` as store and ``reports/`` have it now: a trials.json is of the day
    it was written, and whoever prints a verdict takes this. Raises as `count_trials`."""
    from simulator.store.connection import store_place

    seen = all_results(store_place(workspace.registry), workspace.reports)
    seen = with_earlier(seen, run, [folder, workspace.reports / own_name(run)])
    return trials_facts(seen, run, folder, workspace.reports, most)


def count_trials(workspace: Workspace, folder: Path, run: RunRecord) -> RunRecord:
    """Write trials.json into the run folder `folder`; return `run` with what it says of the inference.

    The run counts itself, whether it has been recorded yet or not. Raises DataError for a folder that cannot be read,
    SimError for a store that cannot.
    """
    facts = fresh_trials(workspace, folder, run)
    add_files(folder, {FILE: json_bytes(facts)})
    return with_trials(run, facts)


def with_earlier(seen: Seen, run: RunRecord, folders: Iterable[Path]) -> Seen:
    """Return `seen` with the trials an earlier trials.json of the same run lists and nothing else tells of any more."""
    known = {(row["run_id"], row["digest"]) for row in (run, *seen.rows)}
    lost: dict[tuple[str, str], RegistryRow] = {}
    for folder in folders:
        for row in read_trials(folder, run):
            if (name := (row["run_id"], row["digest"])) not in known:
                figures = dict(zip(FIGURES, row.get("figures", ()), strict=False))
                metrics = {**figures, "sharpe": row["sharpe"]}
                lost[name] = {**row, "folder": "", "metrics": metrics, "counted_before": True}
    if not lost:
        return seen
    gone = f"of {len(lost)} only an earlier trials.json tells"
    return replace(seen, rows=(*seen.rows, *lost.values()), at_least="; ".join(filter(None, (seen.at_least, gone))))


class _Shared:
    """Strategy, months of bars, symbols and sessions that other trials share with the one that is judged."""

    def __init__(self, own: Trial, others: Sequence[Trial]) -> None:
        first = max(min(date.fromisoformat(t.first) for t in (own, *others)), calendar.TABLE_FROM)
        last = max(date.fromisoformat(t.last) for t in (own, *others))
        self._days = calendar.sessions(first, max(first, last)).session_of
        self._own, self._keys = own, dict(shared_keys(own.bar_months))
        self._returns = {symbol: returns_of(series) for symbol, series in own.bar_months.items()}
        # Thousands of trials saw a few markets.
        self._alike = cache(lambda ours, theirs: days_alike(self._returns[ours], returns_of(theirs)))
        self.count = cache(self._count)
        self._months_of: dict[int, str] = {}

    def _count(self, first: str, last: str) -> int:
        """Sessions from `first` to `last`, both included; 0 where they are the wrong way round."""
        low, high = (calendar.day_number(date.fromisoformat(d)) for d in (first, last))
        between = np.searchsorted(self._days, (low, high + 1))
        return max(int(between[1] - between[0]), 0)

    def relation(self, trial: Trial) -> tuple[bool, str]:
        """Return whether a trial counts, and why or why not."""
        own = self._own
        if trial.strategy == own.strategy:
            return True, SAME_STRATEGY
        if {*trial.definition.split("-")} & {*own.definition.split("-")} - {""}:
            return True, f"{SAME_STRATEGY} under another name"
        if common := self._months(trial):
            return True, common
        if trial.counted_before:
            return True, "counted before, by an earlier trials.json"
        named = [symbol for symbol in trial.symbols if symbol in own.symbols]
        if not named:
            bars = " and no month of bars" if trial.bar_months and own.bar_months else ""
            return False, f"{', '.join(trial.symbols)}: no symbol{bars} in common"
        if not self.count(max(trial.first, own.first), min(trial.last, own.last)):
            return False, f"{trial.first} to {trial.last}: no session in common"
        return True, f"{', '.join(named)} on common dates"

    def _months(self, trial: Trial) -> str:
        """Say which symbols have months in common, by the content of their bars, or nearly the same returns on the days
        both have; empty where none has."""
        place = id(trial.bar_months)
        if place not in self._months_of:
            pairs: dict[tuple[str, str], set[int]] = {}
            for key, (theirs, _) in shared_keys(trial.bar_months) if self._keys else ():
                if (ours := self._keys.get(key)) is not None:
                    pairs.setdefault((theirs, ours[0]), set()).add(ours[1])
            self._months_of[place] = "; ".join(
                f"{counted(len(months), 'common month')} of {theirs}{f' (here {ours})' if ours != theirs else ''}"
                for (theirs, ours), months in pairs.items()
            ) or "; ".join(
                f"{counted(days, 'common day')} of {theirs}, nearly as {ours} here"
                for theirs, series in trial.bar_months.items()
                for ours in self._returns
                if (days := self._alike(ours, tuple(series)))
            )
        return self._months_of[place]


def _trial(row: RegistryRow) -> Trial:
    metrics = row["metrics"]
    # What never held anything has no Sharpe ratio to be lucky with: that of cash lagging the risk-free return is vast.
    sharpe = metrics.get("sharpe") if metrics.get("exposure") != 0.0 else None
    figures = tuple(map(metrics.get, FIGURES))
    return Trial(
        row["run_id"],
        row["digest"],
        row["strategy"],
        tuple(row["symbols"]),
        row["first"],
        row["last"],
        bool(row.get("partial")),
        row["folder"],
        0,
        None if sharpe is None else float(sharpe),
        "",
        () if None in figures[:2] or row.get("sweep") else figures,
        row.get("definition") or "",
        row.get("bar_months") or NO_MONTHS,
        bool(row.get("counted_before")),
        row.get("parameters") or {},
        str(row.get("first_run_at") or ""),
        row.get("sweep"),
    )


def _explain_unfinished(trial: Trial, whole: set[str], latest: Mapping[str, str]) -> str:
    if not trial.partial:
        return ""
    if trial.run_id in whole:
        return f"the beginning of {trial.run_id}, whose whole is there"
    return "" if latest[trial.run_id] == trial.digest else f"an earlier stop of {trial.run_id}, which went on"


def _explain_walk_forward(trial: Trial, own: Trial) -> str:
    """Say where one of the two is a sweep, and the other the path its walk-forward played: chosen in sample, it is out
    of sample already."""
    if trial.sweep and own.digest in trial.sweep.get("paths", ()):
        return "the sweep its settings were chosen in, each before the sessions it was played on"
    return f"a walk-forward of {own.run_id}" if own.sweep and trial.digest in own.sweep.get("paths", ()) else ""


def _explain_repeat(trial: Trial, seen: dict[object, list[Trial]]) -> str:
    """Say which of the trials in `seen` had the same result, or put this one among them."""
    for other in seen.get(trial.digest, ()):
        return f"the same result as {other.run_id}"
    seen[trial.digest] = [trial]
    if trial.figures:
        alike = seen.setdefault((_digits(trial.figures[0]), trial.first, trial.last), [])
        for other in alike:
            if [*map(_digits, other.figures)] == [*map(_digits, trial.figures)]:
                del seen[trial.digest]
                return f"the same returns as {other.run_id}"
        alike.append(trial)
    return ""


def _digits(value: float | None) -> str:
    return "none" if value is None else f"{value:.12g}"


def _variance(among: Sequence[Trial]) -> float | None:
    """Variance of SRᵢ√Tᵢ over T, T that of the first: of runs one by one, of sweeps by their moments."""
    parts = []
    for t in among:
        size, mean, sd = (1, t.sharpe, 0.0)
        if t.sweep:
            size, mean, sd = t.results, t.sweep["sharpe_mean"], t.sweep["sharpe_sd"] or 0.0
        if mean is not None and t.sessions:
            root = math.sqrt(t.sessions)
            parts.append((size, mean / math.sqrt(SESSIONS_A_YEAR) * root, sd / math.sqrt(SESSIONS_A_YEAR) * root))
    count = sum(size for size, _, _ in parts)
    if count < 2 or not among[0].sessions:
        return None
    if count == len(parts):
        return float(np.var([mean for _, mean, _ in parts], ddof=1)) / among[0].sessions
    centre = math.fsum(size * mean for size, mean, _ in parts) / count
    total = math.fsum((size - 1) * sd * sd + size * (mean - centre) ** 2 for size, mean, sd in parts)
    return total / (count - 1) / among[0].sessions


def _spread(tried: Trials) -> Measure:
    """Standard deviation of the trials' Sharpe ratios, per session."""
    if tried.count == 1:
        return 0.0
    if tried.sharpe_variance is None:
        return Undefined("fewer than two trials have a Sharpe ratio")
    return math.sqrt(tried.sharpe_variance)


def _against(e: Floats, number: float, spread: Measure, suffix: str) -> dict[str, Measure]:
    names = (f"expected_max_sharpe{suffix}", f"dsr{suffix}")
    if isinstance(spread, Undefined):
        return dict.fromkeys(names, spread)
    expected = inference.expected_maximum(number) * spread * math.sqrt(SESSIONS_A_YEAR)
    return {names[0]: expected, names[1]: _deflate_sharpe(e, number, spread)}


def _deflate_sharpe(e: Floats, number: float, spread: float) -> Measure:
    if e.size < inference.FEWEST:
        return Undefined(f"fewer than {inference.FEWEST} sessions")
    g3, g4 = skew(e), kurtosis(e)
    if is_constant(e) or isinstance(g3, Undefined) or isinstance(g4, Undefined):
        return Undefined("excess returns do not vary")
    return inference.deflated_sharpe(float(e.mean() / e.std(ddof=1)), e.size, number, spread, g3, g4)


def _read_all(others: Sequence[Trial], reports: Path, folders: Collection[str]) -> dict[str, Excess | None]:
    """Returns by digest of the trials whose folders still hold them; None for those not opened."""
    there = [t for t in others if t.folder in folders]
    opened = set(np.linspace(0, len(there) - 1, min(len(there), MOST_READ)).astype(int).tolist())
    unread = {t.digest: None for i, t in enumerate(there) if i not in opened}
    read = {t.digest: read_excess(reports / t.folder, t.digest) for t in there if t.digest not in unread}
    return {**unread, **{digest: excess for digest, excess in read.items() if excess is not None}}


def _row(trial: Trial) -> TrialRow:
    row = {name: value for name, value in trial._asdict().items() if name in TrialRow.__annotations__}
    if row["sweep"] is None:
        del row["sweep"]
    return cast(TrialRow, {**row, "symbols": list(trial.symbols), "figures": list(trial.figures)})
