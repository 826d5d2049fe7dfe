"""Every preset of every release of KAITO, called by its name in the catalogue: an OpenAI client, API
Management with the policies that the app writes, the route, the proxies of the Gateway, and a model server.

The server knows its model by the name that KAITO's argument line gives, or the configuration beside it, and
answers 404 to any other: no table of the app says here what is right. With MERGEKEY_THOROUGH=1 all presets
are called in all releases and in both ways; otherwise each in the newest release that has it, and a few that
the catalogue names in each release.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any

import pytest
import pytest_asyncio
from azure.identity.aio import ManagedIdentityCredential
from openai import APIStatusError, AsyncOpenAI

from shared.adapters.kaito import KaitoCluster
from shared.catalog.catalog import Catalog, read_catalog
from shared.kaito.presets import Preset, table
from shared.kaito.releases import ACCESS_SECRETS, RELEASES, Release
from shared.marker import Marker
from shared.requests.paths import DEFAULT_CATALOG_PATH
from shared.resources.desired import compile_workspaces
from shared.resources.workspaces import Cluster, namespace_manifest
from standins.kubernetes import definitions
from standins.stack import CLUSTER_ID
from standins.tests.plugin import THOROUGH, StandIns
from standins.tests.reference.descriptions import DIRECTORY
from tests.fakes.app import GPU, Asked, path_of
from tests.gateway.room import Room

#: What KAITO's own code printed; without it the stand-ins know the arguments of a few presets.
FACTS = DIRECTORY / "kaito" / "facts"
KNOWN: list[Release] = [each for each in RELEASES if table(each) is not None]
#: Nodes and models are there at once.
QUICK = {
    "nodes_ready_after": 0.0,
    "inference_ready_after": 0.0,
    "deleted_after": 0.0,
    "namespace_deleted_after": 0.0,
}
#: One of them holds any model on one node.
SIZES = (GPU, "Standard_NC96ads_A100_v4", "Standard_ND96isr_H100_v5", "Standard_ND96isr_H200_v5")
OF_A_TEAM, AT_ONCE = 8, 4


@dataclass(frozen=True)
class Served:
    """All presets of a release in a catalogue, with GPUs of the teams' own; `word` is their `servedName`."""

    release: Release
    word: str

    def teams(self) -> Iterator[tuple[str, list[str]]]:
        """Teams, and the models of each: in a small namespace the stand-in is quick."""
        names = list(self._presets)
        for number, first in enumerate(range(0, len(names), OF_A_TEAM)):
            yield f"served-{number}-{self.word}", names[first : first + OF_A_TEAM]

    @cached_property
    def _presets(self) -> dict[str, Preset]:
        """By the name in the catalogue, which no preset has."""
        known = table(self.release)
        assert known is not None
        printed = None if FACTS.is_dir() else definitions.read("kaito-facts.yaml")[self.release]["served"]
        found = [each for name, each in known.presets.items() if printed is None or name in printed]
        return {f"own-{number}": each for number, each in enumerate(found if THOROUGH else self._few(found))}

    def _few(self, presets: list[Preset]) -> list[Preset]:
        if self.word == "written":
            return presets[:OF_A_TEAM]
        newer = [table(each) for each in KNOWN[KNOWN.index(self.release) + 1 :]]
        gone = [each for each in presets if not any(other and other.preset(each.name) for other in newer)]
        return gone or presets[:OF_A_TEAM]

    def preset(self, model: str) -> str:
        return self._presets[model].name

    def size(self, model: str) -> str:
        """A size of Azure that holds the model on one node."""
        return next(size for size in SIZES if self._presets[model].nodes.get(size, (0,))[0] == 1)

    def _secret(self, preset: Preset) -> str:
        return "accessSecret: token, " if preset.name in ACCESS_SECRETS[self.release].needed else ""

    @cached_property
    def catalog(self) -> Catalog:
        entries = [
            f"  - {{name: {name}, provider: kaito, preset: {each.name}, servedName: {self.word}, "
            f"{self._secret(each)}dedicated: {{instanceTypes: [{self.size(name)}], perTeam: 8, total: 99}}}}"
            for name, each in self._presets.items()
        ]
        text = "\n".join([f"kaito: '{self.release}'", "models:", *entries, ""])
        verdict = read_catalog(DEFAULT_CATALOG_PATH, text.encode())
        assert verdict.catalog is not None, verdict.problems
        return verdict.catalog


