"""The templates of all pages, and what they have in common: one style sheet, the same filters, everything escaped."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jinja2 import Environment, Template
    from markupsafe import Markup

TEMPLATES = Path(__file__).parent / "templates"
SHARED = "style.css"
"""The style sheet of every page; a page's own one only adds to it."""


@cache
def template(name: str, style: str | None = None) -> Template:
    """The template `name`, with the shared style sheet and, after it, the page's own."""
    from markupsafe import Markup

    environment = _environment()
    sheets = "\n".join(read(sheet) for sheet in (SHARED, style) if sheet)
    return environment.get_template(name, globals={"style": Markup(sheets)})


def read(name: str) -> str:
    """The text of a file among the templates."""
    return (TEMPLATES / name).read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    environment.filters |= {"drawn": Markup, "breakable": _breakable, "coded": _coded, "ranged": _ranged}
    return environment


def _breakable(name: object) -> Markup:
    """A name that may go on in the next line behind an underscore or a dot between letters."""
    from markupsafe import Markup, escape

    return Markup(re.sub(r"_|(?<=[A-Za-z_])\.|\.(?=[A-Za-z_])", r"\g<0><wbr>", str(escape(name))))


def _coded(sentence: object) -> Markup:
    """A sentence in which what stands between backticks is code, and no date or percentage is broken."""
    from markupsafe import Markup, escape

    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(sentence)))
    text = re.sub(r"\b\d{4}-\d\d-\d\d\b", r'<span class="date">\g<0></span>', text)
    return Markup(re.sub(r"(?<=\d) %", "\u00a0%", text))


def _ranged(text: object) -> str:
    """An interval whose second end keeps its "to"."""
    return str(text).replace(" to ", " to\u00a0")
