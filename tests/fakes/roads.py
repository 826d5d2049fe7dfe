"""The roads to the workspaces of the fake cluster: what its routes, pods and configurations would answer."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from urllib.parse import urlsplit

from shared.gateway_api.road import NotReached, RoadAnswer, Served, Unserved
from shared.resources.inference_config import FILE
from tests.fakes.calls import Calls
from tests.fakes.cluster import FakeCluster
from tests.fakes.gateways import parents_of

_NAME = re.compile(r'^  served-model-name: (".*")$', re.MULTILINE)


def undisturbed(_: str) -> RoadAnswer | None:
    """The road does as usual."""
    return None


class FakeRoads:
    """`answers` are those that differ, as `namespace/name`; with `reachable` false nothing is reached.
    `disturbed` says what is answered in place of all of them, None for nothing else; `last` is what each road
    answered last.
    """

    def __init__(self, calls: Calls, cluster: FakeCluster) -> None:
        self._calls = calls
        self._cluster = cluster
        self.answers: dict[str, RoadAnswer] = {}
        self.reachable = True
        self.disturbed: Callable[[str], RoadAnswer | None] = undisturbed
        self.last: dict[str, RoadAnswer] = {}

    async def ask(self, url: str) -> RoadAnswer:
        home, name, _ = urlsplit(url).path.strip("/").split("/")
        async with self._calls.read("roads", "ask", f"{home}/{name}"):
            self.last[f"{home}/{name}"] = self._answer(home, name)
            return self.last[f"{home}/{name}"]

    def _answer(self, home: str, name: str) -> RoadAnswer:
        if not self.reachable:
            return NotReached("no connection")
        known = self.disturbed(f"{home}/{name}") or self.answers.get(f"{home}/{name}")
        return known or self._usual(home, name)

    def _usual(self, home: str, name: str) -> RoadAnswer:
        objects = self._cluster.state.objects
        if (home, "HTTPRoute", name) not in objects:
            return Unserved(404)
        if self._is_hidden(home, name):
            return Unserved(404)
        pods = self._cluster.current_pods().get(home, [])
        if not any(pod.ready and pod.workspace == name for pod in pods):
            return Unserved(503)
        workspace = objects[home, "Workspace", name].manifest
        return Served((self._served(home, workspace["inference"]),))

    def _is_hidden(self, home: str, name: str) -> bool:
        """Whether it is for any host, and another of the same Gateway names the host. At listeners with a
        host all routes are for that one.
        """
        routes = {key: each for key, each in self._cluster.state.objects.items() if key[1] == "HTTPRoute"}
        own = routes[home, "HTTPRoute", name].manifest["spec"]
        parents = parents_of(home, own)
        gateways = [each for name, each in self._cluster.gateways.items() if name in parents]
        if own.get("hostnames") or any(each.hostname for gateway in gateways for each in gateway.listeners):
            return False
        return any(
            each.manifest["spec"].get("hostnames")
            and each.manifest["spec"]["parentRefs"] == own["parentRefs"]
            for each in routes.values()
        )

    def _served(self, home: str, inference: dict[str, dict[str, str]]) -> str:
        """By its configuration, else by its preset: the releases' own names are not played."""
        config = self._cluster.state.objects.get((home, "ConfigMap", str(inference.get("config", ""))))
        text = "" if config is None else str(config.manifest["data"][FILE])
        written = _NAME.search(text)
        if written is not None:
            return str(json.loads(written.group(1)))
        return str(inference["preset"]["name"])
