"""The summary of a step of GitHub Actions: the file that `GITHUB_STEP_SUMMARY` names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from shared.documents.markdown import as_code, message_as_code
from shared.documents.problem import Problem, most_important

#: GitHub takes up to 1 MiB of a step.
_MOST = 200


def write_step_summary(problems: Sequence[Problem], summary: str) -> None:
    """Append the problems as Markdown to the step's summary; outside of GitHub Actions nothing."""
    file = os.environ.get("GITHUB_STEP_SUMMARY")
    if file:
        with Path(file).open("a", encoding="utf-8") as opened:
            opened.write(f"{as_markdown(problems, summary)}\n")


def as_markdown(problems: Sequence[Problem], summary: str) -> str:
    """A heading and a list: each problem with its place, its level and its message."""
    lines = [
        f"- {as_code(f'{each.path}:{each.line}:{each.column}')} {each.level} **{each.reason}**: "
        f"{message_as_code(each.message)}"
        for each in most_important(problems, _MOST)
    ]
    return "\n".join(["## Access requests", "", summary, "", *lines])
