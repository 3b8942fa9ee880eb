"""One run, from what was typed to a folder of evidence.

RunSpec ─► bars, strategy, gateway ─► replay (two engines) ─► measures ─► run folder ─► registry
"""

from __future__ import annotations

import math
import platform
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from simulator.config import load_config, override_config
from simulator.errors import CacheCorruptError, CacheMissError, LLMError, SimError, StoppedByUserError, UsageError
from simulator.evidence.records import RunRecord, Runtime
from simulator.evidence.verify import check_parts, record_page, sha256
from simulator.files import check_writable, read_bytes
from simulator.llm.spending.budget import RunBudgetError
from simulator.replay.prefetch import Progress
from simulator.runs.eta import Forecast, RunProgress, still_usd
from simulator.runs.gateway_setup import SECONDS_AFTER_STOP, open_gateway, open_opinions
from simulator.runs.identity import identify
from simulator.runs.load_inputs import LoadedInputs, find_benchmark, load_inputs, refuse_splits
from simulator.runs.replicates import replay_replicates
from simulator.runs.run_record import Analyse, Recorded, Work, record_run
from simulator.runs.spec import RunSpec, check_max_cost
from simulator.runs.strategies import Loaded, load_strategy
from simulator.stopping import refuse_if_stopped
from simulator.store import evidence, folders
from simulator.store.connection import store_place
from simulator.trading.cycle import TradingRules
from simulator.trading.strategy import Asks, points_of, seats_of, strategy_at
from simulator.workspace import Workspace

if TYPE_CHECKING:
    from simulator.llm.gateway import Gateway

SPARE = 1.2
"""Margin on the estimate of the rest: it may cost a fifth more than what came before."""


@dataclass(frozen=True, eq=False)
class FinishedRun:
    """A finished run: its folder, and the content of run.json (with trials.json) and runtime.json.

    `build` makes its report.
    """

    folder: Path
    facts: RunRecord
    runtime: Runtime
    build: Callable[[Path], Path]

    @property
    def metrics(self) -> dict[str, float | None]:
        """Names and conventions as in `simulator.stats.metrics`; None where undefined."""
        return dict(self.facts["metrics"])

    @property
    def undecided(self) -> LLMError | None:
        """Error that names meetings without a decision because too few members answered; None where there is none."""
        shortfalls = self.facts["shortfalls"]
        lost = shortfalls["no_decision"]
        if not lost:
            return None
        return LLMError(
            f"{len(lost)} of {shortfalls['meetings']} meetings ended without a decision, the first on "
            f"{lost[0]['session']}: {lost[0]['why']}",
            mend=f"`sim explain {self.facts['run_id']} {lost[0]['session']}` shows who failed",
        )

    def report(self) -> Path:
        """Path of report.html; it was built with the folder, and is built again where somebody removed it."""
        path = self.folder / "report.html"
        if path.is_file():
            return path
        check_parts(self.folder, self.facts)
        return self.build(self.folder)

    def summary(self) -> dict[str, object]:
        """Return what ``sim run --json`` prints."""
        facts, audit = self.facts, self.facts["audit"]
        same = ("run_id", "partial", "digest", "strategy", "from", "to", "sessions", "metrics", "reasons", "benchmarks")
        return {
            **{name: value for name, value in facts.items() if name in (*same, "replicates", "shortfalls", "stopped")},
            "dir": str(self.folder),
            "source": self.facts["sources"],
            "audit": audit and {"max_relative_difference": audit["max_relative_difference"]},
            "llm": {
                "asked": self.runtime["asked"],
                "cached": self.runtime["cached"],
                "failed": self.facts["llm"]["failed"],
                "cost_usd": self.runtime["cost_usd"],
                "analysts": self.facts["analysts"],
            },
            "notes": self.facts["notes"],
        }


def nothing_added(_: Path) -> Mapping[str, bytes]:
    """Return no further files."""
    return {}


