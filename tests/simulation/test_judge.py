"""What the judge says of workspaces that take too many nodes, of configurations that hands made, and of days
that pass.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

from shared.kaito.releases import Release
from shared.requests.paths import DEFAULT_CATALOG_PATH
from tests.fakes.app import GPU, Asked, path_of
from tests.fakes.calls import Call
from tests.fakes.cluster import WORKSPACE, FakeCluster, Kept
from tests.simulation.catalogs import COMPLETE, bound_in
from tests.simulation.nodes import TRIED
from tests.simulation.people import LAST_DAY
from tests.simulation.run import Run
from tests.simulation.scene import Handling

BOUNDED = next(text for text in COMPLETE if bound_in(text) is not None)
KEY = ("team-carol", WORKSPACE, "phi-4")


@pytest.fixture
def run() -> Iterator[Run]:
    made = Run(0)
    yield made
    made.close()


def _cluster(run: Run) -> FakeCluster:
    assert run.scene.app.cluster is not None
    return run.scene.app.cluster


def _push(run: Run, asked: Asked) -> None:
    run.people.push({DEFAULT_CATALOG_PATH: BOUNDED, path_of(asked.team): asked.text()})


def _standing(run: Run, **kept: Any) -> Handling:
    """A workspace of carol's for which KAITO takes three nodes, and a handler that begins a minute later."""
    scene = run.scene
    _push(run, Asked(team="carol", dedicated={"phi-4": GPU}))
    manifest = {"metadata": {"name": "phi-4"}, "resource": {"instanceType": GPU}, "inference": {}}
    _cluster(run).state.objects[KEY] = Kept(manifest, "7", scene.true.now(), **{"more": 2, **kept})
    scene.loop.run_until_complete(asyncio.sleep(60))
    place = len(scene.repository.history) - 1
    return Handling(run.hosts.machines[0], "a test", "carol", scene.loop.time(), place, bounding=KEY[0])


def test_access_that_its_day_ends_meanwhile_is_nobodys_change(run: Run) -> None:
    _push(run, Asked(team="carol", expires=LAST_DAY))
    before = run.verdict.wishes()
    assert run.verdict.ended_since(before) == set()
    run.scene.loop.run_until_complete(asyncio.sleep(timedelta(days=1).total_seconds()))
    assert run.verdict.ended_since(before) == {"carol"}


@pytest.mark.parametrize(
    ("kept", "fence", "is_broken"),
    [
        ({}, "7", False),
        ({"was_ready": True}, "7", True),
        ({"more": 1}, "7", True),
        ({"was_ready": True}, "6", False),
    ],
)
def test_what_goes_for_its_nodes_is_new_and_above_the_bound(
    run: Run, kept: dict[str, Any], fence: str, is_broken: bool
) -> None:
    handling = _standing(run, **kept)
    run.watch.nodes.before(Call("cluster", "delete_workspace", "team-carol/phi-4", True, fence), handling)
    assert [each.number for each in run.scene.violations] == ([16] if is_broken else [])


def test_what_is_old_does_not_go_for_its_nodes(run: Run) -> None:
    handling = _standing(run)
    run.scene.loop.run_until_complete(asyncio.sleep(run.scene.app.timeouts.wait.total_seconds()))
    handling.began = run.scene.loop.time()
    run.watch.nodes.before(Call("cluster", "delete_workspace", "team-carol/phi-4", True, "7"), handling)
    assert [each.number for each in run.scene.violations] == [16]


@pytest.mark.parametrize("release", ["0.12", "0.11"])
def test_what_was_tried_is_not_made_again_for_the_same_release(run: Run, release: Release) -> None:
    handling, cluster = _standing(run), _cluster(run)
    manifest = cluster.state.objects[KEY].manifest
    tried = hashlib.sha256(json.dumps([manifest, 2, "0.12"], sort_keys=True).encode()).hexdigest()[:16]
    memory = Kept({}, "8", run.scene.true.now() - timedelta(minutes=1))
    cluster.state.objects[KEY[0], "ConfigMap", f"{TRIED}{tried}"] = memory
    cluster.kaito = release
    run.watch.nodes.after(Call("cluster", "create", "Workspace team-carol/phi-4", True), handling)
    assert [each.number for each in run.scene.violations] == ([16] if release == "0.12" else [])


@pytest.mark.parametrize("edit", [{"data": {}}, {"immutable": False}])
def test_a_configuration_of_a_hand_is_seen_when_the_app_changes_it(run: Run, edit: dict[str, Any]) -> None:
    scene, standing = run.scene, _cluster(run).state.objects
    key = ("team-carol", "ConfigMap", "phi-4-1")
    made: Any = {"metadata": {"name": "phi-4-1"}, "immutable": True, "data": {"a": "b"}}
    while key not in standing or not run.hands.edited_configs("carol"):
        standing[key] = Kept(made, "7", scene.true.now())
        assert run.hands.edits_config("carol")
    assert run.hands.changed_strangers() == []
    standing[key].manifest = {**standing[key].manifest, "metadata": {}, **edit}
    assert run.hands.changed_strangers() == ["ConfigMap team-carol/phi-4-1"]
    run.hands.strangers_leave()
    assert key not in standing


def test_what_stands_in_the_place_of_what_was_tried_stays(run: Run) -> None:
    _standing(run)
    home, wanted = KEY[0], {"metadata": {"name": "phi-4"}, "inference": {"config": "inference-1"}}
    tried = hashlib.sha256(json.dumps([wanted, 2, "0.12"], sort_keys=True).encode()).hexdigest()[:16]
    state = _cluster(run).state
    state.objects[home, "ConfigMap", f"{TRIED}{tried}"] = Kept({}, "8", run.scene.true.now())
    objects = {(WORKSPACE, "phi-4"): wanted, ("ConfigMap", "inference-1"): {}, ("HTTPRoute", "phi-4"): {}}
    told = run.watch.nodes.as_told("carol", ({"mergekey.dev/digest": "x"}, {}, objects))
    assert told[0] == {"mergekey.dev/digest": ""}
    assert told[2][WORKSPACE, "phi-4"] == state.objects[KEY].manifest
    assert ("ConfigMap", "inference-1") not in told[2]
    assert ("HTTPRoute", "phi-4") in told[2]


def test_a_product_that_is_closed_is_no_write_of_a_subscription_by_its_name(run: Run) -> None:
    handling = _standing(run)
    run.scene.foreign["subscription", "team-carol"] = 0.0
    run.watch.before(Call("gateway", "require_subscription", "team-carol", True, '"1"'), handling)
    assert run.scene.violations == []
