"""Which objects are the team's own."""

from __future__ import annotations

from shared.app import App
from shared.marker import Marker


def own_marker(app: App, team: str) -> Marker:
    """A marker with which the team's objects are compared: it owns what has the same repository and team."""
    return Marker(app.platform.repository, team, "", "")
