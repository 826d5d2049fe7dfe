"""What a real road needs of us: `python -m tests.gateway.real_road ADDRESS` prints the namespace, the
configuration of the model server and the route, as the app writes them, for a Gateway that is called at this
address.
"""

from __future__ import annotations

import sys

import yaml

from shared.catalog.catalog import Catalog, CatalogModel, Dedicated
from shared.marker import Marker
from shared.requests.request import ModelAccess
from shared.resources.routes import route_manifest
from shared.resources.workspaces import (
    Cluster,
    Manifest,
    config_manifest,
    config_of,
    namespace_manifest,
    serves_of,
)
from tests.fakes.app import GPU

TEAM, NAME = "alpha", "chat-small"
#: In tokens. The longest answer takes longer than the 15 seconds after which Envoy Gateway ends one of a
#: route without `timeouts`: a tiny model on a processor writes some 300 tokens a second.
CONTEXT, ANSWER = 16384, 8000
#: Of a preset that takes pictures, so that its server is told to fetch none.
MODEL = CatalogModel(
    NAME,
    "kaito",
    preset="gemma-3-4b-instruct",
    context=CONTEXT,
    answer_tokens=ANSWER,
    named=NAME,
    name_is_written=True,
    dedicated=Dedicated((GPU,), 1, 3),
)
GRANTED = ModelAccess(NAME, "kaito", None, None, GPU)
CATALOG = Catalog((MODEL,))


def cluster(address: str) -> Cluster:
    return Cluster("gateway-system/internal", address)


def manifests(address: str) -> list[Manifest]:
    """Namespace, ConfigMap, route."""
    marker = Marker(1, TEAM, "access.yaml", "c0ffee", "d1e5")
    config = config_of(GRANTED, CATALOG)
    assert config is not None, "the model asks for one"
    return [
        namespace_manifest(marker),
        config_manifest(marker, config),
        route_manifest(marker, GRANTED, cluster(address), serves_of(GRANTED, CATALOG)),
    ]


if __name__ == "__main__":
    print(yaml.safe_dump_all(manifests(sys.argv[1]), sort_keys=False), end="")
