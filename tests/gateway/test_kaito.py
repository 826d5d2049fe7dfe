"""What servers of KAITO's do otherwise than others, and what the gateway makes of it."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from shared.catalog.catalog import Breaker, Catalog, CatalogModel, Member, SharedWorkspace
from shared.policies.api_policy import CLIENT_HEADERS
from tests.fakes.app import GPU
from tests.gateway.recorder import recorder
from tests.gateway.room import CHAT, Room, asking, saying

HOST, OTHER_HOST = "models.internal.contoso.com", "api.provider.example"
PHI = CatalogModel("phi-4", "kaito", preset="phi-4", shared=SharedWorkspace(GPU))
OTHER = CatalogModel("claude", "openai", (Member(f"https://{OTHER_HOST}/v1", "claude-4"),))
BREAKER = Breaker(failures=2, interval=60, trip=30)
#: What the server is called in the log.
OWN = "shared--phi-4"

BUSY = json.dumps(
    {
        "error": {
            "message": "Too many requests: waiting queue (2) exceeds max-num-seqs (1).",
            "type": "requests",
            "param": None,
            "code": "rate_limit_exceeded",
        }
    }
)
LOADING = "<!DOCTYPE HTML>\n<html lang=\"en\"><body>Unsupported method ('POST')</body></html>"


async def key_for(room: Room, *models: CatalogModel) -> str:
    catalog = Catalog(models)
    await room.models(catalog)
    return await room.team(asking(*(model.name for model in models), of=catalog), catalog)


async def calls(room: Room, key: str, count: int = 1) -> list[int]:
    return [(await room.post(key, saying("hi", "phi-4"))).status_code for _ in range(count)]


def asked(room: Room, number: int = -1) -> list[int]:
    """What the backends of a call answered; 0 for no answer."""
    return [status for _, status in room.log()[number]["backends"]]


def repeated(room: Room) -> list[str]:
    """The models of the calls that were sent once more, as the log counts them."""
    return [each["model"] for line in room.log() for each in line.get("traces", ())]


async def test_a_busy_model_is_not_asked_again_and_does_not_trip_its_breaker(room: Room) -> None:
    key = await key_for(room, replace(PHI, breaker=BREAKER, retries=2))
    room.trouble(HOST, status=429, body=BUSY, count=6)
    assert await calls(room, key, 6) == [429] * 6
    assert [asked(room, number) for number in range(6)] == [[429]] * 6
    assert await calls(room, key) == [200]


async def test_of_a_busy_model_its_fallback_is_asked_at_once(room: Room) -> None:
    key = await key_for(room, replace(PHI, retries=3, fallback="claude"), OTHER)
    room.trouble(HOST, status=429, body=BUSY)
    assert await calls(room, key) == [200]
    assert room.log()[0]["backends"] == [[OWN, 429], ["shared--claude", 200]]


async def test_a_fallback_that_is_busy_is_the_last_that_is_asked(room: Room) -> None:
    key = await key_for(room, replace(OTHER, fallback="phi-4"), PHI)
    room.trouble(OTHER_HOST, status=500)
    room.trouble(HOST, status=429, body=BUSY)
    assert (await room.post(key, saying("hi", "claude"))).status_code == 429
    assert asked(room) == [500, 429]


async def test_a_backend_that_says_when_to_come_back_is_asked_again_as_before(room: Room) -> None:
    key = await key_for(room, replace(PHI, retries=1))
    room.trouble(HOST, status=429, retry_after=1)
    assert await calls(room, key) == [200]
    assert asked(room) == [429, 200]


@pytest.mark.parametrize("status", [500, 501])
async def test_what_fails_at_a_workspace_trips_its_breaker(room: Room, status: int) -> None:
    key = await key_for(room, replace(PHI, breaker=BREAKER))
    room.trouble(HOST, status=status, count=None)
    await calls(room, key, 2)
    assert room.standins.control.report("gateway")["tripped"] == [OWN]


async def test_a_model_that_is_loading_fails_and_is_asked_again(room: Room) -> None:
    key = await key_for(room, replace(PHI, retries=1, fallback="claude"), OTHER)
    room.trouble(HOST, status=501, body=LOADING, count=2)
    assert await calls(room, key) == [200]
    assert asked(room) == [501, 501, 200]


async def test_a_model_that_is_loading_is_told_in_openais_form(room: Room) -> None:
    key = await key_for(room, PHI)
    room.trouble(HOST, status=501, body=LOADING)
    answer = await room.post(key, saying("hi", "phi-4"))
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "server_error")
    assert (answer.headers["Content-Type"], answer.headers["Retry-After"]) == ("application/json", "10")
    assert asked(room) == [501]


@pytest.mark.parametrize("status", [0, 503])
async def test_a_call_that_was_dropped_is_sent_once_more_and_counted(room: Room, status: int) -> None:
    key = await key_for(room, PHI)
    room.trouble(HOST, status=status)
    assert await calls(room, key) == [200]
    assert (asked(room), repeated(room)) == ([status, 200], ["phi-4"])
    room.trouble(HOST, status=status, count=2)
    assert await calls(room, key) == [status or 500]
    assert (asked(room), len(repeated(room))) == ([status, status], 2)


async def test_a_stream_that_was_dropped_before_it_began_is_asked_for_once_more(room: Room) -> None:
    key = await key_for(room, PHI)
    room.trouble(HOST, status=0)
    body = saying("hi", "phi-4", stream=True)
    async with room.http.stream("POST", CHAT, json=body, headers={"api-key": key}) as answer:
        assert [line async for line in answer.aiter_lines() if line][-1] == "data: [DONE]"
    assert asked(room) == [0, 200]


async def test_a_dropped_call_is_repeated_before_the_fallback_is_asked(room: Room) -> None:
    key = await key_for(room, replace(PHI, fallback="claude"), OTHER)
    room.trouble(HOST, status=0, count=2)
    assert await calls(room, key) == [200]
    assert asked(room) == [0, 0, 200]


async def test_a_fallback_on_a_workspace_is_asked_once_more_too(room: Room) -> None:
    key = await key_for(room, replace(OTHER, fallback="phi-4"), PHI)
    room.trouble(OTHER_HOST, status=0)
    room.trouble(HOST, status=0)
    assert (await room.post(key, saying("hi", "claude"))).status_code == 200
    assert asked(room) == [0, 0, 200]
    assert repeated(room) == ["claude"]


async def test_where_the_model_has_retries_these_are_all(room: Room) -> None:
    key = await key_for(room, replace(PHI, retries=1))
    room.trouble(HOST, status=0, count=2)
    assert await calls(room, key) == [500]
    assert (asked(room), repeated(room)) == ([0, 0], [])


@pytest.mark.parametrize("status", [500, 502])
async def test_what_was_answered_is_not_repeated_by_itself(room: Room, status: int) -> None:
    key = await key_for(room, PHI)
    room.trouble(HOST, status=status)
    assert await calls(room, key) == [status]
    assert asked(room) == [status]


async def test_no_call_of_another_provider_is_repeated_by_itself(room: Room) -> None:
    key = await key_for(room, OTHER)
    room.trouble(OTHER_HOST, status=0)
    assert (await room.post(key, saying("hi", "claude"))).status_code == 500
    assert asked(room) == [0]


async def test_a_call_that_waited_in_vain_is_not_sent_again(room: Room) -> None:
    key = await key_for(room, PHI)
    async with recorder() as server:
        server.silent = True
        room.standins.control.set_options("gateway", hosts={HOST: server.url}, timeout_seconds=0.2)
        assert await calls(room, key) == [500]
        assert len(server.calls) == 1
    room.standins.control.set_options("gateway", hosts={}, timeout_seconds=60.0)


async def test_no_header_in_which_a_client_may_send_a_credential_reaches_a_server(room: Room) -> None:
    key = await key_for(room, PHI)
    sent = {name: "s3cret-of-the-client" for name in CLIENT_HEADERS if name != "api-key"}
    async with recorder() as server:
        room.standins.control.set_options("gateway", hosts={HOST: server.url})
        headers = {**sent, "api-key": key, "x-own": "stays"}
        assert (await room.http.post(CHAT, json=saying("hi", "phi-4"), headers=headers)).status_code == 200
        [call] = server.calls
    room.standins.control.set_options("gateway", hosts={})
    assert not {"s3cret-of-the-client", key} & set(call.headers.values())
    assert call.headers["x-own"] == "stays"


SCHEMA_ERROR = (
    "2 validation errors:\n  {'type': 'missing', 'loc': ('body', 'messages', 0, 'role'), "
    "'msg': 'Field required', 'input': {'content': '%s'}}\n\n"
    '  File "/usr/lib/python3/site-packages/vllm/entrypoints/utils.py", line 40'
)


def _error(message: str, param: str | None = None) -> str:
    return json.dumps({"error": {"message": message, "type": "Bad Request", "param": param, "code": 400}})


@pytest.mark.parametrize("status", [400, 422])
async def test_a_schema_error_is_cut_to_its_first_fault(room: Room, status: int) -> None:
    key = await key_for(room, PHI)
    room.trouble(HOST, status=status, body=_error(SCHEMA_ERROR % ("prompt" * 100_000), "messages"))
    answer = await room.post(key, saying("hi", "phi-4"))
    assert answer.status_code == status
    assert answer.json() == {
        "error": {
            "message": "Field required (body, messages, 0, role)",
            "type": "invalid_request_error",
            "param": "messages",
            "code": "bad_request",
        }
    }


@pytest.mark.parametrize(
    ("body", "most"),
    [
        (_error("x" * 100_000), 600),
        (_error("cannot read /usr/lib/python3/dist-packages/vllm/x.py"), 200),
        ("<html>" + "x" * 100_000, 200),
        (json.dumps({"detail": [{"loc": ["body"], "msg": "Field required", "input": "x" * 5_000}]}), 200),
    ],
)
async def test_any_refusal_is_short_names_no_file_and_has_openais_form(
    room: Room, body: str, most: int
) -> None:
    key = await key_for(room, PHI)
    room.trouble(HOST, status=400, body=body)
    answer = await room.post(key, saying("hi", "phi-4"))
    assert set(answer.json()["error"]) == {"message", "type", "param", "code"}
    assert len(answer.content) <= most
    assert b"-packages" not in answer.content
    assert answer.headers["Content-Type"] == "application/json"


async def test_what_a_server_says_of_a_value_is_shown_as_it_came(room: Room) -> None:
    key = await key_for(room, PHI)
    body = _error("max_tokens must be at least 1, got 0. (parameter=max_tokens, value=0)", "max_tokens")
    room.trouble(HOST, status=400, body=body)
    assert (await room.post(key, saying("hi", "phi-4"))).text == body


async def test_what_another_provider_refuses_is_shown_as_it_came(room: Room) -> None:
    key = await key_for(room, OTHER)
    room.trouble(OTHER_HOST, status=400, body=_error(SCHEMA_ERROR % "x"))
    assert (await room.post(key, saying("hi", "claude"))).text == _error(SCHEMA_ERROR % "x")


GEMMA = CatalogModel("gemma", "kaito", preset="gemma-3-4b-instruct", shared=SharedWorkspace(GPU))
PICTURE = "data:image/png;base64,iVBORw0KGgo="


def _with_picture(url: Any, key: str = "image_url") -> dict[str, Any]:
    part = {"type": key, key: url}
    return {"model": "gemma", "messages": [{"role": "user", "content": [part]}]}


@pytest.mark.parametrize(
    ("url", "key"),
    [
        ({"url": "http://169.254.169.254/metadata"}, "image_url"),
        ({"detail": "auto", "url": "https://example.com/a.png"}, "image_url"),
        ("https://example.com/a.png", "image_url"),
        ({"url": "file:///etc/passwd"}, "video_url"),
        ({"url": " data:image/png;base64,"}, "audio_url"),
    ],
)
async def test_a_picture_elsewhere_is_refused_for_a_model_that_would_fetch_it(
    room: Room, url: Any, key: str
) -> None:
    answer = await room.post(await key_for(room, GEMMA), _with_picture(url, key))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "bad_request")
    assert not room.served()


async def test_a_key_with_escapes_hides_no_picture(room: Room) -> None:
    key = await key_for(room, GEMMA)
    body = json.dumps(_with_picture({"url": "http://x"})).replace("image_url", "image\\u005furl")
    headers = {"api-key": key, "Content-Type": "application/json"}
    assert (await room.http.post(CHAT, content=body, headers=headers)).status_code == 400


@pytest.mark.parametrize(
    "model",
    [
        replace(GEMMA, context=8192),
        replace(GEMMA, preset="phi-4"),
        replace(OTHER, name="gemma"),
    ],
    ids=["configured", "text", "another provider"],
)
async def test_a_picture_elsewhere_passes_where_no_pod_would_fetch_it(
    room: Room, model: CatalogModel
) -> None:
    answer = await room.post(await key_for(room, model), _with_picture({"url": "https://example.com/a.png"}))
    assert answer.status_code == 200


async def test_a_picture_in_the_call_passes_byte_by_byte(room: Room) -> None:
    key = await key_for(room, GEMMA)
    body = json.dumps(_with_picture({"url": PICTURE}), indent=3).encode()
    async with recorder() as server:
        room.standins.control.set_options("gateway", hosts={HOST: server.url})
        headers = {"api-key": key, "Content-Type": "application/json"}
        assert (await room.http.post(CHAT, content=body, headers=headers)).status_code == 200
        [call] = server.calls
    room.standins.control.set_options("gateway", hosts={})
    assert call.body == body.replace(b'"gemma"', b'"gemma-3-4b-instruct"')


async def test_a_model_without_domains_to_forbid_refuses_pictures_with_a_configuration_too(
    room: Room,
) -> None:
    catalog = Catalog((replace(GEMMA, context=8192),), kaito="0.7")
    await room.models(catalog)
    key = await room.team(asking("gemma", of=catalog), catalog)
    assert (await room.post(key, _with_picture({"url": "https://example.com/a.png"}))).status_code == 400


async def test_a_fallback_that_would_fetch_a_picture_is_not_sent_it(room: Room) -> None:
    key = await key_for(room, replace(OTHER, fallback="gemma"), GEMMA)
    room.trouble(OTHER_HOST, status=500)
    body = {**_with_picture({"url": "https://example.com/a.png"}), "model": "claude"}
    assert (await room.post(key, body)).status_code == 400
    assert asked(room) == [500]
