"""The verdict over a whole repository: every file by itself, and what files say together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from shared.domain.catalog import Catalog, CatalogVerdict, read_catalog
from shared.domain.paths import RequestPaths, catalog_near_miss
from shared.domain.problem import START, Problem, listed, problem_at, quote
from shared.domain.request import AccessRequest, Verdict, read_request

_SYMBOLIC_LINK, _SUBMODULE = "120000", "160000"


@dataclass(frozen=True, slots=True)
class File:
    """A file of the repository; `mode` as Git writes it: 100644, 100755, 120000 (symbolic link), 160000 (submodule).

    The content matters only where `is_read` says so.
    """

    content: bytes
    mode: str = "100644"


@dataclass(frozen=True, slots=True)
class Review:
    """`requests`, by path, are the files without any problem; `problems` are sorted; `catalog` is None when missing or wrong."""

    requests: dict[str, AccessRequest]
    problems: tuple[Problem, ...]
    catalog: Catalog | None


def is_read(path: str, paths: RequestPaths, catalog_path: str) -> bool:
    """Whether the content of the file at this path matters."""
    return path == catalog_path or paths.folder(path) is not None


def review(files: Mapping[str, File], paths: RequestPaths, catalog_path: str, held: frozenset[str] = frozenset()) -> Review:
    """All problems of all files, by path. `held` are the paths that were in force before: the newcomer is at fault, not they."""
    problems = list(_misplaced(files, paths, catalog_path))
    regular = {path: file.content for path, file in files.items() if file.mode not in (_SYMBOLIC_LINK, _SUBMODULE)}
    catalog = _catalog(files, regular, catalog_path)
    problems.extend(catalog.problems)
    requests = {path: content for path, content in regular.items() if paths.folder(path) is not None}
    verdicts = {path: read_request(path, content, catalog.catalog, paths) for path, content in requests.items()}
    for verdict in verdicts.values():
        problems.extend(verdict.problems)
    problems.extend(_second_files(verdicts, held, paths))
    problems.extend(_above_totals(verdicts, catalog.catalog, held))
    faulty = {problem.path for problem in problems}
    accepted = {path: verdict.request for path, verdict in sorted(verdicts.items()) if verdict.request is not None and path not in faulty}
    return Review(accepted, tuple(sorted(problems)), catalog.catalog)


def _catalog(files: Mapping[str, File], regular: Mapping[str, bytes], catalog_path: str) -> CatalogVerdict:
    if catalog_path in regular:
        return read_catalog(catalog_path, regular[catalog_path])
    if catalog_path in files:
        return CatalogVerdict(None, ())
    message = "There is no catalogue here, so no model can be asked for. Add it, or name its path."
    return CatalogVerdict(None, (problem_at(catalog_path, START, "NoCatalog", message),))


def _misplaced(files: Mapping[str, File], paths: RequestPaths, catalog_path: str) -> Iterator[Problem]:
    for path, file in files.items():
        if file.mode in (_SYMBOLIC_LINK, _SUBMODULE):
            if is_read(path, paths, catalog_path) or paths.encloses(path) or catalog_path.startswith(path + "/"):
                yield _not_regular(path, file.mode)
        elif advice := paths.near_miss(path) or catalog_near_miss(path, catalog_path):
            yield problem_at(path, START, "MisplacedFile", advice)


def _not_regular(path: str, mode: str) -> Problem:
    if mode == _SYMBOLIC_LINK:
        return problem_at(path, START, "SymbolicLink", "This is a symbolic link. Replace it by the file or folder that it points to.")
    return problem_at(path, START, "Submodule", "This is a submodule. Requests and the catalogue must be files of this repository.")


def _second_files(verdicts: Mapping[str, Verdict], held: frozenset[str], paths: RequestPaths) -> Iterator[Problem]:
    """What was in force keeps its place, even when it cannot be read any more or names another team by now."""
    by_team: dict[str, list[str]] = defaultdict(list)
    for path, verdict in verdicts.items():
        team = paths.team_of(path) if path in held else verdict.team
        if team is not None:
            by_team[team].append(path)
    for team, claimed in by_team.items():
        for path in _at_fault(claimed, held) if len(claimed) > 1 else ():
            others = listed(sorted(set(claimed) - {path}))
            message = f"The team {quote(team)} has another request: {others}. Keep one file per team."
            yield problem_at(path, verdicts[path].team_at, "DuplicateTeam", message)


def _at_fault(claimed: list[str], held: frozenset[str]) -> list[str]:
    """Who came later. All of them where nobody, or more than one, was there before."""
    holders = [path for path in claimed if path in held]
    return [path for path in claimed if path not in holders] if len(holders) == 1 else claimed


def _above_totals(verdicts: Mapping[str, Verdict], catalog: Catalog | None, held: frozenset[str]) -> Iterator[Problem]:
    holders: dict[str, dict[str, str]] = defaultdict(dict)
    for path, verdict in verdicts.items():
        for access in verdict.request.models if verdict.request else ():
            if access.instance_type is not None:
                holders[access.name][path] = verdict.team or path
    for model in catalog.models if catalog else ():
        asking = holders[model.name]
        if model.dedicated is not None and len(asking) > model.dedicated.total:
            teams = listed(sorted(asking.values()))
            message = f"{len(asking)} teams ask for a dedicated {quote(model.name)} ({teams}); in all there may be {model.dedicated.total}."
            newcomers = [path for path in asking if path not in held]
            for path in newcomers or asking:
                yield problem_at(path, verdicts[path].models_at[model.name], "AboveCeiling", f"{message} Ask the platform team.")
