"""docs/clients.md has the lines that `mergekey teams show` prints, and the table that real clients filled."""

from __future__ import annotations

from cli.recipes import RECIPES
from tests.clients_page import PAGE, named, rewritten


def test_the_page_has_the_lines_of_every_client_as_they_are_printed() -> None:
    page = PAGE.read_text()
    assert named(page) == ["key", *RECIPES]
    assert rewritten(page) == page
    assert page.count("\n| openai for Python, ") == 4
