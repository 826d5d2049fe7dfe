"""The client certificate by which the Gateway of the cluster knows API Management: nobody else is let in."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import trustme
from aiohttp import web
from azure.mgmt.apimanagement.models import BackendContract, CertificateCreateOrUpdateParameters

from shared.catalog.catalog import Catalog, CatalogModel, SharedWorkspace
from shared.errors import Rejected
from shared.resources.backends import catalog_backends
from standins.tests.certificates import PASSWORD, client_certificate
from tests.fakes.app import GPU
from tests.gateway.room import CLUSTER, Room, asking, saying

NAME = "gpu-gateway"
HOST = "models.internal.contoso.com"
CATALOG = Catalog((CatalogModel("phi-4", "kaito", preset="phi-4", shared=SharedWorkspace(GPU)),))


@dataclass
class Listener:
    """The Gateway of a cluster: a server that lets in whom an authority knows; `callers` are their names."""

    url: str
    callers: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        assert request.transport is not None
        shown: Any = request.transport.get_extra_info("peercert")
        self.callers += [value for part in shown["subject"] for key, value in part if key == "commonName"]
        return web.json_response({"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}})


@asynccontextmanager
async def listener(folder: Path, authority: trustme.CA) -> AsyncIterator[Listener]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(folder / "server.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    authority.configure_trust(context)
    app, found = web.Application(), Listener("")
    app.router.add_post("/{path:.*}", found.answer)
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        found.url = f"https://localhost:{runner.addresses[0][1]}"
        yield found
    finally:
        await runner.cleanup()


async def give(room: Room, name: str, authority: trustme.CA) -> None:
    body = CertificateCreateOrUpdateParameters(data=client_certificate(authority, name), password=PASSWORD)
    await room.writer._client.certificate.create_or_update("ai", room.name, NAME, body)


async def key_for(room: Room, certificate: str | None) -> str:
    """Of a team that may call the shared model, as this platform provisions both."""
    room.platform = replace(room.platform, cluster=replace(CLUSTER, certificate=certificate))
    await room.models(CATALOG)
    return await room.team(asking("phi-4", of=CATALOG), CATALOG)


@pytest.mark.parametrize(
    ("certificate", "known", "status", "callers"),
    [(NAME, True, 200, ["gateway"]), (NAME, False, 500, []), (None, True, 500, [])],
    ids=["its own", "of another authority", "none"],
)
async def test_the_gateway_is_let_in_by_its_certificate_alone(
    room: Room, certificate: str | None, known: bool, status: int, callers: list[str]
) -> None:
    authority, control = trustme.CA(), room.standins.control
    await give(room, "gateway", authority if known else trustme.CA())
    key = await key_for(room, certificate)
    before = control.options("gateway")["hosts"]
    async with listener(room.standins.folder, authority) as found:
        control.set_options("gateway", hosts={**before, HOST: found.url})
        answer = await room.post(key, saying("hello", "phi-4"))
        control.set_options("gateway", hosts=before)
    assert (answer.status_code, found.callers) == (status, callers)


async def test_a_certificate_that_people_took_off_is_missed(room: Room) -> None:
    await give(room, "gateway", trustme.CA())
    await key_for(room, NAME)
    [wanted] = catalog_backends(CATALOG, room.platform.cluster)
    [written] = await room.writer.backends("shared--")
    client = room.writer._client.backend
    body = BackendContract(url=written.url, protocol="http", description=str(written.marker))
    await client.create_or_update("ai", room.name, written.name, body)
    [bare] = await room.writer.backends("shared--")
    assert (written.certificate, bare.certificate) == (NAME, None)
    assert (written.equivalent_to(wanted), bare.equivalent_to(wanted)) == (True, False)


async def test_a_certificate_that_is_not_there_is_refused_by_name(room: Room) -> None:
    with pytest.raises(Rejected) as refused:
        await key_for(room, "nowhere")
    assert "nowhere" in refused.value.message
