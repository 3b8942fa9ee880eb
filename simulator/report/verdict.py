"""What may be said of one run, and what may not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from simulator.report.answering import drawn, lacking, partial
from simulator.report.numbers import counted, interval, number_of, p_value, percent, ratio

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
    """`headline` is one sentence with its interval, `returns` sets it beside the benchmarks, `details` qualify it."""

    standing: Standing
    headline: str
    returns: str
    details: tuple[str, ...]


def judge(run: Mapping[str, Any]) -> Verdict:
    """The verdict on run.json.

    Rule: the 95 % bootstrap interval of the Sharpe ratio and the one-sided HAC p for a Sharpe ratio ≤ 0 must agree;
    p from 0.03 to 0.07, or the two in disagreement, is borderline. With the number of trials known, a deflated Sharpe
    ratio below 0.95 is luck. Fewer than 60 sessions get no annualised figure at all. Where models answered, the part
    after their knowledge cut-off is judged; without 60 sessions of it the run is not assessable.
    """
    judged = _after_cutoff(run)
    standing: Standing = "not assessable" if judged is None else _standing(judged)
    details = (
        *(_author(run), drawn(run), lacking(run)),
        *(_selection(run), _memory(run), _whole(run, judged)),
        *(_inference(judged or run, standing), _power(run, standing) if judged is run else ""),
    )
    told = _headline(judged, standing, judged is not run) if judged else _unassessed(run)
    headline = " ".join(filter(None, (partial(run), told, _caution(run))))
    return Verdict(standing, headline, _returns(run), tuple(d for d in details if d))


def _after_cutoff(run: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """`run` as it stands after its models' cut-off; `run` itself where no model answered, None where nobody can say."""
    found, models = run.get("contamination") or {}, (run.get("llm") or {}).get("models")
    if not models or not found or withheld(run):
        return run
    if not found.get("assessable"):
        return None
    part = found["parts"]["after"]
    judged = {name: part.get(name) for name in ("sharpe", "sharpe_p_hac", "sharpe_ci_low", "sharpe_ci_high")}
    selected = {name: inferred(run, name) for name in ("trials", "dsr")}
    return {**run, "sessions": part["sessions"], "inference": {**judged, **selected}, "reasons": part.get("reasons")}


def _unassessed(run: Mapping[str, Any]) -> str:
    """The headline where nothing can be said for want of dates the models cannot know."""
    found = run["contamination"]
    after = ((found.get("parts") or {}).get("after") or {}).get("sessions")
    why = (
        "a model's knowledge cut-off is not known"
        if after is None
        else f"{counted(after, 'session')} after the models' cut-off ({found['cutoff']}) and 90 days, 60 are needed"
    )
    bounds = interval(inferred(run, "sharpe_ci_low"), inferred(run, "sharpe_ci_high"))
    return (
        f"Not assessable: {why}. Over {counted(int(run['sessions']), 'session')} the models may remember: "
        f"Sharpe {ratio(inferred(run, 'sharpe'))}, 95\u00a0% interval {bounds}."
    )


def _whole(run: Mapping[str, Any], judged: Mapping[str, Any] | None) -> str:
    """Beside the part that was judged, what all sessions say."""
    if judged is None or judged is run:
        return ""
    bounds = interval(inferred(run, "sharpe_ci_low"), inferred(run, "sharpe_ci_high"))
    everything = counted(int(run["sessions"]), "session")
    return (
        f"Over all {everything}, memory included: Sharpe {ratio(inferred(run, 'sharpe'))}, 95\u00a0% interval {bounds}."
    )


def withheld(run: Mapping[str, Any]) -> bool:
    """True when the run is too short for annualised figures."""
    return int(run["sessions"]) < FEWEST_SESSIONS


def inferred(run: Mapping[str, Any], key: str) -> float | None:
    """A number of the inference part of run.json, or of its metrics; None where undefined."""
    inference = run.get("inference") or {}
    return number_of(inference[key] if key in inference else run["metrics"].get(key))


def _standing(run: Mapping[str, Any]) -> Standing:
    if withheld(run):
        return "too short"
    low, high, p = (inferred(run, key) for key in ("sharpe_ci_low", "sharpe_ci_high", "sharpe_p_hac"))
    if inferred(run, "sharpe") is None or low is None or high is None:
        return "undefined"
    if high < 0:
        return "loss"
    if p is not None and (_near(p) or (low > 0) != (p < 0.05)):
        return "borderline"
    deflated = inferred(run, "dsr")
    if low <= 0 or (deflated is not None and deflated < 0.95):
        return "luck"
    return "distinct"


