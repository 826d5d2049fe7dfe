"""The review of a whole repository: every file by itself, and the files together."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field, replace
from datetime import date
from functools import lru_cache

from shared.branch.alias_moves import alias_problems
from shared.branch.bearer_notices import bearer_notices
from shared.branch.ceilings import PlatformUsage, beyond_ceilings
from shared.branch.platform_checks import PlatformCheck, read_supported_catalog
from shared.branch.repository_state import is_read
from shared.branch.retirement import (
    models_still_used,
    removal_problems,
    requests_for_removed_models,
    retirement_warnings,
)
from shared.branch.states import SOON, is_over
from shared.branch.tool_calls import tool_call_notices
from shared.branch.workspace_review import (
    InForce,
    above_pools,
    catalog_problems,
    costs,
    impossible_workspaces,
    shared_costs,
    shared_pool_problems,
)
from shared.catalog.capacity import (
    Allocation,
    Capacity,
    ExistingNodes,
    ExistingWorkspaces,
    Grants,
    allocate,
    metered,
    nodes_of_grant,
    over_allocated,
)
from shared.catalog.catalog import Catalog, ParsedCatalog
from shared.documents.problem import START, Position, Problem, failures, listed, problem_at, quote
from shared.documents.problem import counted as number
from shared.git import NOT_REGULAR, SYMBOLIC_LINK
from shared.requests.paths import RequestPaths, catalog_near_miss, encloses
from shared.requests.request import AccessRequest, ParsedRequest, read_request

#: Other requests of the same team that one message names.
_MAX_OTHERS = 5


@dataclass(frozen=True, slots=True)
class File:
    """A file of the repository; `mode` as Git writes it: 100644, 100755, 120000 (symbolic link), 160000
    (submodule).

    The content is set only where `is_read` is true for the path.
    """

    content: bytes
    mode: str = "100644"


@dataclass(frozen=True, slots=True)
class Baseline:
    """The state with which the files are compared.

    - `known_paths`: the requests that existed before. If a team has a second file, that one gets the problem.
    - `in_force`: by team, the grants that it has in the gateway, or has reserved, with or without a request.
    - `workspaces`: the dedicated workspaces that exist.
    - `unmanaged`: teams whose name an unmanaged product has. They keep the grants in force, whatever they
      request.
    - `nodes`: the GPU nodes of those. `catalog`: the catalogue before, where it is known.
    - `usage`: the numbers of objects in the platform's services, if known.
    - `today` (UTC): requests whose last day is over do not count against capacities and totals. None: all of
      them count.
    """

    known_paths: frozenset[str] = frozenset()
    in_force: Mapping[str, Grants] = field(default_factory=dict)
    workspaces: ExistingWorkspaces = field(default_factory=dict)
    unmanaged: frozenset[str] = frozenset()
    usage: PlatformUsage | None = None
    today: date | None = None
    nodes: ExistingNodes = field(default_factory=dict)
    catalog: ParsedCatalog | None = None

    @property
    def of_workspaces(self) -> InForce:
        """What the review of workspaces needs of it."""
        return InForce(self.in_force, self.workspaces, self.nodes, self.catalog)


NO_BASELINE = Baseline()

#: The reasons for which a request that is valid by itself is refused beside what is in force: other teams
#: have what it asks for, or it asks anew for a workspace that KAITO does not make.
BEYOND_WHAT_IS_LEFT = frozenset({"AboveCapacity", "AboveCeiling", "PlatformFull", "WorkspaceImpossible"})

#: Cached, because the same files are evaluated again and again, and reading one takes milliseconds.
KEPT = 32_768
read = lru_cache(maxsize=KEPT)(read_request)


@dataclass(frozen=True, slots=True)
class Review:
    """The result of a review.

    - `requests`: by path, the files without failures. `problems`: sorted, including warnings.
    - `catalog`: None if it is missing or not valid.
    - `capacity`: by model, the grants of all teams.
    - `in_doubt`: the requests whose evaluation depends on what is in force; `counts_all_teams`: on the grants
      of all teams, not only of their own.
    - `overcommitted`: the models of which more is in force than may be granted.
    - `teams_by_path`: the team that each request names, even if it has problems; `last_days_at`: the position
      of its last day.
    """

    requests: dict[str, AccessRequest]
    problems: tuple[Problem, ...]
    catalog: Catalog | None
    capacity: Mapping[str, Capacity] = field(default_factory=dict)
    in_doubt: frozenset[str] = frozenset()
    counts_all_teams: bool = False
    overcommitted: frozenset[str] = frozenset()
    teams_by_path: Mapping[str, str] = field(default_factory=dict)
    last_days_at: Mapping[str, Position] = field(default_factory=dict)

    def without(self, problems: Sequence[Problem]) -> Review:
        """The review with these problems added, and without the requests that they refuse. A warning refuses
        no request.
        """
        wrong = {problem.path for problem in failures(problems)}
        requests = {path: request for path, request in self.requests.items() if path not in wrong}
        return replace(self, requests=requests, problems=tuple(sorted({*self.problems, *problems})))


def current_grants(
    files: Mapping[str, File], paths: RequestPaths, catalog_path: str, today: date
) -> Baseline:
    """A baseline made from files alone: every valid request in them counts as in force, even if together they
    exceed a limit.
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
    return Baseline(frozenset(tokens), teams, today=today, catalog=catalog_in(files, catalog_path, None))


