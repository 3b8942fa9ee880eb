"""A sweep as Python has it: a table of its members, the best one, heat maps, the verdict, each member as a run.

folder of a sweep ──read──► SweepEvidence ──► table, best, member(17) ──► run()
                                          └─► card (in a notebook), heatmap, report, summary
"""

from __future__ import annotations

import math
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from simulator.errors import UsageError, did_you_mean
from simulator.evidence.sweep_reader import RATIO, SweepEvidence, read_sweep, shorten
from simulator.notebook.card import STYLE
from simulator.printing import printable

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

    from simulator.evidence.sweep_records import SweepRecord
    from simulator.notebook.run import Run
    from simulator.studies.inputs import SweepInputs
    from simulator.studies.study import Study
    from simulator.workspace import Workspace

HOW = ("median", "best", "mean")
CARD_ROWS = 8


@dataclass(frozen=True, eq=False)
class Member:
    """A member of a sweep: its number, its settings and its measures; ``run()`` plays it alone."""

    sweep: Sweep
    number: int

    @property
    def settings(self) -> Mapping[str, Any]:
        return {name: values[self.number] for name, values in self.sweep.evidence.settings.items()}

    @property
    def measures(self) -> pd.Series:
        """float64 by name, NaN where undefined."""
        return self.sweep.table.iloc[self.number][list(self.sweep.measures)].astype("float64")

    @property
    def command(self) -> str:
        """The `sim run` that gives this member by itself."""
        return self.sweep.evidence.command(self.number)

    def run(self, **options: Any) -> Run:
        """Return the run of this member, played alone: the same books to the last bit, sums of them to 1e-12, as
        they are added in another order. `options` as of :func:`simulator.run`.

        Its report knows it for a member of the sweep. Raises UsageError where the strategy was passed from Python and
        the sweep was loaded from its folder: then pass ``strategy=``.
        """
        from simulator.api import run

        given = {**self.sweep.asked, "workspace": self.sweep.workspace.root, **options}
        if given["strategy"] is None:
            mend = "pass what was swept: run(strategy=…)"
            raise UsageError("the strategy of this sweep was passed from Python", mend=mend)
        return run(**{**given, "parameters": {**given["parameters"], **self.settings, **options.get("parameters", {})}})

    def __repr__(self) -> str:
        settings = ", ".join(f"{name}={value!r}" for name, value in self.settings.items())
        return printable(f"Member {self.number}: {settings}; ratio {self.measures[RATIO]:.2f}")


