"""Which group could read which key, and until when: whoever may read no more must not have one that works."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from shared import names
from shared.resources.key_slots import PRIMARY
from tests.fakes.calls import Call
from tests.simulation.people import TEAMS
from tests.simulation.scene import Scene

#: A key whose time is over is made new by whoever comes back, or by the next sweep; clocks may be some
#: minutes fast.
SLACK = 1200.0


class Readers:
    """`_last`: by key, each group that could read it, and when it could last."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self._last: dict[str, dict[str, float]] = defaultdict(dict)

    def look(self, call: Call) -> None:
        """Right before and right after each call that may change who can read what."""
        if not call.writes or call.system not in ("vault", "roles"):
            return
        secret = call.target.split()[0]
        if any(secret in names.key_secrets(team) for team in TEAMS):
            self._remember(secret)

    def _remember(self, secret: str) -> None:
        """Whoever may read a secret reads all versions of it that are enabled."""
        vault, roles = self._scene.app.vault, self._scene.app.roles
        if secret not in vault.names():
            return
        kept, groups = vault.kept[secret], [group for each, group in roles.assigned if each == secret]
        for value in [kept.values[version.version] for version in kept.versions if version.enabled]:
            self._last[value] |= dict.fromkeys(groups, self._scene.loop.time())

    def former(self, team: str, reader: str | None) -> Iterator[str]:
        """The team's secrets whose key works although another group than `reader` could read it, and its time
        is over.
        """
        state, now = self._scene.app.gateway.state, self._scene.loop.time()
        subscription = state.subscriptions.get(names.subscription(team))
        if subscription is None or subscription.state != "active":
            return
        for which, (name, key) in enumerate(
            zip(names.key_secrets(team), state.keys[subscription.name], strict=True)
        ):
            self._remember(name)
            overlap = self._scene.app.timeouts.key_overlap.total_seconds() if which == PRIMARY else 0.0
            over = [
                group
                for group, last in self._last[key].items()
                if group != reader and now >= last + overlap + SLACK
            ]
            yield from (f"{name}: {group} could read the key that works" for group in over)
