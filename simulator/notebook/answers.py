"""Answers of `sim compare`, `check`, `ablate` and `explain` for Python: a sentence, a table, all facts, the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from simulator.notebook.commands import Topic, ablate_run, check_run, compare_runs, explain_run
from simulator.notebook.worker import call_in_thread
from simulator.printing import printable
from simulator.replay.prefetch import silent
from simulator.report.renderers.console import capture
from simulator.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from simulator.notebook.run import Run
    from simulator.runs.spec import RunSpec


@dataclass(frozen=True, eq=False)
class Answer:
    """The answer of a command.

    Attributes
    ----------
    headline : one sentence
    table : its main figures
    facts : everything, as the command's ``--json``
    page : the page that was written, None where there is none
    text : what the command prints
    """

    headline: str
    table: pd.DataFrame
    facts: Mapping[str, Any]
    page: Path | None
    text: str

    def __repr__(self) -> str:
        return self.text

    def _repr_html_(self) -> str:
        place = f'<div style="opacity:.7">{escape(str(self.page))}</div>' if self.page else ""
        table = self.table.to_html(max_rows=60, na_rep="", border=0) if len(self.table) else ""
        headline = f'<div style="font-weight:600;margin:.4em 0">{escape(self.headline)}</div>' if self.headline else ""
        text = "" if len(self.table) else f"<pre>{escape(self.text)}</pre>"
        return printable(f"{headline}{table}{text}{place}")


@dataclass(frozen=True, eq=False, repr=False)
class PlanAnswer(Answer):
    """The plan of a run, before anything is asked. Five lines as text; ``text`` is what ``sim run --plan`` prints.

    Attributes
    ----------
    table : a row per stage and model: stage, provider, model, calls, hits (answered on disk), misses (to be asked); of
        the misses prompt_tokens, cached_tokens (of these), completion_tokens, usd, usd_low, usd_high and minutes, as if
        they were asked one after the other
    totals : the sums, float64; its minutes are those of the run, which asks many at once
    """

    totals: pd.Series
    lines: Sequence[str]

    def __repr__(self) -> str:
        return printable("\n".join(self.lines))

    def _repr_html_(self) -> str:
        under = "<br>".join(escape(line) for line in self.lines[1:])
        table = self.table.round(2).to_html(index=False, border=0) if len(self.table) else ""
        head = f'<div style="font-weight:600;margin:.4em 0">{escape(self.lines[0])}</div>'
        return printable(f"{head}{table}{under}")


def plan(spec: RunSpec, workspace: Workspace) -> PlanAnswer:
    """Return the questions of a run and their cost. Nothing is asked."""
    import pandas as pd

    from simulator.report.plan import print_plan, summarise
    from simulator.runs.plan import make_plan

    made = call_in_thread(lambda _: make_plan(spec, workspace), silent)
    kinds = {
        **dict.fromkeys(("stage", "provider", "model"), "object"),
        **dict.fromkeys(("calls", "hits", "misses"), "int64"),
        **dict.fromkeys(("prompt_tokens", "cached_tokens", "completion_tokens"), "float64"),
        **dict.fromkeys(("usd", "usd_low", "usd_high", "minutes"), "float64"),
    }
    rows = [
        {
            **vars(one),
            "prompt_tokens": one.prompt_tokens.likely,
            "completion_tokens": one.completion_tokens.likely,
            "usd": one.usd.likely,
            "usd_low": one.usd.low,
            "usd_high": one.usd.high,
            "minutes": one.misses * one.seconds / 60,
        }
        for one in made.lines
    ]
    table = pd.DataFrame(rows, columns=list(kinds)).astype(kinds)
    totals = table.drop(columns=["stage", "provider", "model"]).sum().astype("float64")
    totals["minutes"] = made.minutes
    text, lines = capture(lambda console: print_plan(made, console)), summarise(made)
    return PlanAnswer(lines[0], table, made.to_json(), None, text, totals, lines)


def compare(
    runs: Sequence[Run | str | PathLike[str]], workspace: Workspace, draws: int = 10_000, seed: int = 0
) -> Answer:
    """Return the comparison of two to eight runs, or their ids: metrics side by side in its table.

    The page goes to ``reports/compare-A-B/``. Raises UsageError, DataError.
    """
    import pandas as pd

    from simulator.notebook.run import open_chosen
    from simulator.report.comparison import judge_comparison, print_comparison

    opened = [open_chosen(one, workspace) for one in runs]
    facts, page = compare_runs(opened, workspace, draws, seed)
    verdict = judge_comparison(facts)
    labels = [f"{one['label']} {one['strategy']}" for one in facts["runs"]]
    rows = {one["key"]: one["values"] for one in facts["metrics"]}
    table = pd.DataFrame.from_dict(rows, orient="index", columns=labels, dtype="float64")
    return Answer(
        verdict.headline,
        table,
        {"verdict": vars(verdict), **facts},
        page,
        capture(lambda console: print_comparison(facts, page, console)),
    )


def check(run: Run, only: Sequence[str] | None, models: bool, max_cost: float) -> Answer:
    """Return what the checks found: a row per figure with its interval and p in the table."""
    import pandas as pd

    from simulator.contamination.checks import select_checks
    from simulator.report.checks import print_checks
    from simulator.runs.spec import check_max_cost

    check_max_cost(max_cost)
    wanted = select_checks(only)
    # In a thread of its own: a notebook's has an event loop that another must not run within.
    facts, results, page = call_in_thread(
        lambda _: check_run(run.verified, run.workspace, wanted, max_cost, models, silent, silent), silent
    )
    rows = [
        {"check": one["name"], "outcome": one["outcome"], "figure": figure.get("name"), **figure}
        for one in results
        for figure in ([dict(each) for each in one["figures"]] or [{}])
    ]
    columns = ["check", "outcome", "figure", "value", "low", "high", "p", "note"]
    table = pd.DataFrame(rows, columns=columns)
    text = capture(lambda console: print_checks(facts, results, page, console))
    return Answer(facts["verdict"], table, facts, page, text)


def ablate(run: Run) -> Answer:
    """Return what each part of the council adds: a row per variant in the table."""
    import pandas as pd

    from simulator.report.ablation import headline, print_ablation

    facts, page = call_in_thread(lambda _: ablate_run(run.verified, run.workspace), silent)
    rows = [
        {
            **{name: one[name] for name in ("name", "part", "against", "meetings_changed", "verdict")},
            **{name: one["metrics"].get(name) for name in ("total_return", "sharpe", "max_drawdown")},
            **{f"pair_{name}": dict(one["pair"] or {}).get(name) for name in ("sharpe", "p", "p_adjusted")},
        }
        for one in facts["variants"]
    ]
    text = capture(lambda console: print_ablation(facts, page, console))
    return Answer(headline(facts), pd.DataFrame(rows), facts, page, text)


def explain(run: Run, topic: Topic) -> Answer:
    """Return what is behind an account's numbers, behind one of them, or behind a decision; a row per part of a number
    in the table."""
    import pandas as pd

    facts, show = explain_run(run.verified, topic)
    table = pd.DataFrame(cast(list[dict[str, object]], facts.get("rows", [])))
    for name in ("session", "entry", "exit", "decided"):
        if name in table:
            table[name] = pd.to_datetime(table[name]).astype("datetime64[ns]")
    if "session" in table:
        table = table.set_index("session")
    text = capture(show)
    return Answer(text.partition("\n")[0] if "metric" in facts else "", table, facts, None, text)
