"""Texts that models write, made of one answer of each type: forms that mean one thing, and forms that do not.

A form takes the answer and the text of its opposite, and returns a text. One that returns None says nothing of that
type of answer. Standard library only, so that any version of the reader can be held against them.
"""

# ruff: noqa: ARG005  a form may need neither of the two
from __future__ import annotations

import json
import re
from collections.abc import Callable
from copy import deepcopy
from typing import Any

Answer = dict[str, Any]
Form = Callable[[Answer, str], str | None]

CLOSES = {"SPY": 512.3, "QQQ": 1450.0}
ANSWERS: dict[str, Answer] = {
    "research": {
        "macro_regime": "Late cycle, it's calm",
        "top_narratives": ["Cuts: 3", "Rotation", "Oil"],
        "consensus_map": {"SPY": "Bullish", "QQQ": "Bearish"},
        "tradable_candidates": [],
        "event_calendar": [],
    },
    "pitch": {
        "instrument": "QQQ",
        "direction": "LONG",
        "horizon": "2-4 weeks",
        "thesis_bullets": ["Strong: rsi_14 61.3", "It's above the average", "Cuts"],
        "indicators": [],
        "conviction": 2,
        "invalidation": "A close below 1,400",
        "stop": 1400.5,
        "target": 1560.25,
    },
    "review": {
        "scores": {
            "clarity": 8,
            "edge_plausibility": 9,
            "timing_catalyst": 8,
            "risk_definition": 7,
            "indicator_integrity": 8,
            "originality": 9,
            "tradeability": 8,
        },
        "kill_shot": "It's late: rsi_14 71",
        "flip_condition": "A close below 1,400",
    },
    "decision": {
        "approved_trades": [
            {
                "instrument": "QQQ",
                "direction": "LONG",
                "conviction": 2,
                "position_size": "20%",
                "rationale": "A and C agree, it's cheap",
            }
        ],
        "rejected_trades": [],
        "dissent_summary": "B: too late",
        "monitoring_plan": "CPI",
    },
    "checkpoint": {
        "invalidated": False,
        "conviction": 2,
        "stop": 1400.5,
        "target": 1560.25,
        "reason": "It's as it was: rsi_14 61.3",
    },
}
TITLES = {
    "research": "ResearchPack",
    "pitch": "Pitch",
    "review": "Review",
    "decision": "ChairmanDecision",
    "checkpoint": "CheckpointReview",
}
MIRRORED = {"LONG": "SHORT", "SHORT": "LONG", "Bullish": "Bearish", "Bearish": "Bullish"}
CHOICES, TICKERS, CONVICTIONS, PRICES = (
    ("direction", "SPY", "QQQ"),
    ("instrument",),
    ("conviction",),
    ("stop", "target"),
)
LISTS = ("tradable_candidates", "event_calendar", "indicators", "rejected_trades")


def opposite(answer: Answer) -> Answer:
    """The answer that would be traded the other way round."""

    def turned(key: str, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: turned(name, one) for name, one in value.items()}
        if isinstance(value, list):
            return [turned("", one) for one in value]
        if isinstance(value, bool):
            return not value
        if isinstance(value, int):
            return -value if key == "conviction" else 11 - value
        return MIRRORED.get(value, value) if isinstance(value, str) else value

    other: Answer = turned("", answer)
    if "stop" in other:
        other["stop"], other["target"] = other["target"], other["stop"]
    if "invalidated" in other:
        other["conviction"] = -2
    return other


def changed(answer: Answer, names: tuple[str, ...], change: Callable[[Any], Any]) -> Answer | None:
    """A copy in which every value under one of `names` is changed; None where there is no such value."""
    answer, found = deepcopy(answer), []

    def walk(node: Any) -> None:
        if isinstance(node, list):
            for one in node:
                walk(one)
        elif isinstance(node, dict):
            for name, one in node.items():
                if name in names and not isinstance(one, dict):
                    found.append(name)
                    node[name] = change(one)
                walk(one)

    walk(answer)
    return answer if found else None


def scores(answer: Answer, change: Callable[[Any], Any]) -> str | None:
    names = tuple(answer.get("scores", ()))
    return dumps(changed(answer, names, change)) if names else None


def dumps(value: Any, indent: int | None = None) -> str | None:
    return None if value is None else json.dumps(value, indent=indent, ensure_ascii=False)


