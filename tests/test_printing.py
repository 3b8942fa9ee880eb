"""Whatever is printed passes one function, and nothing in it steers a terminal."""

from __future__ import annotations

import ast
import io
import subprocess
import sys
import unicodedata
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console as AnyConsole
from rich.table import Table

import simulator
from simulator.errors import DataError
from simulator.printing import STEERING, guard_streams, is_printable_json, printable, printable_values, say
from simulator.report.renderers.console import Console, Text

PACKAGE = Path(simulator.__file__).parent
PRINTERS = ("printing.py", "report/renderers/console.py")
"""The only modules that may write to a stream of the process, or make a console."""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param(
            "\x1b[31mSHORT\x1b[0m",
            "\\x1b[31mSHORT\\x1b[0m",
            marks=pytest.mark.fault("answers", "colours (ESC [ … m) in an answer", "shown as \\x1b wherever printed"),
        ),
        pytest.param(
            "\x1b]0;title\x07\x1b]8;;http://evil\x1b\\link",
            "\\x1b]0;title\\x07\\x1b]8;;http://evil\\x1b\\link",
            marks=pytest.mark.fault("answers", "OSC: a window title or a link in an answer", "shown as \\x1b]"),
        ),
        pytest.param(
            "\x9b2J and \x90q",
            "\\x9b2J and \\x90q",
            marks=pytest.mark.fault("answers", "8-bit controls (CSI, DCS) in an answer", "shown as \\x9b, \\x90"),
        ),
        pytest.param(
            "buy\rsell\x08\x00\x7f",
            "buy\\x0dsell\\x08\\x00\\x7f",
            marks=pytest.mark.fault("answers", "carriage return, backspace, NUL in an answer", "shown as escapes"),
        ),
        pytest.param(
            "\u202eGNOL\u202c \u2066x\u2069 \u200f\u061c",
            "\\u202eGNOL\\u202c \\u2066x\\u2069 \\u200f\\u061c",
            marks=pytest.mark.fault("answers", "marks that turn the writing direction", "shown as \\u202e, pages too"),
        ),
        pytest.param(
            "S\u200bP\ufeffY\u2060 \u3164\xad \U000e0041",
            "S\\u200bP\\ufeffY\\u2060 \\u3164\\xad \\U000e0041",
            marks=pytest.mark.fault("answers", "zero-width characters in a name", "shown as \\u200b"),
        ),
        pytest.param("line 1\r\nline 2\n\tin", "line 1\nline 2\n\tin", id="lines and tabs stay"),
        pytest.param("👩🏽‍💻 ❤️‍🔥 ⚠️ 📈", "👩🏽‍💻 ❤️‍🔥 ⚠️ 📈", id="emoji stay"),
        pytest.param("SP\u200dY \ufe0f ⚠️\ufe0f", "SP\\u200dY \\ufe0f ⚠️\\ufe0f", id="their marks elsewhere do not"),
        pytest.param("5\xa0% − “naïve” 做多 \ud83d", "5\xa0% − “naïve” 做多 ?", id="ordinary text stays"),
    ],
)
def test_what_steers_a_terminal_is_shown_and_not_sent(text: str, shown: str) -> None:
    assert printable(text) == shown
    assert printable(shown) == shown
    assert printable_values({text: [text, 1, None]}) == {shown: [shown, 1, None]}
    assert str(DataError(text, where=text)).count("\x1b") == 0


