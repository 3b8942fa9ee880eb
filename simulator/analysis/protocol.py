"""Reporting protocol: thirteen questions of two reviews of the field, answered from the evidence of a run.

arXiv 2605.16895 asks for six things before a result may be believed, arXiv 2606.08285 for seven. Each is *shown*, with
its figure and where it stands, whether or not the figure is good; *not shown*, with the command that would show it; or
*does not apply*, and why. No answer is taken on trust: all are worked out of the files of the run folder.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date, datetime
from functools import partial
from math import fsum
from typing import Literal

import numpy as np

from simulator.analysis.desk import HORIZON, DeskWork, read_desk
from simulator.analysis.periods import period_returns
from simulator.analysis.verdict import FEWEST_SESSIONS, part_after_cutoff
from simulator.evidence.reader import Evidence
from simulator.evidence.records import CheckRecord, RunRecord
from simulator.evidence.row_table import column_of
from simulator.evidence.verify import changed_parts
from simulator.market import calendar
from simulator.market.bars import instant
from simulator.number_format import (
    counted,
    dollars,
    interval,
    number_of,
    p_value,
    percent,
    ratio,
    signed_percent,
    signed_ratio,
    small,
    whole,
)

Standing = Literal["shown", "not shown", "does not apply"]

FIRST, SECOND = "arXiv 2605.16895", "arXiv 2606.08285"

HISTORY = 500
"""Days of bars that are fetched before the first session of a run, for what looks back."""

EXACT = 1e-9
"""Relative difference of two engines' equity up to which they agree."""

MOST_NAMED = 6
"""Years, symbols or accounts that a sentence lists; of more, the first and the last by size."""


@dataclass(frozen=True)
class Answer:
    """Answer to one question: `evidence` is the figure or the reason, `where` it stands where it is shown, `command`
    what would show it where it is not."""

    key: str
    review: str
    question: str
    standing: Standing
    evidence: str
    where: str = ""
    command: str = ""


Found = tuple[Standing, str, str]
"""Standing, evidence, and the place or the command."""


def answer_protocol(evidence: Evidence) -> tuple[Answer, ...]:
    """Return the thirteen answers, in the order of the reviews."""
    answers = []
    for review, key, question, work_out in QUESTIONS:
        standing, sentence, more = work_out(evidence)
        where, command = (more, "") if standing == "shown" else ("", more)
        answers.append(Answer(key, review, question, standing, sentence, where, command))
    return tuple(answers)


def _temporal_integrity(evidence: Evidence) -> Found:
    if not evidence.orders:
        return "does not apply", "Nothing was ordered.", ""
    decided = np.array(sorted(instant(datetime.fromisoformat(row["as_of"])) for row in evidence.decisions))
    sent = {order.id: order.submitted_at for order in evidence.orders}
    stray = sum(not decided.size or at < decided[0] for at in sent.values())
    early = sum(fill.at < sent.get(fill.order_id, fill.at) for fill in evidence.fills)
    orphans = sum(fill.order_id not in sent for fill in evidence.fills)
    if stray or early or orphans:
        found = f"{early} fills before their order, {orphans} without one, {stray} orders before any decision."
        return "not shown", found, evidence.run["command"]
    total = counted(len(evidence.fills), "fill")
    found = f"No order of {whole(len(sent))} precedes its decision, and of {total} not one its order."
    return "shown", found, "decisions.jsonl, orders.csv, fills.csv"


def _frictions(evidence: Evidence) -> Found:
    run = evidence.run
    if not evidence.fills:
        return "does not apply", "Nothing was traded.", ""
    rows = {row["multiple"]: row for row in run["cost_sensitivity"]}
    if not rows:
        return "not shown", "The run was not replayed at other costs.", run["command"]
    dearest = rows[max(rows)]
    if not dearest["costs_paid"]:
        free = "Trading was free of charge: slippage_bps in config/costs.yaml states what it costs."
        return "not shown", free, run["command"]
    found = ", ".join(
        f"{signed_percent(row['metrics'].get('total_return'))} at {multiple:g}× ({dollars(row['costs_paid'])} paid)"
        for multiple, row in sorted(rows.items())
    )
    return "shown", f"Total return {found}.", "Costs and execution"


