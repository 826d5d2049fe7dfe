"""The digests that stand in the markers of what was written: from release to release as in `digests.yaml`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from shared.catalog.catalog import Breaker, Catalog, read_catalog
from shared.marker import Marker
from shared.policies.policy_xml import canonical_digest, digest_of
from shared.requests.paths import RequestPaths
from shared.requests.request import read_request
from shared.resources.actual import Namespace
from shared.resources.backends import Backend, Credential, NamedValue, PoolMember
from shared.resources.desired import (
    DesiredCatalog,
    DesiredGateway,
    DesiredProject,
    DesiredWorkspaces,
    Platform,
    Playground,
    compile_catalog,
    compile_gateway,
    compile_project,
    compile_shared_workspaces,
    compile_workspaces,
)
from shared.resources.workspaces import Cluster

GOLDEN = yaml.safe_load(Path(__file__).with_name("digests.yaml").read_text(encoding="utf-8"))
CATALOGUES, REQUESTS = GOLDEN["catalogues"], GOLDEN["requests"]

MEANING = """

A digest of what is written is another than in the last release. Markers in Azure carry the old one, so the
next sweep takes every team (or the catalogue) that this case stands for as different and writes it anew.
- Did you only rename or move something? Then the input of the digest must stay as it is: see `hashed` beside
  the class. Its keys are no names of fields, and nothing of it may change its spelling.
- Does the app write something else now, on purpose? Then put the new value into tests/resources/digests.yaml,
  and say in CHANGELOG.md what this release writes anew, and how often.
"""


def _platform(has_cluster: bool) -> Platform:
    """As no setting of a test's changes it."""
    url = "https://models.internal.contoso.com/"
    return Platform(
        repository=4711,
        gateway_url="https://ai.contoso.com",
        cluster=Cluster("gateway-system/internal", url) if has_cluster else None,
        vault_url="https://contoso-platform.vault.azure.net",
        playground=Playground("/subscriptions/1/resourceGroups/r/providers/microsoft.insights/components/c"),
    )


def _catalog(name: str) -> tuple[Catalog, Platform]:
    verdict = read_catalog("model_catalog.yaml", CATALOGUES[name]["file"].encode())
    assert verdict.catalog is not None, f"what people wrote can be read no more: {verdict.problems}"
    return verdict.catalog, _platform(CATALOGUES[name]["dialect"] is not None)


def _of_catalogue(name: str) -> dict[str, Any]:
    catalog, platform = _catalog(name)
    desired = compile_catalog(catalog, platform)
    return {
        "catalogue": desired.digest,
        "operations": desired.api_digest,
        "policy": digest_of(desired.policy),
        "fragment": canonical_digest(desired.fragment),
        "workspaces": compile_shared_workspaces(catalog, platform).digest,
        "backends": {each.name: each.digest for each in desired.backends},
    }


def _of_request(name: str) -> dict[str, Any]:
    written = REQUESTS[name]
    catalog, platform = _catalog(written["catalogue"])
    request = read_request(written["path"], written["file"].encode(), catalog, RequestPaths()).request
    assert request is not None, "what people wrote can be read no more"
    desired = compile_gateway(request, catalog, platform)
    assert platform.playground is not None
    project = compile_project(request, platform.playground).digest if request.playground_access else None
    return {
        "product": desired.digest,
        "policy": digest_of(desired.policy),
        "backends": {each.name: each.digest for each in desired.backends},
        "workspaces": _of_workspaces(name, compile_workspaces(request, catalog, platform)),
        "project": project,
    }


def _of_workspaces(name: str, desired: DesiredWorkspaces) -> str:
    """Where the setting of earlier versions named the AKS add-on, their digest stays that of a namespace that
    carries it.
    """
    if CATALOGUES[REQUESTS[name]["catalogue"]]["dialect"] != "0.6":
        return desired.digest
    marker = Marker(4711, "a", "", "", REQUESTS[name]["digests"]["workspaces"])
    return desired.digest_in(Namespace("team-a", "1", terminating=False, marker=marker))


