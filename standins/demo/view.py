"""What a person sees while a push is on its way: the commit's statuses at GitHub, as they come in."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.table import Table

from standins.stack import REPOSITORY, Stack

STAGES = ("gateway", "workspaces", "keys", "projects")
#: By the state of a commit status.
MARKS = {"success": "[green]✓[/]", "pending": "[yellow]…[/]", "failure": "[red]✗[/]", "error": "[red]✗[/]"}

#: By the level of an annotation.
ANNOTATIONS = {"failure": "[red]✗[/]", "warning": "[yellow]![/]", "notice": "[cyan]i[/]"}
#: A table with the stages beside each other needs so many columns.
_WIDE = 130


@dataclass(frozen=True)
class Seen:
    """One status, and how many seconds after the push it was first seen."""

    state: str
    text: str
    after: float


class Watch:
    """Follows the statuses of one commit until a condition holds. On a wide terminal a table that lives,
    elsewhere a line per change.
    """

    def __init__(self, console: Console, stack: Stack, commit: str) -> None:
        self._console = console
        self._stack = stack
        self._commit = commit
        self._started = time.monotonic()
        self._is_table = console.is_terminal and console.width >= _WIDE
        self.seen: dict[str, Seen] = {}

    def until(
        self, what: str, condition: Callable[[Mapping[str, Seen]], Any], seconds: float = 120.0
    ) -> None:
        """Raises TimeoutError with `what` when the condition does not come true in time."""
        deadline = time.monotonic() + seconds
        with Live(self._table(), console=self._console, refresh_per_second=8, transient=False) as live:
            while True:
                if self._look() and self._is_table:
                    live.update(self._table())
                if condition(self.seen):
                    live.update(self._table())
                    return
                if time.monotonic() > deadline:
                    raise TimeoutError(f"not in {seconds:.0f} s: {what}")
                time.sleep(0.1)

    def _look(self) -> bool:
        """Read the statuses; GitHub lists the newest first, and the newest of a context counts."""
        newest: dict[str, Any] = {}
        for status in self._stack.github("GET", f"/repos/{REPOSITORY}/commits/{self._commit}/statuses"):
            newest.setdefault(status["context"], status)
        changed = False
        for context, status in newest.items():
            known = self.seen.get(context)
            if known is None or (known.state, known.text) != (status["state"], status["description"]):
                self.seen[context] = Seen(
                    status["state"], status["description"], time.monotonic() - self._started
                )
                changed = True
                if not self._is_table:
                    self._console.print(
                        f"  {self.seen[context].after:5.1f} s  {context}: {escape(status['description'])}",
                        highlight=False,
                    )
        return changed

    def _table(self) -> Table | str:
        if not self._is_table:
            return ""
        table = Table(box=None, padding=(0, 2))
        for column in ("team", *STAGES):
            table.add_column(column)
        teams = sorted({context.split("/")[1] for context in self.seen})
        for team in teams:
            first = "catalog" if team == "catalogue" else STAGES[0]
            table.add_row(team, *(self._cell(f"mergekey/{team}/{stage}") for stage in (first, *STAGES[1:])))
        return table

    def _cell(self, context: str) -> str:
        seen = self.seen.get(context)
        return "" if seen is None else f"{MARKS[seen.state]} {escape(seen.text)} [dim]{seen.after:.1f} s[/]"
