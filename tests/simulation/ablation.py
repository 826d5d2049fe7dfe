"""Does the simulation have teeth? Each safeguard is taken away by substituting a function or a fake; then
promises must break.

What is substituted stands here, so that nobody has to believe it.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence, Set
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import date, timedelta
from typing import Any
from unittest.mock import patch

from shared.app import App
from shared.branch import decision, endings, missing_teams, states, team_states
from shared.branch.decision import Decision
from shared.branch.states import Files, TeamFile
from shared.branch.withdrawal_guard import MissingTeam, MissingTeams
from shared.catalog.catalog import read_catalog
from shared.documents.problem import Problem
from shared.errors import KindNotServed
from shared.gateway_api.road import RoadVerdict
from shared.marker import Marker
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Done, Event, Outcome
from shared.names import CATALOG_TEAM
from shared.requests.request import read_request
from shared.resources import backend_changes, keys, product, project, unified_api_plan, workspace_plan
from shared.resources.key_slots import Renewal
from shared.resources.plan import Change, Kind, Refused, Update, WritablePlan, refusal
from shared.stages import (
    deliver_keys,
    pipeline,
    provision_catalog,
    provision_gateway,
    provision_projects,
    receive_push,
    workspace_roads,
    workspace_starts,
)
from shared.stages.apply import apply_plan
from shared.stages.provision_gateway import leave_held
from tests.fakes import bus as fake_bus
from tests.fakes import cluster as fake_cluster
from tests.fakes import gateway as fake_gateway
from tests.fakes.cluster import FakeCluster
from tests.fakes.repository import FakeRepository
from tests.simulation.hosts import Hosts

Substitute = tuple[Any, str, Any]


@dataclass(frozen=True, slots=True)
class Safeguard:
    """What protects, and what takes its place when it is taken away."""

    name: str
    substitutes: tuple[Substitute, ...]


@contextmanager
def without(safeguard: Safeguard) -> Iterator[None]:
    with ExitStack() as stack:
        for where, name, substitute in safeguard.substitutes:
            stack.enter_context(patch.object(where, name, substitute))
        yield


# --------------------------------------------------------------------------------- the head is not read again


async def _believe_the_message(
    app: App, message: TeamMessage, now: Any, before: Decision | None = None
) -> Decision:
    if message.change == "withdrawn":
        return Decision("ended", message.commit, message.path)
    head = await app.repository.head()
    tree = {} if head is None else await decision.tree_of(app.repository, head)
    if message.team == CATALOG_TEAM:
        catalog = read_catalog(message.path, message.text.encode()).catalog
        return Decision(
            "active" if catalog else "stale",
            message.commit,
            message.path,
            (message.blob,),
            catalog=catalog,
        )
    catalog = (await decision.catalog_of(app, tree)).catalog
    request = (
        catalog and read_request(message.path, message.text.encode(), catalog, app.paths.requests).request
    )
    if not request:
        return Decision("stale")
    return Decision("active", message.commit, message.path, (message.blob,), request, catalog)


# ----------------------------------------------------------------------------------------- nobody looks again


Act = Callable[[App, Event[TeamMessage], Decision], Awaitable[Outcome]]


async def _follow_once(
    app: App,
    event: Event[TeamMessage],
    grant: Act,
    withdraw: Act,
    hold: Act = leave_held,
    leave: object = None,
) -> Outcome:
    found = await decision.decide(app, event.message, event.now)
    if found.kind == "stale":
        return Done()
    if found.kind == "held":
        return await hold(app, event, found)
    return await (grant if found.kind == "active" else withdraw)(app, event, found)


async def _do_not_look(app: App, event: Event[TeamMessage], found: Decision) -> None:
    """Nothing has moved, for all we know."""


# -------------------------------------------------------------------------------------------------- ownership


def _owns_everything(self: Marker, other: Marker | None) -> bool:
    return True


def _refuses_nothing(*_: object, **__: object) -> tuple[Refused, ...]:
    return ()


def _refuses_foreign_ones(
    kind: Kind, name: str, shown: str, owner: Marker, found: Marker | None
) -> tuple[Refused, ...]:
    """What a newer version wrote is ours like all else."""
    return refusal(kind, name, shown, owner, None if found is None else replace(found, newer=False))


#: Where plans ask whether an object must be left alone.
_PLANS = (product, backend_changes, unified_api_plan, workspace_plan, project)


# ------------------------------------------------------------------------------------------------- the others


def _let_everybody_go(
    present: Iterable[str],
    ending: Iterable[MissingTeam],
    approved: Set[str] = frozenset(),
) -> MissingTeams:
    absent = tuple(sorted(ending))
    return MissingTeams(absent, len({*present, *(each.team for each in absent)}))


async def _marker_first(
    plan: WritablePlan,
    write: Callable[[Change], Awaitable[None]],
    after_first: Callable[[], Awaitable[None]] | None = None,
) -> None:
    seals = tuple(change for change in plan if isinstance(change, Update) and change.kind == "product marker")
    rest = [tuple(change for change in step if change not in seals) for step in plan.steps]
    first, *others = [step for step in rest if step] or [()]
    await _perform(WritablePlan((first, *([seals] if seals else []), *others)), write, after_first)


_perform = apply_plan


def _no_renewal(*_: object) -> Renewal:
    return Renewal()


def _always(*_: object) -> bool:
    return True


def _nothing(*_: object) -> None:
    """Checks nothing."""


def _never(*_: object, **__: object) -> bool:
    return False


async def _no_slips(*_: object) -> list[Problem]:
    return []


async def _follows(*_: object) -> bool:
    """Every commit comes after every other."""
    return True


async def _none_refused(*_: object) -> frozenset[str]:
    """Nothing was tried before."""
    return frozenset()


def _as_granted(day: date | None, marker: Marker | None, today: date) -> Files:
    """A day that has passed is the natural end, whoever wrote it."""
    found = _by_day(day, marker, today)
    return "expired" if found == "new_end" else found


def _any_file(homes: Sequence[TeamFile], marker: Marker | None) -> TeamFile | None:
    """Whatever lies at one of a team's paths."""
    return _file(homes, marker) or next(iter(homes), None)


