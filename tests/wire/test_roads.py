"""Roads are asked over real connections: what answers, what fails, and what cannot be reached from here."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import trustme
from aiohttp import web
from aiohttp.test_utils import TestServer

from shared.adapters.roads import CONCURRENCY, MAX_ANSWER_BYTES, WorkspaceRoads
from shared.gateway_api.road import NotReached, RoadAnswer, Served, Unserved
from shared.secret import SecretValue

ROAD = "/team-alpha/phi-4/v1"
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def serving(handler: Handler, context: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """The address of a server that answers everything with this handler."""
    app = web.Application()
    app.router.add_route("*", "/{any:.*}", handler)
    server = TestServer(app, scheme="http" if context is None else "https")
    await server.start_server(ssl=context)
    try:
        yield str(server.make_url("")).rstrip("/").replace("127.0.0.1", "localhost")
    finally:
        await server.close()


async def asked(handler: Handler) -> RoadAnswer:
    async with serving(handler) as address:
        return await WorkspaceRoads(address).ask(f"{address}{ROAD}")


async def models(_: web.Request) -> web.Response:
    return web.json_response({"object": "list", "data": [{"id": "phi-4"}, {"id": "adapter"}]})


async def test_a_model_server_says_what_it_serves() -> None:
    assert await asked(models) == Served(("phi-4", "adapter"))


async def test_the_models_are_asked_for_without_credentials_and_unpacked() -> None:
    seen: list[web.Request] = []

    async def note(request: web.Request) -> web.StreamResponse:
        seen.append(request)
        return await models(request)

    await asked(note)
    [request] = seen
    assert (request.method, request.path) == ("GET", f"{ROAD}/models")
    assert not {"Authorization", "api-key", "Cookie"} & set(request.headers)
    assert request.headers["Accept-Encoding"] == "identity"


@pytest.mark.parametrize("status", [204, 301, 307, 400, 401, 403, 404, 413, 429, 500, 503, 504])
async def test_another_status_than_200_is_told(status: int) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=b"")

    found = await asked(answer)
    assert isinstance(found, Unserved)
    assert found.status == status


async def test_no_redirection_is_followed() -> None:
    paths: list[str] = []

    async def redirect(request: web.Request) -> web.Response:
        paths.append(request.path)
        return web.Response(status=307, headers={"Location": f"{request.url.origin()}/elsewhere"})

    assert await asked(redirect) == Unserved(307)
    assert paths == [f"{ROAD}/models"]


@pytest.mark.parametrize(
    "body",
    [b"", b"<html/>", b"[]", b"{}", b'{"data": {}}', b"\xff", b"[" * 60_000, b'{"data": null}'],
    ids=range(8),
)
async def test_another_answer_than_a_list_of_models_is_another_servers(body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body)

    found = await asked(answer)
    assert isinstance(found, Unserved)
    assert found.status == 200


async def test_rows_without_a_name_are_left_out() -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response({"data": [None, 1, {}, {"id": 1}, {"id": "phi-4"}]})

    assert await asked(answer) == Served(("phi-4",))


async def test_a_huge_answer_is_not_read_to_its_end() -> None:
    sent = 0

    async def flood(request: web.Request) -> web.StreamResponse:
        nonlocal sent
        response = web.StreamResponse()
        await response.prepare(request)
        for _ in range(1_000):
            sent += MAX_ANSWER_BYTES
            await response.write(b" " * MAX_ANSWER_BYTES)
        return response

    found = await asked(flood)
    assert isinstance(found, Unserved)
    assert found.status == 200
    assert sent < 500 * MAX_ANSWER_BYTES


async def test_a_server_that_stays_silent_has_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.adapters.roads.TIMEOUT", 0.3)
    never = asyncio.Event()

    async def hang(_: web.Request) -> web.Response:
        await never.wait()
        return web.Response()

    found = await asked(hang)
    assert isinstance(found, Unserved)
    assert found.status is None


async def test_a_server_that_hangs_up_has_failed() -> None:
    async def hang_up(request: web.Request) -> web.Response:
        assert request.transport is not None
        request.transport.close()
        return web.Response()

    found = await asked(hang_up)
    assert isinstance(found, Unserved)
    assert found.status is None


async def test_an_answer_that_breaks_off_has_failed() -> None:
    async def break_off(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Length": "1000"})
        await response.prepare(request)
        await response.write(b'{"data"')
        assert request.transport is not None
        request.transport.close()
        return response

    assert isinstance(await asked(break_off), Unserved)


async def test_a_port_where_nobody_listens_is_not_reached() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{unused.getsockname()[1]}"
        assert isinstance(await WorkspaceRoads(address).ask(f"{address}{ROAD}"), NotReached)


async def test_a_name_that_is_not_known_is_not_reached() -> None:
    address = "https://models.invalid"
    assert isinstance(await WorkspaceRoads(address).ask(f"{address}{ROAD}"), NotReached)


async def test_a_connection_that_does_not_come_about_is_not_reached(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("shared.adapters.roads.TIMEOUT", 0.3)
    with socket.socket() as full:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = [socket.socket() for _ in range(3)]
        for each in waiting:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", port))
        found = await WorkspaceRoads(f"http://127.0.0.1:{port}").ask(f"http://127.0.0.1:{port}{ROAD}")
        for each in waiting:
            each.close()
    assert isinstance(found, NotReached)


@pytest.mark.parametrize("port", ["1", "8443"])
async def test_no_other_address_than_the_settings_is_asked(port: str) -> None:
    asked_for: list[str] = []

    async def note(request: web.Request) -> web.StreamResponse:
        asked_for.append(request.path)
        return await models(request)

    async with serving(note) as address:
        roads = WorkspaceRoads(f"http://localhost:{port}")
        assert isinstance(await roads.ask(f"{address}{ROAD}"), NotReached)
    assert asked_for == []


async def test_no_more_than_eight_are_asked_at_once() -> None:
    now, most, total = 0, 0, CONCURRENCY * 3
    eight = asyncio.Event()

    async def count(request: web.Request) -> web.StreamResponse:
        nonlocal now, most
        now += 1
        most = max(most, now)
        if now == CONCURRENCY:
            eight.set()
        await eight.wait()
        now -= 1
        return await models(request)

    async with serving(count) as address:
        roads = WorkspaceRoads(address)
        found = await asyncio.gather(*(roads.ask(f"{address}{ROAD}") for _ in range(total)))
    assert found == [Served(("phi-4", "adapter"))] * total
    assert most == CONCURRENCY


@pytest.fixture
def authority(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> trustme.CA:
    """Its certificates are trusted in this test."""
    made = trustme.CA()
    made.cert_pem.write_to_path(tmp_path / "ca.pem")
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


def tls(
    authority: trustme.CA, *, asks: bool, most: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3
) -> ssl.SSLContext:
    """Of a server for localhost, which `asks` its clients for certificates of the same authority."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.maximum_version = most
    authority.issue_cert("localhost").configure_cert(context)
    if asks:
        authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def pem_of(authority: trustme.CA) -> SecretValue:
    return SecretValue(authority.issue_cert("workers").private_key_and_cert_chain_pem.bytes().decode())


