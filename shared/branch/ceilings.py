"""How many teams the platform's own services can hold, and which requests are beyond that.

What has no number of its own here is refused by the service when it is written. Of role assignments those of
the requests are counted, and not what else the Azure subscription has.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from shared.policies.policy_table import MAX_PRODUCTS, Tier
from shared.requests.request import AccessRequest
from shared.resources.project import MAX_PROJECTS

#: Of one Azure subscription: https://learn.microsoft.com/azure/role-based-access-control/troubleshoot-limits
MOST_ASSIGNMENTS = 4_000
#: A group reads three secrets of its team, and uses its project.
_SECRETS = 3


@dataclass(frozen=True, slots=True)
class Platform:
    """What may be there and what is: `holders` are the teams that have a product of ours, `others` the
    products that are not.
    """

    tier: Tier
    holders: frozenset[str] = frozenset()
    others: int = 0


@dataclass
class _Taken:
    """What has been counted so far."""

    products: int
    projects: int = 0
    assignments: int = 0


def may_be_beyond(asked: Iterable[AccessRequest], requests: int, tier: Tier) -> bool:
    """Whether one of these may find no room among so many requests, so that all of them have to be
    counted.
    """
    asked = list(asked)
    tried_out, read = any(each.playground_access for each in asked), any(each.entra_group for each in asked)
    most = [MAX_PRODUCTS[tier] if asked else None, MAX_PROJECTS if tried_out else None]
    most.append(MOST_ASSIGNMENTS // (_SECRETS + 1) if read else None)
    return any(number is not None and requests > number for number in most)


def beyond(requests: Mapping[str, AccessRequest], platform: Platform) -> Iterator[tuple[str, str]]:
    """The paths of the requests that find no room, each with what is full. Who has a product comes first,
    then by name.
    """
    taken = _Taken(len(platform.holders) + platform.others)
    for path, request in sorted(
        requests.items(), key=lambda each: (each[1].team not in platform.holders, each[1].team)
    ):
        new, project = request.team not in platform.holders, request.playground_access
        assignments = _SECRETS + project if request.entra_group else 0
        full = _full(platform.tier, taken, _Taken(int(new), int(project), assignments))
        if full is not None:
            yield path, full
        else:
            taken.products += new
            taken.projects += project
            taken.assignments += assignments


def _full(tier: Tier, taken: _Taken, more: _Taken) -> str | None:
    most = MAX_PRODUCTS[tier]
    if more.products and taken.products + more.products > most:
        return (
            f"API Management's tier '{tier}' takes {most:,} products, one for each team, and "
            f"{taken.products:,} are taken"
        )
    if more.projects and taken.projects + more.projects > MAX_PROJECTS:
        return (
            f"A Foundry account takes {MAX_PROJECTS} projects, one for each playground, and "
            f"{taken.projects} are asked for"
        )
    if more.assignments and taken.assignments + more.assignments > MOST_ASSIGNMENTS:
        what = f"a team needs {_SECRETS}, and one for its playground; {taken.assignments:,} are asked for"
        return f"An Azure subscription takes {MOST_ASSIGNMENTS:,} role assignments: {what}"
    return None