def _near(p: float) -> bool:
    return 0.03 <= p <= 0.07


def _headline(run: Mapping[str, Any], standing: Standing, later: bool) -> str:
    sessions, sharpe = int(run["sessions"]), inferred(run, "sharpe")
    if standing == "too short":
        return f"{counted(sessions, 'session')}: too few for a verdict, annualised figures are withheld below 60."
    trials = inferred(run, "trials")
    tried = f" and {counted(int(trials), 'trial')}" if trials is not None and trials > 1 else ""
    over = f"over {counted(sessions, 'session')}{f' {AFTER}' if later else ''}{tried}"
    if sharpe is None:
        why = (run.get("reasons") or {}).get("sharpe") or "no reason recorded"
        return f"The Sharpe ratio {over} is undefined ({why}): nothing to judge."
    bounds = interval(inferred(run, "sharpe_ci_low"), inferred(run, "sharpe_ci_high"))
    return f"Sharpe {ratio(sharpe)}, 95\u00a0% interval {bounds} {over}: {JUDGEMENT[standing]}."


def _returns(run: Mapping[str, Any]) -> str:
    own = number_of(run["metrics"].get("total_return"))
    if own is None:
        return ""
    others = [
        f"{percent(value['total_return'], sign=True)} for {words}"
        for key, words in (("buy_and_hold", "buy-and-hold"), ("equal_weight", "equal-weight"))
        if number_of((value := run["benchmarks"].get(key) or {}).get("total_return")) is not None
    ]
    against = f", against {' and '.join(others)}" if others else ""
    return f"Total return {percent(own, sign=True)} after costs{against}."


def _inference(run: Mapping[str, Any], standing: Standing) -> str:
    p, block = inferred(run, "sharpe_p_hac"), inferred(run, "block_length")
    if standing == "too short" or p is None:
        return ""
    blocks = f", mean block {ratio(block, 1)} sessions" if block is not None else ""
    near = ""
    if standing == "borderline":
        near = " p from 0.03 to 0.07 is borderline." if _near(p) else " Interval and p disagree: borderline."
    test = f"One-sided p for a Sharpe ratio of zero or less: {p_value(p)} (HAC)."
    return f"{test} Interval: stationary bootstrap{blocks}.{near}"


def _selection(run: Mapping[str, Any]) -> str:
    trials, deflated = inferred(run, "trials"), inferred(run, "dsr")
    if trials is None:
        return "Unadjusted for selection: the number of variants tried before this one is not known here."
    counted_trials = f"{counted(int(trials), 'trial')} {'was' if trials == 1 else 'were'} run on overlapping data"
    if deflated is None:
        return f"{counted_trials}; the interval is unadjusted for selection."
    return f"{counted_trials}; the deflated Sharpe ratio is {ratio(deflated)}."


def _caution(run: Mapping[str, Any]) -> str:
    """A word on memory beside the verdict, where a model was asked and its memory was found."""
    found, models = run.get("contamination") or {}, (run.get("llm") or {}).get("models")
    if not models or not found or withheld(run):
        return ""
    return "Flagged: what was earned before the models' cut-off may be memory." if found.get("flagged") else ""


def _memory(run: Mapping[str, Any]) -> str:
    """Whether a model may have known the outcome; nothing where no model was asked."""
    found, models = run.get("contamination") or {}, (run.get("llm") or {}).get("models")
    return f"Contamination: {found['verdict']}" if models and found.get("verdict") else ""


def _power(run: Mapping[str, Any], standing: Standing) -> str:
    found = inferred(run, "detectable_sharpe")
    if standing == "too short" or found is None:
        return ""
    length = counted(int(run["sessions"]), "session")
    return f"Power: in {length} only a true Sharpe ratio of {ratio(found)} or more would be found four times in five."


def _author(run: Mapping[str, Any]) -> str:
    models = (run.get("llm") or {}).get("models")
    by = [*(models if isinstance(models, list) else ()), *filter(None, [run.get("analysts")])]
    return f"Decided by {', '.join(map(str, by))}." if by else ""