_by_day, _file = states._by_day, states._file


def _answers(*_: object) -> RoadVerdict:
    return RoadVerdict("Answers")


async def _nothing_grows(*_: object) -> None:
    """Nothing is reserved."""


def _or_nothing(read: Callable[..., Awaitable[Any]], nothing: Callable[[], Any]) -> Callable[..., Any]:
    """The list, empty where the kind is not served."""

    async def listed(*where: Any) -> Any:
        try:
            return await read(*where)
        except KindNotServed:
            return nothing()

    return listed


SAFEGUARDS = (
    Safeguard(
        "the head is read again, the message's text is not trusted",
        ((pipeline, "decide", _believe_the_message), (decision, "decide", _believe_the_message)),
    ),
    Safeguard(
        "If-Match and resourceVersion",
        ((fake_gateway, "_match", _nothing), (fake_cluster, "_match", _nothing)),
    ),
    Safeguard(
        "the branch is looked at again before writing",
        (
            *(
                (stage, "ensure_branch_unchanged", _do_not_look)
                for stage in (provision_catalog, provision_gateway, provision_projects, deliver_keys)
            ),
        ),
    ),
    Safeguard("the branch is looked at again after writing", ((pipeline, "_follow", _follow_once),)),
    Safeguard(
        "only what carries our marker is touched",
        (
            (Marker, "owns", _owns_everything),
            (keys, "_refused", _refuses_nothing),
            (keys, "_refused_secrets", _refuses_nothing),
            (keys, "is_own", _always),
            (product, "is_own", _always),
            *((plans, "refusal", _refuses_nothing) for plans in _PLANS),
        ),
    ),
    Safeguard("the guard", ((missing_teams, "withhold", _let_everybody_go),)),
    Safeguard("who is held stays held: the product says so", ((pipeline, "hold_product", leave_held),)),
    Safeguard(
        "access ends on the day that was granted: the product says so", ((Marker, "has_lapsed", _never),)
    ),
    Safeguard(
        "keys that another group could read are made new",
        ((keys, "renewal", _no_renewal),),
    ),
    Safeguard("what follows is queued before the message is completed", ((Hosts, "complete_first", True),)),
    Safeguard("the marker is written last", ((provision_gateway, "apply_plan", _marker_first),)),
    Safeguard(
        "capacity is reserved before it is granted", ((provision_gateway, "growth_of", _nothing_grows),)
    ),
    Safeguard(
        "a last day that was past when it came ends nothing",
        (
            (endings, "late_last_days", _no_slips),
            (decision, "late_last_days", _no_slips),
            (receive_push, "late_last_days", _no_slips),
        ),
    ),
    Safeguard("a new last day is the guard's", ((states, "_by_day", _as_granted),)),
    Safeguard("a last day brought forward is the guard's", ((states, "is_shortened", _never),)),
    Safeguard("leave is not older than the access", ((FakeRepository, "is_ancestor", _follows),)),
    Safeguard("what is no request keeps nothing", ((states, "_file", _any_file),)),
    Safeguard(
        "a link hides what was there",
        (
            (team_states, "is_hidden", _never),
            (team_states, "_is_folder_hidden", _never),
            (missing_teams, "is_hidden", _never),
            (receive_push, "is_hidden", _never),
        ),
    ),
    Safeguard(
        "what a newer version wrote is left alone",
        (
            (Marker, "may_change", Marker.owns),
            *((plans, "refusal", _refuses_foreign_ones) for plans in _PLANS),
        ),
    ),
    Safeguard(
        "a kind that is not served is no empty list",
        (
            (FakeCluster, "workspaces", _or_nothing(FakeCluster.workspaces, list)),
            (FakeCluster, "all_workspaces", _or_nothing(FakeCluster.all_workspaces, dict)),
        ),
    ),
    Safeguard("ready is a call that was answered", ((workspace_roads, "judge_road", _answers),)),
    Safeguard(
        "what took too many nodes is not made again", ((workspace_starts, "refused_before", _none_refused),)
    ),
    Safeguard("duplicate detection", ((fake_bus, "WINDOW", timedelta(0)),)),
)
