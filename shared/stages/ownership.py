"""Which objects are the team's own, and when the grace period of a withdrawn one has ended."""

from __future__ import annotations

from shared.app import App
from shared.errors import NotManaged
from shared.marker import Marker, require_known
from shared.messaging.messages import TeamMessage
from shared.messaging.outcomes import Event
from shared.resources.actual import Subscription


def display_name(app: App, team: str) -> str:
    """A subscription has no description: its display name is where our marker stands."""
    return f"mergekey/{app.platform.repository}/{team}"


def is_own_subscription(app: App, team: str, subscription: Subscription) -> bool:
    return subscription.display_name == display_name(app, team)


def require_ours(app: App, team: str, marker: Marker | None, what: str) -> Marker:
    if marker is None or not Marker(app.platform.repository, team, "", "").owns(marker):
        raise NotManaged(f"there is a {what} that is not managed by mergekey for {team}")
    require_known(marker, f"the {what}")
    return marker


def is_grace_over(app: App, event: Event[TeamMessage], marker: Marker) -> bool:
    return marker.withdrawn is not None and event.now >= marker.withdrawn + app.limits.grace