def review(
    files: Mapping[str, File],
    paths: RequestPaths,
    catalog_path: str,
    baseline: Baseline = NO_BASELINE,
    check: PlatformCheck | None = None,
) -> Review:
    """Review all files, by path. `check` finds what the platform cannot provide; None if the platform is not
    known.
    """
    catalog = catalog_in(files, catalog_path, check)
    texts = _request_texts(files, paths)
    evaluations = _read_all(texts, catalog.catalog, paths)
    still_used = models_still_used(evaluations, catalog.catalog, baseline.in_force, paths)
    if still_used:
        evaluations = _read_all(texts, catalog.catalog, paths, frozenset(still_used))
    problems = [
        *_misplaced(files, paths, catalog_path),
        *catalog_problems(catalog, baseline.of_workspaces),
        *removal_problems(still_used, catalog_path),
        *(problem for evaluation in evaluations.values() for problem in evaluation.problems),
        *_second_files(evaluations, baseline.known_paths, paths),
    ]
    if catalog.catalog is None or still_used:
        doubted = requests_for_removed_models(evaluations, catalog.catalog)
        reviewed = Review({}, tuple(sorted(problems)), None, in_doubt=doubted)
    else:
        reviewed = _evaluate_together(
            _Evaluated(catalog.catalog, catalog_path, evaluations), problems, baseline
        )
    return replace(
        reviewed,
        teams_by_path={
            path: evaluation.team for path, evaluation in evaluations.items() if evaluation.team is not None
        },
        last_days_at={path: evaluation.expires_at for path, evaluation in evaluations.items()},
    )


def _request_texts(files: Mapping[str, File], paths: RequestPaths) -> dict[str, bytes]:
    return {
        path: file.content
        for path, file in files.items()
        if file.mode not in NOT_REGULAR and paths.folder(path) is not None
    }


def _read_all(
    texts: Mapping[str, bytes],
    catalog: Catalog | None,
    paths: RequestPaths,
    removed: frozenset[str] = frozenset(),
) -> dict[str, ParsedRequest]:
    """Every request, evaluated by itself. `removed` are the models that may be named although the catalogue
    does not have them any more.
    """
    if removed:
        return {path: read(path, content, catalog, paths, removed) for path, content in texts.items()}
    # The cache distinguishes calls by the number of arguments; all other callers give four.
    return {path: read(path, content, catalog, paths) for path, content in texts.items()}


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """The catalogue, and all requests evaluated by themselves."""

    catalog: Catalog
    catalog_path: str
    evaluations: Mapping[str, ParsedRequest]


