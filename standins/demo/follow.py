"""What `make up` shows: each push, what its check says, and what became of it by team and stage, in words."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table
from rich.text import Text

from standins.demo.view import ANNOTATIONS, MARKS
from standins.stack import REPOSITORY, Stack

#: Earlier pushes whose stages may still report: a GPU takes half an hour.
FOLLOWED = 10


@dataclass
class _Commit:
    """A pushed commit: when it was first seen, and what was shown of it. `quiet`: all that stands now was
    shown by an earlier run.
    """

    sha: str
    title: str
    since: float = field(default_factory=time.monotonic)
    verdicts: set[int] = field(default_factory=set)
    statuses: dict[str, tuple[str, str]] = field(default_factory=dict)


class Follower:
    """Reads what GitHub shows of the newest pushes, and prints what is new."""

    def __init__(self, console: Console, stack: Stack) -> None:
        self._console = console
        self._stack = stack
        self._commits: list[_Commit] = []

    def skip(self) -> None:
        """Leave out what stands there already."""
        self.look(quiet=True)

    def look(self, *, quiet: bool = False) -> None:
        """Print what is new since the last look."""
        self._find_push(quiet)
        for commit in self._commits:
            self._show_verdict(commit, quiet)
            self._show_statuses(commit, quiet)

    def _find_push(self, quiet: bool) -> None:
        found = self._stack.github("GET", f"/repos/{REPOSITORY}/commits?per_page=1")
        for each in found:
            if self._commits and self._commits[-1].sha == each["sha"]:
                return
            commit = _Commit(each["sha"], each["commit"]["message"].splitlines()[0])
            self._commits = [*self._commits, commit][-FOLLOWED:]
            if not quiet:
                self._console.print(f"\n[bold]push {commit.sha[:7]}[/]  {escape(commit.title)}")

    def _show_verdict(self, commit: _Commit, quiet: bool) -> None:
        path = f"/repos/{REPOSITORY}/commits/{commit.sha}/check-runs"
        for run in self._stack.github("GET", path)["check_runs"]:
            if run["id"] in commit.verdicts:
                continue
            commit.verdicts.add(run["id"])
            if not quiet:
                self._print(commit, "check", run["conclusion"], run["output"]["title"])
                self._print_lines(run)

    def _print_lines(self, run: dict[str, Any]) -> None:
        said = [line for line in run["output"]["summary"].splitlines() if line.startswith("- ")]
        teams = [line[2:].strip("`") for line in said if "**" not in line]
        notes = self._stack.github("GET", f"/repos/{REPOSITORY}/check-runs/{run['id']}/annotations")
        for line in teams:
            self._row("", f"  {escape(line)}")
        for note in notes:
            place = f"{note['path']}:{note['start_line']}:{note['start_column']}"
            self._row("", f"{ANNOTATIONS[note['annotation_level']]} {escape(place)}")
            self._row("", escape(note["message"]))

    def _show_statuses(self, commit: _Commit, quiet: bool) -> None:
        newest: dict[str, tuple[str, str]] = {}
        for status in self._stack.github("GET", f"/repos/{REPOSITORY}/commits/{commit.sha}/statuses"):
            newest.setdefault(status["context"], (status["state"], status["description"]))
        for context, told in reversed(newest.items()):
            if commit.statuses.get(context) == told:
                continue
            commit.statuses[context] = told
            if not quiet:
                self._print(commit, context.removeprefix("mergekey/"), *told)

    def _print(self, commit: _Commit, what: str, state: str, text: str) -> None:
        after = time.monotonic() - commit.since
        waits = "; it waits among the dead letters" if state in ("failure", "error") and "/" in what else ""
        self._row(f"{after:8.1f} s", f"{MARKS[state]} {escape(what)}: {escape(text)}{waits}")

    def _row(self, when: str, markup: str) -> None:
        """A long text goes on below its beginning, not below the time."""
        row = Table.grid(Column(width=10), Column(), padding=(0, 2, 0, 0))
        row.add_row(when, Text.from_markup(markup))
        self._console.print(row)
