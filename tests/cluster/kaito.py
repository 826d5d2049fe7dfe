"""KAITO's controller, played on a real API server: finalizer, annotations, conditions, nodes, by the
stand-ins' clock.

A Workspace's age counts from the moment at which it was seen first: the server stamps by the real clock,
which nothing moves. What the conditions say is what the stand-in says of a Workspace of that age.
"""

from __future__ import annotations

import threading
import urllib.error
from collections.abc import Callable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from standins.kubernetes import kaito
from standins.kubernetes.kinds import WORKSPACE
from standins.kubernetes.objects import Key, Objects
from standins.kubernetes.reconciler import reconcile
from standins.store import Store
from standins.world import Options
from tests.cluster.caller import AWAY, MERGE
from tests.cluster.control_plane import ControlPlane

Object = dict[str, Any]

WORKSPACES, NODES = "/apis/kaito.sh/v1beta1/workspaces", "/api/v1/nodes"
#: Seconds between two looks at the cluster.
_PAUSE = 0.2


class Kaito:
    """Looks at every Workspace again and again, in a thread of its own; also when it is told to. `now` is
    the clock, in seconds since 1970; `options` say how fast the cluster is
    (`standins.kubernetes.cluster.DEFAULTS`).
    """

    def __init__(self, plane: ControlPlane, now: Callable[[], float], options: Options) -> None:
        self._plane, self._now, self._options = plane, now, options
        self._seen: dict[str, float] = {}
        self._going: dict[str, float] = {}
        self._said: dict[str, Mapping[str, Any]] = {}
        self._looking, self._ended = threading.Lock(), threading.Event()
        self._thread = threading.Thread(target=self._run, name="kaito", daemon=True)

    def __enter__(self) -> Kaito:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended.set()
        self._thread.join()

    def look(self) -> None:
        """Do now what is due by the clock. Raises what a request meets while the server is away."""
        with self._looking:
            now = self._now()
            for workspace in self._plane.administrator.items(WORKSPACES):
                try:
                    self._reconcile(workspace, now)
                except urllib.error.HTTPError as error:
                    if error.code != 404:  # it went meanwhile
                        raise

    def _run(self) -> None:
        while not self._ended.wait(_PAUSE):
            try:
                self.look()
            except AWAY:
                continue  # the server, or the stand-ins' clock, is away: they come back

    def _reconcile(self, workspace: Object, now: float) -> None:
        workspace = self._by_our_clock(workspace, now)
        deleted = kaito.deleted_at(workspace)
        nodes = (workspace.get("status") or {}).get("workerNodes") or []
        if deleted is not None and now >= deleted + self._options["deleted_after"]:
            for name in nodes:
                self._remove_node(name)
            self._patch(workspace, {"metadata": {"finalizers": None}})
            return
        if deleted is None and kaito.FINALIZER not in workspace["metadata"].get("finalizers", []):
            taken = {"finalizers": [kaito.FINALIZER], "annotations": kaito.notes(workspace)}
            self._patch(workspace, {"metadata": taken})
        status = self._played(workspace, now)
        for name in status.get("workerNodes", []):
            self._add_node(name, workspace)
        self._say(workspace, status)

    def _played(self, workspace: Object, now: float) -> Object:
        """What the stand-in says of it, in a cluster of its own that has this Workspace alone."""
        objects = Objects(Store(Path(":memory:")), self._options)
        key = Key(WORKSPACE, workspace["metadata"]["namespace"], workspace["metadata"]["name"])
        reconcile(objects, objects.save(key, workspace), now)
        status: Object = (objects.find(key) or workspace).get("status") or {}
        return status

    def _by_our_clock(self, workspace: Object, now: float) -> Object:
        metadata = dict(workspace["metadata"])
        uid = metadata["uid"]
        metadata["creationTimestamp"] = kaito.stamp(self._seen.setdefault(uid, now))
        if "deletionTimestamp" in metadata:
            metadata["deletionTimestamp"] = kaito.stamp(self._going.setdefault(uid, now))
        return {**workspace, "metadata": metadata}

    def _say(self, workspace: Object, status: Object) -> None:
        uid = workspace["metadata"]["uid"]
        if self._said.get(uid) != status:
            self._patch(workspace, {"status": status}, "/status")
            self._said[uid] = status

    def _patch(self, workspace: Object, change: Object, subresource: str = "") -> None:
        metadata = workspace["metadata"]
        place = f"/apis/kaito.sh/v1beta1/namespaces/{metadata['namespace']}/workspaces/{metadata['name']}"
        self._plane.administrator.ask("PATCH", place + subresource, change, MERGE)

    def _add_node(self, name: str, workspace: Object) -> None:
        metadata = workspace["metadata"]
        labels = {
            "kaito.sh/workspace": metadata["name"],
            "kaito.sh/workspacenamespace": metadata["namespace"],
        }
        node = {"apiVersion": "v1", "kind": "Node", "metadata": {"name": name, "labels": labels}}
        if self._plane.administrator.find(f"{NODES}/{name}") is None:
            self._plane.administrator.ask("POST", NODES, node)

    def _remove_node(self, name: str) -> None:
        try:
            self._plane.administrator.ask("DELETE", f"{NODES}/{name}")
        except urllib.error.HTTPError as error:
            if error.code != 404:  # the workspace went before it had one
                raise
