"""The forms that routes and network policy shall have now. One of an earlier release that is right in all
else is right, until it is due.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from dataclasses import dataclass, field, replace

from shared.resources.actual import Limit, Route
from shared.resources.desired import DesiredWorkspaces
from shared.resources.network_policy import Step, form_to_have, with_policy
from shared.resources.plan import Unread, known
from shared.resources.routes import names_no_host, opens_more, without_host
from shared.resources.workspaces import Manifest, spec_matches


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
    standing = _that_stand(desired, known(routes, ()), due.routes)
    return replace(desired, limits=with_policy(desired.limits, policy), routes={**desired.routes, **standing})


def _that_stand(desired: DesiredWorkspaces, routes: Iterable[Route], due: Set[str]) -> dict[str, Manifest]:
    """The routes that are right in the form of earlier releases, and not due; those that are right but for
    the host, which they name with the others or not at all; and those that open paths beside the right ones.
    """
    found = dict[str, Manifest]()
    for route in routes:
        name, earlier = route.name, desired.earlier_routes.get(route.name)
        if earlier is not None and name not in due and spec_matches(route.spec, earlier):
            found[name] = earlier
        elif name in desired.routes and name not in due:
            wanted = opens_more(route.spec, desired.routes[name])
            form = without_host(wanted) if names_no_host(route.spec) else wanted
            found |= {name: form} if spec_matches(route.spec, form) else {}
    return found


def beside(desired: DesiredWorkspaces, routes: Mapping[str, Iterable[Route]]) -> DesiredWorkspaces:
    """The same with routes for any host where one of ours is, in any namespace: calls of that one would end
    with 404 as soon as another names the host.
    """
    if not any(each.managed and names_no_host(each.spec) for found in routes.values() for each in found):
        return desired
    return replace(desired, routes={name: without_host(each) for name, each in desired.routes.items()})


def may_name_a_host(desired: DesiredWorkspaces, routes: Iterable[Route] | Unread) -> bool:
    """Whether a route of the team may be written that names a host, and none of that name does so far."""
    if isinstance(routes, Unread):
        return False
    named = {each.name for each in routes if not names_no_host(each.spec)}
    return any(not names_no_host(each["spec"]) for name, each in desired.routes.items() if name not in named)