def text(answer: Answer) -> str:
    return json.dumps(answer, ensure_ascii=False)


def renamed(answer: Any, name: Callable[[str], str]) -> Any:
    if isinstance(answer, list):
        return [renamed(one, name) for one in answer]
    if not isinstance(answer, dict):
        return answer
    return {key if key.isupper() else name(key): renamed(one, name) for key, one in answer.items()}


def camel(key: str) -> str:
    return re.sub(r"_(\w)", lambda match: match[1].upper(), key)


def spoken(words: dict[str, str]) -> Form:
    return lambda a, _: dumps(changed(a, CHOICES, lambda choice: words[choice]))


def with_price(write: Callable[[float], Any]) -> Form:
    return lambda a, _: dumps(changed(a, PRICES, write))


def raw_price(write: Callable[[float], str]) -> Form:
    def form(answer: Answer, _: str) -> str | None:
        marked = dumps(changed(answer, PRICES, lambda price: f"@{write(price)}@"))
        return None if marked is None else marked.replace('"@', "").replace('@"', "")

    return form


def without(*names: str) -> Form:
    def form(answer: Answer, _: str) -> str | None:
        kept = {name: one for name, one in answer.items() if name not in names}
        return text(kept) if len(kept) < len(answer) else None

    return form


def flat(**levels: Any) -> Form:
    def form(answer: Answer, _: str) -> str | None:
        if "direction" not in answer:
            return None
        kept = {name: one for name, one in answer.items() if name not in PRICES}
        return text(kept | {"direction": "FLAT", "conviction": 0} | levels)

    return form


def curly(answer: Answer, _: str) -> str:
    return re.sub(r'"([^"]*)"', r"“\1”", text(answer))


def last_string(answer: Answer, add: str) -> str:
    """The text with `add`, raw, put at the end of its last string that is none of a list."""
    name = [name for name, one in answer.items() if isinstance(one, str)][-1]
    return text(answer | {name: "@@"}).replace("@@", answer[name] + add)


def first_pair_again(answer: Answer, other: str) -> str:
    """The text with its deepest pair that says a side given again, the other way round."""
    pairs = [r'("direction": )"LONG"', r'("SPY": )"Bullish"', r'("clarity": )8', r'("invalidated": )false']
    turned = ['"SHORT"', '"Bearish"', "2", "true"]
    for pattern, value in zip(pairs, turned, strict=True):
        if match := re.search(pattern, text(answer)):
            return text(answer).replace(match[0], f"{match[0]}, {match[1]}{value}", 1)
    raise AssertionError(other)


def turned(answer: Answer, other: str) -> Answer:
    """The first field in which the two answers differ, as the other has it."""
    return dict([next(pair for pair in json.loads(other).items() if answer[pair[0]] != pair[1])])


def title(answer: Answer) -> str:
    return next(TITLES[kind] for kind, one in ANSWERS.items() if one.keys() == answer.keys())


def renamed_up(answer: Answer) -> Answer:
    return {key.upper(): one for key, one in answer.items()}