@dataclass(frozen=True)
class Completion:
    """Functions of rooms above this one that complete a run, handed in by the face.

    Attributes
    ----------
    analyse : further facts of run.json
    count_trials : writes trials.json into a folder; returns the facts of run.json with what it says
    build : writes the report into a folder; returns its path
    add : makes further files of a folder, by name, that the report is built of
    """

    analyse: Analyse
    count_trials: Callable[[Workspace, Path, RunRecord], RunRecord]
    build: Callable[[Path], Path]
    add: Callable[[Path], Mapping[str, bytes]] = nothing_added


class PartialRunError(LLMError):
    """The run stopped early. What was paid for is kept, and `run` is what was decided so far, marked partial."""

    def __init__(self, stopped: LLMError, run: FinishedRun) -> None:
        self.run = run
        self.exit_code = stopped.exit_code
        super().__init__(stopped.found, where=stopped.where, mend=stopped.mend)


def simulate(
    spec: RunSpec, workspace: Workspace, completion: Completion, progress: Callable[[RunProgress], None] | None = None
) -> FinishedRun:
    """Replay, measure, write the run folder, count the run. Raises the errors of `simulator.errors`.

    The folder is written when everything is known, in one step; a killed run leaves only cached answers behind, which
    the same command uses. Where the budget is spent or a service refuses for good, what was decided so far goes into a
    folder of its own, marked partial, and the LLMError that is raised carries it as `PartialRunError.run`. So it is
    where `progress` raises KeyboardInterrupt while answers are waited for.
    """
    started = time.perf_counter()
    if not spec.symbols:
        raise UsageError("no symbols", mend="name some: --symbols SPY,QQQ")
    check_max_cost(spec.max_cost)
    config = override_config(load_config(workspace.config), spec.overrides)
    # What cannot be recorded in the end is not asked for in the beginning.
    check_writable(workspace.reports)
    evidence.check(store_place(workspace.registry))
    with open_gateway(spec, workspace, config) as asking:
        loaded = load_strategy(spec.strategy, workspace.strategies, asking, spec.own, len(spec.symbols))
        window, points = loaded.strategy.window, points_of(loaded.strategy, config.schedule)
        there = workspace.reading(spec.bars)
        beside = find_benchmark(loaded.strategy, spec.symbols, there)
        staged = load_inputs(spec.symbols, spec.first, spec.last, window, points, there, config, beside)
        refuse_splits(loaded.strategy, staged)
        staged = replace(staged, inputs=replace(staged.inputs, engine=spec.engine))
        rules = TradingRules.from_config(config)
        known, questions = identify(spec, config, loaded, staged), _questions(spec, loaded, staged)
        asking.open_for(known["run_id"], seats_of(loaded.strategy))
        if spec.batch:
            from simulator.runs.batches import ask_in_batches, check_batch

            check_batch(spec, loaded.strategy)
        report = _ticking(progress, asking.gateway, questions) if progress else None
        kept = open_opinions(spec, workspace, asking.gateway)
        command = f"{known['command']} --batch {spec.batch}" if spec.batch else known["command"]
        try:
            if spec.batch:
                ask_in_batches(spec, workspace, asking, loaded.strategy, staged.inputs, report, command)
            cash, loop = config.accounts.cash, asking.loop
            replicates, stopped = replay_replicates(
                loaded.strategy, spec.replicates, staged.inputs, rules, cash, report, loop, kept
            )
        except LLMError as error:
            raise _add_continuation(error, command, asking.gateway, questions) from error.__cause__
        asking.drain(SECONDS_AFTER_STOP if isinstance(stopped, StoppedByUserError) else None)
        if stopped is not None:
            stopped = _add_continuation(stopped, command, asking.gateway, questions)
        work = Work(spec, workspace, config, loaded, staged, rules, replicates, asking.gateway, known, stopped)
        recorded = record_run(work, completion.analyse)
        runtime = _runtime(asking.gateway, started)
    name = folders.folder_name(known["strategy"], known["from"], str(staged.last), known["run_id"])
    if spec.by_tool and not folders.is_of_person(workspace.reports / name):
        runtime["asked_by"] = "tool"
    run = _write(workspace, name, recorded, runtime, completion)
    if stopped is not None:
        raise PartialRunError(stopped, run) from stopped
    return run