class Sweep:
    """A finished sweep. Tables are made when they are first looked at.

    Attributes
    ----------
    folder : its folder
    workspace : where its members are played
    """

    def __init__(self, folder: Path, workspace: Workspace, study: Study | None = None) -> None:
        self.folder, self.workspace, self._study = folder, workspace, study

    @cached_property
    def evidence(self) -> SweepEvidence:
        """All of the folder. Raises DataError for one that is not finished, or damaged."""
        return read_sweep(self.folder)

    @property
    def facts(self) -> SweepRecord:
        """Content of study.json."""
        return self.evidence.facts

    @property
    def id(self) -> str:
        """Ten hex digits: the same made of the same."""
        return self.facts["identity"]["run_id"]

    @cached_property
    def table(self) -> pd.DataFrame:
        """A row per member, indexed by ``member``: its settings, then `measures` (float64), NaN where undefined.

        ``ratio`` is what it earned beyond its usual exposure over its deviation, a year; ``p`` that of nothing beyond,
        as one of all members; ``neighbours`` the median ratio of the members one step away.
        """
        import pandas as pd

        columns = self.evidence.settings.items()
        settings = pd.DataFrame({name: pd.Series(v, dtype="object") if None in v else v for name, v in columns})
        measured = pd.DataFrame(dict(self.measures))
        return settings.join(measured).rename_axis("member")

    @cached_property
    def measures(self) -> Mapping[str, Any]:
        """{name: (R,) float64}"""
        from simulator.analysis.plateau import find_plateau

        near = find_plateau(self.evidence.settings, self.evidence.measures[RATIO], self.evidence.grid)
        return {**self.evidence.measures, "neighbours": near.around}

    @property
    def best(self) -> Member:
        """The member that the verdict speaks of."""
        return Member(self, self.evidence.best)

    def member(self, number: int) -> Member:
        """Return member `number`, from 0. Raises UsageError for one there is not."""
        if isinstance(number, bool) or not isinstance(number, int | np.integer) or not 0 <= number < len(self):
            raise UsageError(f"no member {number!r:.40}", mend=f"members are 0 to {len(self) - 1}")
        return Member(self, int(number))

    def __len__(self) -> int:
        return self.facts["counts"]["members"]

    def __iter__(self) -> Iterator[Member]:
        return (Member(self, number) for number in range(len(self)))

    @property
    def verdict(self) -> SweepJudgement:
        """Is the best member more than luck? ``verdict.headline`` is the sentence."""
        from simulator.report.sweep_page import describe_larger, headline_of

        found = self.evidence.verdict
        headline = headline_of(self.facts, found)
        details = (*(found["details"] if found else ()), *filter(None, [describe_larger(self.evidence)]))
        return SweepJudgement(headline, details, self.facts["best"]["p"])

    def heatmap(self, x: str, y: str, value: str = RATIO, how: str = "median", ax: Axes | None = None) -> Axes:
        """Draw `value` by two parameters, `x` across and `y` upwards: of the members of a cell the ``median``, the
        ``mean`` or the ``best`` by ratio. The best member is framed. Returns the axes."""
        return draw_heatmap(self, x, y, value, how, ax)

    def report(self) -> Path:
        """Path of sweep.html, built again where somebody removed it."""
        from simulator.report.sweep_page import FILE, build

        page = self.folder / FILE
        return page if page.is_file() else build(self.folder)

    def summary(self) -> Mapping[str, object]:
        """Return what ``sim sweep --json`` prints."""
        from simulator.report.sweep_formats import summarise

        return summarise(self.evidence)

    @property
    def asked(self) -> Mapping[str, Any]:
        """Arguments of :func:`simulator.run` that all members share."""
        if self._study is not None:
            base = self._study.base
            shared: dict[str, Any] = {"strategy": base.strategy, "symbols": base.symbols, "start": base.first}
            shared |= {"end": base.last, "models": base.models, "bars": base.bars}
            return {**shared, "parameters": dict(base.parameters)}
        words = shlex.split(self.evidence.base_command)[2:]
        options = dict(zip(words[::2], words[1::2], strict=True))
        names = ("strategy", "symbols", "from", "to", "models", "bars")
        given = {name: options.get(f"--{name}") for name in names}
        identity = self.facts["identity"]
        span = {"start": given.pop("from") or identity["from"], "end": given.pop("to") or identity["to"]}
        symbols = given.pop("symbols") or identity["symbols"]
        return {**given, **span, "symbols": symbols, "parameters": dict(self.evidence.fixed)}

    def __repr__(self) -> str:
        from simulator.report.renderers.console import capture
        from simulator.report.sweep_formats import print_sweep

        return capture(lambda console: print_sweep(self.evidence, console))

    def _repr_html_(self) -> str:
        identity, verdict = self.facts["identity"], self.verdict
        symbols = ", ".join(identity["symbols"][:6]) + (" …" if len(identity["symbols"]) > 6 else "")
        title = f"Sweep {self.id}: {identity['strategy']} on {symbols}, {len(self):,} members"
        shown = self.table.sort_values(RATIO, ascending=False, kind="stable").head(CARD_ROWS)
        rows = shown.to_html(border=0, float_format=lambda value: f"{value:.3g}", na_rep="")
        return printable(
            f'<div style="{STYLE}"><div style="opacity:.75">{escape(title)}</div>'
            f'<div style="font-weight:600;margin:.3em 0 .6em">{escape(verdict.headline)}</div>{rows}'
            f'<div style="opacity:.7;font-size:.85em">{escape(str(self.report()))}</div></div>'
        )


