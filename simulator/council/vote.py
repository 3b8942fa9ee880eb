"""How votes are netted when nobody writes the decision by hand.

Used by the offline chairman, by councils without a chairman, and by ablations over recorded votes.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

VOTE = "vote"
"""Stands in for the chairman's seat where a council has no chairman."""

NEUTRAL_SCORE = 6.0
"""A pitch reviewed at this mean score counts with its full conviction."""

FULL = 3.0
"""Net votes from which the council has full conviction (±2)."""

HALF = 1.0
"""Net votes from which it has half conviction (±1); below, the instrument is left out."""


@dataclass(frozen=True)
class Vote:
    """A pitch as a vote: conviction −2 … +2 on one instrument, weighted by the mean review score, 1 … 10."""

    instrument: str
    conviction: int
    score: float = NEUTRAL_SCORE

    @property
    def weight(self) -> float:
        """Signed: conviction × score / NEUTRAL_SCORE."""
        return self.conviction * self.score / NEUTRAL_SCORE


def net_votes(votes: Iterable[Vote]) -> dict[str, float]:
    """{instrument: sum of weighted convictions}, instruments in alphabetical order."""
    net: dict[str, float] = {}
    for vote in votes:
        net[vote.instrument] = net.get(vote.instrument, 0.0) + vote.weight
    return dict(sorted(net.items()))


def conviction_of(net: float) -> int:
    """The council's conviction for `net` votes: one manager alone never carries more than ±1 at a fair score."""
    size = 2 if abs(net) >= FULL else 1 if abs(net) >= HALF else 0
    return size if net > 0 else -size


def decide_by_vote(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The council's decision as the chairman's schema has it, by the netted votes alone.

    `facts` holds ``net_votes`` {instrument: votes}, ``max_trades``, ``sizes`` {half, full: e.g. "10%"}, and by label
    ``pitches`` and ``reviews``, as in the chairman's prompt.
    """
    net, pitches = facts["net_votes"], facts["pitches"]
    ranked = sorted(net, key=lambda instrument: (-abs(net[instrument]), instrument))
    strong = [instrument for instrument in ranked if conviction_of(net[instrument])]
    chosen = strong[: facts["max_trades"]]
    approved = [_approved(instrument, net[instrument], facts) for instrument in chosen]
    return {
        "approved_trades": approved,
        "rejected_trades": [_rejected(one, net[one], facts) for one in ranked if one not in chosen],
        "dissent_summary": _dissent(pitches, approved),
        "monitoring_plan": _plan(pitches, approved),
    }


def _approved(instrument: str, net: float, facts: Mapping[str, Any]) -> dict[str, Any]:
    conviction = conviction_of(net)
    bar = FULL if abs(conviction) == 2 else HALF
    reached = f"{net:+.2f} ≥ {bar:+.1f}" if net > 0 else f"{net:+.2f} ≤ {-bar:+.1f}"
    return {
        "instrument": instrument,
        "direction": "LONG" if net > 0 else "SHORT",
        "conviction": conviction,
        "position_size": facts["sizes"]["full" if abs(conviction) == 2 else "half"],
        "rationale": f"Net votes {reached}: {_votes_in_words(instrument, facts)}.",
    }


def _rejected(instrument: str, net: float, facts: Mapping[str, Any]) -> dict[str, Any]:
    few = f"net votes {net:+.2f} are too few"
    why = f"there are {facts['max_trades']} stronger trades" if conviction_of(net) else few
    direction = "LONG" if net > 0 else "SHORT" if net < 0 else "FLAT"
    reason = f"{why}: {_votes_in_words(instrument, facts)}."
    return {"instrument": instrument, "direction": direction, "reason": reason[0].upper() + reason[1:]}


def _votes_in_words(instrument: str, facts: Mapping[str, Any]) -> str:
    words = []
    for label, pitch in sorted(facts["pitches"].items()):
        if pitch["instrument"] == instrument:
            score = facts["reviews"].get(label, {}).get("mean_score")
            words.append(f"Pitch {label} {pitch['conviction']:+d}" + (f" (score {score})" if score else ""))
    return ", ".join(words)


def _dissent(pitches: Mapping[str, Any], approved: list[dict[str, Any]]) -> str:
    against = [
        f"Pitch {label} wanted {trade['instrument']} {pitch['direction']}"
        for trade in approved
        for label, pitch in sorted(pitches.items())
        if pitch["instrument"] == trade["instrument"] and pitch["direction"] != trade["direction"]
    ]
    return "; ".join(against) + "." if against else "No pitch opposes an approved trade."


def _plan(pitches: Mapping[str, Any], approved: list[dict[str, Any]]) -> str:
    watched = [
        f"{trade['instrument']}: {pitch['invalidation']}"
        for trade in approved
        for label, pitch in sorted(pitches.items())
        if pitch["instrument"] == trade["instrument"] and pitch["direction"] == trade["direction"]
    ]
    return " ".join(dict.fromkeys(watched)) if watched else "Nothing is held; meet again on the next date."
