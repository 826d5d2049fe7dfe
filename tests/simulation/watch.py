"""The promises that can be checked at every step: whose objects are written, how old a write is, what the
guard holds, how many wait.
"""

from __future__ import annotations

import re
from collections import Counter

from shared import names
from shared.gateway_api.road import Served
from shared.marker import Marker
from shared.messaging.routes import STAGES
from shared.names import CATALOG_TEAM
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import PATHS
from tests.fakes.calls import Call
from tests.fakes.cluster import WORKSPACE, State
from tests.fakes.repository import Files
from tests.simulation.account import Judge
from tests.simulation.nodes import Nodes
from tests.simulation.people import BROKEN, SLIP, places
from tests.simulation.rules import Rules, is_hidden
from tests.simulation.scene import Handling, Scene, is_write

#: Calls that take something away from whoever has it.
TAKING = frozenset({
    "delete_product", "delete_subscription", "suspend_subscription", "regenerate_key", "delete_backend",
    "delete_workspace", "delete_route", "delete_namespace", "delete", "revoke", "delete_project",
    "delete_named_value",
})  # fmt: skip
#: What an ETag or a resourceVersion fences, with the object that has it: of two writes to one object the
#: older one is refused.
FENCED = {
    "create_product": "product", "publish_product": "product", "mark_product": "product",
    "require_subscription": "product", "delete_product": "product",
    "put_product_policy": "policy", "put_api_policy": "policy", "put_api": "api",
    "put_subscription": "subscription", "suspend_subscription": "subscription",
    "delete_subscription": "subscription", "create": "workspace", "delete_workspace": "workspace",
    "delete_namespace": "namespace",
}  # fmt: skip
#: Copies of one chain that may wait at a time: a message can be in the hands of a handler that has lost its
#: lock, too; and a sweep that is handled twice may send a change once to all stages and once to each.
MOST_COPIES = 12
#: Chains for the same that wait for one second should have met there. Who waits longer than the broker
#: remembers ids can be joined.
MOST_TOGETHER = 3
#: Chains of sweeps for the same: each looks at other seconds first, by its age and by its machine's clock,
#: and meets the others later.
MOST_CHAINS = 24
#: What a write concerns, by its system, and at the gateway by how its name ends.
_SYSTEMS = {"vault": "secret", "cluster": "namespace", "projects": "project"}
_KINDS = {
    "named_value": "named value",
    "product": "product",
    "product_policy": "product",
    "subscription": "subscription",
    "key": "subscription",
    "backend": "backend",
}

#: The line of the log that has people delete a node pool.
_GONE = re.compile(r"GPU node \S+ was made for the workspace ([^/ ]+)/([^, ]+), which is gone")
#: The status of a team whose workspaces are ready, with their names.
_READY = re.compile(r"mergekey/([^/ ]+)/workspaces workspaces ready: ([^;]+)")