class Objective:
    """Measures of one setting after another by the kernel, the bars read once: for a search of your own.

    Called with parameters it returns {measure: float}, as in a sweep's table but for what needs all members, and with
    ``ratio``. `tried` holds the settings so far: none of them is on record, and the best is one of so many.
    """

    def __init__(self, inputs: SweepInputs) -> None:
        self._inputs = inputs
        self.tried: list[Mapping[str, Any]] = []

    def __call__(self, **settings: Any) -> Mapping[str, float]:
        from simulator.stats.metrics import PERIODS
        from simulator.studies.chunks import play_chunk
        from simulator.studies.space import Parameter, Space

        space = Space(tuple(Parameter(name, (value,)) for name, value in settings.items()))
        chunk = play_chunk(replace(self._inputs, study=replace(self._inputs.study, space=space)), 0, 1)
        self.tried.append(settings)
        measures = {name: float(column[0]) for name, column in chunk.columns.items() if name not in settings}
        beyond = chunk.beyond[0]
        spread = float(beyond.std(ddof=1))
        return {**measures, RATIO: float(beyond.mean()) / spread * math.sqrt(PERIODS) if spread else math.nan}


@dataclass(frozen=True)
class SweepJudgement:
    """The verdict on a sweep: one sentence, sentences that qualify it, and the p of the best as one of all members."""

    headline: str
    details: tuple[str, ...]
    p: float


def draw_heatmap(sweep: Sweep, x: str, y: str, value: str, how: str, ax: Axes | None) -> Axes:
    """Return the axes of :meth:`Sweep.heatmap`. Raises UsageError for parameters, values and ways there are not."""
    from matplotlib.patches import Rectangle

    from simulator.notebook.plots import new_axes

    table, settings = sweep.table, list(sweep.evidence.settings)
    for name, known in ((x, settings), (y, settings), (value, list(sweep.measures)), (how, HOW)):
        if name not in known:
            raise UsageError(f'no "{name}"{did_you_mean(str(name), known)}', mend=f"it is one of {', '.join(known)}")
    if x == y:
        raise UsageError(f"x and y are both {x}", mend=f"name two of {', '.join(settings)}")
    keyed = table.assign(**{name: table[name].map(_hashable) for name in (x, y)})
    if how == "best":
        ranked = keyed.sort_values(RATIO, ascending=False, kind="stable", na_position="last")
        cells = ranked.groupby([y, x], sort=False)[value].first().unstack()
    else:
        cells = keyed.pivot_table(
            index=y, columns=x, values=value, aggfunc=np.mean if how == "mean" else np.median, dropna=False
        )
    if all(isinstance(one, int | float) for one in (*cells.index, *cells.columns)):
        cells = cells.sort_index().sort_index(axis=1)
    numbers = cells.to_numpy(dtype=np.float64)
    ax = ax if ax is not None else new_axes((7, 5))
    largest = float(np.nanmax(np.abs(numbers), initial=1e-12))
    limits = {"vmin": -largest, "vmax": largest, "cmap": "RdYlGn"} if np.nanmin(numbers, initial=0.0) < 0 else {}
    image = ax.imshow(numbers, origin="lower", aspect="auto", **limits)  # type: ignore[arg-type]
    for axis, labels, name in ((ax.xaxis, list(cells.columns), x), (ax.yaxis, list(cells.index), y)):
        step = max(1, len(labels) // 12)
        axis.set_ticks(range(0, len(labels), step), [shorten(str(one)) for one in labels[::step]])
        axis.set_label_text(name)
    if any(len(str(one)) > 6 for one in cells.columns):
        ax.tick_params(axis="x", labelrotation=30)
    best = {name: _hashable(one) for name, one in sweep.best.settings.items()}
    at = (list(cells.columns).index(best[x]), list(cells.index).index(best[y]))
    ax.add_patch(Rectangle((at[0] - 0.5, at[1] - 0.5), 1, 1, fill=False, linewidth=1.8))
    ax.figure.colorbar(image, ax=ax, label=value)
    ax.set_title(f"{how} {value} by {x} and {y}; framed: member {sweep.best.number}", loc="left", fontsize=9)
    return ax


def _hashable(one: Any) -> Any:
    return "none" if one is None else str(one) if isinstance(one, list | dict) else one