def _evaluate_together(evaluated: _Evaluated, problems: list[Problem], baseline: Baseline) -> Review:
    """Evaluate the requests together, with a valid catalogue."""
    counted = _counted(evaluated.evaluations, baseline)
    current = {path: evaluated.evaluations[path] for path in counted.values()}
    problems.extend(impossible_workspaces(evaluated.catalog, current, baseline.of_workspaces))
    refused = {problem.path for problem in failures(problems)}
    refused |= {
        problem.path
        for problem in _above_platform_limits(_without(evaluated.evaluations, problems), baseline)
    }
    allocation = _allocate(evaluated, counted, baseline, refused)
    problems.extend(_above_capacity(evaluated, counted, allocation))
    problems.extend(_above_totals(evaluated, counted, allocation))
    problems.extend(_above_node_totals(evaluated, counted, allocation))
    problems.extend(_over_allocation_warnings(allocation, evaluated.catalog_path))
    above_limits = list(_above_platform_limits(_without(evaluated.evaluations, problems), baseline))
    problems.extend(above_limits)
    problems.extend(_above_pools(evaluated, problems, baseline))
    accepted = _without(evaluated.evaluations, problems)
    problems.extend(retirement_warnings(accepted, evaluated.catalog))
    former = evaluated.catalog_path, baseline.catalog, evaluated.catalog
    problems.extend((*alias_problems(*former, accepted), *bearer_notices(*former)))
    problems.extend(tool_call_notices(accepted, evaluated.catalog, baseline.of_workspaces))
    problems.extend(_costs(evaluated, accepted, baseline))
    requests = {
        path: evaluation.request
        for path, evaluation in sorted(accepted.items())
        if evaluation.request is not None
    }
    bounded = frozenset(
        path
        for path, evaluation in evaluated.evaluations.items()
        if metered(evaluated.catalog, evaluation.tokens)
    )
    in_doubt = (
        requests_for_removed_models(evaluated.evaluations, evaluated.catalog)
        | bounded
        | {problem.path for problem in above_limits}
    )
    return Review(
        requests,
        tuple(sorted(problems)),
        evaluated.catalog,
        allocation.capacities,
        in_doubt,
        bool(bounded),
        _overcommitted(allocation),
    )


def _above_pools(evaluated: _Evaluated, problems: Iterable[Problem], baseline: Baseline) -> Iterator[Problem]:
    """By the requests that are not refused for another reason; a team whose product is of others keeps what
    it has.
    """
    asked = {
        path: each
        for path, each in _without(evaluated.evaluations, problems).items()
        if each.team not in baseline.unmanaged and not _is_over(each.request, baseline)
    }
    yield from shared_pool_problems(evaluated.catalog, evaluated.catalog_path)
    yield from above_pools(evaluated.catalog, asked, baseline.of_workspaces)


def _costs(
    evaluated: _Evaluated, accepted: Mapping[str, ParsedRequest], baseline: Baseline
) -> Iterator[Problem]:
    """What new workspaces cost. The platform's own are told where the catalogue before is known, and where
    nothing is.
    """
    yield from costs(evaluated.catalog, accepted, baseline.of_workspaces)
    if baseline.catalog is not None or baseline.usage is None:
        yield from shared_costs(evaluated.catalog, evaluated.catalog_path, baseline.of_workspaces)


def _above_platform_limits(accepted: Mapping[str, ParsedRequest], baseline: Baseline) -> Iterator[Problem]:
    if baseline.usage is not None:
        requests = {
            path: evaluation.request
            for path, evaluation in accepted.items()
            if evaluation.request is not None
        }
        current = {path: request for path, request in requests.items() if not _is_over(request, baseline)}
        for path, message in beyond_ceilings(current, baseline.usage):
            place = accepted[path].team_at
            yield problem_at(path, place, "PlatformFull", f"{message}. Ask the platform team.")


def _without(
    evaluations: Mapping[str, ParsedRequest], problems: Iterable[Problem]
) -> dict[str, ParsedRequest]:
    """The evaluations that have a request and no failure."""
    faulty = {problem.path for problem in failures(problems)}
    return {
        path: evaluation
        for path, evaluation in evaluations.items()
        if evaluation.request is not None and path not in faulty
    }


def catalog_in(files: Mapping[str, File], catalog_path: str, check: PlatformCheck | None) -> ParsedCatalog:
    """The catalogue among these files. A link or submodule in its place is a problem that `_misplaced`
    names.
    """
    file = files.get(catalog_path)
    if file is not None:
        return (
            ParsedCatalog(None, ())
            if file.mode in NOT_REGULAR
            else read_supported_catalog(catalog_path, file.content, check)
        )
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
    evaluations: Mapping[str, ParsedRequest], known_paths: frozenset[str], paths: RequestPaths
) -> Iterator[Problem]:
    """The problems of teams with several files. A file that was in force counts for its team, even if it
    cannot be read any more or names another team.
    """
    by_team: dict[str, list[str]] = defaultdict(list)
    for path, evaluation in evaluations.items():
        team = paths.team_of(path) if path in known_paths else evaluation.team
        if team is not None:
            by_team[team].append(path)
    for team, found in by_team.items():
        claimed = sorted(found)
        for path in _at_fault(claimed, known_paths) if len(claimed) > 1 else ():
            message = (
                f"The team {quote(team)} has another request: {_others(claimed, path)}. Keep one file per "
                "team."
            )
            yield problem_at(path, evaluations[path].team_at, "DuplicateTeam", message)


