"""How GitHub tells of pushes: late, twice, in another order, not at all; and what somebody else sends in its
name.
"""

from __future__ import annotations

import hashlib

from shared.messaging.messages import AccessChange, DeliverKeys
from shared.messaging.routes import DELIVER_KEYS, STAGES, SWEEP, TOPIC
from shared.ports import OutgoingMessage
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import READERS, Asked, path_of
from tests.fakes.bus import Held
from tests.simulation.hosts import Hosts
from tests.simulation.people import TEAMS, Push
from tests.simulation.scene import Scene

#: Deliveries by how often they happen. `plain` is the only one that is no fault.
WAYS = ("plain",) * 6 + ("lost", "late", "twice", "by two webhooks")
RACING = ("plain", "plain", "twice", "by two webhooks")
ONCE = ("plain",)


class GitHub:
    """`reliable` are the deliveries that came once, soon, and by themselves."""

    def __init__(self, scene: Scene, hosts: Hosts) -> None:
        self._scene = scene
        self._hosts = hosts
        self._told = 0
        self.reliable: set[str] = set()

    def tell(self, pushes: list[Push], ways: tuple[str, ...]) -> None:
        """All pushes that nobody was told of yet."""
        for push in pushes[self._told :]:
            way = self._scene.chance.choice(ways)
            if way != "plain":
                self._scene.counts[f"fault: delivery {way}"] += 1
            if way in ("plain", "twice", "by two webhooks"):
                self.reliable.add(push.delivery)
            for delivery, wait in self._calls(push.delivery, way):
                self._scene.loop.call_later(wait, self._hosts.push, delivery, push.before, push.allows)
        self._told = len(pushes)

    def _calls(self, delivery: str, way: str) -> list[tuple[str, float]]:
        chance = self._scene.chance
        soon = 0.1 + 3 * chance.random()
        match way:
            case "lost":
                return []
            case "late":
                return [(delivery, 60 + 1500 * chance.random())]
            case "twice":
                return [(delivery, soon), (delivery, soon + chance.choice((0, 1, 30, 700)))]
            case "by two webhooks":
                return [(delivery, soon), (f"{delivery}-again", soon * chance.random())]
            case _:
                return [(delivery, soon)]

    # ----------------------------------------------------------------------------------------- in other names

    def forge_push(self) -> None:
        """A webhook call that tells of a commit that is none, or not the one before."""
        commits = [commit for _, commit in self._scene.repository.history if commit] or ["f" * 40]
        before = self._scene.chance.choice((*commits, "f" * 40))
        self._scene.counts["fault: forged delivery"] += 1
        self._hosts.push(f"forged-{self._scene.loop.steps}", before)

    def forge_message(self) -> None:
        """A message that no stage of ours has sent: another text than the blob's, a withdrawal of who is
        there, another team's path.
        """
        chance, team = self._scene.chance, self._scene.chance.choice(TEAMS)
        commit = self._scene.repository.branch or "f" * 40
        text = Asked(team=team, tokens=99_999, readers=READERS).text()
        blob = hashlib.sha1(text.encode()).hexdigest()
        path = chance.choice((path_of(team), path_of(chance.choice(TEAMS)), DEFAULT_CATALOG_PATH))
        message = chance.choice((
            AccessChange(change="withdrawn", team=team, path=path, commit=commit),
            AccessChange(change="requested", team=team, path=path, commit=commit, blob=blob, text=text),
            DeliverKeys(change="withdrawn", team=team, path=path, commit=commit),
            DeliverKeys(change="requested", team=team, path=path, commit=commit, blob=blob, text=text),
        ))  # fmt: skip
        keys = isinstance(message, DeliverKeys)
        name = f"forged-{self._scene.loop.steps}"
        body = message.encode(name, "/forged", self._scene.true.now())
        self._put(
            OutgoingMessage(
                DELIVER_KEYS.entity if keys else TOPIC, name, body, session=team, to=None if keys else "all"
            )
        )
        self._scene.counts["fault: forged message"] += 1
        self._scene.note("a forger", f"{name}: {message.change} {team} {path}")

    def garbage(self) -> None:
        """A body that is not one of ours."""
        stage = self._scene.chance.choice(STAGES)
        body = self._scene.chance.choice(
            (b"", b"{}", b"\xff", b'{"specversion":"1.0","type":"dev.mergekey.sweep.v9","data":{}}')
        )
        self._put(
            OutgoingMessage(
                stage.entity,
                f"garbage-{self._scene.loop.steps}",
                body,
                session=self._scene.chance.choice(TEAMS),
                to=stage.to,
            )
        )
        self._scene.counts["fault: garbage"] += 1

    def repeat_message(self) -> None:
        """The broker hands out once more what was completed, which nothing is that still waits."""
        bus, now = self._scene.app.bus, self._scene.true.now()
        handed = [envelope for envelope in bus.sent[-60:] if envelope.due is None or envelope.due <= now]
        sent = [
            envelope for envelope in handed if envelope.entity in (TOPIC, SWEEP.entity, DELIVER_KEYS.entity)
        ]
        if sent:
            envelope = self._scene.chance.choice(sent)
            for name in bus._addressed(envelope):
                bus.queues[name].append(Held(envelope, now, next(bus._numbers)))
            self._scene.counts["fault: message repeated"] += 1
            self._scene.note("the broker", f"repeats {envelope.message_id}")
            self._hosts.poke()

    def _put(self, envelope: OutgoingMessage) -> None:
        self._scene.app.bus._accept(envelope)
        self._hosts.poke()
