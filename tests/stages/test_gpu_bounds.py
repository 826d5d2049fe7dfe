"""The GPUs that the quota of a team's namespace allows: as many as the catalogue's bounds of nodes come to,
and what stands from an earlier version is left as it is.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.actual import Namespace
from shared.resources.desired import compile_workspaces
from shared.resources.workspaces import GPUS, WORKSPACES, marker_annotations, marker_of
from tests.fakes.app import GPU, LARGER_GPU, Asked, FakeApp, a_catalog, catalog_text
from tests.stages.edits import QUOTA, objects_of
from tests.stages.road import a_platform, ask, later, push, sweep

READY = timedelta(minutes=30)
PHI, BOTH = {"phi-4": GPU}, {"phi-4": LARGER_GPU, "mistral-7b": GPU}


def _bounded(phi: int = 2, mistral: int | None = 3) -> str:
    text = catalog_text().replace("preset: phi-4\n", f"preset: phi-4\n    maxNodes: {phi}\n")
    more = "" if mistral is None else f"    maxNodes: {mistral}\n"
    return text.replace("preset: mistral-7b-instruct\n", f"preset: mistral-7b-instruct\n{more}")


async def _asked(catalog: str, dedicated: dict[str, str]) -> FakeApp:
    app = await a_platform()
    await push(app, {DEFAULT_CATALOG_PATH: catalog})
    await ask(app, Asked(dedicated=dedicated))
    await later(app, READY)
    return app


def _gpus(app: FakeApp) -> str | None:
    found = objects_of(app)[QUOTA].manifest["spec"]["hard"].get(GPUS)
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("catalog", "dedicated", "expected"),
    [
        (_bounded(), PHI, "2"),
        (_bounded(), BOTH, "7"),
        (_bounded(mistral=None), BOTH, None),
        (catalog_text(), PHI, None),
    ],
)
async def test_the_quota_allows_what_the_bounds_of_all_models_come_to(
    catalog: str, dedicated: dict[str, str], expected: str | None
) -> None:
    assert _gpus(await _asked(catalog, dedicated)) == expected


@pytest.mark.parametrize(("catalog", "expected"), [(_bounded(phi=4), "4"), (catalog_text(), None)])
async def test_another_bound_in_the_catalogue_reaches_the_quota_and_no_gpu_restarts(
    catalog: str, expected: str | None
) -> None:
    app = await _asked(_bounded(), PHI)
    app.calls.forget()
    await push(app, {DEFAULT_CATALOG_PATH: catalog})
    await later(app, READY)
    assert _gpus(app) == expected
    assert [write for write in app.calls.writes("cluster") if " Workspace " in write] == []
    app.calls.forget()
    await sweep(app, deep=True)
    assert app.calls.writes("cluster") == []


async def test_a_bound_that_somebody_raised_or_took_away_is_put_back() -> None:
    app = await _asked(_bounded(), PHI)
    for edited in ({GPUS: "9"}, {}):
        hard = objects_of(app)[QUOTA].manifest["spec"]["hard"]
        hard.pop(GPUS)
        hard.update(edited)
        await sweep(app)
        await later(app, READY)
        assert _gpus(app) == "2"


async def test_a_workspace_that_takes_more_has_room_for_its_pods() -> None:
    app = await _asked(catalog_text(), PHI)
    assert app.cluster is not None
    app.cluster.counted_nodes["phi-4"] = 5
    await push(app, {DEFAULT_CATALOG_PATH: _bounded()})
    await ask(app, Asked(dedicated={"phi-4": GPU, "mistral-7b": GPU}))
    await later(app, READY)
    assert _gpus(app) == "6"
    app.calls.forget()
    await sweep(app)
    await later(app, READY)
    assert app.calls.writes("cluster") == []


async def _as_an_earlier_version_left_it() -> FakeApp:
    """Its quota bounds no GPUs, and its marker vouches for that."""
    app = await _asked(_bounded(), PHI)
    assert app.cluster is not None
    desired = compile_workspaces(Asked(dedicated=PHI).read(), a_catalog(_bounded()), app.platform)
    marker = marker_of(app.cluster.state.namespaces["team-alpha"].manifest["metadata"]["annotations"])
    assert marker is not None
    quota, *others = desired.limits
    bare = {**quota, "spec": {"hard": {WORKSPACES: "1"}}}
    earlier = replace(desired, limits=(bare, *others))
    before = replace(marker, digest=earlier.digest)
    assert earlier.digest != desired.digest
    assert desired.as_in(Namespace("team-alpha", "1", terminating=False, marker=before)) == earlier
    metadata = app.cluster.state.namespaces["team-alpha"].manifest["metadata"]
    metadata["annotations"] = marker_annotations(before)
    objects_of(app)[QUOTA].manifest["spec"]["hard"].pop(GPUS)
    app.calls.forget()
    return app


async def test_what_an_earlier_version_wrote_is_no_difference() -> None:
    app = await _as_an_earlier_version_left_it()
    await sweep(app, deep=True)
    await ask(app, Asked(dedicated=PHI, tokens=9_000))
    await later(app, READY)
    assert app.calls.writes("cluster") == []
    assert _gpus(app) is None


async def test_the_next_change_of_its_models_bounds_the_gpus() -> None:
    app = await _as_an_earlier_version_left_it()
    await ask(app, Asked(dedicated={"phi-4": GPU, "mistral-7b": GPU}))
    await later(app, READY)
    assert _gpus(app) == "5"
    assert [write for write in app.calls.writes("cluster") if "Workspace team-alpha/phi-4" in write] == []
