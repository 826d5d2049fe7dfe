"""What KAITO's own code printed, and a cluster in this process in which a release of it runs."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

from standins.kubernetes.cluster import Cluster
from standins.kubernetes.errors import Refused
from standins.kubernetes.kaito import stamp
from standins.kubernetes.kinds import (
    CONFIG_MAP,
    NAMESPACE,
    NODE_CLAIM,
    SECRET,
    STORED,
    WORKSPACE,
    Object,
    defaulted,
)
from standins.kubernetes.objects import Key
from standins.kubernetes.ownership import Writer
from standins.kubernetes.schema import pruned
from standins.tests.reference.descriptions import DIRECTORY
from standins.world import World

FOLDER = DIRECTORY / "kaito" / "facts"
PRESENT = FOLDER.is_dir()
RELEASES = {"0.6": "v0.6.0", "0.8": "v0.8.1", "0.11": "v0.11.0", "0.12": "v0.12.0"}
HOME = "team-a"
_DENIED = 'admission webhook "validation.workspace.kaito.sh" denied the request: validation failed: '


@cache
def facts(part: str, release: str) -> Any:
    """One of the printed files, for instance `validation` of `0.12`."""
    return json.loads((FOLDER / f"{part}-{RELEASES[release]}.json").read_text())


class Room:
    """A cluster with two namespaces; its clock stands until it is moved."""

    def __init__(self, folder: Path, release: str, **options: Any) -> None:
        self.world = World(folder)
        self.cluster = Cluster(self.world)
        self.world.options["kubernetes"].change({"kaito": release, "facts": str(FOLDER), **options})
        for name in (HOME, "team-b"):
            self.create(Key(NAMESPACE, "", name), {"metadata": {"name": name}})

    def writer(self) -> Writer:
        return Writer("test", "kaito.sh/v1beta1", "2026-01-01T00:00:00Z", validation="Ignore")

    def create(self, key: Key, value: Object) -> Object:
        kind = {"apiVersion": key.kind.api_version, "kind": key.kind.name}
        return self.cluster.create(key, {**value, **kind}, self.writer())

    def put(self, kind: Any, value: Object) -> None:
        """An object that is there without having been looked at; one of that name goes."""
        metadata = {
            "uid": f"uid-{kind.plural}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            **value["metadata"],
        }
        key = Key(kind, metadata.get("namespace", HOME), metadata["name"])
        self.cluster.objects.remove(key)
        self.cluster.objects.save(key, {**value, "metadata": metadata})

    def put_workspace(self, value: Object) -> None:
        """A Workspace that was created now, whatever the webhook would say of it."""
        about = {"uid": "uid-w", "creationTimestamp": stamp(self.world.clock.now()), "namespace": HOME}
        whole = self.completed({**value, "metadata": {**value["metadata"], **about}})
        self.put(WORKSPACE, {**whole, "kind": WORKSPACE.name})

    def completed(self, value: Object) -> Object:
        """As the API server keeps it: with the defaults of its definition and without unknown fields."""
        schema = self.cluster.schema(WORKSPACE)
        kept: Object = defaulted(
            WORKSPACE, schema, pruned(schema, {**value, "apiVersion": WORKSPACE.api_version})
        )
        return {**kept, "metadata": {**kept["metadata"], "generation": 1}}

    def clear(self) -> None:
        """Without what one case made, for the next."""
        made = (
            "services",
            "pods",
            "statefulsets.apps",
            "deployments.apps",
            "nodeclaims.karpenter.sh",
            "nodes",
        )
        for kind in (WORKSPACE, CONFIG_MAP, SECRET, *(STORED[name] for name in made)):
            for value in list(self.cluster.objects.all(kind, None)):
                place = value["metadata"]
                self.cluster.objects.remove(Key(kind, place.get("namespace", ""), place["name"]))


def verdict(room: Room, case: Object) -> tuple[str, str]:
    """What becomes of a Workspace: the verdict, and the webhook's own words where it refuses."""
    room.clear()
    for kind, part in ((CONFIG_MAP, "configMaps"), (SECRET, "secrets")):
        for value in case.get(part, ()):
            room.put(kind, value)
    value = case["object"]
    key = Key(WORKSPACE, HOME, value["metadata"]["name"])
    try:
        if old := case.get("old"):
            room.put(WORKSPACE, room.completed(old))
            room.cluster.patch(key, lambda _: value, room.writer())
        else:
            room.create(key, value)
    except Refused as refusal:
        if refusal.code == 500:
            return "panics", ""
        is_webhook = refusal.code == 400 and refusal.message.startswith(_DENIED)
        return ("refused", refusal.message.removeprefix(_DENIED)) if is_webhook else ("beforeWebhook", "")
    return "accepted", ""


# The course of a Workspace

A100 = "Standard_NC24ads_A100_v4"
NODES, READY = 7 * 60.0, 13 * 60.0


def workspace(preset: str = "phi-4", size: str = A100, **inference: Any) -> Object:
    return {
        "metadata": {"name": "w"},
        "resource": {"instanceType": size, "labelSelector": {"matchLabels": {"apps": "w"}}},
        "inference": {"preset": {"name": preset}, **inference},
    }


def config_map(name: str, content: str) -> Object:
    return {"metadata": {"name": name, "namespace": HOME}, "data": {"inference_config.yaml": content}}


KEY = Key(WORKSPACE, HOME, "w")


def claims(room: Room) -> list[Object]:
    return list(room.cluster.objects.all(NODE_CLAIM, ""))


def workload(room: Room) -> Object | None:
    found = (
        room.cluster.objects.find(Key(STORED[f"{kind}.apps"], HOME, "w"))
        for kind in ("statefulsets", "deployments")
    )
    return next(filter(None, found), None)


def shown(room: Room) -> list[list[str]]:
    """The conditions as the facts write them, sorted, with `node-0` for the name of the node."""
    status = room.cluster.get(KEY).get("status") or {}
    nodes = status.get("workerNodes") or []
    rows = [
        [row[name] for name in ("type", "status", "reason", "message")]
        for row in status.get("conditions", [])
    ]
    names = {name: f"node-{number}" for number, name in enumerate(nodes)}
    for row in rows:
        for name, plain in names.items():
            row[3] = row[3].replace(name, plain)
    return sorted(rows)


def differences(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """The paths at which two values differ; a list of another length differs as a whole."""
    if isinstance(before, dict) and isinstance(after, dict):
        for name in sorted(before.keys() | after.keys()):
            yield from differences(before.get(name), after.get(name), f"{path}.{name}".lstrip("."))
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for number, (old, new) in enumerate(zip(before, after, strict=True)):
            yield from differences(old, new, f"{path}[{number}]")
    elif before != after:
        yield path


def options_in(line: list[str]) -> dict[str, str]:
    """The arguments of a command by name."""
    words = [word[2:] for word in line[-1].split(" ") if word.startswith("--")]
    return {name: text for name, _, text in (word.partition("=") for word in words)}
