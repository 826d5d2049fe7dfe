"""The limits of the platform's own services on the number of teams, and the requests that exceed them.

Limits that are not listed here are enforced by the services themselves when Mergekey writes. Only the role
assignments of the requests are counted, not the other ones of the Azure subscription.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from shared.policies.policy_table import MAX_PRODUCTS, Tier
from shared.requests.request import AccessRequest
from shared.resources.project import MAX_PROJECTS

#: Of one Azure subscription: https://learn.microsoft.com/azure/role-based-access-control/troubleshoot-limits
MAX_ASSIGNMENTS = 4_000
#: Of an AKS cluster. KAITO's provisioner makes one for each node:
#: https://learn.microsoft.com/azure/aks/quotas-skus-regions
MAX_POOLS = 100
#: The secrets of a team that its group may read, by one role assignment each; one more is for its project.
_SECRETS = 3


@dataclass(frozen=True, slots=True)
class PlatformUsage:
    """The platform's tier, and what exists in it: `holders` are the teams that have a product of ours,
    `others` is the number of other products.
    """

    tier: Tier
    holders: frozenset[str] = frozenset()
    others: int = 0


@dataclass
class _Usage:
    """The numbers of objects, as they are counted or asked for."""

    products: int
    projects: int = 0
    assignments: int = 0


def may_exceed_ceilings(asked: Iterable[AccessRequest], requests: int, tier: Tier) -> bool:
    """Whether one of these may exceed a limit among so many requests, so that all of them have to be
    counted.
    """
    asked = list(asked)
    limits = [MAX_PRODUCTS[tier]] if asked else []
    if any(each.playground_access for each in asked):
        limits.append(MAX_PROJECTS)
    if any(each.entra_group for each in asked):
        limits.append(MAX_ASSIGNMENTS // (_SECRETS + 1))
    return any(requests > limit for limit in limits)


def beyond_ceilings(
    requests: Mapping[str, AccessRequest], platform: PlatformUsage
) -> Iterator[tuple[str, str]]:
    """The paths of the requests that exceed a limit, each with a message that names the limit. Teams that
    have a product come first; then by name.
    """
    taken = _Usage(len(platform.holders) + platform.others)
    for path, request in sorted(
        requests.items(), key=lambda each: (each[1].team not in platform.holders, each[1].team)
    ):
        new, project = request.team not in platform.holders, request.playground_access
        assignments = _SECRETS + project if request.entra_group else 0
        full = _full(platform.tier, taken, _Usage(int(new), int(project), assignments))
        if full is not None:
            yield path, full
        else:
            taken.products += new
            taken.projects += project
            taken.assignments += assignments


def _full(tier: Tier, taken: _Usage, more: _Usage) -> str | None:
    limit = MAX_PRODUCTS[tier]
    if more.products and taken.products + more.products > limit:
        return (
            f"API Management's tier '{tier}' takes {limit:,} products, one for each team, and "
            f"{taken.products:,} are taken"
        )
    if more.projects and taken.projects + more.projects > MAX_PROJECTS:
        return (
            f"A Foundry account takes {MAX_PROJECTS} projects, one for each playground, and "
            f"{taken.projects} are asked for"
        )
    if more.assignments and taken.assignments + more.assignments > MAX_ASSIGNMENTS:
        return (
            f"An Azure subscription takes {MAX_ASSIGNMENTS:,} role assignments: a team needs {_SECRETS}, and "
            f"one for its playground; {taken.assignments:,} are asked for"
        )
    return None


def beyond_pools(
    asked: Mapping[str, tuple[str, int]], taken: Mapping[str, int], others: int
) -> Iterator[tuple[str, str]]:
    """The paths of the requests that need more agent pools than are left, each with a message. `asked` has
    the team and the GPU nodes that its workspaces will take, `taken` by team those in force, one pool each.
    Teams that do not grow come first, then those that have some, then by name.
    """
    grows = {path: nodes - taken.get(team, 0) for path, (team, nodes) in asked.items()}
    total = others + sum(taken.values())
    for path in sorted(
        asked, key=lambda path: (grows[path] > 0, asked[path][0] not in taken, asked[path][0])
    ):
        if grows[path] > 0 and total + grows[path] > MAX_POOLS:
            yield (
                path,
                f"A cluster has at most {MAX_POOLS} agent pools, one for each GPU node: this request needs "
                f"{grows[path]} more, and {total} are taken",
            )
        else:
            # A pool that is given back is free when the node is gone.
            total += max(grows[path], 0)
