"""A council's YAML and Markdown: what is wrong is named by file and line."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from simulator.council.prompt_files import OPENING, VARIABLES, facts_block, json_text, load_prompt
from simulator.council.spec import CouncilSpec, Stages, load_definition
from simulator.errors import ConfigError, UsageError

ROOT = Path(__file__).parents[2]
BLOCK = "```json\n{{ facts }}\n```\n"


@pytest.fixture
def council(tmp_path: Path) -> Path:
    return shutil.copytree(ROOT / "strategies" / "macro_council", tmp_path / "my_council") / "strategy.yaml"


def line_of(path: Path, text: str) -> int:
    return next(n for n, line in enumerate(path.read_text().splitlines(), 1) if text in line)


def test_the_shipped_council_names_every_file_it_is_made_of():
    folder = ROOT / "strategies" / "macro_council"
    definition = load_definition(folder / "strategy.yaml")
    assert definition.name == "macro_council"
    assert set(definition.files) == {p.relative_to(folder).as_posix() for p in folder.rglob("*.*")}


def test_editing_a_prompt_changes_the_digests(council):
    before = load_definition(council).files
    prompt = council.parent / "prompts" / "carry.md"
    prompt.write_text(prompt.read_text() + "\nBe brief.\n")
    after = load_definition(council).files
    assert {name for name in before if before[name] != after[name]} == {"prompts/carry.md"}


def test_a_copy_with_other_seats_is_a_council_of_its_own(convene, council, year):
    text = council.read_text().replace("      pm.carry: prompts/carry.md\n      pm.breakout: prompts/breakout.md\n", "")
    council.write_text(text)
    meeting = convene(path=council).hold([year.snapshot(0)])
    assert meeting.council.name == "my_council"
    assert len(meeting.gateway.heard) == 2 + 3 + 6 + 1


def test_an_unknown_key_is_named_with_its_line_and_the_nearest_one(council):
    council.write_text(council.read_text().replace("max_trades: 5", "max_trade: 5"))
    with pytest.raises(ConfigError) as caught:
        load_definition(council)
    assert str(caught.value).startswith(f"{council}:{line_of(council, 'max_trade: 5')}: ")
    assert 'did you mean "max_trades"' in str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("{1: 0.10, 2: 0.20}", "{1: 0.10}", "give a size for both 1 and 2"),
        ("{1: 0.10, 2: 0.20}", "{1: 0.10, 3: 0.20}", "3"),
        ("cadence: weekly", "cadence: fortnightly", "fortnightly"),
        ("quorum: 0.5", "quorum: 1.5", "1.5"),
        ("window: 260", "window: none", "none"),
        ("    seat: chairman", "    seat: pm.carry", 'seat "pm.carry" is taken twice'),
    ],
)
def test_a_wrong_value_is_named_with_its_line(council, old, new, complaint):
    council.write_text(council.read_text().replace(old, new))
    with pytest.raises(ConfigError, match=complaint) as caught:
        load_definition(council)
    assert str(caught.value).startswith(f"{council}:{line_of(council, new)}: ")


def test_a_missing_prompt_file_is_named_where_it_is_asked_for(council):
    council.write_text(council.read_text().replace("prompts/carry.md", "prompts/cary.md"))
    with pytest.raises(ConfigError) as caught:
        load_definition(council)
    line = line_of(council, "prompts/cary.md")
    assert str(caught.value) == f'{council}:{line}: no prompt file "prompts/cary.md", did you mean "prompts/carry.md"?'


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("    prompt: prompts/checkpoint.md", "    promt: prompts/checkpoint.md", 'did you mean "prompt"'),
        ("prompts/checkpoint.md", "prompts/chekpoint.md", 'did you mean "prompts/checkpoint.md"'),
        ("  checkpoint: #", "  checkpoints: #", 'did you mean "checkpoint"'),
        ("prompts/checkpoint.md", "/prompts/checkpoint.md", "named by its whole path"),
        ("pm.carry: prompts", "pm.trend: prompts", '"pm.trend" stands there twice'),
        ("research.1: prompts", "pm.trend: prompts", 'seat "pm.trend" is taken twice'),
        ("pm.carry: prompts", "vote: prompts", 'seat "vote" stands for a council without a chairman'),
        ("quorum: 0.6\n    seats", "quorum: 0\n    seats", "give more than 0"),
        ("quorum: 0.6\n    seats", "quorum: most\n    seats", "most"),
        ("limit_atr: 0.1", "limit_atr: .nan", "finite number"),
        ("2: 0.20}", "2: .inf}", "finite number"),
        ("cadence: weekly", "cadence: weakly", "cadence was 'weakly', did you mean \"weekly\"?"),
        ("stages:\n", "facts: [clos]\nstages:\n", "facts.0 was 'clos', did you mean \"close\"?"),
        ("  review:", "  reviews:", 'unknown key "stages.reviews", did you mean "review"?'),
    ],
)
def test_what_a_copied_council_gets_wrong_is_named_by_file_and_line(council, old, new, complaint):
    assert old in council.read_text()
    council.write_text(council.read_text().replace(old, new))
    with pytest.raises(ConfigError) as caught:
        load_definition(council)
    assert complaint in str(caught.value)
    where = re.match(rf"{re.escape(str(council))}:(\d+): ", str(caught.value))
    assert where, str(caught.value)
    assert new.split(":")[0].strip() in council.read_text().splitlines()[int(where[1]) - 1]


def test_a_seat_without_a_model_is_named_where_it_stands(council, convene):
    council.write_text(council.read_text().replace("pm.carry: prompts", "pm.cary: prompts"))
    with pytest.raises(ConfigError) as caught:
        convene(path=council)
    where = f"{council}:{line_of(council, 'pm.cary')}"
    assert str(caught.value).startswith(f'{where}: no model in seat "pm.cary", did you mean "pm.carry"?; name one in ')


def test_a_checkpoint_that_is_switched_on_needs_its_prompt(council):
    council.write_text(council.read_text().replace("    prompt: prompts/checkpoint.md\n", ""))
    with pytest.raises(ConfigError, match="give the prompt of its questions"):
        load_definition(council)
    council.write_text(council.read_text() + '    prompt: ""\n')
    with pytest.raises(ConfigError, match="give the prompt of its questions"):
        load_definition(council)


def test_a_council_without_checkpoints_has_none(council, convene, year):
    text = council.read_text()
    council.write_text(text[: text.index("  checkpoint: #")])
    definition = load_definition(council)
    assert "prompts/checkpoint.md" not in definition.files
    meetings = convene(path=council).hold([year.snapshot(0)])
    assert meetings.council.checkpoint is None
    assert meetings.council.member("pm.trend").checkpoint is None
    assert "opened" not in meetings.decisions[0].record


def test_a_checkpoint_may_have_a_persona_of_its_own(council, convene, year):
    (council.parent / "prompts" / "cool.md").write_text("You keep a cool head about {{ symbols | join(', ') }}.\n")
    council.write_text(council.read_text() + "    persona: prompts/cool.md\n")
    assert "prompts/cool.md" in load_definition(council).files
    meetings = convene(path=council)
    meetings.follow(year.points[:2])
    asked = [r.messages[-1].content for r in meetings.gateway.heard if r.purpose["stage"] == "checkpoint"]
    assert asked
    assert {text.rpartition("## Who you are\n\n")[2] for text in asked} == {"You keep a cool head about SPY, QQQ."}


def test_an_unknown_variable_in_the_checkpoints_prompt_is_named_with_its_line(council):
    prompt = council.parent / "prompts" / "checkpoint.md"
    prompt.write_text(prompt.read_text().replace("{{ direction }}", "{{ directions }}"))
    with pytest.raises(ConfigError, match='unknown variable "directions", did you mean "direction"') as caught:
        load_definition(council)
    assert str(caught.value).startswith(f"{prompt}:{line_of(prompt, 'directions')}: ")


@pytest.mark.parametrize(
    ("text", "line", "complaint"),
    [
        ("Hello\n{{ symbol }}\n" + BLOCK, 2, 'unknown variable "symbol", did you mean "symbols"?'),
        ("Hello\n\n{% for s in symbols %}\n" + BLOCK, 5, "bad template"),
        ("{% if %}\n" + BLOCK, 1, "bad template"),
    ],
)
def test_a_bad_template_is_named_by_file_and_line(tmp_path, text, line, complaint):
    path = tmp_path / "pitch.md"
    path.write_text(text)
    with pytest.raises(ConfigError, match=complaint.replace("?", r"\?")) as caught:
        load_prompt(path, "pitch")
    assert str(caught.value).startswith(f"{path}:{line}: ")


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("No facts at all.\n", 1),
        ("Facts {{ facts }} in prose.\n", 1),
        ("Facts:\n```json\n{{ symbols }}\n```\n", 2),
        (BLOCK + BLOCK, 1 + BLOCK.count("\n") + BLOCK[: BLOCK.index("```json")].count("\n")),
    ],
)
def test_a_stages_prompt_must_show_its_facts_in_one_json_block(tmp_path, text, line):
    path = tmp_path / "pitch.md"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"put \{\{ facts \}\} alone into the one ```json block") as caught:
        load_prompt(path, "pitch")
    assert str(caught.value).startswith(f"{path}:{line}: ")


def test_a_prompt_that_is_no_utf_8_is_named_with_its_line(tmp_path):
    path = tmp_path / "trend.md"
    path.write_bytes(b"You follow\n\xfftrends.\n")
    with pytest.raises(ConfigError) as caught:
        load_prompt(path, "persona")
    assert str(caught.value) == f"{path}:2: is not UTF-8"


@pytest.mark.parametrize(
    "expression", ["{{ symbols[9] }}", "{{ 1 / 0 }}", "{{ ''.__class__.__mro__ }}", "{{ symbols.append('X') }}"]
)
def test_a_template_that_fails_names_its_line_and_cannot_leave_its_sandbox(tmp_path, expression):
    path = tmp_path / "persona.md"
    path.write_text(f"You trade.\n{expression}\n")
    prompt = load_prompt(path, "persona")
    with pytest.raises(ConfigError, match="template failed") as caught:
        prompt.render(symbols=["SPY"])
    assert str(caught.value).startswith(f"{path}:2: ")


@pytest.mark.parametrize("path", sorted((ROOT / "strategies/macro_council/prompts").glob("*.md")), ids=lambda p: p.stem)
def test_every_shipped_prompt_renders_to_plain_text(path):
    kind = "system" if path.stem == "council" else path.stem if path.stem in OPENING else "persona"
    values = {"as_of": "now", "symbols": ("SPY",), "user_query": "What?", "facts": "{}", "label": "B", "max_trades": 3}
    values |= {"persona": "You.", "half_size": "10%", "full_size": "20%", "instrument": "GLD", "direction": "LONG"}
    text = load_prompt(path, kind, OPENING).render(**{name: values[name] for name in OPENING[kind]})
    assert "{{" not in text
    assert ("SPY" in text) == ("{{ symbols" in path.read_text())
    assert text.count("```json\n{}\n```") == (kind not in ("persona", "system", "research"))
    assert text.count("You.") == ("persona" in OPENING[kind])


def test_parameters_replace_keys_of_the_file(council):
    assert load_definition(council, {"max_trades": 2, "cadence": "daily"}).spec.max_trades == 2
    with pytest.raises(UsageError, match=r'no parameter "max_trade", did you mean "max_trades"\?'):
        load_definition(council, {"max_trade": 2})
    with pytest.raises(UsageError, match="parameter max_trades was 0"):
        load_definition(council, {"max_trades": 0})


def test_facts_are_laid_out_a_line_per_symbol_with_sorted_keys():
    text = json_text({"symbols": {"SPY": {"b": 1, "a": 2}, "QQQ": {}}, "as_of": "now"}, 2)
    assert text == '{\n"as_of": "now",\n"symbols": {\n"QQQ": {},\n"SPY": {"a": 2, "b": 1}\n}\n}'
    assert facts_block(review='"B"', market="{}") == '{\n"market": {},\n"review": "B"\n}'


def test_the_page_on_councils_names_every_key_and_every_variable():
    page = (ROOT / "docs" / "councils.md").read_text()
    keys = {*CouncilSpec.model_fields} - {"stages"} | {f"stages.{name}" for name in Stages.model_fields}
    keys |= {name for stage in Stages.model_fields for name in Stages.model_fields[stage].annotation.model_fields}
    names = {*keys, *(name for declared in VARIABLES.values() for name in declared)}
    assert {name for name in names if f"`{name}`" not in page} == set()
