"""The forms that routes and network policy shall have now. One of an earlier release that is right in all
else is right, until it is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from dataclasses import dataclass, field, replace

from shared.resources.actual import Limit, Route
from shared.resources.desired import DesiredWorkspaces
from shared.resources.network_policy import Step, form_to_have, with_policy
from shared.resources.plan import Unread, known
from shared.resources.workspaces import spec_matches


@dataclass(frozen=True, slots=True)
class Due:
    """What may be brought to today's form now: routes, by the names of their workspaces, and the policy."""

    routes: Set[str] = field(default_factory=frozenset)
    policy: Step = "stays"


NOTHING_DUE = Due()


def in_standing_forms(
    desired: DesiredWorkspaces,
    routes: Iterable[Route] | Unread,
    limits: Iterable[Limit] | Unread,
    due: Due,
    *,
    serves: bool,
) -> DesiredWorkspaces:
    """The same with each route and the network policy in the form that it shall have now; `serves` is whether
    the team has workspaces that stand.
    """
    if desired.policy is None:
        return desired
    policy = form_to_have(desired.policy, limits, due.policy, serves=serves)
    standing = _earlier_that_stand(desired, known(routes, ()), due.routes)
    earlier = {name: desired.earlier_routes[name] for name in standing}
    return replace(desired, limits=with_policy(desired.limits, policy), routes={**desired.routes, **earlier})


def _earlier_that_stand(desired: DesiredWorkspaces, routes: Iterable[Route], due: Set[str]) -> set[str]:
    """The routes that are right in the form of earlier releases, and not due."""
    earlier = desired.earlier_routes
    return {
        route.name
        for route in routes
        if route.name in earlier and route.name not in due and spec_matches(route.spec, earlier[route.name])
    }
