"""Reports at GitHub: one check run per push, and commit statuses. https://docs.github.com/rest/checks/runs

Reports never decide anything: what goes wrong here is logged and forgotten. Writes are paced (GitHub asks for
a second between two), and a newer status for the same context replaces one that still waits.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Iterable, Sequence

from shared.adapters.answers import instance
from shared.adapters.github import GitHubClient
from shared.adapters.github_answers import SYSTEM
from shared.adapters.translate import understood
from shared.documents.markdown import as_code, message_as_code, spelt_out
from shared.documents.problem import Problem, failures, most_important, visible
from shared.errors import MergekeyError
from shared.ports import Status

log = logging.getLogger("mergekey")

CHECK = "mergekey/requests"
SUMMARY = "mergekey/teams"
#: More waiting statuses of one commit than this are summed up, because each takes a second.
SUMMARY_THRESHOLD = 50
#: GitHub's limits: annotations per call, characters of a status, of a summary.
_ANNOTATIONS, _DESCRIPTION, _SUMMARY = 50, 140, 65_535
#: Problems that a check run shows, in four calls: GitHub allows 5,000 calls in an hour for everything.
MAX_SHOWN = 200


class GitHubReports:
    """`interval` is the pause between two writes, in seconds. `docs` is where people read the documentation,
    as `https://host/docs`; empty for no links.
    """

    def __init__(self, client: GitHubClient, repository: str, interval: float, docs: str = "") -> None:
        self._client = client
        self._base = f"/repos/{repository}"
        self._interval = interval
        self._docs = docs.rstrip("/")
        self._waiting: dict[tuple[str, str], Status] = {}
        self._counted: Counter[str] = Counter()
        self._writer: asyncio.Task[None] | None = None
        self._reported: tuple[str, tuple[Problem, ...], str] | None = None

    async def check_run(
        self, commit: str, problems: Sequence[Problem], summary: str, lines: Sequence[str] = ()
    ) -> None:
        reported = (commit, tuple(problems), summary)
        if reported == self._reported:
            # Each sweep reports held withdrawals, and GitHub would create another check run each time.
            return
        try:
            if self._client.is_app:
                await self._check_run(commit, problems, summary, lines)
            else:
                state = "failure" if failures(problems) else "success"
                await self._post(Status(commit, CHECK, state, summary, _first_reason(problems)))
            self._reported = reported
        except MergekeyError as error:
            log.warning("the check run of %s could not be shown: %s", commit, error)

    async def statuses(self, statuses: Iterable[Status]) -> None:
        """Returns at once; the writing goes on in the background of the process."""
        for status in statuses:
            self._waiting[status.commit, status.context] = status
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write())

    async def flush(self) -> None:
        """Wait until all that waits is written."""
        if self._writer is not None:
            await self._writer

    async def _write(self) -> None:
        while self._waiting:
            status = self._next()
            try:
                await self._post(status)
            except MergekeyError as error:
                log.warning("the status %s could not be shown: %s", status.context, error)
            await asyncio.sleep(self._interval)

    def _next(self) -> Status:
        """The oldest; but one summary for all successes of a commit with many waiting statuses. Failures are
        always shown one by one.
        """
        commit, context = next(iter(self._waiting))
        well = [
            status
            for status in self._waiting.values()
            if status.commit == commit and status.state in ("success", "pending")
        ]
        if len(well) <= SUMMARY_THRESHOLD:
            return self._waiting.pop((commit, context))
        for status in well:
            del self._waiting[commit, status.context]
        self._counted[commit] += len(well)
        return Status(
            commit,
            SUMMARY,
            "success",
            f"{self._counted[commit]} reports of stages, without those that failed",
        )

    def _link(self, key: str, reason: str) -> dict[str, str]:
        """The page that explains the reason."""
        return {key: f"{self._docs}/errors.md#{reason}"} if self._docs and reason else {}

    async def _post(self, status: Status) -> None:
        body = {
            "state": status.state,
            "context": status.context,
            "description": shorten(visible(status.description), _DESCRIPTION),
            **self._link("target_url", status.reason),
        }
        await self._client.post(f"{self._base}/statuses/{status.commit}", body)

    async def _check_run(
        self, commit: str, problems: Sequence[Problem], summary: str, lines: Sequence[str]
    ) -> None:
        """The first call makes the run, further ones append their annotations."""
        shown = most_important(problems, MAX_SHOWN)
        annotations = [_annotation(problem) for problem in shown]
        pages = [
            annotations[start : start + _ANNOTATIONS] for start in range(0, len(annotations), _ANNOTATIONS)
        ] or [[]]
        left_out = (
            f" ({MAX_SHOWN - 1} of {len(problems):,} problems are shown)" if len(problems) > MAX_SHOWN else ""
        )
        output = {"title": summary, "summary": shorten(_markdown(shown, summary + left_out, lines), _SUMMARY)}
        first = {
            "name": CHECK,
            "head_sha": commit,
            "status": "completed",
            "conclusion": "failure" if failures(problems) else "success",
            "output": {**output, "annotations": pages[0]},
            **self._link("details_url", _first_reason(shown)),
        }
        run = await self._client.post(f"{self._base}/check-runs", first)
        with understood(SYSTEM):
            path = f"{self._base}/check-runs/{instance(int, run['id'])}"
        for page in pages[1:]:
            await self._client.patch(path, {"output": {**output, "annotations": page}})


def _first_reason(problems: Sequence[Problem]) -> str:
    """The reason of the most important problem."""
    first = (*failures(problems), *problems)
    return first[0].reason if first else ""


def shorten(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _annotation(problem: Problem) -> dict[str, object]:
    return {
        "path": problem.path,
        "start_line": problem.line,
        "end_line": problem.line,
        "start_column": problem.column,
        "end_column": problem.column,
        "annotation_level": problem.level,
        "title": problem.reason,
        "message": spelt_out(problem.message),
    }


def _markdown(problems: Sequence[Problem], summary: str, teams: Sequence[str]) -> str:
    """Messages quote texts of requests, and people choose paths, so both are shown as code."""
    said = [f"- {as_code(line)}" for line in teams]
    lines = [
        f"- {as_code(f'{p.path}:{p.line}:{p.column}')} **{p.reason}**: {message_as_code(p.message)}"
        for p in problems
    ]
    return "\n".join([summary, "", *lines, *said] if said else [summary, *lines])
