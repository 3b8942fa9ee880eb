"""A run as Python has it: its tables, its verdict, its charts, and the commands that ask about it.

run folder ──read──► Evidence ──tables──► returns, equity, trades, fills, weights … (of the run and of each account)
                            └─► card (in a notebook), plot, report, check, ablate, explain, compare
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from os import PathLike, fspath
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from simulator.errors import LLMError, UsageError
from simulator.evidence.reader import (
    Books,
    Evidence,
    account_curves,
    folder_of_account,
    read,
    read_books,
    read_run,
    read_runtime,
    read_trades,
    read_weights,
    with_trials,
)
from simulator.evidence.records import AccountRecord, DecisionRow, Metrics, RunRecord, Runtime
from simulator.evidence.verify import Verified, check_parts, open_run, record_page
from simulator.runs.execute import FinishedRun
from simulator.workspace import Workspace

if TYPE_CHECKING:
    import pandas as pd

    from simulator.analysis.verdict import Verdict
    from simulator.notebook.answers import Answer
    from simulator.notebook.plots import Plots


class Account:
    """The books of one account of a run. Tables are made when they are first looked at.

    All are indexed by ``session`` (T exchange sessions, oldest first) or have a row per event; money is in dollars,
    weights and returns are fractions, times those of New York; docs/python.md has every column with its dtype. Raises
    DataError where the folder has changed.
    """

    def __init__(self, run: Run, name: str | None, metrics: Metrics) -> None:
        self._run, self.name = run, name
        self._metrics = metrics

    def __repr__(self) -> str:
        from simulator.notebook.card import describe

        return describe(self)

    def _repr_html_(self) -> str:
        from simulator.notebook.card import render

        return render(self)

    @property
    def run(self) -> Run:
        """The run that the account is of."""
        return self._run

    @property
    def record(self) -> AccountRecord | None:
        """Facts of the account in run.json: seat, model, interval, calibration; None of a run."""
        if self is self._run:
            return None
        return next(one for one in self._run.facts["accounts"] if one["name"] == self.name)

    @property
    def metrics(self) -> pd.Series:
        """float64 by name as in `simulator.stats.metrics`; NaN where undefined, ``run.facts["reasons"]`` says why."""
        import pandas as pd

        return pd.Series(dict(self._metrics), dtype="float64", name=self._title)

    @cached_property
    def equity(self) -> pd.Series:
        """(T,) dollars at the close of each session."""
        from simulator.notebook.tables import tabulate_series

        own = self.name in (None, self._run.facts["account"])
        curves = account_curves(self._run.facts, self._run.evidence.equity)
        path = self._run.evidence.equity["equity"] if own else curves[str(self.name)]
        return tabulate_series(self._run.evidence.sessions, {self._title: path})[self._title]

    @cached_property
    def returns(self) -> pd.Series:
        """(T,) simple returns of each session after costs, the first from the cash at the start. In the shape that
        quantstats and pyfolio take."""
        before = self.equity.shift(1, fill_value=float(self._run.facts["cash"]))
        return self.equity / before - 1.0

    @cached_property
    def drawdowns(self) -> pd.DataFrame:
        """Losses from a peak, the deepest first: depth, peak, trough, recovery (NaT while open), sessions."""
        from simulator.notebook.tables import tabulate_drawdowns

        return tabulate_drawdowns(self.returns)

    def rolling(self, window: int = 126) -> pd.DataFrame:
        """(T, 3) Sharpe ratio, volatility (both a year) and beta to buy-and-hold of the `window` sessions up to each:
        sharpe, volatility, beta, NaN before the first is full. As in the report."""
        from simulator.notebook.tables import tabulate_series
        from simulator.stats.rolling import roll

        if not isinstance(window, int) or not 3 <= window <= len(self.returns):
            few = f"{len(self.returns)} sessions have no window of {window!r:.40}"
            raise UsageError(few, mend=f"pass window={max(3, min(63, len(self.returns)))}")
        hold = self.benchmarks.get("buy_and_hold")
        against = None if hold is None else hold / hold.shift(1, fill_value=float(self._run.facts["cash"])) - 1.0
        found = roll(self.returns.to_numpy(), window, self.risk_free.to_numpy(), against)
        columns = {name: vars(found)[name] for name in ("sharpe", "volatility", "beta")}
        return tabulate_series(self._run.evidence.sessions, columns)

    @cached_property
    def trades(self) -> pd.DataFrame:
        """Round trips, each position from flat to flat, by entry: columns as in docs/python.md."""
        from simulator.notebook.tables import tabulate_trades

        self._check("trades.csv")
        trips = read_trades(self._run.folder, self._run.facts, self.name)
        if trips is None:
            why = "was made before round trips were kept"
            raise UsageError(why, where=str(self._run.folder), mend=f"`{self._run.facts['command']}` makes it again")
        return tabulate_trades(trips, self._books.decisions, self._books.orders)

    @cached_property
    def fills(self) -> pd.DataFrame:
        """Executions in order of time: order_id, symbol, at, session, quantity, price, slippage, commission, why."""
        from simulator.notebook.tables import tabulate_fills

        return tabulate_fills(self._books.fills)

    @cached_property
    def orders(self) -> pd.DataFrame:
        """Orders as they were sent and what became of them: id, symbol, submitted_at, kind, quantity, notional, limit,
        stop, take_profit, status."""
        from simulator.notebook.tables import tabulate_orders

        return tabulate_orders(self._books.orders)

    @cached_property
    def rejections(self) -> pd.DataFrame:
        """Orders, or parts of them, that were not carried out: order_id, symbol, at, session, wanted, got, why."""
        from simulator.notebook.tables import tabulate_rejections

        return tabulate_rejections(self._books.rejected)

    @cached_property
    def decisions(self) -> pd.DataFrame:
        """One row per decision and target: as_of, session, symbol, weight (wanted), allowed, order, limit, stop,
        take_profit, conviction, reason. `records` has the whole."""
        from simulator.notebook.tables import tabulate_decisions

        return tabulate_decisions(self._books.decisions)

    @property
    def records(self) -> list[DecisionRow]:
        """Lines of decisions.jsonl: targets, risk limits, and the debate or rule behind them."""
        return list(self._books.decisions)

    @cached_property
    def weights(self) -> pd.DataFrame:
        """(T, N) signed fraction of equity by symbol at each close."""
        from simulator.notebook.tables import tabulate_series

        self._check("weights.csv")
        sessions, weights = read_weights(self._folder, self._run.facts)
        return tabulate_series(sessions, weights)

    @cached_property
    def positions(self) -> pd.DataFrame:
        """(T, N) signed shares by symbol at each close."""
        from simulator.notebook.tables import tabulate_positions

        return tabulate_positions(self._books.fills, self._run.evidence.sessions, self._run.facts["symbols"])

    @cached_property
    def benchmarks(self) -> pd.DataFrame:
        """(T, B) dollars at the close of buy_and_hold, equal_weight and exposure_matched, with the same cash."""
        from simulator.notebook.tables import tabulate_series

        there = {
            name: path for name, path in self._run.evidence.equity.items() if name in self._run.facts["benchmarks"]
        }
        return tabulate_series(self._run.evidence.sessions, there)

    @property
    def risk_free(self) -> pd.Series:
        """(T,) return of the cash instrument in each session, the one excess returns subtract."""
        from simulator.notebook.tables import tabulate_series

        return tabulate_series(self._run.evidence.sessions, {"risk_free": self._run.evidence.equity["risk_free"]})[
            "risk_free"
        ]

    def closes(self, symbol: str) -> pd.Series:
        """(T,) close of `symbol` in each session, from the workspace's bars, NaN where it has none.

        Raises DataError where these are no longer the bars of the run: a fill lies outside its bar.
        """
        from simulator.notebook.prices import closes_of

        return closes_of(self._run, symbol)

    @cached_property
    def llm(self) -> pd.DataFrame:
        """One row per question: key, session, stage, seat, replicate, provider, model, served, outcome, prompt_tokens,
        completion_tokens, cost_usd, cached_tokens (of prompt_tokens); empty for a rule. Of a run all questions, of an
        account those put to its seat: what it pays for."""
        from simulator.notebook.tables import tabulate_calls

        table = tabulate_calls(self._run.evidence.calls)
        return table if self.record is None else table[table["seat"] == self.record["seat"]].reset_index(drop=True)

    @property
    def plot(self) -> Plots:
        """Charts with matplotlib: ``run.plot()``, ``run.plot.equity(ax=ax)``, ``run.plot.save("run.png")``."""
        from simulator.notebook.plots import Plots

        return Plots(self)

    @property
    def _folder(self) -> Path:
        return folder_of_account(self._run.folder, self._run.facts, self.name)

    def _check(self, *names: str) -> None:
        """Raise DataError where one of the account's files has changed since the run was made."""
        place = self._folder.relative_to(self._run.folder)
        check_parts(self._run.folder, self._run.facts, [(place / name).as_posix() for name in names])

    @property
    def _title(self) -> str:
        return self.name or self._run.facts["strategy"]

    @cached_property
    def _books(self) -> Books:
        self._check("decisions.jsonl", "orders.csv", "fills.csv", "rejected.csv")
        return read_books(self._run.folder, self._run.facts, self.name)