def _counterfactuals(evidence: Evidence) -> Found:
    if not evidence.run["llm"]["models"] and not _find_checks(evidence, "inputs", "blind"):
        return "does not apply", f"{_who_decided(evidence.run)}: no name or date can be recognised.", ""
    return _by_checks(evidence, "blind", "inputs")


def _calibration_of_desk(evidence: Evidence, desk: DeskWork) -> Found:
    ranks, calls = desk.ranks, sum(call.outcome is not None for call in desk.calls)
    if ranks is None or number_of(ranks.value) is None:
        longer = _again(evidence.run, first=_later(evidence.sessions[0], -365))
        return "not shown", "No class of an analysis has an outcome yet.", longer
    bounds = interval(number_of(ranks.low), number_of(ranks.high), signed_ratio)
    sentence = (
        f"Rank correlation of the class of an analysis with the {HORIZON} sessions that followed "
        f"{signed_ratio(number_of(ranks.value))} ({bounds}) over {counted(calls, 'analysis', 'analyses')}."
    )
    return "shown", sentence, "Desk"


def _calibration(evidence: Evidence) -> Found:
    run = evidence.run
    if (desk := read_desk(evidence)) is not None:
        return _calibration_of_desk(evidence, desk)
    if not run["accounts"]:
        return "does not apply", "Its rules state no conviction.", ""
    stated = [(one["name"], one["calibration"]) for one in run["accounts"]]
    known = [(name, found) for name, found in stated if found and number_of(found["ic"]) is not None]
    if not known:
        why = next((f" ({why})" for _, found in stated if found for why in found["reasons"].values()), "")
        longer = _again(run, first=_later(evidence.sessions[0], -365))
        return "not shown", f"No conviction can be held against what followed{why}.", longer
    name, found = max(known, key=lambda pair: pair[1]["n"])
    bounds = interval(found["ic_low"], found["ic_high"], signed_ratio)
    sentence = (
        f"Rank correlation of {name}'s conviction with what followed {signed_ratio(found['ic'])} ({bounds}) over "
        f"{whole(found['n'])} pitches; of {counted(len(known), 'account')}."
    )
    return "shown", sentence, "Calibration"


def _numerical_execution(evidence: Evidence) -> Found:
    audit, again = evidence.run["audit"], evidence.run["command"]
    difference = None if audit is None else number_of(audit["max_relative_difference"])
    if audit is None or difference is None:
        return "not shown", "No second engine replayed it.", again
    engines = f"{audit['engine']} and {audit['auditor']} differ by {small(difference) if difference else 'nothing'}"
    if difference > EXACT:
        return "not shown", f"{engines} of equity, more than {small(EXACT)}.", again
    where = "at any bar" if "slice" not in audit else "at any bar of the audited slice"
    return "shown", f"{engines} in cash, positions and equity {where}.", "Assumptions and notes"


def _disaggregation(evidence: Evidence) -> Found:
    run = evidence.run
    years = period_returns(evidence.sessions, evidence.equity["equity"], float(run["cash"]), lambda day: (day.year,))
    accounts = {one["name"]: one["metrics"].get("total_return") for one in run["accounts"]}
    by_year = {str(year): value for (year,), value in years.items()}
    parts = [
        f"by year {_list_values(by_year, signed_percent)}" if len(years) > 1 else "",
        f"by symbol {_list_values(_profits(evidence), partial(dollars, sign=True))}" if len(run["symbols"]) > 1 else "",
        f"by account {_list_values(accounts, signed_percent)}" if len(accounts) > 1 else "",
    ]
    if not any(parts):
        return "does not apply", "One symbol, one year, one account.", ""
    sentence = "; ".join(filter(None, parts))
    return "shown", f"{sentence[:1].upper()}{sentence[1:]}.", "Monthly returns, Weights, Members; fills.csv"


