"""Which objects are the team's own, and when the grace period of a withdrawn one has ended."""

from __future__ import annotations

from typing import TypeGuard

from shared.app import App
from shared.errors import NotManaged
from shared.marker import Marker, require_known
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Event
from shared.resources.actual import Subscription


def own_marker(app: App, team: str) -> Marker:
    """A marker with which the team's objects are compared: it owns what has the same repository and team."""
    return Marker(app.platform.repository, team, "", "")


def require_ours(app: App, team: str, marker: Marker | None, what: str) -> Marker:
    """Return the marker of an object that is ours; `what` names the object for people.

    Raises NotManaged for an object of somebody else, and NewerVersion for one that a newer version wrote.
    """
    if marker is None or not own_marker(app, team).owns(marker):
        raise NotManaged(f"there is a {what} that is not managed by mergekey for {team}: rename or remove it")
    require_known(marker, f"the {what}")
    return marker


def subscription_display_name(app: App, team: str) -> str:
    """A subscription has no description: its display name is where our marker stands."""
    return f"mergekey/{app.platform.repository}/{team}"


def is_own_subscription(app: App, team: str, subscription: Subscription) -> bool:
    return subscription.display_name == subscription_display_name(app, team)


def is_own_and_active(subscription: Subscription | None, app: App, team: str) -> TypeGuard[Subscription]:
    return (
        subscription is not None
        and subscription.state == "active"
        and is_own_subscription(app, team, subscription)
    )


def is_own_and_suspended(subscription: Subscription | None, app: App, team: str) -> TypeGuard[Subscription]:
    return (
        subscription is not None
        and subscription.state != "active"
        and is_own_subscription(app, team, subscription)
    )


def is_foreign_and_active(subscription: Subscription | None, app: App, team: str) -> TypeGuard[Subscription]:
    """Whether the team's subscription was renamed, or replaced by another, whose keys work."""
    return (
        subscription is not None
        and subscription.state == "active"
        and not is_own_subscription(app, team, subscription)
    )


def is_grace_over(app: App, event: Event[TeamMessage], marker: Marker | None) -> bool:
    withdrawn = None if marker is None else marker.withdrawn
    return withdrawn is not None and event.now >= withdrawn + app.timeouts.grace
