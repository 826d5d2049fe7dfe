"""Texts of people for pages that render Markdown: nothing in them becomes a link, a picture or a heading."""

from __future__ import annotations

import re

from shared.documents.problem import visible


def spelt_out(text: str) -> str:
    """A message with every invisible character written as its escape, except its own line feeds."""
    return "\n".join(visible(line) for line in text.split("\n"))


def as_code(text: str) -> str:
    """A text in one line as a code span: its fence is longer than any run of backticks in it."""
    shown = visible(text)
    longest = max(map(len, re.findall("`+", shown)), default=0)
    fence = "`" * (longest + 1)
    space = " " if longest else ""
    return f"{fence}{space}{shown}{space}{fence}"


def message_as_code(message: str) -> str:
    """A message as code spans, one for each of its lines."""
    return "<br>".join(as_code(line.strip()) for line in message.split("\n") if line.strip())