def _profits(evidence: Evidence) -> dict[str, float | None]:
    """{symbol: dollars its trades made after costs}, what is held at its last weight; the rest is not of trades."""
    equity, cash = float(evidence.equity["equity"][-1]), float(evidence.run["cash"])
    found: dict[str, float | None] = {}
    paid: dict[str, list[float]] = {}
    names = ("symbol", "quantity", "price", "slippage", "commission")
    for symbol, quantity, price, slippage, commission in zip(
        *(column_of(evidence.fills, name) for name in names), strict=True
    ):
        paid.setdefault(symbol, []).append(quantity * price + slippage + commission)
    for symbol in evidence.run["symbols"]:
        weights = evidence.weights.get(symbol)
        held = 0.0 if weights is None or not len(weights) or np.isnan(weights[-1]) else float(weights[-1]) * equity
        found[symbol] = held - fsum(paid.get(symbol, ()))
    found["dividends and interest"] = equity - cash - fsum(value or 0.0 for value in found.values())
    return found


def _split_transparency(evidence: Evidence) -> Found:
    run, found = evidence.run, evidence.run["contamination"]
    if not run["llm"]["models"]:
        return "does not apply", f"{_who_decided(run)}: nothing was trained.", ""
    if found is None or found["parts"] is None:
        return "not shown", _cutoff_unknown(run), run["command"]
    parts = ", ".join(f"{name} {counted(part['sessions'], 'session')}" for name, part in found["parts"].items())
    return "shown", f"Latest cut-off {found['cutoff']}, grey until {found['grey_until']}: {parts}.", "Contamination"


def _held_out(evidence: Evidence) -> Found:
    run = evidence.run
    if not run["llm"]["models"]:
        return _held_out_of_rule(evidence)
    found, part = run["contamination"], part_after_cutoff(run)
    if part is None or found is None or not found["assessable"]:
        if found and found["grey_until"]:
            return _on_later(run, found["verdict"], date.fromisoformat(found["grey_until"]))
        return "not shown", _cutoff_unknown(run), run["command"]
    if known := _seen_before(evidence, after=date.fromisoformat(found["grey_until"] or run["from"])):
        return known
    skill = part.get("skill")
    beyond = f": {signed_percent(skill['beyond'])} a year beyond its exposure, p {p_value(skill['p'])}" if skill else ""
    later = counted(part["sessions"], "session")
    return "shown", f"{later} after the models' cut-off, none of a result made before{beyond}.", "Verdict, trials.json"


def _cutoff_unknown(run: RunRecord) -> str:
    """Say that the cut-off of the models is not known, and what to state before the run is made again."""
    found = run["contamination"]
    if found is None:
        return "The run knows no cut-off of its models."
    return f"{found['verdict']} To know it, {found['mend']}." if found["mend"] else found["verdict"]


def _held_out_of_rule(evidence: Evidence) -> Found:
    run = evidence.run
    if known := _seen_before(evidence):
        return known
    chosen = evidence.tried and evidence.tried["held_out"]["chosen_on"]
    if not chosen:
        sentence = (
            "No run of these parameters and symbols was made before on earlier dates; this is one for later dates."
        )
        return _on_later(run, sentence)
    sentence = (
        f"{run['strategy']} with these parameters was run before on {chosen['first']} to {chosen['last']} (run "
        f"{chosen['run_id']}, Sharpe {ratio(chosen['sharpe'])}); here it is {ratio(run['metrics'].get('sharpe'))}, on "
        f"sessions that follow and of which no result on record was made before."
    )
    return "shown", sentence, "trials.json"


def _seen_before(evidence: Evidence, after: date | None = None) -> Found | None:
    """Say what was made before on the sessions of the run, those later than `after`; None where nothing was."""
    run, tried = evidence.run, evidence.tried
    if tried is None or "held_out" not in tried:
        return "not shown", "What was made before it is not on record.", f"sim report {run['run_id']}"
    seen = tried["held_out"]["seen_by"]
    if seen and (after is None or seen["last"] > str(after)):
        who = f"{seen['strategy']} was run on {seen['first']} to {seen['last']} before (run {seen['run_id']})"
        return _on_later(run, f"{who}: how these sessions went was known.")
    if tried.get("at_least"):
        return _on_later(run, f"What was made before it may not all be on record: {tried['at_least']}.")
    return None


