"""Problems and capacities for a terminal. Control characters and markup of foreign texts are escaped."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING

from shared.documents.problem import Problem, visible

if TYPE_CHECKING:
    from shared.branch.review import Review
    from shared.catalog.capacity import Capacity

_STYLES = {"failure": "red", "warning": "yellow", "notice": "cyan"}
_INDENT = 10


def show(found: Review, *, capacity: bool) -> None:
    """The problems, and with `capacity` the models that have one."""
    _print_problems(found.problems)
    if capacity:
        _show_capacity([each for each in found.capacity.values() if each.limit is not None])


def _print_problems(problems: tuple[Problem, ...]) -> None:
    """By file, each with its place: in a terminal the message below it, else in the same line."""
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for path, group in groupby(problems, key=lambda problem: problem.path):
        console.print(Text(visible(path), style="bold"))
        for problem in group:
            place = f"  {problem.line}:{problem.column}"
            message = f"  {visible(problem.message)}"
            if console.is_terminal:
                message = _below(problem.message, console.width)
            reason = (problem.reason, _STYLES[problem.level])
            console.print(Text.assemble(f"{place:<{_INDENT}}", reason, message))
        console.print()


def _below(message: str, width: int) -> str:
    """The message in lines of its own, indented, at most as wide as the terminal."""
    lines = textwrap.wrap(
        visible(message), max(width - _INDENT, 30), break_long_words=False, break_on_hyphens=False
    )
    return "".join(f"\n{' ' * _INDENT}{line}" for line in lines)


def _show_capacity(models: Sequence[Capacity]) -> None:
    """Print the tokens per minute of each model that has a capacity."""
    from rich.console import Console
    from rich.table import Table

    if not models:
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("model", overflow="fold")
    for column in ("capacity", "may be granted", "granted", "left"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("teams", overflow="fold")
    for each in models:
        teams = ", ".join(f"{team} {tokens:,}" for team, tokens in each.granted.items())
        numbers = (each.capacity, each.limit, each.total, each.left)
        table.add_row(each.model, *(f"{number:,}" for number in numbers), teams)
    console = Console()
    if not console.is_terminal:
        console = Console(width=120)
    console.print(table)
    console.print()