READ: dict[str, Form] = {
    "plain": lambda a, _: text(a),
    "over several lines": lambda a, _: dumps(a, 2),
    "in a fence": lambda a, _: f"```json\n{text(a)}\n```",
    "in a fence without a language": lambda a, _: f"```\n{dumps(a, 1)}\n```",
    "amid prose": lambda a, _: f"Here is {{what}} I think:\n{text(a)}\nLet me know {{if}} it helps.",
    "a draft in <think>, the answer with a slip": lambda a, o: f"<think>{o} no.</think>\n{text(a)[:-1]},}}",
    "a fitting draft in <THINKING>": lambda a, o: f"<THINKING>\n{o}\n</THINKING>\n{text(a)}",
    "a draft in <reasoning>": lambda a, o: f"<reasoning>{o}</reasoning>{text(a)}",
    "a thought that is only closed": lambda a, o: f"first {o}, but no</think>\n\n{text(a)}",
    "a draft in [THINK]": lambda a, o: f"[THINK]{o}[/THINK]{text(a)}",
    "a draft in \u25c1think\u25b7": lambda a, o: f"\u25c1think\u25b7{o}\u25c1/think\u25b7{text(a)}",
    "a draft in another channel": lambda a, o: (
        f"<|channel|>analysis<|message|>{o}<|end|><|start|>assistant<|channel|>final<|message|>{text(a)}"
    ),
    "a draft in <inner_thoughts>": lambda a, o: f"<inner_thoughts>{o}</inner_thoughts>{text(a)}",
    "a draft in <|thinking|>": lambda a, o: f"<|thinking|>{o}<|/thinking|>{text(a)}",
    "a draft in escaped marks": lambda a, o: f"&lt;think&gt;{o}&lt;/think&gt;{text(a)}",
    "in a fence that is not closed": lambda a, _: f"```json\n{text(a)}\n",
    "in a mark of its own": lambda a, _: f"<answer>{text(a)}</answer>",
    "scores beside the rest": lambda a, _: (
        text({**a["scores"], **{name: one for name, one in a.items() if name != "scores"}}) if "scores" in a else None
    ),
    "scores with reasons": lambda a, _: scores(a, lambda n: {"score": n, "reason": "so"}),
    "an open draft in a thought": lambda a, o: f"<think>{o[: len(o) // 2]} hm</think>{text(a)}",
    "an example that does not fit before": lambda a, o: f'As in {{"instrument": "..."}}: {text(a)}',
    "the same answer twice": lambda a, _: f"{text(a)}\n\nOnce more:\n```json\n{dumps(a, 2)}\n```",
    "a list of one": lambda a, _: f"[{text(a)}]",
    "a byte order mark and CRLF": lambda a, _: "\ufeff" + str(dumps(a, 1)).replace("\n", "\r\n"),
    "a trailing comma": lambda a, _: text(a)[:-1] + ",}",
    "trailing commas everywhere": lambda a, _: re.sub(r"(?<=[\]}\"\d])([\]}])", r",\1", text(a)),
    "// comments": lambda a, _: str(dumps(a, 1)).replace(",\n", ", // so it is\n"),
    "/* comments */": lambda a, _: text(a).replace("{", "{ /* mine */ ", 1),
    "# comments": lambda a, _: str(dumps(a, 1)).replace(",\n", ",  # so it is\n"),
    "Python's literals and quotes": lambda a, _: repr(a),
    "curly quotes": curly,
    "closing curly quotes only": lambda a, _: text(a).replace('"', "”"),
    "single curly quotes": lambda a, _: re.sub(r'"([^"]*)"', r"‘\1’", text(a)),
    "keys without quotes": lambda a, _: re.sub(r'"(\w+)":', r"\1:", text(a)),
    "commas missing at line ends": lambda a, _: re.sub(r',\n( +"\w+":)', r"\n\1", str(dumps(a, 1))),
    "full-width colons and commas": lambda a, _: re.sub(r'": ', '"：', text(a)).replace(', "', '，"'),
    "JSON in a JSON string": lambda a, _: json.dumps(text(a)),
    "JSON escaped once too often": lambda a, _: json.dumps(dumps(a, 1))[1:-1],
    "under the name of the answer": lambda a, _: text({title(a): a}),
    "under snake_case of the name": lambda a, _: text({re.sub(r"(?<=[a-z])(?=[A-Z])", "_", title(a)).lower(): a}),
    "under answer": lambda a, _: text({"answer": a}),
    "under result, in a string": lambda a, _: text({"result": text(a)}),
    "as a call of a tool": lambda a, _: text({"name": "Submit", "arguments": a}),
    "beside its reasoning": lambda a, _: text({"reasoning": "long", "final_answer": a}),
    "beside an object of other things": lambda a, _: text({"analysis": {"trend": "up"}, "answer": a}),
    "under a name under a name": lambda a, _: text({"response": {title(a): [a]}}),
    "camelCase keys": lambda a, _: text(renamed(a, camel)),
    "Title_Case keys": lambda a, _: text(renamed(a, str.title)),
    "UPPER CASE keys": lambda a, _: text(renamed(a, lambda key: key.upper().replace("_", " "))),
    "keys with hyphens": lambda a, _: text(renamed(a, lambda key: key.replace("_", "-"))),
    "with what a service adds": lambda a, _: text(
        {"status": "completed", "id": "r-1", "error": None, "is_error": False, "usage": {"tokens": 3}, "result": a}
    ),
    "a key more": lambda a, _: text(a | {"model": "gpt-5.2-pm"}),
    "inner objects in strings": lambda a, _: text(
        {name: text(one) if isinstance(one, dict | list) else one for name, one in a.items()}
    ),
    "optional lists missing": without(*LISTS),
    "optional lists null": lambda a, _: dumps(changed(a, LISTS, lambda _: None)),
    "lists of text as lines": lambda a, _: dumps(
        changed(a, ("thesis_bullets", "top_narratives"), lambda lines: "\n".join(f"- {one}" for one in lines))
    ),
    "choices in lower case": spoken({"LONG": "long", "Bullish": "bullish", "Bearish": "bearish"}),
    "choices in title case with space": spoken({"LONG": " Long\n", "Bullish": "BULLISH ", "Bearish": " bearish."}),
    "choices in bold": spoken({"LONG": "**LONG**", "Bullish": "*Bullish*", "Bearish": "`Bearish`"}),
    "choices as orders": spoken({"LONG": "buy", "Bullish": "Buy", "Bearish": "short"}),
    "choices as views": spoken({"LONG": "BULLISH", "Bullish": "slightly bullish", "Bearish": "Bearish bias"}),
    "choices in Chinese": spoken({"LONG": "做多", "Bullish": "看涨", "Bearish": "看空"}),
    "choices said twice": spoken({"LONG": "LONG (buy)", "Bullish": "Bullish / positive", "Bearish": "bearish, down"}),
    "tickers in lower case": lambda a, _: dumps(changed(a, TICKERS, str.lower)),
    "tickers with a dollar sign": lambda a, _: dumps(changed(a, TICKERS, lambda one: f"${one}")),
    "tickers of Bloomberg": lambda a, _: dumps(changed(a, TICKERS, lambda one: f"{one} US Equity")),
    "tickers with what they are": lambda a, _: dumps(changed(a, TICKERS, lambda one: f"{one} (ETF)")),
    "tickers with their exchange": lambda a, _: dumps(changed(a, TICKERS, lambda one: f"NASDAQ:{one}")),
    "convictions with a plus sign": lambda a, _: (
        None if (one := dumps(changed(a, CONVICTIONS, lambda n: f"@+{n}@"))) is None else re.sub('"?@"?', "", one)
    ),
    "convictions as strings": lambda a, _: dumps(changed(a, CONVICTIONS, lambda n: f"+{n}")),
    "convictions as floats": lambda a, _: dumps(changed(a, CONVICTIONS, float)),
    "scores of ten": lambda a, _: scores(a, lambda n: f"{n}/10"),
    "scores out of ten": lambda a, _: scores(a, lambda n: f"{n} out of 10"),
    "scores as strings": lambda a, _: scores(a, lambda n: f" {n}.0 "),
    "scores as floats": lambda a, _: scores(a, float),
    "scores of ten without quotes": lambda a, _: (
        None if "scores" not in a else re.sub(r'("\w+": )(\d)([,}])', r"\1\2/10\3", text(a))
    ),
    "prices in dollars": with_price(lambda price: f"${price:,.2f}"),
    "prices in USD": with_price(lambda price: f"{price} USD"),
    "prices as strings": with_price(str),
    "prices in dollars without quotes": raw_price(lambda price: f"${price}"),
    "true and false as words": lambda a, _: dumps(changed(a, ("invalidated",), lambda _: "No")),
    "a raw line break in a string": lambda a, _: last_string(a, "\nsecond line"),
    "a raw tab in a string": lambda a, _: last_string(a, "\tsecond"),
    "half a surrogate pair in a string": lambda a, _: last_string(a, " \\ud83d"),
    "an escape that JSON does not know": lambda a, _: last_string(a, " it\\'s \\$5"),
    "quotes that are not escaped": lambda a, _: last_string(a, ' the "hot" sector'),
    "</think> in a string": lambda a, _: last_string(a, " </think> is text, <think> too"),
    "a bad rejected trade": lambda a, _: (
        text(a | {"rejected_trades": [{"instrument": "SPY", "direction": "sell", "reason": "no"}, "TLT"]})
        if "rejected_trades" in a
        else None
    ),
}
"""Forms that mean the answer. Those that end a string otherwise, or bring more, are held against sides and numbers."""

