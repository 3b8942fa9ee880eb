"""The verdict on one run: what may be said of it, and what may not."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, TypedDict

from simulator.analysis.unanswered import partial_sentence, replicates_sentence, shortfalls_sentence
from simulator.evidence.members import STATED, describe_model
from simulator.evidence.records import Contamination, JudgedRun, SkillRecord
from simulator.number_format import counted, interval, number_of, p_value, percent, ratio
from simulator.stats.metrics import PERIODS
from simulator.stats.series import Undefined
from simulator.stats.skill import deflated_ratio, p_of_trials

FEWEST_SESSIONS = 60
"""Below this, annualised figures are withheld."""

FEWEST_DECISIONS = 20
"""Sessions on which targets changed, or a stop or target closed a position; with fewer, noise passes too often."""

SIGNIFICANT, BORDERLINE, WORSE = 0.05, (0.03, 0.07), 0.025
"""Of the p of all trials; the last of the lower tail of one."""

LEFT, STEADY = -1.0, 4.0
"""Skew from which on, and ratio a year beyond which, a return has the shape of sold options."""

ANCHORED = -0.7
"""Correlation of weights with prices since the start up to which a book is anchored to them."""

RARE = 5
"""Disasters rarer than about 5/n cannot be tested by anything."""

Standing = Literal[
    "too short", "not assessable", "nothing", "benchmark", "few", "skill", "borderline", "worse", "paid", "luck",
    "undefined", "loss", "above cash",
]  # fmt: skip

JUDGEMENT: dict[Standing, str] = {
    "too short": "too few sessions for a verdict",
    "not assessable": "not assessable",
    "nothing": "nothing to judge",
    "benchmark": "is a benchmark",
    "few": "too few decisions to tell choosing from luck",
    "skill": "skill beyond its exposure",
    "worse": "worse than its exposure",
    "paid": "paid for holding the market, not for choosing",
    "undefined": "cannot be told from luck",
    "luck": "cannot be told from luck",
    "borderline": "borderline",
    "loss": "worse than cash, by more than bad luck explains",
    "above cash": "above cash, by more than luck explains",
}

AGAINST: dict[Standing, str] = {
    "above cash": "above {}, by more than luck explains",
    "loss": "below {}, by more than bad luck explains",
    "luck": "cannot be told from {}",
    "borderline": "borderline",
}
"""Returns without positions, held against other returns: exposure to those is not taken out, so none of it is skill."""

UNTESTED: tuple[Standing, ...] = ("too short", "nothing", "benchmark", "few")

CASH_ONLY = "skill not assessable without positions: tested against cash only"


def against_only(benchmark: str) -> str:
    """Return what can be said of returns held against those of `benchmark`, without positions."""
    return CASH_ONLY.replace("cash only", f"the returns of {benchmark} only")


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
    """Return the verdict on run.json: docs/verdict.md has the words and the rule.

    Judged is what was earned beyond the run's own usual exposure (`simulator.stats.skill`), as the best of all trials
    on record. Fewer than 60 sessions get no annualised figure at all. Where models answered, the part after their
    knowledge cut-off is judged; without 60 sessions of it the run is not assessable. A run that held nothing, or lost
    everything, needs no test.

    Where positions are not on record the Sharpe ratio is judged against cash: its 95 % bootstrap interval and the
    one-sided HAC p must agree, p from 0.03 to 0.07 is borderline, and one of several trials whose p as the best of them
    is not below 0.05 is luck. The deflated Sharpe ratio as published decides nothing: near copies raise it.
    """
    part, source = part_after_cutoff(run), run.get("risk_free", "")
    standing: Standing = "not assessable" if part is None else _standing(part)
    details = (
        *(_author(run), replicates_sentence(run), shortfalls_sentence(run)),
        *(_selection(run, part), _memory(run, part), _whole(run, part)),
        *(_parts(part, standing) if part else "", _sharpe(part, standing) if part else ""),
        _basket(run, standing) if complete(run, part) else "",
        *(_inference(part, standing) if part else "", _power(run, standing) if complete(run, part) else ""),
        f"Over a risk-free return of {source}." if STATED in source else "",
    )
    about = _headline(part, standing, later=part is not run) if part else _explain_unassessed(run)
    headline = " ".join(
        filter(
            None,
            (
                *(partial_sentence(run), about, _caution(run)),
                *(
                    _shape(part, standing),
                    caution_anchor(part.get("skill") if part else None, standing),
                    _drift(part, standing),
                ),
            ),
        )
    )
    settled = is_ruined(run) or _idle(run)
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
    inference = {
        "sharpe": part["sharpe"],
        "sharpe_p_hac": part["sharpe_p_hac"],
        "sharpe_ci_low": part["sharpe_ci_low"],
        "sharpe_ci_high": part["sharpe_ci_high"],
        **{name: find_inference(run, name) for name in ("trials", "units", "sweep_p")},
    }
    skill = part.get("skill")
    reasons = {**part["reasons"], **{key: why for key, why in run.get("reasons", {}).items() if key == "at_least"}}
    return {**run, "sessions": part["sessions"], "inference": inference, "skill": skill, "reasons": reasons}


def judged_sessions(run: JudgedRun) -> int | None:
    """Return how many of the last sessions of `run` a verdict may rest on: all where no model answered, else those
    after the cut-off; None where nobody can say."""
    part = part_after_cutoff(run)
    return None if part is None else part["sessions"]


def describe_memory(run: JudgedRun) -> str:
    """Return a sentence to stand beside figures of all sessions where no more than a part of them can be judged; empty
    where all can."""
    judged, every = judged_sessions(run), counted(run["sessions"], "session")
    if judged == run["sessions"]:
        return ""
    if judged is None:
        return f"All figures here are of all {every}, which the models may remember: they show no skill."
    return f"All figures here are of all {every}; the models may remember all but the last {judged}."


def complete(run: JudgedRun, part: JudgedRun | None) -> bool:
    """Return whether what is judged is all of the run."""
    return part is not None and part["sessions"] == run["sessions"]


def _cutoff_split(run: JudgedRun) -> Contamination | None:
    """The cut-off split of a run in which models answered and which is long enough to be judged."""
    return None if not run["llm"]["models"] or withheld(run) else run["contamination"]


def _explain_unassessed(run: JudgedRun) -> str:
    """The headline where nothing can be said for want of dates the models cannot know."""
    split = run["contamination"]
    why = "a model's knowledge cut-off is not known"
    if split is not None and split["parts"] is not None:
        after = split["parts"]["after"]["sessions"]
        lie = f"{counted(after, 'session')} lie" if after else "no session lies"
        why = f"{lie} after the models' cut-off ({split['cutoff']}) and its 90 days of grace, 60 are needed"
    bounds = interval(find_inference(run, "sharpe_ci_low"), find_inference(run, "sharpe_ci_high"))
    return (
        f"Not assessable: {why}. Over {counted(run['sessions'], 'session')} the models may remember: "
        f"Sharpe {ratio(find_inference(run, 'sharpe'))}, 95\u00a0% interval {bounds}."
    )


def _whole(run: JudgedRun, part: JudgedRun | None) -> str:
    if part is None or complete(run, part):
        return ""
    bounds = interval(find_inference(run, "sharpe_ci_low"), find_inference(run, "sharpe_ci_high"))
    everything, sharpe = counted(run["sessions"], "session"), ratio(find_inference(run, "sharpe"))
    return f"Over all {everything}, memory included: Sharpe {sharpe}, 95\u00a0% interval {bounds}."


class HasSessions(TypedDict):
    sessions: int


def withheld(run: HasSessions) -> bool:
    """Return whether the run is too short for annualised figures."""
    return run["sessions"] < FEWEST_SESSIONS


def find_inference(run: JudgedRun, key: str) -> float | None:
    """Return a number of the inference part of run.json, or of its metrics; None where undefined."""
    inference = run["inference"]
    return number_of(inference[key] if key in inference else run["metrics"].get(key))


def _standing(run: JudgedRun) -> Standing:
    if withheld(run):
        return "too short"
    if is_ruined(run):
        return "loss"
    skill = run.get("skill")
    if skill is None:
        return _cash_standing(run)
    found = skill_standing(skill, trials_of(run), sweep_p(run))
    if "against" in skill:
        of_returns: dict[Standing, Standing] = {"skill": "above cash", "worse": "loss", "paid": "luck"}
        return of_returns.get(found, found)
    return found


def skill_standing(skill: SkillRecord, trials: float, within: float = 0.0) -> Standing:
    """Return the standing of 60 sessions or more by what `skill` tests: docs/verdict.md."""
    if skill["idle"]:
        return "nothing"
    if skill["decisions"] < FEWEST_DECISIONS:
        return "few" if skill["decisions"] else "benchmark"
    p, worse, held = p_of_skill(skill, trials, within), skill["p_worse"], skill["p_excess"]
    if p is None or worse is None:
        return "luck"
    if BORDERLINE[0] <= p <= BORDERLINE[1]:
        return "borderline"
    if p < SIGNIFICANT:
        return "skill"
    if worse < WORSE:
        return "worse"
    return "paid" if held is not None and held < SIGNIFICANT else "luck"


def describe_skill(skill: SkillRecord, trials: float = 1.0) -> str:
    """Return the words of the verdict on what `skill` tests, without its figures: docs/verdict.md."""
    return JUDGEMENT["too short" if withheld(skill) else skill_standing(skill, trials)]


def p_of_skill(skill: SkillRecord, trials: float, within: float = 0.0) -> float | None:
    """Return the p of what was earned beyond the usual exposure, as the best of `trials`; None where undefined. It is
    no less than `within`, the p as one of the members of a sweep."""
    return None if skill["p"] is None else p_of_trials(max(skill["p"], within), trials)


def trials_of(run: JudgedRun) -> float:
    """Return the trials that p is corrected for, 1 where none are counted: all on record, members of sweeps too, but a
    sweep that the run is judged in, as one of its members, is no more than one."""
    return find_inference(run, "units") or find_inference(run, "trials") or 1.0


def _at_least(run: JudgedRun) -> str:
    """The words before a number of trials of which some may not be on record."""
    return "at least " if run["reasons"].get("at_least") else ""


def sweep_p(run: JudgedRun) -> float:
    """Return the p of the run as one of the members of a sweep; 0 where it is judged in none."""
    return find_inference(run, "sweep_p") or 0.0


def _cash_standing(run: JudgedRun) -> Standing:
    low, high, p = (find_inference(run, key) for key in ("sharpe_ci_low", "sharpe_ci_high", "sharpe_p_hac"))
    if _idle(run) or find_inference(run, "sharpe") is None or low is None or high is None:
        return "undefined"
    if high < 0:
        return "borderline" if p is not None and p < 0.95 else "loss"
    if trials_of(run) > 1 and _chosen(run):
        return "luck"
    if p is not None and (_near(p) or (low > 0) != (p < 0.05)):
        return "borderline"
    return "luck" if low <= 0 or _chosen(run) else "above cash"


def _chosen(run: JudgedRun) -> bool:
    """Return whether so many trials without skill would have shown as much."""
    corrected = _p_of_best(run)
    return corrected is not None and corrected >= SIGNIFICANT


def _p_of_best(run: JudgedRun) -> float | None:
    """The p for a Sharpe ratio of zero or less, as the best of all trials."""
    p = find_inference(run, "sharpe_p_hac")
    return None if p is None else p_of_trials(p, trials_of(run))


def is_ruined(run: JudgedRun) -> bool:
    """Return whether everything was lost: a return cannot compound beyond that, though its mean is still a number."""
    metrics = run["metrics"]
    total = number_of(metrics.get("total_return"))
    lost = "total_return" in metrics and number_of(metrics.get("annual_return")) is not None
    return total <= -1 if total is not None else lost


def _idle(run: JudgedRun) -> bool:
    skill = run.get("skill")
    return number_of(run["metrics"].get("exposure")) == 0 if skill is None else skill["idle"]


def _near(p: float) -> bool:
    return 0.03 <= p <= 0.07


def _headline(run: JudgedRun, standing: Standing, later: bool) -> str:
    sessions, sharpe = run["sessions"], find_inference(run, "sharpe")
    if standing == "too short":
        return f"{counted(sessions, 'session')}: too few for a verdict, annualised figures are withheld below 60."
    trials = find_inference(run, "trials")
    tried = f" and {_at_least(run)}{counted(int(trials), 'trial')}" if trials is not None and trials > 1 else ""
    over = f"over {counted(sessions, 'session')}{f' {AFTER}' if later else ''}{tried}"
    if is_ruined(run):
        why = run["reasons"].get("total_return")
        return f"Everything was lost{f': {why}' if why else ''}."
    if _idle(run) or standing == "nothing":
        what = "Nothing but the cash instrument" if number_of(run["metrics"].get("exposure")) else "No position"
        return f"{what} was held over {counted(sessions, 'session')}: nothing to judge."
    skill = run.get("skill")
    if skill is not None and "against" in skill:
        other, bounds = skill["against"], interval(skill["beyond_low"], skill["beyond_high"], percent)
        earned = f"{percent(skill['beyond'], sign=True)} a year beyond {other}, 95\u00a0% interval {bounds}, {over}"
        return f"{earned}: {AGAINST[standing].format(other)}; {against_only(other)}."
    if skill is not None:
        return _skill_headline(skill, standing, over)
    if sharpe is None:
        why = run["reasons"].get("sharpe") or "no reason recorded"
        return f"The Sharpe ratio {over} is undefined ({why}): nothing to judge."
    bounds = interval(find_inference(run, "sharpe_ci_low"), find_inference(run, "sharpe_ci_high"))
    return f"Sharpe {ratio(sharpe)}, 95\u00a0% interval {bounds} {over}: {JUDGEMENT[standing]}; {CASH_ONLY}."


def describe_undecided(skill: SkillRecord, standing: Standing, over: str) -> str:
    """Return the sentence on targets that changed too seldom to be judged; empty for any other `standing`."""
    if standing == "benchmark":
        return f"Target weights never changed {over}: {JUDGEMENT[standing]}."
    if standing == "few":
        decided = f"Targets changed on {counted(skill['decisions'], 'session')} {over}"
        return f"{decided}, {FEWEST_DECISIONS} are needed: {JUDGEMENT[standing]}."
    return ""


def _skill_headline(skill: SkillRecord, standing: Standing, over: str) -> str:
    if undecided := describe_undecided(skill, standing, over):
        return undecided
    bounds = interval(skill["beyond_low"], skill["beyond_high"], percent)
    earned = f"{percent(skill['beyond'], sign=True)} a year beyond its own usual exposure"
    return f"{earned}, 95\u00a0% interval {bounds}, {over}: {JUDGEMENT[standing]}."


def _parts(run: JudgedRun, standing: Standing) -> str:
    """The mean excess return in parts."""
    skill = run.get("skill")
    if skill is None or "against" in skill or standing in ("too short", "nothing", "loss"):
        return ""
    return describe_parts(skill)


def describe_parts(skill: SkillRecord) -> str:
    """Return the sentence on what the yearly excess return was made of."""
    whole, exposure, choosing, costs = (
        percent(skill[key], sign=True) for key in ("excess", "exposure", "choosing", "costs")
    )
    return (
        f"Of {whole} a year over cash its usual exposure earned {exposure}, choosing and timing {choosing}, "
        f"costs took {costs}."
    )


def _sharpe(run: JudgedRun, standing: Standing) -> str:
    sharpe = find_inference(run, "sharpe")
    if run.get("skill") is None or sharpe is None or standing in ("too short", "nothing", "loss"):
        return ""
    bounds = interval(find_inference(run, "sharpe_ci_low"), find_inference(run, "sharpe_ci_high"))
    return f"Sharpe {ratio(sharpe)} over cash, 95\u00a0% interval {bounds}."


def _basket(run: JudgedRun, standing: Standing) -> str:
    """OLS alpha and beta on the equal-weight basket: a constant tilt, which is no skill here, shows in them."""
    alpha, beta, t = (find_inference(run, f"{name}_basket") for name in ("alpha", "beta", "alpha_t"))
    if alpha is None or beta is None or standing in ("too short", "nothing", "loss"):
        return ""
    error = f" (t {ratio(t)})" if t is not None else ""
    found = f"beta {ratio(beta)}, alpha {percent(alpha, sign=True)} a year{error}"
    return f"On the equal-weight basket: {found}; it decides nothing."


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
    p, block = find_inference(run, "sharpe_p_hac"), find_inference(run, "block_length")
    skill = run.get("skill")
    if skill is not None:
        return _test(skill, standing, run, skill.get("against", "its exposure"))
    if standing == "too short" or p is None or _idle(run) or is_ruined(run):
        return ""
    blocks = f", mean block {ratio(block, 1)} sessions" if block is not None else ""
    near = ""
    if standing == "borderline":
        near = " p from 0.03 to 0.07 is borderline." if _near(p) else " Interval and p disagree: borderline."
    test = f"One-sided p for a Sharpe ratio of zero or less: {p_value(p)} (HAC)."
    return f"{test} Interval: stationary bootstrap{blocks}.{near}"


def _test(skill: SkillRecord, standing: Standing, run: JudgedRun, beyond: str) -> str:
    """The p-values behind the verdict."""
    trials, within = trials_of(run), sweep_p(run)
    p = p_of_skill(skill, trials, within)
    if standing in UNTESTED or p is None:
        return ""
    member = f", {p_value(within)} against all members of a sweep of its strategy (Romano-Wolf)" if within else ""
    more, others = _at_least(run), counted(int(trials) - 1, "result")
    tried = f"these and {more}{others} outside" if within else f"{more}{counted(int(trials), 'trial')}"
    best = f"{member}, {p_value(p)} as the best of {tried}" if trials > 1 else member
    level = skill.get("p_level")
    part = "half of " if level and level / 2 == skill["p"] else ""
    takes = level and (skill["p"] or 0.0) > max(skill["p_mean"] or 0.0, skill["p_ratio"] or 0.0)
    moved = f", and {part}{p_value(level)} without its change of level" if takes else ""
    near = " p from 0.03 to 0.07 is borderline." if standing == "borderline" else ""
    return (
        f"One-sided p for nothing beyond {beyond}: {p_value(skill['p'])} (the largest of {p_value(skill['p_mean'])} by "
        f"{skill['degrees']} cosines, {p_value(skill['p_ratio'])} by the probabilistic ratio{moved}){best}.{near}"
    )


def _selection(run: JudgedRun, part: JudgedRun | None) -> str:
    trials = find_inference(run, "trials")
    if trials is None:
        return "Unadjusted for selection: the number of variants tried before this one is not known here."
    tried = run["reasons"].get("trials", f"{counted(int(trials), 'trial')} counted").removesuffix(".")
    skill = None if part is None else part.get("skill")
    if trials == 1 or (skill is not None and skill_standing(skill, trials) in UNTESTED):
        return f"{tried}."
    if skill is not None:
        return f"{tried}; the deflated ratio beyond its exposure is {ratio(deflated_skill(skill, trials))}."
    if withheld(run) or part is None or _idle(run):
        return f"{tried}."
    after = "" if complete(run, part) else f" {AFTER}"
    return f"{tried}; p{after} as the best of them is {p_value(_p_of_best(part))}."


def deflated_skill(skill: SkillRecord | None, trials: float) -> float | None:
    """Return the deflated ratio of what was earned beyond the usual exposure; None where undefined."""
    if skill is None or skill["ratio"] is None or skill["skew"] is None or skill["kurtosis"] is None:
        return None
    found = deflated_ratio(skill["sessions"], skill["ratio"], skill["skew"], skill["kurtosis"], trials)
    return None if isinstance(found, Undefined) else found


def _caution(run: JudgedRun) -> str:
    """A word on memory beside the verdict, where a model was asked and its memory was found."""
    split = _cutoff_split(run)
    flagged = split is not None and split["flagged"]
    return "Flagged: what was earned before the models' cut-off may be memory." if flagged else ""


def _shape(run: JudgedRun | None, standing: Standing) -> str:
    """A word on payoffs that earn a little often and lose much rarely, where the verdict speaks for the run.

    They lean to the left; where their loss has not come yet, they earn more for their spread than anything else does.
    """
    if run is None or standing not in ("skill", "borderline", "above cash"):
        return ""
    skill = run.get("skill")
    skew = skill["skew"] if skill else find_inference(run, "skew")
    yearly = (skill["ratio"] or 0.0) * math.sqrt(PERIODS) if skill else find_inference(run, "sharpe")
    leans = f"It leans to the left (skew {ratio(skew)})" if skew is not None and skew < LEFT else ""
    steady = f"It earns {ratio(yearly)} times its spread a year" if yearly is not None and yearly > STEADY else ""
    if not leans and not steady:
        return ""
    rare = counted(run["sessions"] // RARE, "session")
    return f"{leans or steady}, as short volatility does: a loss rarer than once in {rare} may not have come yet."


def caution_anchor(skill: SkillRecord | None, standing: Standing) -> str:
    """A word on books that hold more the further a price has fallen since the start, where the verdict speaks for the
    run: of those without skill too many pass."""
    anchor = skill.get("anchor") if skill and standing in ("skill", "borderline") else None
    if anchor is None or anchor > ANCHORED:
        return ""
    against = f"Its weights run against its symbols' prices since the start (correlation {ratio(anchor)})"
    return f"{against}: of such books about one in ten passes without skill, so ask for p below 0.02."


def _drift(run: JudgedRun | None, standing: Standing) -> str:
    """A word on an exposure that moved one way, where without its reward, or its cost, the verdict is another: the
    usual exposure, the mean so far, lags behind it, so that one change of level would pass for choosing."""
    skill = run.get("skill") if run and standing in ("luck", "paid") else None
    if run is None or skill is None or skill["p_mean"] is None or skill["p_ratio"] is None or "level" not in skill:
        return ""
    passes = p_of_trials(max(skill["p_mean"], skill["p_ratio"], sweep_p(run)), trials_of(run)) < SIGNIFICANT
    if not passes and 1.0 - skill["p_mean"] >= WORSE:
        return ""
    level = percent(skill["level"], sign=True)
    return f"An exposure that moved one way accounts for {level} a year of it: that is one choice."


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
    found = find_inference(run, "detectable_sharpe")
    if standing == "too short" or found is None or _idle(run) or is_ruined(run):
        return ""
    length = counted(run["sessions"], "session")
    return f"Power: in {length} only a true Sharpe ratio of {ratio(found)} or more would be found four times in five."


def _author(run: JudgedRun) -> str:
    asked, split = run["llm"]["models"], run["contamination"]
    models = [one for one in split["models"] if one["model"] in asked] if split else []
    named = dict.fromkeys(describe_model(one["provider"], one["model"], one.get("served")) for one in models)
    by = [*(named or asked), *filter(None, [run["analysts"]])]
    return f"Decided by {', '.join(by)}." if by else ""