def _add_continuation(error: LLMError, command: str, gateway: Gateway, questions: Mapping[str, int]) -> LLMError:
    """`error` with the command that continues: with money that should do for the rest where the run's is spent."""
    if isinstance(error, RunBudgetError):
        enough = math.ceil(error.wanted_usd + SPARE * still_usd(gateway.calls, questions))
        error.mend = f"`{command} --max-cost {enough}` continues, answers paid for are kept"
    elif not isinstance(error, CacheMissError | CacheCorruptError):
        error.mend = f"{error.mend}: `{command}`" if error.mend else f"`{command}` continues"
    return error


def _write(
    workspace: Workspace, name: str, recorded: Recorded, runtime: Runtime, completion: Completion
) -> FinishedRun:
    """Record what happened in the store, and put the folder with its report into its place. A whole run takes the place
    of what was there before. SimError says where its pages could not be made: then it is kept without them."""
    facts = recorded.facts
    files = recorded.files | {"run.json": folders.json_bytes(facts), "runtime.json": folders.json_bytes(runtime)}
    folder_name = folders.partial_name(name) if facts["partial"] else name
    judged: list[RunRecord] = []
    pages: dict[str, str] = {}
    counted: list[int] = []
    failed: list[Exception] = []

    def finish(staging: Path) -> None:
        judged.append(completion.count_trials(workspace, staging, facts))
        try:
            for file, content in completion.add(staging).items():
                (staging / file).write_bytes(content)
                pages[file] = sha256(content)
            page = completion.build(staging)
        except Exception as error:
            if isinstance(error, OSError) or type(error) is SimError:  # the place cannot be written
                raise
            failed.append(error)  # the result may have taken hours, its pages take seconds
            return
        pages[page.name] = sha256(read_bytes(page))
        if counted:  # somebody added to the folder after the run was recorded
            record_page(workspace, facts, page)

    def build(place: Path) -> Path:
        return record_page(workspace, facts, completion.build(place))

    def record() -> None:
        if not facts["partial"]:
            refuse_if_stopped()
        place, digests = store_place(workspace.registry), {"run_json": sha256(files["run.json"]), "parts": dict(pages)}
        counted.append(evidence.record_run(place, facts, folder_name, recorded.events, **digests))

    folder = folders.write_folder(workspace.reports, folder_name, files, finish, record)
    if not facts["partial"]:
        folders.remove_folder(workspace.reports, folders.partial_name(name))
    if failed:
        why = failed[-1].found if isinstance(failed[-1], SimError) else f"{type(failed[-1]).__name__}: {failed[-1]}"
        mend = f"`sim report {facts['run_id']}` makes them"
        raise SimError(f"is kept without its pages ({why})", where=str(folder), mend=mend) from failed[-1]
    return FinishedRun(folder, judged[-1], runtime, build)


def _questions(spec: RunSpec, loaded: Loaded, staged: LoadedInputs) -> dict[str, int]:
    """{stage: questions of the whole run}, those of checkpoints at their most."""
    asked: Counter[str] = Counter()
    for point, times in Counter(staged.inputs.points).items():
        strategy = strategy_at(loaded.strategy, point)
        if isinstance(strategy, Asks):
            asked.update({stage: spec.replicates * times * count for stage, count in strategy.questions.items()})
    return asked


def _ticking(progress: Callable[[RunProgress], None], gateway: Gateway, questions: Mapping[str, int]) -> Progress:
    forecast = Forecast(gateway, questions)

    def report(stage: str, done: int, total: int, session: str) -> None:
        usd, seconds = (forecast.estimate() if stage == "ask" else None) or (None, None)
        asked, cached, spent = gateway.asked, gateway.cached, gateway.cost_usd
        note = gateway.rounds.describe() if gateway.rounds and stage == "ask" else ""
        progress(RunProgress(stage, done, total, session, asked, cached, spent, usd, seconds, note))

    return report


def _runtime(gateway: Gateway, started: float) -> Runtime:
    return {
        "seconds": round(time.perf_counter() - started, 3),
        "asked": gateway.asked,
        "cached": gateway.cached,
        "cost_usd": gateway.cost_usd,
        "lost_usd": gateway.budget.lost_usd,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
