"""What there should be: a fresh app that is given one request and nothing else, compared with what there is,
team by team.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime, timedelta
from functools import lru_cache
from random import Random
from typing import Any, cast

from shared import names
from shared.marker import read_time
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import ActualBackend
from shared.resources.key_slots import EXPOSED
from shared.resources.subscription import ADMINISTRATOR
from tests.fakes.app import FakeApp
from tests.simulation.caches import trees_apart
from tests.simulation.loop import VirtualLoop
from tests.stages.road import later, matches_the_gateway, push

Slice = Mapping[str, object]
#: Whether it is enabled, its tags, whether it is what the gateway takes.
Secret = tuple[bool, dict[str, str], bool]


@lru_cache(maxsize=4096)
def team_of_its_own(path: str, text: str, catalog: str, team: str) -> Slice:
    """What a team has after its request was merged on an empty platform."""
    return slice_of(_provisioned({DEFAULT_CATALOG_PATH: catalog, path: text}), team)


@lru_cache(maxsize=64)
def platform_of_its_own(catalog: str) -> Mapping[str, Any]:
    return platform(_provisioned({DEFAULT_CATALOG_PATH: catalog}))


def _provisioned(files: dict[str, str | bytes | None]) -> FakeApp:
    async def provision() -> FakeApp:
        app = FakeApp()
        assert app.cluster is not None
        # What there is in the end does not depend on how long GPUs take: nobody needs to look for them again.
        app.cluster.nodes_take = app.cluster.models_take = timedelta(0)
        await push(app, files)
        await later(app, timedelta(hours=1))
        return app

    loop, log = VirtualLoop(Random(0)), logging.getLogger("mergekey")
    # The log of a seed is of what happens in it, and does not depend on what is remembered of others.
    log.disabled = True
    try:
        with trees_apart():
            return loop.run_until_complete(provision())
    finally:
        log.disabled = False
        loop.close()


def platform(app: FakeApp) -> dict[str, Any]:
    """The unified API and what belongs to it."""
    state = app.gateway.state
    api = state.apis.get(names.API)
    return {
        "api": None if api is None else (api.operations, api.requires_keys, api.marker and api.marker.digest),
        "policy": _text(state.api_policies.get(names.API)),
        "fragments": dict(state.fragments),
        "shared workspaces": _in_cluster(app, names.namespace(names.CATALOG_TEAM)),
        "backends": {
            name: _backend(found) for name, found in state.backends.items() if name.startswith("shared--")
        },
        "credentials": {
            name: value for name, value in state.credentials.items() if name.startswith("shared--")
        },
        "named values": {
            name: (value.url, value.ours, value.unreadable) for name, value in state.named_values.items()
        },
    }


def _backend(found: ActualBackend) -> tuple[object, ...]:
    """The path in its marker is for people: the file may have moved since."""
    shown = found.url, found.breaker, found.counts_429, found.members
    return (*shown, found.marker and found.marker.digest)


def slice_of(app: FakeApp, team: str) -> Slice:
    """Everything of a team, without what differs from run to run: keys, versions, commits."""
    state, product = app.gateway.state, names.product(team)
    found, subscription = state.products.get(product), state.subscriptions.get(names.subscription(team))
    secrets = names.secrets(team)
    return {
        "product": None
        if found is None
        else (found.display_name, found.published, found.subscription_required, _mark(found.marker)),
        "policy": _text(state.policies.get(product)),
        "linked": (product, names.API) in state.links,
        "subscription": None
        if subscription is None
        else (subscription.product, subscription.display_name, subscription.state),
        "mirror": _mirror(app, team),
        "administrator": sorted(
            each.name
            for each in state.subscriptions.values()
            if (each.product, each.owner) == (product, ADMINISTRATOR)
        ),
        "backends": {
            name: _backend(each) for name, each in state.backends.items() if name.startswith(f"{product}--")
        },
        "secrets": {name: _secret(app, name) for name in secrets if name in app.vault.names()},
        "roles": sorted(pair for pair in app.roles.assigned if pair[0] in secrets),
        "project": _project(app, names.project(team)),
        "cluster": _in_cluster(app, names.namespace(team)),
    }


def _mirror(app: FakeApp, team: str) -> tuple[object, ...] | None:
    """The mirror of the team's subscription, and whether it has its keys as bearer tokens."""
    state, own = app.gateway.state, names.subscription(team)
    found = state.subscriptions.get(names.mirror(own))
    if found is None:
        return None
    keys = [f"Bearer {key}" for key in state.keys.get(own, ())]
    return found.product, found.display_name, found.state, keys == state.keys[found.name]