def _on_later(run: RunRecord, why: str, after: date | None = None) -> Found:
    """Not shown, because of `why`: the command is the run's on sessions later than its own and than `after`, where
    there are bars of enough of them; else that which fetches some."""
    first, last = (date.fromisoformat(run[end]) for end in ("from", "to"))
    start = _later(max(last, after) if after else last, 1)
    if "bars_until" not in run:  # of an earlier version
        return "not shown", why, f"sim protocol {run['run_id']}"
    until = date.fromisoformat(run["bars_until"])
    there = len(calendar.sessions(start, until)) if start <= until else 0
    if there >= FEWEST_SESSIONS:
        longest = _later(start, max((last - first).days, 2 * FEWEST_SESSIONS))
        return "not shown", why, _again(run, start, min(longest, until))
    has = f"{why} Only {counted(there, 'session')}" if there else f"{why} No session"
    lacking = f"{has} later than {_later(start, -1)} has bars of all its symbols here"
    if run.get("bars") or any("synthetic" in source for source in run["sources"].values()):
        return "does not apply", f"{lacking}, and no market gives more.", ""
    symbols = ",".join(run["symbols"])
    more = f"`sim protocol {run['run_id']}` names the run on them once they are there"
    return "not shown", f"{lacking}: {more}.", f"sim data fetch --symbols {symbols} --from {_later(first, -HISTORY)}"


def _cost_and_turnover(evidence: Evidence) -> Found:
    run = evidence.run
    turnover, skill = number_of(run["metrics"].get("turnover")), run.get("skill")
    if not evidence.fills:
        return "does not apply", "Nothing was traded.", ""
    if turnover is None:
        return "not shown", "Turnover is not on record.", run["command"]
    paid = fsum(fill.slippage + fill.commission for fill in evidence.fills)
    costs = f", {percent(-(number_of(skill['costs']) or 0.0), 2)} a year" if skill else ""
    sentence = f"Turnover {ratio(turnover)}× a year; {dollars(paid)} paid{costs}."
    return "shown", sentence, "All figures, Costs and execution"


def _execution_semantics(evidence: Evidence) -> Found:
    run = evidence.run
    if not evidence.fills:
        return "does not apply", "Nothing was traded.", ""
    default = next((row for row in run["execution_toggles"] if row["default"]), None)
    others = [row for row in run["execution_toggles"] if not row["default"]]
    if default is None or not others:
        return "not shown", "The decisions were not filled at other moments.", run["command"]
    total = signed_percent(default["metrics"].get("total_return"))
    changed = ", ".join(f"{row['name']} {signed_percent(row['total_return_less_default'])}" for row in others)
    return (
        "shown",
        f"Filled at {default['name']}: total return {total}; filled otherwise it changes by: {changed}.",
        "Costs and execution",
    )


def _universe(evidence: Evidence) -> Found:
    run = evidence.run
    unknown = [symbol for symbol in run["symbols"] if not run["sources"].get(symbol)]
    if unknown or not run["data_digest"]:
        lacking = f"The source of {', '.join(unknown[:MOST_NAMED])}" if unknown else "The digest of the bars"
        return "not shown", f"{lacking} is not on record.", run["command"]
    sources = ", ".join(dict.fromkeys(run["sources"].values()))
    sentence = (
        f"{counted(len(run['symbols']), 'symbol')}, named in the command and not by a rule: what is no longer listed "
        f"is not among them. Bars: {sources}, sha256 {run['data_digest'][:10]}."
    )
    return "shown", sentence, "Assumptions and notes, run.json"


def _artifacts(evidence: Evidence) -> Found:
    run, code, again = evidence.run, evidence.run["code"], evidence.run["command"]
    parts = run.get("parts")
    if not parts:
        return "not shown", "run.json holds no digest of its files.", again
    changed = tuple(changed_parts(evidence.folder, run)) or ((evidence.altered,) if evidence.altered else ())
    if changed:
        return "not shown", f"Not what the run wrote: {'; '.join(changed[:3])}.", again
    if code is None or code["dirty"]:
        return "not shown", "The code that made it is not on record, or had uncommitted changes.", again
    version = code["commit"] or f"version {code.get('version', '?')}"
    answers = f"; {counted(run['llm']['calls'], 'answer')}, keys in llm_calls.jsonl" if run["llm"]["calls"] else ""
    sentence = f"{counted(len(parts), 'file')} with the sha256 in run.json; code {version[:10]} ({code['digest'][:10]})"
    return "shown", f"{sentence}{answers}.", "Reproduce, run.json"