class Run(Account):
    """A finished run. What `Account` has is that of the account the run reports; `accounts` has the others.

    Attributes
    ----------
    folder : its run folder
    facts, runtime : content of run.json (with trials.json) and of runtime.json
    """

    def __init__(self, made: FinishedRun, workspace: Workspace) -> None:
        self.folder: Path = made.folder
        self.facts: RunRecord = made.facts
        self.runtime: Runtime = made.runtime
        self.workspace = workspace
        self._made = made
        super().__init__(self, made.facts["account"], made.facts["metrics"])

    @classmethod
    def of(cls, folder: Path, workspace: Workspace) -> Run:
        """Return the run in `folder`. Raises DataError where run.json or runtime.json cannot be read."""
        facts = read_run(folder)

        def report(place: Path) -> Path:
            from simulator.report import build

            return record_page(workspace, facts, build(place))

        return cls(FinishedRun(folder, facts, read_runtime(folder, facts), report), workspace)

    @property
    def id(self) -> str:
        """Ten hex digits: the same made of the same."""
        return self.facts["run_id"]

    @property
    def verified(self) -> Verified:
        """The folder as commands take it."""
        return Verified(self.folder, self.facts)

    @cached_property
    def evidence(self) -> Evidence:
        """All of the run folder. Raises DataError where it has changed since the run was made."""
        check_parts(self.folder, self.facts)
        return read(self.folder)

    @cached_property
    def accounts(self) -> Mapping[str, Account]:
        """Accounts of a council by name, its own among them; empty for a rule."""
        own = {one["name"]: Account(self, one["name"], one["metrics"]) for one in self.facts["accounts"]}
        return MappingProxyType(own)

    @property
    def verdict(self) -> Verdict:
        """Is this an edge, or luck, by the trials there are by now? ``verdict.headline`` is the sentence,
        docs/verdict.md the rule."""
        from simulator.analysis.trials import fresh_trials
        from simulator.analysis.verdict import judge

        run = read_run(self.folder, trials=False)
        return judge(with_trials(run, fresh_trials(self.workspace, self.folder, run)))

    @property
    def undecided(self) -> LLMError | None:
        """Error that names meetings without a decision because too few members answered; None where there is none."""
        return self._made.undecided

    def report(self) -> Path:
        """Path of report.html, built again where somebody removed it."""
        return self._made.report()

    def summary(self) -> dict[str, object]:
        """Return what ``sim run --json`` prints."""
        return self._made.summary()

    def compare(self, *others: Run | str) -> Answer:
        """Return how this run differs from `others`, and since when; see :func:`simulator.compare`."""
        from simulator.notebook.answers import compare

        return compare([self, *others], self.workspace)

    def check(self, *only: str, models: bool = False, max_cost: float = 5.0) -> Answer:
        """Return what the decisions rest on, as ``sim check`` does: `only` names checks, `models` lets it ask them.

        The page goes into the folder, as does the report built again.
        """
        from simulator.notebook.answers import check

        return check(self, only or None, models, max_cost)

    def ablate(self) -> Answer:
        """Return what each part of a council adds, as ``sim ablate`` does. Nobody is asked."""
        from simulator.notebook.answers import ablate

        return ablate(self)

    def explain(
        self,
        what: object = None,
        symbol: str | None = None,
        account: str | None = None,
        trades: int | None = None,
        page: int | None = None,
    ) -> Answer:
        """Return what is behind a number of the run (``"sharpe"``), behind the decision in force on a date, or behind
        all its numbers, as ``sim explain``.

        Of a number the ``table`` has a row per session, or for each of as many `trades` as asked for, and a column
        ``part``: what it adds.
        """
        from simulator.notebook.answers import explain
        from simulator.notebook.commands import Topic

        return explain(self, Topic(what, symbol, account, trades, page))  # type: ignore[arg-type]


def load(name: Run | str | PathLike[str], workspace: Workspace) -> Run:
    """Return the run of that id, folder or beginning of its name, ``"last"``, or a run read anew.

    Raises UsageError where there is none, DataError for one that has changed since it was made.
    """
    return Run.of(open_chosen(name, workspace).folder, workspace)


def open_chosen(name: Run | str | PathLike[str], workspace: Workspace) -> Verified:
    """Return the verified folder of a run, or of its id, folder or beginning of its name; UsageError for others."""
    if isinstance(name, Run):
        return name.verified
    if not isinstance(name, str | PathLike):
        raise UsageError(f"{name!r:.60} names no run", mend="pass a run, its id or its folder, each by itself")
    return open_run(workspace, fspath(name))