class Watch:
    """Is asked before the effect of every call and after it."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene
        self.ever_guarded: set[str] = set()
        self._newest: dict[tuple[str, str], int] = {}
        self._since: dict[tuple[str, int], int] = {}
        self._in_vain = False
        self._judge = Judge(scene)
        self.nodes = Nodes(scene)
        self.rules = Rules(scene)
        #: How many statuses were looked at.
        self._read = 0
        #: What the guard keeps of the product that is being written.
        self._kept: Marker | None = None

    def before(self, call: Call, handling: Handling) -> None:
        if not is_write(call):
            return
        # Between this and `after` nothing else happens: whoever deletes what is gone already changes nothing.
        self._in_vain = call.name.startswith("delete_") and not self._is_there(call)
        self._judge.before(call)
        self.nodes.before(call, handling)
        team = self._team_of(call)
        shortens = call.name in ("publish_product", "mark_product") and self._is_guarded(team, handling)
        self._kept = self._marker_of(call.target) if shortens else None
        # A sweep notes at the routes of all teams what it saw of their roads.
        is_note = call.name == "annotate_route" and handling.team == "sweep"
        if handling.team is not None and team not in (None, handling.team) and not is_note:
            self._scene.fail(6, f"{handling} of {handling.team} writes for {team}: {call}")
        self._require_ours(call, handling)
        if team is not None and call.name in TAKING:
            self._require_leave(call, handling, team)
        if (
            call.name == "delete_namespace"
            and not self._in_vain
            and handling.standing.get(call.target) != set()
        ):
            self._scene.fail(14, f"{handling} has not seen that its workspaces are gone: {call}")
        if team is not None and call.name == "suspend_subscription":
            self._require_the_end(call, handling, team)

    def after(self, call: Call, handling: Handling) -> None:
        self._judge.after(call, handling)
        self.nodes.after(call, handling)
        if call.system in ("roads", "reports"):
            self._watch_roads(call, handling)
        if call.name in ("workspaces", "all_workspaces"):
            handling.standing[call.target or None] = self._workspaces(call.target)
        if call.name == "head" and handling.ends:
            handling.guarded = self.rules.guarded(handling.seen)
            self.ever_guarded |= handling.guarded
        elif call.system == "bus":
            self._count_waiting()
        elif call.name in FENCED and not self._in_vain:
            self._require_newest(call, handling)
            self._require_leave_to_shorten(call, handling)
        elif call.name == "link_product" and self._is_bare(call.target, handling):
            self._scene.fail(11, f"{handling} opens a door without limits: {call}")
        elif call.name == "update":
            self._require_leave_to_disable(call, handling)

    def _watch_roads(self, call: Call, handling: Handling) -> None:
        """A workspace is told to be ready when its model answered the one who tells it, or it says that the
        road is not proven.
        """
        roads = self._scene.app.roads
        if call.name == "ask" and roads is not None and isinstance(roads.last[call.target], Served):
            handling.answered.add(call.target)
        for status in self._scene.app.reports.shown[self._read :] if call.name == "statuses" else ():
            self._read += 1
            told = _READY.fullmatch(f"{status.context} {status.description}")
            team, names_of = ("", "") if told is None else told.groups()
            ready = names_of.split(", ") if names_of else []
            unasked = [each for each in ready if f"team-{team}/{each}" not in handling.answered]
            if unasked:
                self._scene.fail(15, f"{handling} calls ready what did not answer it: {unasked}")

    def _require_seen(self, call: Call, handling: Handling) -> None:
        if handling.standing.get(call.target) != set():
            self._scene.fail(14, f"{handling} has not seen that its workspaces are gone: {call}")

    def hear(self, line: str, handling: Handling | None) -> None:
        """Nothing is told to be gone that was not seen to be gone."""
        told = _GONE.search(line)
        if told is None or handling is None:
            return
        standing = handling.standing.get(None)
        if standing is None or told.groups() in standing:
            self._scene.fail(14, f"{handling} calls gone what it has not seen to be gone: {line}")

    def _workspaces(self, namespace: str) -> set[tuple[str, str]]:
        """Namespace and name of those in a namespace, or of all."""
        cluster = self._scene.app.cluster
        objects = cluster.state.objects if cluster else ()
        return {(home, name) for home, kind, name in objects if kind == WORKSPACE and namespace in ("", home)}

    def _is_there(self, call: Call) -> bool:
        """Whether what a fence protects is there, and is not going already."""
        gateway, cluster = self._scene.app.gateway.state, self._scene.app.cluster
        going = cluster.state if cluster else State()
        match FENCED.get(call.name):
            case "product":
                return call.target in gateway.products
            case "subscription":
                return call.target in gateway.subscriptions
            case "workspace":
                home, _, name = call.target.partition("/")
                kept = going.objects.get((home, WORKSPACE, name))
            case _:
                kept = going.namespaces.get(call.target)
        return kept is not None and kept.deleted is None

    def _is_bare(self, product: str, handling: Handling) -> bool:
        """Whether it has no policy, and no hand has taken it away since the handler began."""
        return product not in self._scene.app.gateway.state.policies and self._scene.bared < handling.began

    # -------------------------------------------------------------------------------------------------- whose

    def _team_of(self, call: Call) -> str | None:
        """The team that the target belongs to; None where that is not written in its name."""
        state, name = self._scene.app.gateway.state, call.target.split()[0].split("/")[0]
        if call.system == "roles" and name.startswith("team-"):
            return name.removeprefix("team-")
        if call.system in ("vault", "roles"):
            return next(
                (
                    name.removesuffix(end)
                    for end in ("-primary-key", "-secondary-key", "-endpoint")
                    if name.endswith(end)
                ),
                None,
            )
        if call.system == "cluster":
            return _home(call).removeprefix("team-")
        if name in (names.API, names.BEARER_API, names.FRAGMENT) or name.startswith(
            (names.SHARED_PREFIX, names.CREDENTIAL_PREFIX)
        ):
            return CATALOG_TEAM
        if call.name == "delete_subscription":
            name = state.subscriptions[name].product if name in state.subscriptions else ""
        if name.partition("--")[0] == names.PROBE:
            return CATALOG_TEAM
        return name.partition("--")[0].removeprefix("team-") or None

    def _require_ours(self, call: Call, handling: Handling) -> None:
        """What was somebody else's, or a newer version's, before the handler began stays as it is."""
        whose = _whose(call)
        marker = self._marker_of(whose[1]) if whose[0] == "product" else None
        if marker is not None and marker.newer and self._scene.newer[whose[1]] < handling.began:
            self._scene.fail(5, f"{handling} writes what a newer version looks after: {call}")
        lost = self._scene.unlabelled.get(whose[1]) if whose[0] == "namespace" else None
        if lost is not None and lost < handling.began:
            self._scene.fail(5, f"{handling} writes where the label is lost: {call}")
        since = self._scene.foreign.get(whose)
        if since is not None and since < handling.began:
            self._scene.fail(5, f"{handling} writes what is not ours: {call}")
        elif since is not None and whose[0] != "namespace":
            # Creating cannot be fenced: nothing was there when the handler looked. The cluster refuses it.
            del self._scene.foreign[whose]

    # ---------------------------------------------------------------------------------------------- the guard

    def _require_leave(self, call: Call, handling: Handling, team: str) -> None:
        """Whoever has lost the lock may have been let go before others went too; where no tag tells it, it is
        too late.
        """
        if not handling.locked and call.fence is None:
            return
        if self._is_guarded(team, handling):
            self._scene.fail(5, f"{handling} takes away what the guard holds: {call}")

    def _require_leave_to_disable(self, call: Call, handling: Handling) -> None:
        kept, team = self._scene.app.vault.kept[call.target], self._team_of(call)
        if team is not None and not kept.versions[0].enabled:
            self._require_leave(call, handling, team)

    def _is_guarded(self, team: str | None, handling: Handling) -> bool:
        """When the handler looked last, and now."""
        return team in handling.guarded and team in self.rules.guarded(handling.seen)

    def _require_leave_to_shorten(self, call: Call, handling: Handling) -> None:
        """A last day that is brought forward to within a week is the guard's, like an end."""
        before, after = self._kept, self._marker_of(call.target)
        same = (
            before is None
            or after is None
            or after.expires is None
            or (before.expires is not None and after.expires >= before.expires)
        )
        if not same:
            self._scene.fail(5, f"{handling} brings forward a last day that the guard holds: {call}")

    def _marker_of(self, product: str) -> Marker | None:
        found = self._scene.app.gateway.state.products.get(product)
        return None if found is None else found.marker

    def _require_the_end(self, call: Call, handling: Handling, team: str) -> None:
        """Whose file was misspelt keeps what was granted, until its last day is over."""
        product = self._scene.app.gateway.state.products.get(names.product(team))
        marker = None if product is None else product.marker
        if marker is None or not self._is_misspelt(marker, handling.seen):
            return
        if marker.withdrawn is None and not self.rules.has_lapsed(marker):
            self._scene.fail(5, f"{handling} ends the access of a team whose file cannot be read: {call}")

    def _is_misspelt(self, marker: Marker, place: int) -> bool:
        """Whether the file that was granted is no request any more, or has a last day that was past when it
        was written, or a link is in its place.
        """
        commit = self._scene.repository.history[place][1]
        files = self._scene.repository.files_of(commit)
        if marker.path not in files:
            return is_hidden(files, marker.path) and not any(
                PATHS.team_of(path) == marker.team for path in files
            )
        # Where the marker's own day cannot be read, one that has passed is taken for it.
        known = "expires" not in marker.unreadable
        slip = f"expires: {SLIP}".encode() in files[marker.path][0] and known and marker.expires != SLIP
        return files[marker.path][0] in BROKEN or slip

    # ---------------------------------------------------------------------------------------------- the order

    def _require_newest(self, call: Call, handling: Handling) -> None:
        """No write that carries a tag is decided on an older state of the branch than one before it.

        Nobody can know better than GitHub: what was decided on an answer that was old already, only has to be
        put right later. So has what begins with a creation, for which the service offers no fence.
        """
        handling.creates |= call.fence is None
        if handling.stale or handling.creates:
            return
        team = self._team_of(call) or handling.team or ""
        place, key = self.since_when(team, handling.seen), (FENCED[call.name], call.target.rpartition(" ")[2])
        if call.fence not in (None, "*") and place < self._newest.get(key, -1):
            self._scene.fail(
                2,
                f"{handling} writes what the branch said before: {call}, decided at {place}, after "
                f"{self._newest[key]}",
            )
        self._newest[key] = max(place, self._newest.get(key, -1))

    def since_when(self, team: str, place: int) -> int:
        """The first place since which the branch has said the same about the team without a break."""
        if (team, place) not in self._since:
            same = place > 0 and self._said(team, place) == self._said(team, place - 1)
            self._since[team, place] = self.since_when(team, place - 1) if same else place
        return self._since[team, place]

    def last_asked(self, team: str) -> int:
        """The last place at which the branch had a file of the team; 0 where it never had one."""
        places = range(len(self._scene.repository.history) - 1, 0, -1)
        return next(
            (
                place
                for place in places
                if any(PATHS.team_of(path) == team for path in self._said(team, place))
            ),
            0,
        )

    def _said(self, team: str, place: int) -> Files:
        files = self._scene.repository.files_of(self._scene.repository.history[place][1])
        above = {path for path in files if any(home.startswith(f"{path}/") for home in places(team))}
        return {
            path: file
            for path, file in files.items()
            if path in (DEFAULT_CATALOG_PATH, *above) or PATHS.team_of(path) == team
        }

    # -------------------------------------------------------------------------------------------- the waiting

    def _count_waiting(self) -> None:
        """A chain has one copy that waits, or a few while a message is in two hands; chains that wait for the
        same meet.
        """
        now = self._scene.true.now()
        for stage in STAGES:
            queue = self._scene.app.bus.queues[stage.name]
            waiting = [
                (held.envelope, held.enqueued > now) for held in queue if held.envelope.due is not None
            ]
            if len(waiting) <= MOST_TOGETHER:
                continue
            chains = Counter(
                (copy.session, str(copy.properties["root"]))
                for copy, _ in waiting
                if "root" in copy.properties
            )
            # A copy that looks whether something is ready: `stage/team/revision/cause/second`.
            own = f"{stage.name}/"
            ids = [
                (copy.session, copy.message_id)
                for copy, later in waiting
                if later and copy.message_id.startswith(own)
            ]
            meeting = Counter((session, name) for session, name in ids if name.count("/") == 4)
            joined = Counter(
                (session, name.rpartition("/")[0]) for session, name in meeting if "/sweep/" in name
            )
            for counted, most in ((chains, MOST_COPIES), (meeting, MOST_TOGETHER), (joined, MOST_CHAINS)):
                for (session, chain), number in counted.items():
                    if number > most:
                        self._scene.fail(10, f"{number} copies of {chain} wait for {stage.name} {session}")


def _home(call: Call) -> str:
    """The namespace that a write in the cluster is for: of `team-alpha/phi-4`, `Workspace team-alpha/phi-4`
    and `Namespace team-alpha`.
    """
    return call.target.split()[-1].split("/")[0]


def _whose(call: Call) -> tuple[str, str]:
    """Kind and name of what is written, or of what that belongs to."""
    if call.system == "cluster":
        return "namespace", _home(call)
    kind = next((kind for end, kind in _KINDS.items() if call.name.endswith(f"_{end}")), "")
    if call.name == "require_subscription":
        kind = "product"
    if call.system == "roles":
        kind = "project" if call.target.startswith("team-") else "secret"
    return _SYSTEMS.get(call.system, kind), call.target.split()[0]
