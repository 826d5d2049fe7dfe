"""A team's subscription at the gateway. It has no description: its display name is our marker."""

from __future__ import annotations

from shared import names
from shared.marker import Marker, is_team
from shared.resources.actual import Subscription

#: The administrator of every API Management service. API Management gives it a subscription, with keys, to
#: each new product.
ADMINISTRATOR = "1"


def display_name(repository: int, team: str) -> str:
    return f"mergekey/{repository}/{team}"


def team_displayed(repository: int, subscription: Subscription) -> str | None:
    """The team of this repository that the subscription was made for; None for any other."""
    ours, _, team = subscription.display_name.rpartition("/")
    return team if ours == f"mergekey/{repository}" and is_team(team) else None


def is_own(owner: Marker, subscription: Subscription) -> bool:
    """Whether it was made for the owner's team."""
    return subscription.display_name == display_name(owner.repository, owner.team)


def works(subscription: Subscription | None, team: str) -> bool:
    """Whether it is active, and on the team's product."""
    return (
        subscription is not None
        and subscription.state == "active"
        and subscription.product == names.product(team)
    )