def handed_over(actual: Slice, wanted: Slice, now: datetime, overlap: timedelta) -> Slice:
    """The same, with a primary key that works on for a while, after another group has become its readers,
    taken for what it will be.
    """
    found, expected = (cast(Mapping[str, Secret], each["secrets"]) for each in (actual, wanted))
    name = next((name for name in found if name.endswith("-primary-key") and name in expected), "")
    enabled, tags, matches = found.get(name, (False, {}, False))
    since = read_time(tags.get(EXPOSED))
    if since is None or now >= since + overlap:
        return actual
    later = {tag: said for tag, said in tags.items() if tag != EXPOSED} | {
        "reader": expected[name][1]["reader"]
    }
    return {**actual, "secrets": {**found, name: (enabled, later, matches)}}


def vouched(actual: Slice, wanted: Slice) -> Slice:
    """The same with the digest in the product's marker, where a dead letter was discarded: that takes it off,
    so that the next sweep looks again.
    """
    found, should_be = (cast(Any, each["product"]) for each in (actual, wanted))
    if found is None or should_be is None or found[-1] is None or found[-1][1] != "":
        return actual
    path, _, *rest = found[-1]
    return {**actual, "product": (*found[:-1], (path, should_be[-1][1], *rest))}


def without_hands(found: Slice) -> Slice:
    """The same, whoever the primary key's secret says could read it: that changes by itself when its time is
    over.
    """
    secrets = cast(Mapping[str, Secret], found["secrets"])
    hands = {"reader": "", EXPOSED: ""}
    same = {
        name: (enabled, {**tags, **hands}, same)
        for name, (enabled, tags, same) in secrets.items()
        if name.endswith("-primary-key")
    }
    return {**found, "secrets": {**secrets, **same}}


def difference(actual: object, wanted: object, where: str = "") -> list[str]:
    """What differs, by the smallest parts that differ."""
    if actual == wanted:
        return []
    if isinstance(actual, Mapping) and isinstance(wanted, Mapping):
        parts = sorted({*actual, *wanted}, key=str)
        return [
            line
            for part in parts
            for line in difference(actual.get(part), wanted.get(part), f"{where} {part}")
        ]
    if isinstance(actual, tuple) and isinstance(wanted, tuple) and len(actual) == len(wanted):
        return [
            line for one, other in zip(actual, wanted, strict=True) for line in difference(one, other, where)
        ]
    return [f"{where.strip()} is {_short(actual)}, should be {_short(wanted)}"]


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) < 80 else f"{text[:80]}..."


def _mark(marker: Any) -> object:
    return marker and (marker.path, marker.digest, marker.withdrawn, marker.expires, marker.held)


def _text(policy: object) -> object:
    return policy and policy.text  # type: ignore[attr-defined]


def _secret(app: FakeApp, name: str) -> Secret:
    newest = app.vault.kept[name].versions[0]
    return newest.enabled, {**newest.tags, "commit": "", "fingerprint": ""}, matches_the_gateway(app, name)


def _project(app: FakeApp, name: str) -> object:
    """One that was withdrawn and waits for the end of grace is none; who may use it counts all the same."""
    assert app.projects is not None
    assert app.project_roles is not None
    kept = app.projects.kept.get(name) if name in app.projects.names() else None
    standing = kept is not None and kept.marker is not None and kept.marker.withdrawn is None
    users = sorted(group for each, group in app.project_roles.assigned if each == name)
    return (
        kept.display_name,
        kept.marker and kept.marker.digest,
        kept.connection,
    ) if kept and standing else None, users


def _in_cluster(app: FakeApp, namespace: str) -> object:
    assert app.cluster is not None
    app.cluster.names(namespace, "")
    state = app.cluster.state
    found = state.namespaces.get(namespace)
    if found is None:
        return None
    annotations = found.manifest["metadata"]["annotations"]
    objects = {key[1:]: kept.manifest for key, kept in state.objects.items() if key[0] == namespace}
    used = {each.get("inference", {}).get("config") for each in objects.values()}
    # A configuration that no workspace names any more stays until its namespace goes.
    objects = {key: each for key, each in objects.items() if key[0] != "ConfigMap" or key[1] in used}
    # The path and the commit are for people, and written only when something else is.
    labels = found.manifest["metadata"].get("labels", {})
    return {**annotations, "mergekey.dev/commit": "", "mergekey.dev/path": ""}, labels, objects
