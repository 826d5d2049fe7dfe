"""`mergekey validate`: the problems of a checkout of the repository of requests, for people or as GitHub
annotations.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from shared.documents.problem import Problem, counted, failures, visible
from shared.documents.strict_yaml import MAX_FILE_BYTES
from shared.policies.policy_table import Tier
from shared.requests.paths import DEFAULT_CATALOG_PATH, DEFAULT_PATTERNS, RequestPaths

if TYPE_CHECKING:
    from shared.branch.review import File, Review
    from shared.catalog.capacity import Capacity


_STYLES = {"failure": "red", "warning": "yellow", "notice": "cyan"}


class Format(StrEnum):
    """The format of the output."""

    PEOPLE = "people"
    GITHUB = "github"


def validate(
    path: Annotated[Path, typer.Argument(help="The checkout of the repository of requests.")],
    format: Annotated[  # noqa: A002
        Format, typer.Option(help="people, or github: annotations on the pull request")
    ] = Format.PEOPLE,
    request_path: Annotated[
        list[str] | None, typer.Option(help="Where requests are, with one folder '*'. May be repeated.")
    ] = None,
    catalog_path: Annotated[str, typer.Option(help="Where the catalogue is.")] = DEFAULT_CATALOG_PATH,
    before: Annotated[
        Path | None, typer.Option(help="A checkout of the state in force, with which changes are compared.")
    ] = None,
    tier: Annotated[
        Tier | None, typer.Option(help="API Management's tier: features that it does not have are problems.")
    ] = None,
) -> None:
    """Check every request and the catalogue. Exit code 0: no problems; 1: problems; 2: unreadable folder."""
    paths = _request_paths(request_path)
    files = _files(path, paths, catalog_path)
    in_force = None if before is None else _files(before, paths, catalog_path)
    found = _review(files, in_force, paths, catalog_path, tier)
    failed = bool(failures(found.problems))
    if format is Format.GITHUB:
        _annotate(found.problems)
    else:
        _print(found.problems)
        if not failed:
            _show_capacity([each for each in found.capacity.values() if each.limit is not None])
    typer.echo(_summary(found, sum(paths.folder(name) is not None for name in files)))
    raise typer.Exit(1 if failed else 0)


def _review(
    files: Mapping[str, File],
    in_force: Mapping[str, File] | None,
    paths: RequestPaths,
    catalog_path: str,
    tier: Tier | None,
) -> Review:
    """The review of these files, compared with those in force, if they are given."""
    from shared.branch.platform_checks import tier_problems
    from shared.branch.replacements import due_between, replacement_warnings
    from shared.branch.review import Baseline, current_grants, review
    from shared.branch.team_states import past_day_problems

    today = datetime.now(UTC).date()
    check = None if tier is None else partial(tier_problems, tier=tier)
    if in_force is None:
        found = review(files, paths, catalog_path, Baseline(today=today), check)
        return found.without(past_day_problems(found, None, today))
    baseline = current_grants(in_force, paths, catalog_path, today)
    found, former = review(files, paths, catalog_path, baseline, check), review(in_force, paths, catalog_path)
    problems = [*past_day_problems(found, former, today)]
    if found.catalog is not None and former.catalog is not None:
        due = due_between((former.requests, former.catalog), (found.requests, found.catalog))
        content = files[catalog_path].content
        problems += replacement_warnings(catalog_path, content, found.catalog, due)
    return found.without(problems)


def _files(folder: Path, paths: RequestPaths, catalog_path: str) -> dict[str, File]:
    if not folder.is_dir():
        raise _unusable(f"{folder} is not a folder. Name the folder that holds the checkout.")
    try:
        return dict(_checkout(folder, paths, catalog_path))
    except OSError as error:
        raise _unusable(f"Cannot read {error.filename}: {error.strerror}.") from error


def _request_paths(patterns: list[str] | None) -> RequestPaths:
    try:
        return RequestPaths(tuple(patterns or DEFAULT_PATTERNS))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--request-path") from error


def _unusable(message: str) -> typer.Exit:
    typer.echo(visible(message), err=True)
    return typer.Exit(2)


def _checkout(root: Path, paths: RequestPaths, catalog_path: str) -> Iterator[tuple[str, File]]:
    """Every file of the checkout, by its path in the repository. Symbolic links are not followed."""
    from shared.branch.repository_state import is_read
    from shared.branch.review import File

    for file, mode in _walk(root):
        name = os.fsencode(file.relative_to(root).as_posix()).decode("utf-8", "backslashreplace")
        regular = mode == "100644"
        yield name, File(_beginning(file) if regular and is_read(name, paths, catalog_path) else b"", mode)


def _walk(folder: Path) -> Iterator[tuple[Path, str]]:
    for entry in sorted(folder.iterdir()):
        if entry.is_symlink():
            yield entry, "120000"
        elif entry.is_file():
            yield entry, "100644"
        elif entry.name != ".git" and entry.is_dir():
            yield from _walk(entry)


def _beginning(file: Path) -> bytes:
    with file.open("rb") as opened:
        # One byte more than a file may have tells that it is too large.
        return opened.read(MAX_FILE_BYTES + 1)


def _print(problems: tuple[Problem, ...]) -> None:
    from rich.console import Console
    from rich.text import Text

    console = Console(soft_wrap=True)
    for path, group in groupby(problems, key=lambda problem: problem.path):
        console.print(Text(visible(path), style="bold"))
        for problem in group:
            place = f"{problem.line}:{problem.column}"
            style = _STYLES[problem.level]
            console.print(
                Text.assemble(f"  {place:<8}", (problem.reason, style), f"  {visible(problem.message)}")
            )
        console.print()


def _annotate(problems: tuple[Problem, ...]) -> None:
    """Workflow commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    for problem in problems:
        place = {
            "file": problem.path,
            "line": str(problem.line),
            "col": str(problem.column),
            "title": problem.reason,
        }
        properties = ",".join(f"{key}={_property(value)}" for key, value in place.items())
        command = "error" if problem.level == "failure" else problem.level
        typer.echo(f"::{command} {properties}::{_data(problem.message)}")


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
    console = Console(width=max(Console().width, 120))
    console.print(table)
    console.print()


def _data(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _property(text: str) -> str:
    return _data(text).replace(":", "%3A").replace(",", "%2C")


def _summary(found: Review, requests: int) -> str:
    failed = failures(found.problems)
    warnings = sum(problem.level == "warning" for problem in found.problems)
    more = f" and {counted(warnings, 'warning')}" if warnings else ""
    if not failed:
        return f"{counted(requests, 'request')}, no problems{more}."
    files = len({problem.path for problem in failed})
    problems = f"{counted(len(failed), 'problem')} in {counted(files, 'file')}"
    return f"{counted(requests, 'request')}, {problems}{more}."