def _by_checks(evidence: Evidence, *names: str) -> Found:
    """Answer by checks of `sim check`: shown where each has a result, where it applies, and none is flagged."""
    made = _find_checks(evidence, *names)
    flagged = [one["verdict"] for one in made if one["outcome"] == "flagged"]
    models = " --models" if evidence.run["llm"]["models"] else ""
    command = f"sim check {evidence.run['run_id']} --only {','.join(names)}{models}"
    if flagged:
        return "not shown", " ".join(flagged), command
    told = " ".join(filter(None, (one["verdict"] for one in made)))
    spared = [one for one in made if one["outcome"] == "not applicable"]
    done = [one for one in made if one["outcome"] in ("passed", "shown")]
    if len(spared) + len(done) < len(names):  # one of two questions is half of an answer
        lacking = ", ".join(name for name in names if name not in {one["name"] for one in (*spared, *done)})
        return "not shown", f"{told} Not checked: {lacking}." if made else "It was not checked.", command
    return ("shown", told, "Contamination, checks.json") if done else ("does not apply", told, "")


def _find_checks(evidence: Evidence, *names: str) -> list[CheckRecord]:
    """Return the checks of the run's own result by these names."""
    checks = evidence.checks
    if checks is None or checks["digest"] != evidence.run["digest"]:
        return []
    return [checks["checks"][name] for name in names if name in checks["checks"]]


def _who_decided(run: RunRecord) -> str:
    return "Rule-based analysts answered, no model" if run["llm"]["calls"] else "Rules decide, no model was asked"


def _again(run: RunRecord, first: date, last: date | None = None) -> str:
    """Return the command of the run with other dates."""
    command = re.sub(r"--from \S+", f"--from {first}", run["command"])
    return command if last is None else re.sub(r"--to \S+", f"--to {last}", command)


def _later(day: date, days: int) -> date:
    return date.fromordinal(day.toordinal() + days)


def _list_values(values: Mapping[str, float | None], write: Callable[[object], str]) -> str:
    named = [f"{name} {write(value)}" for name, value in values.items()]
    if len(named) <= MOST_NAMED:
        return ", ".join(named)
    known = sorted((value, name) for name, value in values.items() if value is not None)
    ends = ", ".join(f"{name} {write(value)}" for value, name in (known[-1], known[0])) if known else ""
    return f"of {len(named)} the best and the worst {ends}"


QUESTIONS: tuple[tuple[str, str, str, Callable[[Evidence], Found]], ...] = (
    (FIRST, "temporal_integrity", "Temporal integrity: is every order after its decision, every fill after its order?",
     _temporal_integrity),
    (FIRST, "frictions", "Frictions: what is left at other costs?", _frictions),
    (FIRST, "counterfactual_robustness", "Counterfactual robustness: do decisions go by facts, not by names and dates?",
     _counterfactuals),
    (FIRST, "calibration", "Calibration: does more follow where conviction is higher?", _calibration),
    (FIRST, "numerical_execution", "Numerical execution: does a second engine find the same books?",
     _numerical_execution),
    (FIRST, "disaggregation", "Disaggregation: which years, symbols and accounts did it come from?", _disaggregation),
    (SECOND, "point_in_time", "Point-in-time controls: do decisions stay when later bars are noise?",
     lambda evidence: _by_checks(evidence, "future")),
    (SECOND, "split_transparency", "Split transparency: which sessions lie before and after the models' cut-off?",
     _split_transparency),
    (SECOND, "held_out", "Held-out evaluation: how did it do on sessions nobody could have chosen it on?", _held_out),
    (SECOND, "cost_and_turnover", "Cost and turnover: how much was traded, at what cost?", _cost_and_turnover),
    (SECOND, "execution_semantics", "Execution semantics: at which prices is it filled, and what if at others?",
     _execution_semantics),
    (SECOND, "universe", "Universe definition: which symbols, chosen how, from which source?", _universe),
    (SECOND, "artifacts", "Artifact release: can all of it be had and made again?", _artifacts),
)  # fmt: skip
