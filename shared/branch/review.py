"""The verdict over a whole repository: every file by itself, and what files say together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache

from shared.branch.ceilings import Platform, beyond
from shared.branch.platform_checks import Faults, read_fitting_catalog
from shared.branch.retirement import models_still_used, naming_removed, removals, retiring
from shared.branch.states import SOON
from shared.catalog.capacity import (
    Allocation,
    Capacity,
    ExistingWorkspaces,
    Grants,
    allocate,
    metered,
    over_allocated,
)
from shared.catalog.catalog import Catalog, ParsedCatalog
from shared.documents.problem import START, Position, Problem, failures, listed, problem_at, quote
from shared.git import NOT_REGULAR, SYMBOLIC_LINK
from shared.requests.paths import RequestPaths, catalog_near_miss, encloses
from shared.requests.request import AccessRequest, ParsedRequest, read_request

#: Other requests of the same team that are named.
_MOST_OTHERS = 5


@dataclass(frozen=True, slots=True)
class File:
    """A file of the repository; `mode` as Git writes it: 100644, 100755, 120000 (symbolic link), 160000
    (submodule).

    The content matters only where `is_read` says so.
    """

    content: bytes
    mode: str = "100644"


@dataclass(frozen=True, slots=True)
class Baseline:
    """What was before.

    - `held`: the paths that were there before: a second file of a team beside them is at fault, not they.
    - `in_force`: by team, what it has in the gateway now, or has reserved, whether it has a request or not.
    - `standing`: the workspaces that are there.
    - `kept`: teams of whom somebody else's object has the name: they keep what is in force, whatever they ask
      for.
    - `platform`: what its services hold, where somebody knows it.
    - `today` (UTC): requests whose last day is over take nothing of any capacity or total. None: all of them
      count.
    """

    held: frozenset[str] = frozenset()
    in_force: Mapping[str, Grants] = field(default_factory=dict)
    standing: ExistingWorkspaces = field(default_factory=dict)
    kept: frozenset[str] = frozenset()
    platform: Platform | None = None
    today: date | None = None


NO_BASELINE = Baseline()

#: Why a request is refused that is right by itself: others have what it asks for.
BEYOND_WHAT_IS_LEFT = frozenset({"AboveCapacity", "AboveCeiling", "PlatformFull"})

#: The same files are judged again and again, and reading one takes milliseconds.
read = lru_cache(maxsize=2048)(read_request)


@dataclass(frozen=True, slots=True)
class Review:
    """`requests`, by path, are the files without any failure; `problems`, with warnings among them, are
    sorted; `catalog` is None when missing or wrong. `ledgers`: by model, who has how much. `in_doubt`: the
    requests whose verdict depends on what is in force; `counted`: on what all teams have, not only theirs.
    `overcommitted`: the models of which more is in force than may be granted. `named`: by path, the team that
    a request names, whatever else is wrong with it; `last_days_at`: where its last day stands.
    """

    requests: dict[str, AccessRequest]
    problems: tuple[Problem, ...]
    catalog: Catalog | None
    ledgers: Mapping[str, Capacity] = field(default_factory=dict)
    in_doubt: frozenset[str] = frozenset()
    counted: bool = False
    overcommitted: frozenset[str] = frozenset()
    named: Mapping[str, str] = field(default_factory=dict)
    last_days_at: Mapping[str, Position] = field(default_factory=dict)

    def without(self, problems: Sequence[Problem]) -> Review:
        """The same, when these problems refuse requests that are right by themselves; a warning refuses
        none.
        """
        wrong = {problem.path for problem in failures(problems)}
        requests = {path: request for path, request in self.requests.items() if path not in wrong}
        return replace(self, requests=requests, problems=tuple(sorted({*self.problems, *problems})))


def current_grants(
    files: Mapping[str, File], paths: RequestPaths, catalog_path: str, today: date
) -> Baseline:
    """The past as these files tell it: all that was valid in them is taken for in force, also where it is
    more than there may be.
    """
    found = review(files, paths, catalog_path)
    beyond = {problem.path for problem in found.problems if problem.reason in BEYOND_WHAT_IS_LEFT}
    wrong = {
        problem.path for problem in failures(found.problems) if problem.reason not in BEYOND_WHAT_IS_LEFT
    }
    valid = (found.requests.keys() | beyond) - wrong
    tokens = {path: read(path, files[path].content, found.catalog, paths).tokens for path in valid}
    over = {
        path
        for path in tokens
        if _is_over(read(path, files[path].content, found.catalog, paths).request, Baseline(today=today))
    }
    teams = {team: tokens[path] for path in tokens.keys() - over if (team := paths.team_of(path)) is not None}
    return Baseline(frozenset(tokens), teams, today=today)


def is_read(path: str, paths: RequestPaths, catalog_path: str) -> bool:
    """Whether the content of the file at this path matters."""
    return path == catalog_path or paths.folder(path) is not None


def review(
    files: Mapping[str, File],
    paths: RequestPaths,
    catalog_path: str,
    past: Baseline = NO_BASELINE,
    faults: Faults | None = None,
) -> Review:
    """All problems of all files, by path. `faults` knows what the platform cannot do, where somebody knows
    the platform.
    """
    regular = {path: file.content for path, file in files.items() if file.mode not in NOT_REGULAR}
    catalog = _catalog(files, regular, catalog_path, faults)
    texts = {path: content for path, content in regular.items() if paths.folder(path) is not None}
    verdicts = {path: read(path, content, catalog.catalog, paths) for path, content in texts.items()}
    problems = [*_misplaced(files, paths, catalog_path), *catalog.problems]
    still_used = models_still_used(verdicts, catalog.catalog, past.in_force, paths)
    if still_used:
        problems.extend(removals(still_used, catalog_path))
        leaving = frozenset(still_used)
        verdicts = {
            path: read(path, content, catalog.catalog, paths, leaving) for path, content in texts.items()
        }
    for verdict in verdicts.values():
        problems.extend(verdict.problems)
    problems.extend(_second_files(verdicts, past.held, paths))
    named = {path: verdict.team for path, verdict in verdicts.items() if verdict.team is not None}
    places = {path: verdict.expires_at for path, verdict in verdicts.items()}
    if catalog.catalog is None or still_used:
        reviewed = Review(
            {}, tuple(sorted(problems)), None, in_doubt=naming_removed(verdicts, catalog.catalog)
        )
    else:
        reviewed = _granted(_Read(catalog.catalog, catalog_path, verdicts), problems, past)
    return replace(reviewed, named=named, last_days_at=places)


@dataclass(frozen=True, slots=True)
class _Read:
    catalog: Catalog
    catalog_path: str
    verdicts: Mapping[str, ParsedRequest]


def _granted(read: _Read, problems: list[Problem], past: Baseline) -> Review:
    """What the requests ask for together, beside a catalogue that is as it should be."""
    counted = _counted(read.verdicts, past)
    refused = {problem.path for problem in failures(problems)}
    refused |= {problem.path for problem in _full(_without(read.verdicts, problems), past)}
    books = _books(read, counted, past, refused)
    problems.extend(_above_capacity(read, counted, books))
    problems.extend(_above_totals(read, counted, books))
    problems.extend(_overdrawn(books, read.catalog_path))
    full = list(_full(_without(read.verdicts, problems), past))
    problems.extend(full)
    accepted = _without(read.verdicts, problems)
    problems.extend(retiring(accepted, read.catalog))
    requests = {
        path: verdict.request for path, verdict in sorted(accepted.items()) if verdict.request is not None
    }
    bounded = frozenset(
        path for path, verdict in read.verdicts.items() if metered(read.catalog, verdict.tokens)
    )
    in_doubt = naming_removed(read.verdicts, read.catalog) | bounded | {problem.path for problem in full}
    return Review(
        requests,
        tuple(sorted(problems)),
        read.catalog,
        books.capacities,
        in_doubt,
        bool(bounded),
        _overcommitted(books),
    )


def _full(accepted: Mapping[str, ParsedRequest], past: Baseline) -> Iterator[Problem]:
    if past.platform is not None:
        requests = {
            path: verdict.request for path, verdict in accepted.items() if verdict.request is not None
        }
        standing = {path: request for path, request in requests.items() if not _is_over(request, past)}
        for path, what in beyond(standing, past.platform):
            yield problem_at(path, accepted[path].team_at, "PlatformFull", f"{what}. Ask the platform team.")


def _without(verdicts: Mapping[str, ParsedRequest], problems: Iterable[Problem]) -> dict[str, ParsedRequest]:
    """Those that have a request and no failure."""
    faulty = {problem.path for problem in failures(problems)}
    return {
        path: verdict
        for path, verdict in verdicts.items()
        if verdict.request is not None and path not in faulty
    }


def _catalog(
    files: Mapping[str, File], regular: Mapping[str, bytes], catalog_path: str, faults: Faults | None
) -> ParsedCatalog:
    if catalog_path in regular:
        return read_fitting_catalog(catalog_path, regular[catalog_path], faults)
    if catalog_path in files:
        return ParsedCatalog(None, ())
    message = "There is no catalogue here, so no model can be asked for. Add it, or name its path."
    return ParsedCatalog(None, (problem_at(catalog_path, START, "NoCatalog", message),))


def _misplaced(files: Mapping[str, File], paths: RequestPaths, catalog_path: str) -> Iterator[Problem]:
    for path, file in files.items():
        if file.mode in NOT_REGULAR:
            if is_read(path, paths, catalog_path) or encloses(path, paths, catalog_path):
                yield _not_regular(path, file.mode)
        elif advice := paths.near_miss(path) or catalog_near_miss(path, catalog_path):
            yield problem_at(path, START, "MisplacedFile", advice)


def _not_regular(path: str, mode: str) -> Problem:
    if mode == SYMBOLIC_LINK:
        return problem_at(
            path,
            START,
            "SymbolicLink",
            "This is a symbolic link. Replace it by the file or folder that it points to.",
        )
    return problem_at(
        path,
        START,
        "Submodule",
        "This is a submodule. Requests and the catalogue must be files of this repository.",
    )


def _second_files(
    verdicts: Mapping[str, ParsedRequest], held: frozenset[str], paths: RequestPaths
) -> Iterator[Problem]:
    """What was in force keeps its place, even when it cannot be read any more or names another team by
    now.
    """
    by_team: dict[str, list[str]] = defaultdict(list)
    for path, verdict in verdicts.items():
        team = paths.team_of(path) if path in held else verdict.team
        if team is not None:
            by_team[team].append(path)
    for team, found in by_team.items():
        claimed = sorted(found)
        for path in _at_fault(claimed, held) if len(claimed) > 1 else ():
            message = (
                f"The team {quote(team)} has another request: {_others(claimed, path)}. Keep one file per "
                "team."
            )
            yield problem_at(path, verdicts[path].team_at, "DuplicateTeam", message)


def _others(claimed: list[str], path: str) -> str:
    """A thousand files of one team are not named a thousand times each."""
    named = [other for other in claimed[: _MOST_OTHERS + 1] if other != path][:_MOST_OTHERS]
    more = len(claimed) - 1 - len(named)
    return f"{listed(named)} and {more:,} more" if more else listed(named)


def _at_fault(claimed: list[str], held: frozenset[str]) -> list[str]:
    """Who came later. All of them where nobody, or more than one, was there before."""
    holders = [path for path in claimed if path in held]
    return [path for path in claimed if path not in holders] if len(holders) == 1 else claimed


def _counted(verdicts: Mapping[str, ParsedRequest], past: Baseline) -> dict[str, str]:
    """By team, the request that counts against capacities and totals: one that is right by itself; of several
    the one that was there before, else the first.
    """
    valid = {path: verdict.request for path, verdict in verdicts.items() if verdict.request is not None}
    last_wins = sorted(sorted(valid, reverse=True), key=lambda path: path in past.held)
    return {valid[path].team: path for path in last_wins if not _is_over(valid[path], past)}


def _books(read: _Read, counted: Mapping[str, str], past: Baseline, refused: Set[str]) -> Allocation:
    """A request that is refused for another reason gives nothing back, and neither does one whose last day is
    near: the guard may hold it.
    """
    asked = {team: read.verdicts[path].tokens for team, path in counted.items() if team not in past.kept}
    holding = {
        team
        for team, path in counted.items()
        if path in refused or _ends_soon(read.verdicts[path].request, past)
    }
    return allocate(read.catalog, asked, past.in_force, past.standing, holding)


def _ends_soon(request: AccessRequest | None, past: Baseline) -> bool:
    day = None if request is None else request.expires
    return past.today is not None and day is not None and day < past.today + SOON


def _is_over(request: AccessRequest | None, past: Baseline) -> bool:
    return (
        past.today is not None
        and request is not None
        and request.expires is not None
        and request.expires < past.today
    )


def _above_capacity(read: _Read, counted: Mapping[str, str], books: Allocation) -> Iterator[Problem]:
    for team, models in books.rejected.items():
        path = counted[team]
        verdict = read.verdicts[path]
        for model in models:
            asks = (
                f"This request asks for {verdict.tokens[model]:,} tokens per minute of {quote(model)}, which "
                "is more than is left"
            )
            message = (
                f"{asks}. {books.capacities[model].explain()}. Ask for less, or ask the platform team for "
                "more capacity."
            )
            yield problem_at(path, verdict.models_at[model], "AboveCapacity", message)


def _above_totals(read: _Read, counted: Mapping[str, str], books: Allocation) -> Iterator[Problem]:
    for team, models in books.rejected_workspaces.items():
        path = counted[team]
        for model in models:
            message = (
                f"This request asks for a dedicated {quote(model)}, and none is left. "
                f"{books.workspaces[model].explain()}."
            )
            yield problem_at(
                path,
                read.verdicts[path].models_at[model],
                "AboveCeiling",
                f"{message} Ask the platform team.",
            )


def _overcommitted(books: Allocation) -> frozenset[str]:
    return frozenset(each.model for each in over_allocated(books))


def _overdrawn(books: Allocation, catalog_path: str) -> Iterator[Problem]:
    for ledger in over_allocated(books):
        message = (
            f"More is in force than may be granted. {ledger.explain()}. Nobody loses anything, and nobody is "
            "granted more."
        )
        yield problem_at(catalog_path, START, "Overcommitted", message, "warning")