def test_no_control_format_or_surrogate_character_of_unicode_is_left() -> None:
    signs = map(chr, range(sys.maxunicode + 1))
    bad = [sign for sign in signs if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")]
    assert {sign for sign in bad if printable(sign) == sign} == {"\n", "\t"}
    shown = "".join(map(printable, bad))
    assert printable(shown) == shown


def found_in(path: Path) -> Iterator[str]:
    """Ways of printing in a module beside the one."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        name = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
        if name in ("print", "Console", "rich.print", "os.write", "breakpoint", "input"):
            # The console of `simulator.report.renderers.console` is imported where it is made.
            if name == "Console" and "renderers.console import Console" in path.read_text(encoding="utf-8"):
                continue
            if name == "os.write" and ast.unparse(node.args[0]).startswith(("self._", "handle")):
                continue
            yield f"{path.name}:{node.lineno} {name}()"
        if name.startswith(("click.", "traceback.print_", "logging.", "faulthandler.")) and name.rpartition(".")[2] in (
            *("echo", "secho", "style", "echo_via_pager", "prompt", "confirm", "progressbar", "pause", "clear"),
            *("print_exc", "print_exception", "print_stack", "print_tb", "StreamHandler", "basicConfig", "enable"),
        ):
            yield f"{path.name}:{node.lineno} {name}()"
        if isinstance(node, ast.ImportFrom):
            names = {alias.name for alias in node.names}
            if node.module in ("rich", "rich.text") or (node.module == "click" and names & {"echo", "secho", "style"}):
                yield f"{path.name}:{node.lineno} from {node.module}"
        if isinstance(node, ast.Attribute) and ast.unparse(node) in (
            *("sys.stderr", "sys.__stdout__", "sys.__stderr__", "sys.stdout.write", "sys.stdout.buffer"),
        ):
            yield f"{path.name}:{node.lineno} {ast.unparse(node)}"


def test_json_is_printable_where_no_character_of_it_steers() -> None:
    for code in [*range(0x20000), *range(0xE0000, 0xE1000)]:
        assert is_printable_json(f'["é{chr(code)}ü"]') is (STEERING.search(chr(code)) is None), hex(code)
    assert not is_printable_json('["\\u200b"]')


@pytest.mark.medium
def test_nothing_is_printed_in_another_way() -> None:
    modules = {path.relative_to(PACKAGE).as_posix(): path for path in sorted(PACKAGE.rglob("*.py"))}
    assert set(PRINTERS) < set(modules)
    assert [way for name, path in modules.items() if name not in PRINTERS for way in found_in(path)] == []


def test_the_search_finds_other_ways(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        "import click, sys\nfrom rich.console import Console\nfrom rich.text import Text\n"
        "print(1)\nclick.echo(1)\nsys.stderr.write('1')\nConsole().print(1)\n"
    )
    assert len(list(found_in(tmp_path / "module.py"))) == 5


HOSTILE = "\x1b[2J\x9b1m\u202eSPY\x00[bold]x[/bold]:smile:"
SHOWN = "\\x1b[2J\\x9b1m\\u202eSPY\\x00[bold]x[/bold]:smile:"


def test_tables_and_texts_of_rich_are_printable_and_as_wide_as_they_look() -> None:
    for make in (lambda out: AnyConsole(file=out, width=80), lambda _: Console()):
        out = io.StringIO()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sys, "stdout", out)
            console = make(out)
            table = Table("name", box=None)
            table.add_row(Text(HOSTILE), Text("next"))
            console.print(table)
            console.print(Text.assemble((HOSTILE, "bold"), HOSTILE), soft_wrap=True)
        assert out.getvalue().split("\n")[1].strip() == f"{SHOWN}  next"
        assert out.getvalue().split("\n")[2] == SHOWN + SHOWN


def test_a_plain_string_is_no_markup_and_steers_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    Console().print(HOSTILE)
    assert capsys.readouterr().out == SHOWN + "\n"


def test_while_streams_are_guarded_strategies_and_warnings_print_the_same_way(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with guard_streams():
        print("strategy says", HOSTILE)
        print(HOSTILE, file=sys.stderr)
        sys.stderr.writelines([HOSTILE])
        say(HOSTILE, err=True)
    print("\x1b")
    told = capsys.readouterr()
    assert told.out == f"strategy says {SHOWN}\n\x1b\n"
    assert told.err == f"{SHOWN}\n{SHOWN}{SHOWN}\n"


SHOW = "from simulator.printing import *\nfrom simulator.report.renderers.console import *\n"
SHOW += "with guard_streams():\n Console().print(Text('bold and red − 做', 'bold red'))\n print(is_animated(False))"


@pytest.mark.medium
@pytest.mark.parametrize(
    ("environment", "coloured"),
    [
        pytest.param({}, False, id="no terminal"),
        pytest.param({"FORCE_COLOR": "1"}, True, id="FORCE_COLOR"),
        pytest.param({"FORCE_COLOR": "0"}, False, id="FORCE_COLOR=0"),
        pytest.param({"FORCE_COLOR": ""}, False, id="FORCE_COLOR empty"),
        pytest.param({"FORCE_COLOR": "1", "NO_COLOR": "1"}, False, id="NO_COLOR wins"),
        pytest.param({"FORCE_COLOR": "1", "NO_COLOR": ""}, True, id="NO_COLOR empty"),
        pytest.param({"FORCE_COLOR": "1", "TERM": "dumb"}, False, id="TERM=dumb"),
        pytest.param(
            {"PYTHONIOENCODING": "ascii"},
            False,
            marks=pytest.mark.fault("machine", "a terminal that knows ASCII only", "shown as escapes"),
        ),
    ],
)
def test_colour_is_as_the_environment_wants_it(environment: dict[str, str], coloured: bool) -> None:
    base = {"PATH": "", "PYTHONPATH": str(PACKAGE.parent), "TERM": "xterm", "PYTHONIOENCODING": "utf-8"}
    done = subprocess.run(
        [sys.executable, "-c", SHOW], capture_output=True, text=True, check=True, env={**base, **environment}
    )
    text = "bold and red \\u2212 \\u505a" if environment.get("PYTHONIOENCODING") else "bold and red − 做"
    text = f"\x1b[1;31m{text}\x1b[0m" if coloured else text
    assert done.stdout == f"{text}\nFalse\n"
