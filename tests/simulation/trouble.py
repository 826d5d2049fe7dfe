"""What goes wrong between the app and the world: calls that fail, hang or are cut off, machines that die,
roles that are missing.

Every call counts towards the next fault; which kind it is, the seed decides among those that fit the call.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta

from shared import names
from shared.errors import AccessDenied, Busy, MergekeyError, Rejected, Throttled, Unavailable
from tests.fakes.calls import Call
from tests.fakes.cluster import WORKSPACE
from tests.simulation.hosts import Hosts
from tests.simulation.people import TEAMS
from tests.simulation.scene import Handling, Scene

#: Systems whose calls can fail: reports never raise, and completing a message is the host's own.
FALLIBLE = ("repository", "gateway", "vault", "roles", "cluster", "projects", "bus")
#: Those that hold what teams have.
CHANGED = ("gateway", "vault", "roles", "cluster", "projects")


@dataclass(frozen=True, slots=True)
class Spell:
    """For a while every call of a system that fits fails in the same way. `target` is a part of the target's
    name.
    """

    system: str
    name: str
    target: str
    until: float
    error: Callable[[], MergekeyError]

    def hits(self, call: Call) -> bool:
        return call.system == self.system and call.name.startswith(self.name) and self.target in call.target


class Trouble:
    """`on` is False when the faults have stopped. `meanwhile` moves the branch for a team, right now.

    `prey` are teams whose next delivery of keys will be overtaken.
    """

    def __init__(
        self, scene: Scene, hosts: Hosts, kinds: tuple[str, ...], meanwhile: Callable[[str], None]
    ) -> None:
        self._scene = scene
        self._hosts = hosts
        self._kinds = kinds
        self._every = scene.chance.choice((15, 40, 120))
        self._left = scene.chance.randint(1, self._every)
        self._afterwards: list[tuple[Call, str]] = []
        self.spells: list[Spell] = []
        self.meanwhile = meanwhile
        #: Lets another team ask for what this one is being given; whether there is one, and something to
        #: compete for.
        self.rival: Callable[[str], bool] = lambda _: False
        self.prey: set[str] = set()
        self.on = True

    def stop(self) -> None:
        self.on = False
        self.spells.clear()
        if self._scene.app.cluster is not None:
            self._scene.app.cluster.not_served.clear()
            self._scene.app.cluster.never_load.clear()
            self._scene.app.cluster.outlive = timedelta(0)
            self._scene.app.cluster.more_nodes = 0
        for machine in self._hosts.machines:
            machine.behind_until, machine.skew = 0.0, timedelta(0)

    async def before(self, call: Call, handling: Handling) -> None:
        """May raise, wait, or end the machine."""
        if self.spells:
            now = self._scene.loop.time()
            self.spells = [spell for spell in self.spells if now < spell.until]
            for spell in self.spells:
                if spell.hits(call):
                    raise spell.error()
        self._left -= 1
        if self.on and call.name in CONTESTED and handling.team is not None and RIVAL in self._kinds:
            await self._let_a_rival_ask(call, handling.team)
        if _makes_workspace(call):
            await self._count_nodes(call, handling)
        aimed = next((kind for kind in AIMED if self.on and kind in self._kinds and fits(kind, call)), None)
        if aimed is not None and (
            self._is_prey(call, handling) or self._scene.chance.random() < AIMED[aimed]
        ):
            self._count(aimed, call)
            await self.is_overtaken(call, handling)
        elif self._left <= 0 and self.on:
            kind = self._scene.chance.choice(self._kinds)
            if fits(kind, call):
                self._left = self._scene.chance.randint(1, 2 * self._every)
                self._count(kind, call)
                await KINDS[kind](self, call, handling)

    async def _let_a_rival_ask(self, call: Call, team: str) -> None:
        """Between what a team was promised and its write another one asks for it, and its turn comes
        meanwhile.
        """
        if self._scene.chance.random() < RIVALRY and self.rival(team):
            self._count(RIVAL, call)
            await asyncio.sleep(self._scene.chance.choice((5, 15, 40)))

    async def _count_nodes(self, call: Call, handling: Handling) -> None:
        """Workspaces are few: most of them take too many."""
        assert self._scene.app.cluster is not None
        self._scene.app.cluster.more_nodes = 0
        if self.on and MORE_NODES in self._kinds and self._scene.chance.random() < 0.7:
            self._count(MORE_NODES, call)
            await self.counts_more(call, handling)

    def _is_prey(self, call: Call, handling: Handling) -> bool:
        return (
            handling.team in self.prey
            and call.system in ("vault", "roles")
            and not call.target.startswith("team-")
        )

    async def after(self, call: Call, handling: Handling) -> None:
        """What was decided before the call and comes when it has taken effect."""
        for each in self._afterwards:
            if each[0] is call:
                self._afterwards.remove(each)
                if each[1] == "dies":
                    await self._die(handling)
                raise Unavailable("no answer in time")

    def _count(self, kind: str, call: Call) -> None:
        self._scene.counts[f"fault: {kind}"] += 1
        self._scene.note("FAULT", f"{kind} at {call}")

    async def _die(self, handling: Handling) -> None:
        if not handling.machine.alive:
            # Its end came just when this task was given what it waited for, which asyncio may forget then.
            raise asyncio.CancelledError
        self._hosts.die(handling.machine)
        await asyncio.Event().wait()

    # -------------------------------------------------------------------------------------------------- kinds

    async def dies(self, call: Call, handling: Handling) -> None:
        if self._scene.chance.random() < 0.5:
            self._afterwards.append((call, "dies"))
        else:
            await self._die(handling)

    async def times_out(self, call: Call, handling: Handling) -> None:
        await asyncio.sleep(self._scene.chance.choice((1, 30)))
        if self._scene.chance.random() < 0.6:
            self._afterwards.append((call, "timeout"))
        else:
            raise Unavailable("no answer in time")

    async def server_error(self, call: Call, handling: Handling) -> None:
        raise Unavailable("500")

    async def throttled(self, call: Call, handling: Handling) -> None:
        raise Throttled("429", retry_after=timedelta(seconds=self._scene.chance.choice((1, 20, 120))))

    async def conflict(self, call: Call, handling: Handling) -> None:
        raise Busy("409")

    async def hangs(self, call: Call, handling: Handling) -> None:
        await asyncio.sleep(self._scene.chance.choice((2, 10, 50)))

    async def loses_lock(self, call: Call, handling: Handling) -> None:
        """And runs on, sooner or later than the next one who gets the message; often the branch moves
        meanwhile.
        """
        self._hosts.lose_lock(handling)
        if handling.team is not None and self._scene.chance.random() < 0.6:
            self.meanwhile(handling.team)
        await asyncio.sleep(self._scene.chance.choice((0, 1, 30)))

    async def is_overtaken(self, call: Call, handling: Handling) -> None:
        """Between the last look and a write: another one gets the message, and the branch says something
        else.
        """
        self._hosts.lose_lock(handling)
        if handling.team is not None:
            self.meanwhile(handling.team)
        await asyncio.sleep(self._scene.chance.choice((10, 40)))

    async def stale_head(self, call: Call, handling: Handling) -> None:
        handling.machine.behind = self._scene.chance.choice((1.0, 4.0, 8.0))
        handling.machine.behind_until = self._scene.loop.time() + 30

    async def clock_jumps(self, call: Call, handling: Handling) -> None:
        handling.machine.skew = timedelta(seconds=self._scene.chance.choice((-3600, -600, -30, 30, 240)))

    async def role_revoked(self, call: Call, handling: Handling) -> None:
        until = self._scene.loop.time() + self._scene.chance.choice((60, 600, 1500))
        self.spells.append(Spell(call.system, "", self._some_team(), until, lambda: AccessDenied("403")))

    async def outage(self, call: Call, handling: Handling) -> None:
        until = self._scene.loop.time() + self._scene.chance.choice((30, 300))
        self.spells.append(Spell(call.system, "", self._some_team(), until, lambda: Unavailable("503")))

    async def tier_is_full(self, call: Call, handling: Handling) -> None:
        until = self._scene.loop.time() + self._scene.chance.choice((60, 900))
        self.spells.append(
            Spell("gateway", "create_product", "", until, lambda: Rejected("the tier has no more products"))
        )

    async def kind_not_served(self, call: Call, handling: Handling) -> None:
        """A definition is removed from the cluster, and installed again after a while."""
        cluster = self._scene.app.cluster
        if cluster is not None:
            kind = self._scene.chance.choice(REMOVABLE)
            cluster.not_served.add(kind)
            after = self._scene.chance.choice((20, 200, 2000))
            self._scene.loop.call_later(after, cluster.not_served.discard, kind)

    async def never_loads(self, call: Call, handling: Handling) -> None:
        """A model runs and is not ready, whatever it was before; after a while it is."""
        cluster = self._scene.app.cluster
        found = [key for key in cluster.state.objects if key[1] == WORKSPACE] if cluster is not None else []
        if cluster is not None and found:
            home, _, name = self._scene.chance.choice(found)
            cluster.never_load.add(f"{home}/{name}")
            after = self._scene.chance.choice((200, 2000, 20_000))
            self._scene.loop.call_later(after, cluster.never_load.discard, f"{home}/{name}")

    async def node_outlives(self, call: Call, handling: Handling) -> None:
        """From now on nodes stay for a while after their workspaces, and are being deleted meanwhile."""
        if self._scene.app.cluster is not None:
            self._scene.app.cluster.outlive = timedelta(seconds=self._scene.chance.choice((60, 900, 5000)))

    async def counts_more(self, call: Call, handling: Handling) -> None:
        """KAITO takes more nodes for the workspace that is being made than any catalogue allows."""
        if self._scene.app.cluster is not None:
            self._scene.app.cluster.more_nodes = 2

    def _some_team(self) -> str:
        """A part of names that belong to one team, to what serves the models, or to all."""
        return self._scene.chance.choice((*TEAMS, names.SHARED_PREFIX, names.CREDENTIAL_PREFIX, "", "", ""))


#: The windows that only a tag closes, or only another look afterwards, are narrow: they are aimed at. How
#: often they are hit.
OVERTAKEN, OVERTAKEN_UNFENCED = "overtaken at a write", "overtaken at a write without a tag"
AIMED = {OVERTAKEN: 0.15, OVERTAKEN_UNFENCED: 0.05}
#: The writes that give a team more of what there is only so much of.
RIVAL, RIVALRY, CONTESTED = (
    "a rival asks meanwhile",
    0.5,
    ("create_product", "mark_product", "put_product_policy"),
)
NOT_SERVED, REMOVABLE = "a kind is not served", ("Workspace", "Workspace", "HTTPRoute", "Namespace")
NEVER_LOADS, OUTLIVES = "a model never loads", "a node outlives its workspace"
MORE_NODES = "more nodes than asked"
KINDS: dict[str, Callable[[Trouble, Call, Handling], Awaitable[None]]] = {
    "a machine dies": Trouble.dies,
    "timeout": Trouble.times_out,
    "server error": Trouble.server_error,
    "throttled": Trouble.throttled,
    "conflict": Trouble.conflict,
    "a call hangs": Trouble.hangs,
    "lock lost": Trouble.loses_lock,
    OVERTAKEN: Trouble.is_overtaken,
    OVERTAKEN_UNFENCED: Trouble.is_overtaken,
    RIVAL: Trouble.hangs,
    "stale head": Trouble.stale_head,
    "clock jumps": Trouble.clock_jumps,
    "role revoked": Trouble.role_revoked,
    "outage": Trouble.outage,
    "tier is full": Trouble.tier_is_full,
    NOT_SERVED: Trouble.kind_not_served,
    NEVER_LOADS: Trouble.never_loads,
    OUTLIVES: Trouble.node_outlives,
    MORE_NODES: Trouble.counts_more,
}
#: What puts one message into two hands.
RACES = (
    "lock lost",
    OVERTAKEN,
    OVERTAKEN_UNFENCED,
    "lock lost",
    "a call hangs",
    "a machine dies",
    "conflict",
    RIVAL,
    MORE_NODES,
)
_ANYWHERE = frozenset({"a machine dies", "a call hangs", "lock lost", "clock jumps", "stale head"})


def _makes_workspace(call: Call) -> bool:
    return call.system == "cluster" and call.name == "create" and call.target.startswith(f"{WORKSPACE} ")


def fits(kind: str, call: Call) -> bool:
    """Whether the call can fail like that."""
    if kind in _ANYWHERE:
        return True
    if kind in AIMED:
        fenced = call.fence not in (None, "*")
        return call.writes and call.system in CHANGED and fenced == (kind == OVERTAKEN)
    if kind == MORE_NODES:
        return _makes_workspace(call)
    of_cluster = (NOT_SERVED, NEVER_LOADS, OUTLIVES)
    if call.system not in FALLIBLE or (kind in of_cluster and call.system != "cluster"):
        return False
    return kind != "conflict" or (call.writes and call.system in CHANGED)
