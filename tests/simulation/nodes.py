"""What is told to people about workspaces for which KAITO takes more nodes than the catalogue allows: one
that has never served and is young goes, and is not made again for the same workspace, bound and release; one
that serves stays.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from copy import deepcopy
from datetime import timedelta
from typing import Any

from shared import names
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.calls import Call
from tests.fakes.cluster import QUOTA, WORKSPACE, FakeCluster, Kept
from tests.simulation.catalogs import bound_in
from tests.simulation.scene import Handling, Scene

#: How the names of ConfigMaps begin that remember what was tried.
TRIED = "too-many-nodes-"
_GPUS, _DIGEST = "requests.nvidia.com/gpu", "mergekey.dev/digest"
#: GPUs of a node, by instance type.
_OF_A_NODE = {"Standard_NC24ads_A100_v4": 1, "Standard_NC48ads_A100_v4": 2}
Objects = dict[tuple[str, str], Any]


class Nodes:
    """Looks at every workspace that is made or deleted."""

    def __init__(self, scene: Scene) -> None:
        self._scene = scene

    @property
    def _cluster(self) -> FakeCluster:
        assert self._scene.app.cluster is not None
        return self._scene.app.cluster

    # ----------------------------------------------------------------------------------------- at every write

    def before(self, call: Call, handling: Handling) -> None:
        if call.name == "create" and f"/{TRIED}" in call.target:
            handling.bounding = call.target.partition(" ")[2].partition("/")[0]
        if call.name == "delete_workspace" and handling.bounding == call.target.partition("/")[0]:
            self._require_new(call, handling)

    def after(self, call: Call, handling: Handling) -> None:
        if call.name == "delete_workspace" and handling.bounding == call.target.partition("/")[0]:
            self._scene.counts["event: workspace deleted for its nodes"] += 1
        if call.name == "create" and call.target.startswith(f"{WORKSPACE} "):
            home, _, name = call.target.partition(" ")[2].partition("/")
            kept = self._cluster.state.objects.get((home, WORKSPACE, name))
            if kept is not None and self._was_tried(home, kept.manifest, handling):
                self._scene.fail(16, f"{handling} makes again what took too many nodes: {call}")

    def _require_new(self, call: Call, handling: Handling) -> None:
        """What is deleted for its nodes takes more than is allowed, has never served, and is young."""
        home, _, name = call.target.partition("/")
        kept = self._cluster.state.objects.get((home, WORKSPACE, name))
        if kept is None or kept.version != call.fence:
            return
        is_above = (bound := self._bound_at(handling.seen)) is not None and self._count(name, kept) > bound
        if not is_above or kept.was_ready or self._is_old(kept, handling):
            self._scene.fail(16, f"{handling} deletes for its nodes what must stay: {call}")

    def _is_old(self, kept: Kept, handling: Handling) -> bool:
        """Where clocks have jumped no machine knows."""
        handled = timedelta(seconds=self._scene.loop.time() - handling.began)
        age = self._scene.true.now() - handled - kept.created
        return age >= self._scene.app.timeouts.wait and not self._scene.counts["fault: clock jumps"]

    def _was_tried(self, home: str, manifest: Mapping[str, Any], handling: Handling) -> bool:
        """Before this handler began."""
        found = self._memory(home, manifest, self._bound_at(handling.seen))
        handled = timedelta(seconds=self._scene.loop.time() - handling.began)
        return found is not None and found.created < self._scene.true.now() - handled

    def _bound_at(self, place: int) -> int | None:
        files = self._scene.repository.files_of(self._scene.repository.history[place][1])
        return bound_in(files.get(DEFAULT_CATALOG_PATH, (b"", ""))[0].decode())

    def _count(self, name: str, kept: Kept) -> int:
        return self._cluster.counted_nodes.get(name, 1) + kept.more

    def _memory(self, home: str, manifest: Mapping[str, Any], bound: int | None) -> Kept | None:
        """That this workspace, bound and release were tried."""
        tried = json.dumps([manifest, bound, self._cluster.kaito], sort_keys=True)
        name = f"{TRIED}{hashlib.sha256(tried.encode()).hexdigest()[:16]}"
        return None if bound is None else self._cluster.state.objects.get((home, "ConfigMap", name))

    # -------------------------------------------------------------------------------------- when all is quiet

    def explains(self, team: str) -> bool:
        """Whether a team's workspaces take more nodes than is allowed, or did."""
        home, bound = names.namespace(team), self._bound_at(-1)
        objects = [(key, kept) for key, kept in self._cluster.state.objects.items() if key[0] == home]
        return bound is not None and any(
            key[2].startswith(TRIED) or (key[1] == WORKSPACE and self._count(key[2], kept) > bound)
            for key, kept in objects
        )

    def as_told(self, team: str, wanted: Any) -> Any:
        """What a team should have in the cluster, `wanted`, as far as its workspaces may be made: without
        those that were tried, or with what stands in their place; and with room for the nodes of those that
        stand. The marker may vouch for what was tried and deleted, or, if something else was written since,
        for nothing.
        """
        if wanted is None:
            return None
        annotations, labels, objects = deepcopy(wanted)
        home = names.namespace(team)
        tried = set(self._tried(home, objects))
        if tried and not self._vouches(home):
            annotations[_DIGEST] = ""
        for name in tried:
            self._as_it_stands(home, name, objects)
        for (kind, _), manifest in objects.items():
            if kind == "ResourceQuota":
                self._make_room(home, manifest["spec"]["hard"])
        return annotations, labels, objects

    def _as_it_stands(self, home: str, name: str, objects: Objects) -> None:
        """What was tried is not made again, and what stands in its place stays."""
        config = objects.pop((WORKSPACE, name))["inference"].get("config")
        standing = self._cluster.state.objects.get((home, WORKSPACE, name))
        if standing is None:
            objects.pop(("HTTPRoute", name), None)
        else:
            objects[WORKSPACE, name] = deepcopy(standing.manifest)
        if config not in {each.get("inference", {}).get("config") for each in objects.values()}:
            objects.pop(("ConfigMap", config), None)

    def _vouches(self, home: str) -> bool:
        found = self._cluster.state.namespaces.get(home)
        return found is not None and bool(found.manifest["metadata"]["annotations"].get(_DIGEST))

    def _tried(self, home: str, objects: Objects) -> Iterator[str]:
        for (kind, name), manifest in objects.items():
            if kind == WORKSPACE and self._memory(home, manifest, self._bound_at(-1)) is not None:
                yield name

    def _make_room(self, home: str, hard: dict[str, str]) -> None:
        found = [
            (key[2], kept)
            for key, kept in self._cluster.state.objects.items()
            if key[:2] == (home, WORKSPACE)
        ]
        used = sum(
            _OF_A_NODE[kept.manifest["resource"]["instanceType"]] * self._count(name, kept)
            for name, kept in found
        )
        if _GPUS in hard and QUOTA in hard:
            hard[_GPUS] = str(max(int(hard[_GPUS]), used))
