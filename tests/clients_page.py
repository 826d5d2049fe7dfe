"""The blocks of `docs/clients.md`: the lines of each client, for an example, and the table of all clients.

`python -m tests.clients_page` writes them into the page, each below its line `<!-- client: <name> -->`; a
test compares.
"""

from __future__ import annotations

import re
from pathlib import Path

from cli.recipes import RECIPES, Place, key_lines
from tests.gateway.client_table import rendered

PAGE = Path(__file__).resolve().parent.parent / "docs" / "clients.md"
EXAMPLE = Place(
    "alpha",
    "https://ai.contoso.com",
    "https://ai.contoso.com/openai/v1",
    "https://ai.contoso.com/bearer/openai/v1",
    "gpt-4.1",
)
_TABLE = re.compile(r"(<!-- table: clients -->\n)(.*?)(<!-- end of table -->)", re.DOTALL)
_BLOCK = re.compile(r"(<!-- client: ([\w-]+) -->\n```\w+\n)(.*?)(```\n)", re.DOTALL)


def rewritten(page: str) -> str:
    """The page with the lines and the table as they are now."""
    page = _TABLE.sub(lambda found: f"{found[1]}\n{rendered()}\n{found[3]}", page)
    return _BLOCK.sub(lambda found: found[1] + _lines(found[2]) + found[4], page)


def named(page: str) -> list[str]:
    """The names of the blocks, in their order on the page."""
    return [found[2] for found in _BLOCK.finditer(page)]


def _lines(name: str) -> str:
    return key_lines(EXAMPLE) if name == "key" else RECIPES[name].lines(EXAMPLE) or ""


if __name__ == "__main__":
    PAGE.write_text(rewritten(PAGE.read_text()))