FLAT: dict[str, Form] = {
    "FLAT without stop and target": flat(),
    "FLAT with N/A": flat(stop="N/A", target="n/a"),
    "FLAT with none": flat(stop="None", target="-"),
    "neutral": flat(direction="Neutral", stop=None, target=None),
    "stay out": flat(direction="stay out", stop="", target=""),
}

ASKED: dict[str, Form] = {
    "cut in the middle": lambda a, _: text(a)[: len(text(a)) * 2 // 3],
    "cut before the last brace": lambda a, _: text(a)[:-1],
    "the opposite whole, the answer cut": lambda a, o: f"{o}\nOn reflection:\n{text(a)[:-9]}",
    "the opposite whole, then a brace": lambda a, o: f"{o}\nOn reflection:\n{{",
    "the opposite whole, then an open fence": lambda a, o: f"```json\n{o}\n```\nOn reflection:\n```json\n",
    "texts left out with dots": lambda a, _: (
        re.sub('"(Cuts|Oil)"', "...", text(a)) if re.search('"(Cuts|Oil)"', text(a)) else None
    ),
    "a direction with an arrow": spoken(dict.fromkeys(MIRRORED, "LONG \u2198")),
    "a list that goes on": lambda a, o: f"[{o},",
    "a thought that is never closed": lambda a, o: f"<think>{o} hm, let me see",
    "an answer and an open thought": lambda a, o: f"{o}\n<think>no, that is wrong",
    "a draft in a thought and no answer": lambda a, o: f"<think>{o}</think>\nSorry, I cannot decide.",
    "a draft that ends its thought within a string": lambda a, o: f"<think>{o[:-2]}</think>",
    "two different answers": lambda a, o: f"```json\n{o}\n```\nor\n```json\n{text(a)}\n```",
    "two different answers, one with a slip": lambda a, o: f"{o}\n\nFinal:\n{text(a)[:-1]},}}",
    "a list of two different answers": lambda a, o: f"[{o}, {text(a)}]",
    "a draft and a final answer in one object": lambda a, o: f'{{"draft": {o}, "final": {text(a)}}}',
    "a draft alone in an object": lambda a, o: f'{{"draft": {o}}}',
    "a draft and an answer under names that say nothing": lambda a, o: f'{{"first": {o}, "second": {text(a)}}}',
    "an answer and a review of its opposite": lambda a, o: f'{{"answer": {o}, "result": {text(a)}}}',
    "an example alone in an object": lambda a, o: f'{{"example_answer": {o}}}',
    "the opposite fits, the last object does not": lambda a, o: f'{o}\nCorrection: {{"direction": "LONG"}}',
    "the opposite fits, the last object is broken": lambda a, o: f"{o}\nCorrection: {text(a).replace(':', ' ', 1)}",
    "the opposite in an object that is broken": lambda a, o: f'{{"old": {o}, "new" {text(a)}}}',
    "a key given twice with different values": first_pair_again,
    "a key given twice in two cases": lambda a, o: re.sub(
        r'("direction"|"SPY"|"clarity"|"invalidated")(: [^,}]*)', r"\1\2, \1\2", first_pair_again(a, o), count=1
    ),
    "a field given again in capitals": lambda a, o: text(a | renamed_up(turned(a, o))),
    "a field given before in capitals": lambda a, o: text(renamed_up(turned(a, o)) | a),
    "a list of opposites beside the answer": lambda a, o: f'{{"answer": {text(a)}, "final": [{o}, {o}]}}',
    "a word of the opposite beside the answer": lambda a, o: text({"answer": a, "revised": {"dir": "SHORT"}}),
    "a cut string of the opposite beside the answer": lambda a, o: text({"answer": a, "final_answer": o[:-3]}),
    "the opposite beside the fields": lambda a, o: f'{text(a)[:-1]}, "final": {o}}}',
    "fields of the opposite under a name that says nothing": lambda a, o: text(a | {"x": [turned(a, o)]}),
    "the answer of a peer": lambda a, o: text({f"peer_{title(a).lower()}": a}),
    "an answer with its error": lambda a, o: text({"data": a, "error": "rejected, go the other way"}),
    "an answer that is rejected": lambda a, o: text({"answer": a, "verdict": "rejected"}),
    "an answer that is a draft": lambda a, o: text({"response": a, "status": "draft"}),
    "an answer of status rejected": lambda a, o: text(a | {"status": "rejected"}),
    "prices under levels": lambda a, o: (
        text({key: one for key, one in a.items() if key not in PRICES} | {"levels": {"comment": "so " * 20, "sl": 470}})
        if "stop" in a
        else None
    ),
    "1e999": lambda a, _: text(a)[:-1] + ', "confidence": 1e999}',
    "NaN": lambda a, _: text(a)[:-1] + ', "confidence": NaN}',
    "Infinity": raw_price(lambda _: "Infinity"),
    "1e999 for a price": raw_price(lambda _: "1e999"),
    "an integer of 400 digits": raw_price(lambda _: "9" * 400),
    "a conviction out of range": lambda a, _: dumps(changed(a, CONVICTIONS, lambda _: 5)),
    "a conviction in words": lambda a, _: dumps(changed(a, CONVICTIONS, lambda _: "high")),
    "a conviction of another scale": lambda a, _: dumps(changed(a, CONVICTIONS, lambda _: "2/2")),
    "true for a conviction": lambda a, _: dumps(changed(a, CONVICTIONS, lambda _: True)),
    "a sign that contradicts the direction": lambda a, _: (
        None if "direction" not in text(a) else dumps(changed(a, CONVICTIONS, lambda n: -n))
    ),
    "both directions": spoken(dict.fromkeys(MIRRORED, "LONG/SHORT")),
    "a direction denied": spoken(dict.fromkeys(MIRRORED, "not bullish")),
    "a direction in doubt": spoken(dict.fromkeys(MIRRORED, "LONG?")),
    "sell": spoken(dict.fromkeys(MIRRORED, "sell")),
    "Strong Sell": spoken(dict.fromkeys(MIRRORED, "Strong Sell")),
    "exit": spoken(dict.fromkeys(MIRRORED, "EXIT")),
    "reduce": spoken(dict.fromkeys(MIRRORED, "reduce")),
    "avoid": spoken(dict.fromkeys(MIRRORED, "avoid")),
    "hold": spoken(dict.fromkeys(MIRRORED, "hold")),
    "卖出": spoken(dict.fromkeys(MIRRORED, "卖出")),
    "an unknown ticker": lambda a, _: dumps(changed(a, TICKERS, lambda _: "TSLA")),
    "two tickers": lambda a, _: dumps(changed(a, TICKERS, lambda _: "SPY/QQQ")),
    "an option on a ticker": lambda a, _: dumps(changed(a, TICKERS, lambda one: f"{one} puts")),
    "a ticker with a minus sign": lambda a, _: dumps(changed(a, TICKERS, lambda one: f"-{one}")),
    "scores of five": lambda a, _: scores(a, lambda _: "4/5"),
    "scores in per cent": lambda a, _: scores(a, lambda n: f"{10 * n}%"),
    "scores between two": lambda a, _: scores(a, lambda n: f"{n - 0.5}/10"),
    "prices under another key": lambda a, _: text(renamed(a, lambda key: f"{key}_price")) if "stop" in a else None,
    "a stop under another key": lambda a, _: text(a).replace('"stop"', '"stop_loss"') if "stop" in a else None,
    "prices in per cent": with_price(lambda _: "5%"),
    "prices relative to the close": with_price(lambda _: "+50"),
    "prices relative without quotes": raw_price(lambda _: "+50"),
    "prices in ATR": with_price(lambda _: "2 ATR away"),
    "prices with a decimal comma": with_price(lambda _: "1.500,5"),
    "prices with one digit after a comma": with_price(lambda _: "1400,5"),
    "prices with a comma without quotes": raw_price(lambda _: "1,400.5"),
    "prices in another currency": with_price(lambda price: f"€{price}"),
    "prices a hundred times too small": with_price(lambda price: price / 100),
    "prices ten times too large": with_price(lambda price: price * 10),
    "prices on the wrong side of the close": lambda a, _: (
        text(a | {"stop": 1500.0, "target": 1560.0}) if "stop" in a else None
    ),
    "a field that says nothing": lambda a, _: (
        last_string(a, "").replace(str(list(a.values())[-1]), "", 1) if isinstance(list(a.values())[-1], str) else None
    ),
    "no trades named at all": lambda a, _: without("approved_trades")(a, ""),
}
"""Forms that must be asked about: the opposite stands in many of them, and none of them may be read."""