def _others(claimed: list[str], path: str) -> str:
    """Up to five other files of the team, and the number of the rest."""
    named = [other for other in claimed[: _MAX_OTHERS + 1] if other != path][:_MAX_OTHERS]
    more = len(claimed) - 1 - len(named)
    return f"{listed(named)} and {more:,} more" if more else listed(named)


def _at_fault(claimed: list[str], known_paths: frozenset[str]) -> list[str]:
    """The files that were added to the only known one; all files if none, or more than one, was known."""
    known = [path for path in claimed if path in known_paths]
    return [path for path in claimed if path not in known] if len(known) == 1 else claimed


def _counted(evaluations: Mapping[str, ParsedRequest], baseline: Baseline) -> dict[str, str]:
    """By team, the path of the request that counts against capacities and totals: a valid one; of several,
    the known one, otherwise the first.
    """
    valid = {
        path: evaluation.request for path, evaluation in evaluations.items() if evaluation.request is not None
    }
    last_wins = sorted(sorted(valid, reverse=True), key=lambda path: path in baseline.known_paths)
    return {valid[path].team: path for path in last_wins if not _is_over(valid[path], baseline)}


def _allocate(
    evaluated: _Evaluated, counted: Mapping[str, str], baseline: Baseline, refused: Set[str]
) -> Allocation:
    """The capacity that each team gets. A request that is refused for another reason gives nothing back, and
    neither does one with a near last day, because the guard may hold it.
    """
    evaluations = evaluated.evaluations
    asked = {
        team: evaluations[path].tokens for team, path in counted.items() if team not in baseline.unmanaged
    }
    holding = {
        team
        for team, path in counted.items()
        if path in refused or _ends_soon(evaluations[path].request, baseline)
    }
    return allocate(evaluated.catalog, asked, baseline.in_force, baseline.workspaces, holding, baseline.nodes)


def _ends_soon(request: AccessRequest | None, baseline: Baseline) -> bool:
    day = None if request is None else request.expires
    return baseline.today is not None and day is not None and day < baseline.today + SOON


def _is_over(request: AccessRequest | None, baseline: Baseline) -> bool:
    return request is not None and baseline.today is not None and is_over(request.expires, baseline.today)


def _above_capacity(
    evaluated: _Evaluated, counted: Mapping[str, str], allocation: Allocation
) -> Iterator[Problem]:
    for team, models in allocation.rejected.items():
        path = counted[team]
        evaluation = evaluated.evaluations[path]
        for model in models:
            tokens, capacity = evaluation.tokens[model], allocation.capacities[model]
            message = (
                f"This request asks for {tokens:,} tokens per minute of {quote(model)}, which is more than "
                f"is left. {capacity.explain()}. Ask for less, or ask the platform team for more capacity."
            )
            yield problem_at(path, evaluation.models_at[model], "AboveCapacity", message)


def _above_totals(
    evaluated: _Evaluated, counted: Mapping[str, str], allocation: Allocation
) -> Iterator[Problem]:
    for team, models in allocation.rejected_workspaces.items():
        path = counted[team]
        for model in models:
            place = evaluated.evaluations[path].models_at[model]
            message = (
                f"This request asks for a dedicated {quote(model)}, and none is left. "
                f"{allocation.workspaces[model].explain()}. Ask the platform team."
            )
            yield problem_at(path, place, "AboveCeiling", message)


def _above_node_totals(
    evaluated: _Evaluated, counted: Mapping[str, str], allocation: Allocation
) -> Iterator[Problem]:
    for team, models in allocation.rejected_nodes.items():
        path = counted[team]
        evaluation = evaluated.evaluations[path]
        for model in models:
            nodes = nodes_of_grant(evaluated.catalog, model, evaluation.tokens[model])
            message = (
                f"This request asks for a dedicated {quote(model)}, which takes {number(nodes, 'GPU node')}, "
                f"and so many are not left. {allocation.workspaces[model].explain()}. Ask the platform team."
            )
            yield problem_at(path, evaluation.models_at[model], "AboveCeiling", message)


def _overcommitted(allocation: Allocation) -> frozenset[str]:
    return frozenset(each.model for each in over_allocated(allocation))


def _over_allocation_warnings(allocation: Allocation, catalog_path: str) -> Iterator[Problem]:
    for capacity in over_allocated(allocation):
        message = (
            f"More is in force than may be granted. {capacity.explain()}. No team loses its access, and no "
            "team is granted more."
        )
        yield problem_at(catalog_path, START, "Overcommitted", message, "warning")