@pytest.mark.parametrize("name", CATALOGUES)
def test_a_release_that_is_not_about_it_does_not_write_the_catalogue_anew(name: str) -> None:
    assert _of_catalogue(name) == CATALOGUES[name]["digests"], MEANING


@pytest.mark.parametrize("name", REQUESTS)
def test_a_release_that_is_not_about_it_writes_no_team_anew(name: str) -> None:
    assert _of_request(name) == REQUESTS[name]["digests"], MEANING


BREAKERS = Breaker(5, 60, 30), Breaker(6, 61, 31)
CREDENTIALS = Credential("credential--a"), Credential("credential--b", "x-key")
MEMBERS = PoolMember("shared--a", 50, 1), PoolMember("shared--b", 51, 2)
BACKENDS = (
    Backend("a", "https://a/v1", BREAKERS[0], CREDENTIALS[0], MEMBERS[:1], certificate="c"),
    Backend("b", "https://b/v1", BREAKERS[1], CREDENTIALS[1], MEMBERS[1:], certificate="d"),
)
VALUES = NamedValue("credential--a", "https://v/a"), NamedValue("credential--b", "https://v/b")
Digest = Callable[[Any], str]
#: Two of each class that no field of theirs has in common, and a digest that each is part of.
PAIRS: list[tuple[Any, Any, Digest]] = [
    (*BREAKERS, lambda breaker: Backend("a", breaker=breaker).digest),
    (*CREDENTIALS, lambda credential: Backend("a", credential=credential).digest),
    (*MEMBERS, lambda member: Backend("a", members=(member,)).digest),
    (*BACKENDS, lambda backend: backend.digest),
    (*BACKENDS, lambda backend: DesiredGateway("team-a", "A", "<p/>", (backend,)).digest),
    (*VALUES, lambda value: DesiredCatalog({}, "<f/>", "<p/>", (), (value,)).digest),
    (
        DesiredCatalog({"openapi": "1"}, "<f/>", "<p/>", BACKENDS[:1], VALUES[:1]),
        DesiredCatalog({"openapi": "2"}, "<g/>", "<q/>", BACKENDS[1:], VALUES[1:]),
        lambda catalogue: catalogue.digest,
    ),
    (
        DesiredGateway("team-a", "A", "<p/>", BACKENDS[:1]),
        DesiredGateway("team-b", "B", "<q/>", BACKENDS[1:]),
        lambda gateway: gateway.digest,
    ),
    (
        DesiredWorkspaces(({"kind": "A"},), {"a": {}}, {"a": {}}, {"a": {}}),
        DesiredWorkspaces(({"kind": "B"},), {"b": {}}, {"b": {}}, {"b": {}}),
        lambda workspaces: workspaces.digest,
    ),
    (DesiredProject("team-a", "A", None), DesiredProject("team-b", "B", "t"), lambda project: project.digest),
]


def test_a_breaker_that_ignores_429_has_another_digest_than_one_that_counts_it() -> None:
    counting = Backend("a", breaker=BREAKERS[0])
    assert replace(counting, counts_429=False).digest != counting.digest
    assert Backend("a", counts_429=False).digest == Backend("a").digest


@pytest.mark.parametrize(("one", "other", "digest"), PAIRS, ids=[type(one).__name__ for one, _, _ in PAIRS])
def test_every_field_that_is_written_is_in_the_digest(one: Any, other: Any, digest: Digest) -> None:
    """Whoever adds a field has to add it to `hashed` too, or no sweep would see that it changed."""
    names = [field.name for field in fields(one) if field.compare]
    changed = {name: replace(one, **{name: getattr(other, name)}) for name in names}
    assert [name for name in names if digest(changed[name]) == digest(one)] == []