@pytest.mark.parametrize("asks", [False, True])
async def test_a_certificate_is_shown_where_it_is_asked_for(authority: trustme.CA, asks: bool) -> None:
    shown: list[object] = []

    async def note(request: web.Request) -> web.StreamResponse:
        assert request.transport is not None
        shown.append(request.transport.get_extra_info("peercert"))
        return await models(request)

    async with serving(note, tls(authority, asks=asks)) as address:
        found = await WorkspaceRoads(address, pem_of(authority)).ask(f"{address}{ROAD}")
    assert found == Served(("phi-4", "adapter"))
    assert [bool(each) for each in shown] == [asks]


@pytest.mark.parametrize("most", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_server_that_asks_for_a_certificate_in_vain_is_not_reached(
    authority: trustme.CA, most: ssl.TLSVersion
) -> None:
    async with serving(models, tls(authority, asks=True, most=most)) as address:
        assert isinstance(await WorkspaceRoads(address).ask(f"{address}{ROAD}"), NotReached)


async def test_a_server_that_is_not_trusted_is_not_reached() -> None:
    async with serving(models, tls(trustme.CA(), asks=False)) as address:
        assert isinstance(await WorkspaceRoads(address).ask(f"{address}{ROAD}"), NotReached)


@pytest.mark.parametrize(
    "pem", ["no certificate", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----"]
)
async def test_a_text_that_is_no_certificate_is_told_and_asks_nothing(pem: str) -> None:
    asked_for: list[str] = []

    async def note(request: web.Request) -> web.StreamResponse:
        asked_for.append(request.path)
        return await models(request)

    async with serving(note) as address:
        found = await WorkspaceRoads(address, SecretValue(pem)).ask(f"{address}{ROAD}")
    assert isinstance(found, NotReached)
    assert "WORKSPACE_CLIENT_CERTIFICATE" in found.why
    assert "AAAA" not in json.dumps(found.why)
    assert asked_for == []


async def test_a_certificate_needs_a_file_in_memory(
    authority: trustme.CA, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "memfd_create")
    async with serving(models) as address:
        found = await WorkspaceRoads(address, pem_of(authority)).ask(f"{address}{ROAD}")
    assert isinstance(found, NotReached)
    assert "memory" in found.why


async def test_the_key_of_the_certificate_is_in_no_open_file_afterwards(authority: trustme.CA) -> None:
    async with serving(models, tls(authority, asks=True)) as address:
        await WorkspaceRoads(address, pem_of(authority)).ask(f"{address}{ROAD}")
    files = [str(each.readlink()) for each in Path("/dev/fd").iterdir() if each.is_symlink()]
    assert not [each for each in files if "client-certificate" in each]