@pytest.fixture
def quick(standins: StandIns) -> Iterator[None]:
    """The cluster as a test of this file needs it, and as it was."""
    before = standins.control.options("kubernetes")
    facts = str(FACTS) if FACTS.is_dir() else None
    standins.control.set_options("kubernetes", **QUICK, facts=facts)
    yield
    standins.control.set_options("kubernetes", **{name: before[name] for name in (*QUICK, "facts", "kaito")})


@pytest_asyncio.fixture(loop_scope="session")
async def cluster(
    standins: StandIns, credential: ManagedIdentityCredential, quick: None
) -> AsyncIterator[KaitoCluster]:
    adapter = KaitoCluster(CLUSTER_ID, standins.addresses["resource-manager"], credential)
    yield adapter
    await adapter.close()


@pytest.mark.parametrize("word", ["written", "preset"])
@pytest.mark.parametrize("release", KNOWN)
async def test_every_preset_answers_under_the_name_of_the_catalogue(
    room: Room, cluster: KaitoCluster, release: Release, word: str
) -> None:
    served = Served(release, word)
    room.standins.control.set_options("kubernetes", kaito=release)
    facts = Cluster("gateway-system/internal", room.standins.addresses["ingress"])
    room.platform = replace(room.platform, cluster=facts)
    await room.models(served.catalog)
    wrong = [each for team in served.teams() async for each in said_wrong(room, cluster, served, *team)]
    assert wrong == []


async def said_wrong(
    room: Room, cluster: KaitoCluster, served: Served, team: str, models: list[str]
) -> AsyncIterator[str]:
    """What the models of a team answer instead of a chat, when they all stand in the cluster."""
    client = await client_of(room, cluster, served, team, models)
    for model in models:
        if said := await instead_of_a_chat(client, model):
            yield f"{served.preset(model)}: {said}"
    left = await cluster.namespace(f"team-{team}")
    assert left is not None
    await cluster.delete_namespace(left.name, left.resource_version)


async def client_of(
    room: Room, cluster: KaitoCluster, served: Served, team: str, models: list[str]
) -> AsyncOpenAI:
    """With the key of a team that has what it asks for, as the stages write it, in their order."""
    asked = Asked(team, models=(), dedicated={model: served.size(model) for model in models})
    request = asked.read(served.catalog)
    desired = compile_workspaces(request, served.catalog, room.platform)
    marker = Marker(1, team, path_of(team), "c0ffee", desired.digest)
    for manifest in (namespace_manifest(marker), *desired.limits):
        await cluster.apply(manifest)
    await together(partial(cluster.create, each) for each in desired.configs.values())
    await together(partial(cluster.create, each) for each in desired.workspaces.values())
    await together(partial(cluster.apply, each) for each in desired.routes.values())
    return AsyncOpenAI(
        base_url=f"{room.standins.addresses['gateway']}/openai/v1",
        api_key="not-used",
        default_headers={"api-key": await room.team(request, served.catalog)},
        http_client=room.http,
        max_retries=0,
    )


async def together(writes: Iterable[Any]) -> None:
    """A few at a time."""
    free = asyncio.Semaphore(AT_ONCE)

    async def one(write: Any) -> None:
        async with free:
            await write()

    await asyncio.gather(*map(one, writes))


async def instead_of_a_chat(client: AsyncOpenAI, model: str) -> str:
    """Empty for a chat."""
    messages: Any = [{"role": "user", "content": "Hello"}]
    try:
        answer = await client.chat.completions.create(model=model, messages=messages)
    except APIStatusError as error:
        return f"{error.status_code} {error.response.text}"
    return "" if answer.choices[0].message.content else "nothing"
