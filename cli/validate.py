"""`mergekey validate`: the problems of a checkout of the repository of requests, for people or as GitHub
annotations.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.checkout import Places, Scope, files_of, scope_of, unchanged
from cli.problem_list import show
from cli.step_summary import write_step_summary
from shared.documents.markdown import spelt_out
from shared.documents.problem import Problem, counted, failures
from shared.policies.policy_table import Tier
from shared.requests.paths import DEFAULT_CATALOG_PATH, DEFAULT_PATTERNS, RequestPaths

if TYPE_CHECKING:
    from shared.branch.review import File, Review


class Format(StrEnum):
    """The format of the output."""

    PEOPLE = "people"
    GITHUB = "github"


def validate(
    path: Annotated[
        Path, typer.Argument(help="A checkout of the repository of requests, a folder of it, or one file.")
    ] = Path(),
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
    """Check every request and the catalogue. With --before, what was wrong there is a warning. With --format
    github a summary goes to GITHUB_STEP_SUMMARY. Exit code 0: no problems; 1: problems; 2: nothing to read.
    """
    places = Places(_request_paths(request_path), catalog_path)
    scope = scope_of(path, places)
    files = files_of(scope.root, places)
    in_force = None if before is None else files_of(before, places)
    found = _shown(_review(files, in_force, places, tier), scope, places)
    summary = _summary(
        found, sum(places.paths.folder(name) is not None and scope.holds(name) for name in files)
    )
    failed = bool(failures(found.problems))
    if format is Format.GITHUB:
        _annotate(found.problems)
        write_step_summary(found.problems, summary)
    else:
        show(found, capacity=not failed and not scope.within)
    typer.echo(summary)
    raise typer.Exit(1 if failed else 0)


def _shown(found: Review, scope: Scope, places: Places) -> Review:
    """The review with the problems of the part that is meant, and, where the catalogue is not valid, its own:
    nothing is granted without it.
    """
    always = {places.catalog_path} if found.catalog is None else set()
    shown = [each for each in found.problems if scope.holds(each.path) or each.path in always]
    return replace(found, problems=tuple(shown))


def _review(
    files: Mapping[str, File], in_force: Mapping[str, File] | None, places: Places, tier: Tier | None
) -> Review:
    """The review of these files, compared with those in force, if they are given."""
    from shared.branch.platform_checks import tier_problems
    from shared.branch.review import Baseline, current_grants, review
    from shared.branch.team_states import past_day_problems

    today = datetime.now(UTC).date()
    check = None if tier is None else partial(tier_problems, tier=tier)
    reviewed = partial(review, paths=places.paths, catalog_path=places.catalog_path, check=check)
    if in_force is None:
        found = reviewed(files, baseline=Baseline(today=today))
        return found.without(past_day_problems(found, None, today))
    baseline = current_grants(in_force, places.paths, places.catalog_path, today)
    found, former = reviewed(files, baseline=baseline), reviewed(in_force, baseline=baseline)
    problems = [*past_day_problems(found, former, today), *_replaced(files, found, former, places)]
    return not_new(found.without(problems), former, lambda path: unchanged(path, files, in_force))


def _by_reason(problems: Iterable[Problem]) -> Counter[tuple[str, str]]:
    return Counter((each.path, each.reason) for each in problems)


def _replaced(files: Mapping[str, File], found: Review, former: Review, places: Places) -> list[Problem]:
    """The warnings about workspaces that a change of the catalogue replaces."""
    from shared.branch.replacements import due_between, replacement_warnings

    if found.catalog is None or former.catalog is None:
        return []
    due = due_between((former.requests, former.catalog), (found.requests, found.catalog))
    content = files[places.catalog_path].content
    return [*replacement_warnings(places.catalog_path, content, found.catalog, due)]


def not_new(found: Review, former: Review, is_unchanged: Callable[[str], bool]) -> Review:
    """The review in which the problems that a file had before are warnings, so that they block no other team.

    In a file that is the same, as many problems of a reason as before are not new, whatever numbers their
    messages have.
    """
    known = {(each.path, each.reason, each.message) for each in failures(former.problems)}
    now, then = (_by_reason(failures(each.problems)) for each in (found, former))

    def judged(each: Problem) -> Problem:
        kind = (each.path, each.reason)
        same = now[kind] <= then[kind] and is_unchanged(each.path)
        if each.level == "failure" and (same or (each.path, each.reason, each.message) in known):
            return replace(each, level="warning", message=f"{each.message} It was so before this change.")
        return each

    return replace(found, problems=tuple(sorted(map(judged, found.problems))))


def _request_paths(patterns: list[str] | None) -> RequestPaths:
    try:
        return RequestPaths(tuple(patterns or DEFAULT_PATTERNS))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="--request-path") from error


def _annotate(problems: tuple[Problem, ...]) -> None:
    """Workflow commands: https://docs.github.com/actions/reference/workflow-commands-for-github-actions."""
    for problem in problems:
        place = {
            "file": spelt_out(problem.path),
            "line": str(problem.line),
            "col": str(problem.column),
            "title": problem.reason,
        }
        properties = ",".join(f"{key}={_property(value)}" for key, value in place.items())
        command = "error" if problem.level == "failure" else problem.level
        typer.echo(f"::{command} {properties}::{_data(spelt_out(problem.message))}")


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
