"""The verdict on one run: what may be said of it, and what may not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypedDict

from simulator.analysis.unanswered import partial_sentence, replicates_sentence, shortfalls_sentence
from simulator.evidence.members import describe_model
from simulator.evidence.records import Contamination, JudgedRun
from simulator.number_format import counted, interval, number_of, p_value, percent, ratio

FEWEST_SESSIONS = 60
"""Below this, annualised figures are withheld."""

Standing = Literal["too short", "not assessable", "undefined", "loss", "luck", "borderline", "distinct"]

JUDGEMENT: dict[Standing, str] = {
    "undefined": "cannot be told from luck",
    "loss": "worse than cash, by more than bad luck explains",
    "luck": "cannot be told from luck",
    "borderline": "borderline",
    "distinct": "unlikely to be luck alone",
}


AFTER = "after the models' cut-off"


@dataclass(frozen=True)
class Verdict:
    """The verdict on a run.

    `headline` is one sentence with its interval, `returns` sets it beside the benchmarks, `details` qualify it;
    `part` where only sessions after the models' cut-off can be judged; `settled` where no test is needed, because
    nothing was held or everything lost.
    """

    standing: Standing
    headline: str
    returns: str
    details: tuple[str, ...]
    settled: bool = False
    part: bool = False


def judge(run: JudgedRun) -> Verdict:
    """Return the verdict on run.json.

    Rule: the 95 % bootstrap interval of the Sharpe ratio and the one-sided HAC p for a Sharpe ratio ≤ 0 must agree;
    p from 0.03 to 0.07, or the two in disagreement, is borderline. One of several trials whose deflated Sharpe ratio is
    below 0.95 is luck, whatever its p. Fewer than 60 sessions get no annualised figure at all. Where models answered,
    the part after their knowledge cut-off is judged, its p times the number of trials; without 60 sessions of it the
    run is not assessable. A run that held nothing, or lost everything, needs no test.
    """
    part = part_after_cutoff(run)
    standing: Standing = "not assessable" if part is None else _standing(part)
    details = (
        *(_author(run), replicates_sentence(run), shortfalls_sentence(run)),
        *(_selection(run, part), _memory(run, part), _whole(run, part)),
        *(_inference(part, standing) if part else "", _power(run, standing) if complete(run, part) else ""),
    )
    about = _headline(part, standing, later=part is not run) if part else _unassessed(run)
    headline = " ".join(filter(None, (partial_sentence(run), about, _caution(run))))
    settled = _ruined(run) or _idle(run)
    return Verdict(
        standing, headline, _returns(run), tuple(filter(None, details)), settled, part=not complete(run, part)
    )


def part_after_cutoff(run: JudgedRun) -> JudgedRun | None:
    """Return `run` as it stands after its models' cut-off, `run` itself where no model answered, None where nobody can
    say."""
    split = _cutoff_split(run)
    if split is None:
        return run
    if not split["assessable"] or split["parts"] is None:
        return None
    part = split["parts"]["after"]
    if part["sessions"] == run["sessions"]:
        return {**run}  # all of it, and yet after the cut-off
    # The deflated Sharpe ratio of run.json is one of all sessions, those that may be remembered included.
    trials, p = inferred(run, "trials"), part["sharpe_p_hac"]
    inference = {
        "sharpe": part["sharpe"],
        "sharpe_p_hac": p,
        "sharpe_ci_low": part["sharpe_ci_low"],
        "sharpe_ci_high": part["sharpe_ci_high"],
        "trials": trials,
        "p_of_all_trials": min(1.0, trials * p) if trials and p is not None else None,
    }
    return {**run, "sessions": part["sessions"], "inference": inference, "reasons": part["reasons"]}


def complete(run: JudgedRun, part: JudgedRun | None) -> bool:
    """Return whether what is judged is all of the run."""
    return part is not None and part["sessions"] == run["sessions"]


def _cutoff_split(run: JudgedRun) -> Contamination | None:
    """The cut-off split of a run in which models answered and which is long enough to be judged."""
    return None if not run["llm"]["models"] or withheld(run) else run["contamination"]


def _unassessed(run: JudgedRun) -> str:
    """The headline where nothing can be said for want of dates the models cannot know."""
    split = run["contamination"]
    why = "a model's knowledge cut-off is not known"
    if split is not None and split["parts"] is not None:
        after = split["parts"]["after"]["sessions"]
        lie = f"{counted(after, 'session')} lie" if after else "no session lies"
        why = f"{lie} after the models' cut-off ({split['cutoff']}) and its 90 days of grace, 60 are needed"
    bounds = interval(inferred(run, "sharpe_ci_low"), inferred(run, "sharpe_ci_high"))
    return (
        f"Not assessable: {why}. Over {counted(run['sessions'], 'session')} the models may remember: "
        f"Sharpe {ratio(inferred(run, 'sharpe'))}, 95\u00a0% interval {bounds}."
    )


def _whole(run: JudgedRun, part: JudgedRun | None) -> str:
    if part is None or complete(run, part):
        return ""
    bounds = interval(inferred(run, "sharpe_ci_low"), inferred(run, "sharpe_ci_high"))
    everything = counted(run["sessions"], "session")
    return (
        f"Over all {everything}, memory included: Sharpe {ratio(inferred(run, 'sharpe'))}, 95\u00a0% interval {bounds}."
    )


class HasSessions(TypedDict):
    sessions: int


def withheld(run: HasSessions) -> bool:
    """Return whether the run is too short for annualised figures."""
    return run["sessions"] < FEWEST_SESSIONS


def inferred(run: JudgedRun, key: str) -> float | None:
    """Return a number of the inference part of run.json, or of its metrics; None where undefined."""
    inference = run["inference"]
    return number_of(inference[key] if key in inference else run["metrics"].get(key))


def _standing(run: JudgedRun) -> Standing:
    if withheld(run):
        return "too short"
    if _ruined(run):
        return "loss"
    low, high, p = (inferred(run, key) for key in ("sharpe_ci_low", "sharpe_ci_high", "sharpe_p_hac"))
    if _idle(run) or inferred(run, "sharpe") is None or low is None or high is None:
        return "undefined"
    if high < 0:
        return "borderline" if p is not None and p < 0.95 else "loss"
    if (inferred(run, "trials") or 1) > 1 and _chosen(run):
        return "luck"
    if p is not None and (_near(p) or (low > 0) != (p < 0.05)):
        return "borderline"
    return "luck" if low <= 0 or _chosen(run) else "distinct"


def _chosen(run: JudgedRun) -> bool:
    """Return whether so many trials without skill would have shown as much."""
    deflated, corrected = inferred(run, "dsr"), inferred(run, "p_of_all_trials")
    return (deflated is not None and deflated < 0.95) or (corrected is not None and corrected >= 0.05)


def _ruined(run: JudgedRun) -> bool:
    """Return whether everything was lost: a return cannot compound beyond that, though its mean is still a number."""
    metrics = run["metrics"]
    total = number_of(metrics.get("total_return"))
    lost = "total_return" in metrics and number_of(metrics.get("annual_return")) is not None
    return total <= -1 if total is not None else lost


def _idle(run: JudgedRun) -> bool:
    return number_of(run["metrics"].get("exposure")) == 0


def _near(p: float) -> bool:
    return 0.03 <= p <= 0.07


def _headline(run: JudgedRun, standing: Standing, later: bool) -> str:
    sessions, sharpe = run["sessions"], inferred(run, "sharpe")
    if standing == "too short":
        return f"{counted(sessions, 'session')}: too few for a verdict, annualised figures are withheld below 60."
    trials = inferred(run, "trials")
    tried = f" and {counted(int(trials), 'trial')}" if trials is not None and trials > 1 else ""
    over = f"over {counted(sessions, 'session')}{f' {AFTER}' if later else ''}{tried}"
    if _ruined(run):
        why = run["reasons"].get("total_return")
        return f"Everything was lost{f': {why}' if why else ''}."
    if _idle(run):
        return f"No position was held over {counted(sessions, 'session')}: nothing to judge."
    if sharpe is None:
        why = run["reasons"].get("sharpe") or "no reason recorded"
        return f"The Sharpe ratio {over} is undefined ({why}): nothing to judge."
    bounds = interval(inferred(run, "sharpe_ci_low"), inferred(run, "sharpe_ci_high"))
    return f"Sharpe {ratio(sharpe)}, 95\u00a0% interval {bounds} {over}: {JUDGEMENT[standing]}."


def _returns(run: JudgedRun) -> str:
    own = number_of(run["metrics"].get("total_return"))
    if own is None:
        return ""
    others = [
        f"{percent(total, sign=True)} for {words}"
        for key, words in (("buy_and_hold", "buy-and-hold"), ("equal_weight", "equal-weight"))
        if (total := number_of(run["benchmarks"].get(key, {}).get("total_return"))) is not None
    ]
    against = f", against {' and '.join(others)}" if others else ""
    return f"Total return {percent(own, sign=True)} after costs{against}."


def _inference(run: JudgedRun, standing: Standing) -> str:
    p, block = inferred(run, "sharpe_p_hac"), inferred(run, "block_length")
    if standing == "too short" or p is None or _idle(run) or _ruined(run):
        return ""
    blocks = f", mean block {ratio(block, 1)} sessions" if block is not None else ""
    near = ""
    if standing == "borderline":
        near = " p from 0.03 to 0.07 is borderline." if _near(p) else " Interval and p disagree: borderline."
    test = f"One-sided p for a Sharpe ratio of zero or less: {p_value(p)} (HAC)."
    return f"{test} Interval: stationary bootstrap{blocks}.{near}"


def _selection(run: JudgedRun, part: JudgedRun | None) -> str:
    trials, deflated = inferred(run, "trials"), inferred(run, "dsr")
    if trials is None:
        return "Unadjusted for selection: the number of variants tried before this one is not known here."
    if trials == 1:
        return "One trial is on record for these dates and symbols, this one: nothing to deflate for."
    tried = f"{counted(int(trials), 'trial')} were run on overlapping data"
    if withheld(run) or part is None or _idle(run):
        return f"{tried}."
    if not complete(run, part):
        corrected = inferred(part, "p_of_all_trials")
        return f"{tried}; p after the cut-off, times their number, is {p_value(corrected)}."
    if deflated is None:
        return f"{tried}; the interval is unadjusted for selection."
    return f"{tried}; the deflated Sharpe ratio is {ratio(deflated)}."


def _caution(run: JudgedRun) -> str:
    """A word on memory beside the verdict, where a model was asked and its memory was found."""
    split = _cutoff_split(run)
    flagged = split is not None and split["flagged"]
    return "Flagged: what was earned before the models' cut-off may be memory." if flagged else ""


def _memory(run: JudgedRun, part: JudgedRun | None) -> str:
    """A sentence on memory; empty where no model was asked, or the headline says it."""
    split = run["contamination"]
    if not run["llm"]["models"] or split is None or not split["verdict"] or (part is None and split["parts"]):
        return ""
    if not split["assessable"] or split["flagged"]:
        return f"Contamination: {split['verdict']}"
    if complete(run, part):
        return f"Every session lies after the models' cut-off ({split['cutoff']}) and cannot be remembered."
    return f"The models' cut-off is {split['cutoff']}; the 90 days that follow it are not counted as after it."


def _power(run: JudgedRun, standing: Standing) -> str:
    found = inferred(run, "detectable_sharpe")
    if standing == "too short" or found is None or _idle(run) or _ruined(run):
        return ""
    length = counted(run["sessions"], "session")
    return f"Power: in {length} only a true Sharpe ratio of {ratio(found)} or more would be found four times in five."


def _author(run: JudgedRun) -> str:
    asked, split = run["llm"]["models"], run["contamination"]
    models = [one for one in split["models"] if one["model"] in asked] if split else []
    named = dict.fromkeys(describe_model(one["provider"], one["model"], one.get("served")) for one in models)
    by = [*(named or asked), *filter(None, [run["analysts"]])]
    return f"Decided by {', '.join(by)}." if by else ""
