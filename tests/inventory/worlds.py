"""A world in which all is as one request and the catalogue say, and ways to make it differ."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta

from shared import names
from shared.inventory.snapshot import Snapshot, Times
from shared.marker import Marker
from shared.resources.actual import (
    ActualBackend,
    Api,
    Limit,
    Namespace,
    Product,
    RoleGrant,
    Route,
    SecretVersion,
    Subscription,
    Workspace,
)
from shared.resources.backends import Backend
from shared.resources.desired import Platform, compile_catalog, compile_gateway, compile_workspaces
from shared.resources.workspaces import Cluster, fixed_fields, labels_of
from shared.secret import SecretValue
from tests.fakes.app import GPU, READERS, REPOSITORY, Asked, a_catalog, path_of
from tests.fakes.clock import START

PLATFORM = Platform(
    REPOSITORY,
    "https://ai.contoso.com",
    Cluster("gateway-system/internal", "https://models.contoso.com"),
)
CATALOG = a_catalog()
REQUEST = Asked(dedicated={"phi-4": GPU}).read()
GATEWAY, WORKSPACES, API = (
    compile_gateway(REQUEST, CATALOG, PLATFORM),
    compile_workspaces(REQUEST, CATALOG, PLATFORM),
    compile_catalog(CATALOG, PLATFORM),
)
MARKER = Marker(REPOSITORY, "alpha", path_of("alpha"), "c" * 40)
SEAL = Marker(REPOSITORY, "catalogue", "platform/config/model_catalog.yaml", "c" * 40, API.digest)
TAGS = {
    "managed-by": "mergekey",
    "repository": str(REPOSITORY),
    "team": "alpha",
    "commit": "c" * 40,
    "reader": READERS,
    "fingerprint": "0123456789abcdef",
}
KEY, SECOND, ENDPOINT = names.secrets("alpha")
ADDRESS = {**TAGS, "fingerprint": SecretValue(PLATFORM.gateway_url).fingerprint(ENDPOINT)}
PRODUCT = Product("team-alpha", "1", "Team Alpha", True, replace(MARKER, digest=GATEWAY.digest))
SUBSCRIPTION = Subscription("team-alpha", "1", f"mergekey/{REPOSITORY}/alpha", "team-alpha", "", "active")
NAMESPACE = Namespace(
    "team-alpha",
    "1",
    terminating=False,
    marker=replace(MARKER, digest=WORKSPACES.digest),
    labels=labels_of(MARKER),
)
PHI = Workspace(
    "phi-4", "1", fixed_fields(WORKSPACES.workspaces["phi-4"]), (), terminating=False, managed=True
)
#: The quota and the network policy.
STANDING = tuple(
    Limit(each["kind"], each["metadata"]["name"], True, each["spec"]) for each in WORKSPACES.limits
)
WAY = Route("phi-4", managed=True, spec=WORKSPACES.routes["phi-4"]["spec"])
OWN, SHARED = "team-alpha--phi-4", "shared--phi-4"


def _standing(backend: Backend, marker: Marker) -> ActualBackend:
    return ActualBackend(
        backend.name, "1", backend.url, backend.with_digest(marker), backend.breaker, backend.members
    )


WORLD = Snapshot(
    api=Api("1", API.api_digest, SEAL),
    products={"team-alpha": PRODUCT},
    linked=frozenset({"team-alpha"}),
    subscriptions={"team-alpha": SUBSCRIPTION},
    backends={
        **{each.name: _standing(each, MARKER) for each in GATEWAY.backends},
        **{each.name: _standing(each, SEAL) for each in API.backends},
    },
    named_values={},
    secrets={
        name: SecretVersion(name, "1", True, START, ADDRESS if name == ENDPOINT else TAGS)
        for name in (KEY, SECOND, ENDPOINT)
    },
    readers={name: frozenset({RoleGrant(READERS, ours=True)}) for name in (KEY, SECOND, ENDPOINT)},
    namespaces={"team-alpha": NAMESPACE},
    workspaces={"team-alpha": (PHI,)},
    routes={"team-alpha": (WAY,)},
    nodes=(),
    limits={"team-alpha": STANDING},
)
TIMES = Times(START, timedelta(days=7), timedelta(hours=1), timedelta(hours=24))
Difference = Callable[[Snapshot], Snapshot]


def a_product(**changed: object) -> Difference:
    product = replace(PRODUCT, **changed)  # type: ignore[arg-type]
    return lambda world: replace(world, products={"team-alpha": product})
