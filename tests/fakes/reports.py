"""What people would see at GitHub, kept in lists."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from shared.documents.problem import Problem
from shared.ports import Status
from tests.fakes.calls import Calls


@dataclass(frozen=True, slots=True)
class Verdict:
    commit: str
    problems: tuple[Problem, ...]
    summary: str
    lines: tuple[str, ...] = ()

    @property
    def reasons(self) -> list[str]:
        return [problem.reason for problem in self.problems]


class FakeReports:
    def __init__(self, calls: Calls) -> None:
        self._calls = calls
        self.verdicts: list[Verdict] = []
        self.shown: list[Status] = []

    async def check_run(
        self, commit: str, problems: Sequence[Problem], summary: str, lines: Sequence[str] = ()
    ) -> None:
        async with self._calls.write("reports", "check_run", commit):
            self.verdicts.append(Verdict(commit, tuple(problems), summary, tuple(lines)))

    async def statuses(self, statuses: Iterable[Status]) -> None:
        async with self._calls.write("reports", "statuses"):
            self.shown.extend(statuses)
