"""Bodies reach the model as they came, but for the one name of the model."""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace

import httpx
import pytest
import pytest_asyncio

from shared.catalog.catalog import Catalog, CatalogModel, ContentSafety, Dedicated, Member
from shared.names import FRAGMENT
from shared.requests.request import ModelAccess
from tests.fakes.app import GPU
from tests.gateway.recorder import Recorder, recorder
from tests.gateway.room import CHAT, Room, asking

HOST, OTHER_HOST = "models.contoso.internal", "others.contoso.internal"
A = CatalogModel("a", "openai", (Member(f"http://{HOST}/v1", "served-a"),))
B = CatalogModel("b", "openai", (Member(f"http://{HOST}/v1", "served-b"),))
SAFETY = ContentSafety("https://contoso-safety.cognitiveservices.azure.com", 4)
PATH_A = "/openai/deployments/a/chat/completions"
DATES = b'"messages":[{"role":"tool","content":"2026-11-30T08:15:00-05:00 or \\/Date(0)\\/","n":1.120E+0}]'


@dataclass
class Sender:
    """Sends bytes as team alpha."""

    room: Room
    server: Recorder
    key: str = ""

    async def team(self, *models: CatalogModel, **terms: int) -> None:
        catalog = Catalog(models, content_safety=SAFETY if any(model.screened for model in models) else None)
        await self.room.models(catalog)
        names = [model.name for model in models]
        self.key = await self.room.team(asking(*names, of=catalog, **terms), catalog)

    async def post(self, body: bytes, path: str = CHAT, **headers: str) -> httpx.Response:
        sent = {"api-key": self.key, "Content-Type": "application/json"}
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.room.http.post(path, content=body, headers=sent)


@pytest_asyncio.fixture(loop_scope="session")
async def sender(room: Room) -> AsyncIterator[Sender]:
    async with recorder() as server:
        room.standins.control.set_options("gateway", hosts={HOST: server.url, OTHER_HOST: server.url})
        yield Sender(room, server)
    room.standins.control.set_options("gateway", hosts={})


@pytest.mark.parametrize(
    ("sent", "arrived"),
    [
        (b'{"model":"a",' + DATES + b"}", b'{"model":"served-a",' + DATES + b"}"),
        (b'\n{ "x" : [ 1.0 ] , "model"\t: "a" }\r\n', b'\n{ "x" : [ 1.0 ] , "model"\t: "served-a" }\r\n'),
        (b'{"model":"\\u0061","x":"\\u00e9"}', b'{"model":"served-a","x":"\\u00e9"}'),
        ('{"é😀":"😀","model":"a"}'.encode(), '{"é😀":"😀","model":"served-a"}'.encode()),
        (b'{"tools":[{"model":"b"}],"model":"a"}', b'{"tools":[{"model":"b"}],"model":"served-a"}'),
        (b'{"x":{"k":1,"k":2},"model":"a"}', b'{"x":{"k":1,"k":2},"model":"served-a"}'),
        (b'{"n":12345678901234567890,"model":"a"}', b'{"n":12345678901234567890,"model":"served-a"}'),
    ],
)  # fmt: skip
async def test_only_the_name_of_the_model_is_replaced(sender: Sender, sent: bytes, arrived: bytes) -> None:
    await sender.team(A)
    answer = await sender.post(sent, Content_Type='Application/JSON; Charset="UTF-8"')
    assert answer.status_code == 200, answer.text
    assert [call.body for call in sender.server.calls] == [arrived]
    assert sender.server.calls[0].headers["Content-Type"] == "application/json"


@pytest.mark.parametrize(
    ("sent", "arrived"),
    [
        (b"{ }", b'{"model":"served-a" }'),
        (b'{"x":1}', b'{"model":"served-a","x":1}'),
        # As LangChain's AzureChatOpenAI sends it, which knows its deployment only.
        (b'{"model" : null,"x":null}', b'{"model" : "served-a","x":null}'),
    ],
)
@pytest.mark.parametrize("path", [PATH_A, CHAT])
async def test_a_name_from_path_or_header_is_put_into_the_body(
    sender: Sender, path: str, sent: bytes, arrived: bytes
) -> None:
    await sender.team(A)
    assert (await sender.post(sent, path, x_ai_eg_model="a")).status_code == 200
    assert [call.body for call in sender.server.calls] == [arrived]


async def test_of_path_and_body_the_path_is_served_and_counted(sender: Sender) -> None:
    """The backend goes by the body: it must not serve another model than the one that was granted."""
    await sender.team(A, replace(B, members=(Member(f"http://{OTHER_HOST}/v1", "served-b"),)))
    answer = await sender.post(b'{"model":"b"}', PATH_A)
    assert (answer.status_code, answer.json()["model"]) == (200, "served-a")
    assert sender.server.calls[0].headers["Host"] == HOST
    assert [metric["dimensions"]["Model"] for metric in sender.room.metrics()] == ["a"]


async def test_each_attempt_edits_the_body_as_it_came(sender: Sender) -> None:
    await sender.team(replace(A, fallback="b", retries=1), B)
    sender.server.statuses = [503, 503]
    assert (await sender.post(b'{"model":"a","x":"2024-05-01T10:00:00.120Z"}')).status_code == 200
    assert [call.body for call in sender.server.calls] == [
        b'{"model":"served-%s","x":"2024-05-01T10:00:00.120Z"}' % served for served in (b"a", b"a", b"b")
    ]


REFUSED = {
    "no body": b"",
    "a list": b"[1]",
    "two objects": b'{"model":"a"} {}',
    "open": b'{"model":"a"',
    "a byte order mark": b'\xef\xbb\xbf{"model":"a"}',
    "no UTF-8": b'{"model":"a","x":"\xff"}',
    "UTF-16": '{"model":"a"}'.encode("utf-16"),
    "single quotes": b"{'model':'a'}",
    "a comment": b'{/**/"model":"a"}',
    "a last comma": b'{"model":"a",}',
    "an octal number": b'{"model":"a","n":010}',
    "no number": b'{"model":"a","n":NaN}',
    "a line feed in a string": b'{"model":"a","x":"\n"}',
    "65 levels": b'{"model":"a","x":' + b"[" * 64 + b"]" * 64 + b"}",
    "the model twice": b'{"model":"a","model":"a"}',
    "another key twice": b'{"model":"a","x":1,"x":1}',
    "an escape in a key": b'{"\\u006dodel":"b","model":"a"}',
    "capitals": b'{"Model":"b","model":"a"}',
    "a number": b'{"model":5}',
    "no null": b'{"model":nul}',
    "an object": b'{"model":{"a":1}}',
}


@pytest.mark.parametrize("which", REFUSED)
async def test_what_two_readers_could_read_differently_is_refused_and_not_counted(
    sender: Sender, which: str
) -> None:
    await sender.team(A, requests_per_minute=1)
    refused = await sender.post(REFUSED[which], PATH_A)
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_request")
    assert not sender.server.calls
    assert (await sender.post(b'{"model":"a"}')).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        {"Content_Type": "text/plain"},
        {"Content_Type": "application/json; charset=utf-16"},
        {"Content_Type": "application/json; charset=utf-8; charset=latin1"},
        {"Content_Type": "application/json, application/json"},
        {"Content_Encoding": "gzip"},
        {"Content_Encoding": "identity, gzip"},
    ],
)
async def test_a_body_in_another_form_than_plain_json_is_refused(
    sender: Sender, headers: dict[str, str]
) -> None:
    await sender.team(A)
    body = b'{"model":"a"}'
    sent = gzip.compress(body) if headers.get("Content_Encoding") == "gzip" else body
    assert (await sender.post(sent, **headers)).status_code == 400
    assert (await sender.post(b'{"model":"a"}', Content_Encoding="identity")).status_code == 200


async def test_64_levels_are_not_too_deep(sender: Sender) -> None:
    await sender.team(A)
    body = b'{"model":"a","x":' + b"[" * 63 + b"]" * 63 + b"}"
    assert (await sender.post(body)).status_code == 200


@pytest.mark.parametrize("twice", [b'{"k":1,"k":2}', b'[{"y":{"k":1,"\\u006b":2}}]'])
async def test_a_screened_model_takes_no_key_twice_at_any_level(sender: Sender, twice: bytes) -> None:
    """Content safety answers nothing here: what comes so far fails with 500."""
    await sender.team(replace(A, screened=True), B, requests_per_minute=1)
    sender.room.standins.control.fault("models", "POST text .*", status=0)
    refused = await sender.post(b'{"model":"a","x":' + twice + b"}")
    assert (refused.status_code, refused.json()["error"]["code"]) == (400, "bad_request")
    assert (await sender.post(b'{"model":"b","x":' + twice + b"}")).status_code == 200
    assert json.loads(sender.server.calls[0].body)["model"] == "served-b"


async def test_where_the_fragment_of_an_earlier_version_stands_the_api_reads_the_body(sender: Sender) -> None:
    """While old and new code run side by side, either may have written the fragment last."""
    await sender.team(A)
    earlier = '<fragment><set-variable name="requested-model" value="a" /></fragment>'
    await sender.room.writer.put_fragment(FRAGMENT, earlier)
    assert (await sender.post(b'{"model":"a","x":"2024-05-01T10:00:00.120Z"}')).status_code == 200
    assert sender.server.calls[0].body == b'{"model":"served-a","x":"2024-05-01T10:00:00.120Z"}'
    assert (await sender.post(b'{"model":"a","model":"a"}')).status_code == 400


@pytest.mark.parametrize("earlier", [True, False])
async def test_a_teams_own_workspace_is_asked_whichever_version_wrote_its_policy(
    sender: Sender, earlier: bool
) -> None:
    own = CatalogModel("phi-4", "kaito", private=True, preset="phi-4", dedicated=Dedicated((GPU,), 1, 3))
    catalog, room = Catalog((own,)), sender.room
    room.standins.control.set_options("gateway", hosts={"models.internal.contoso.com": sender.server.url})
    await room.models(catalog)
    granted = (ModelAccess("phi-4", "kaito", None, None, GPU),)
    sender.key = await room.team(asking(of=catalog, models=granted), catalog)
    if earlier:
        found = await room.writer._client.product_policy.get("ai", room.name, "team-alpha", "policy")
        without = re.sub(r'<set-variable name="backend"[^>]*/>', "", str(found.value))
        assert without != found.value
        await room.writer.put_product_policy("team-alpha", without, "*")
    assert (await sender.post(b'{"model":"phi-4"}')).status_code == 200
    assert [name for name, _ in room.log()[0]["backends"]] == ["team-alpha--phi-4"]


@pytest.mark.parametrize(("named", "asked_for"), [(None, "gemma-3-4b-instruct"), ("gemma", "gemma")])
async def test_a_teams_own_workspace_is_asked_by_the_name_it_was_told(
    sender: Sender, named: str | None, asked_for: str
) -> None:
    own = CatalogModel(
        "gemma", "kaito", preset="gemma-3-4b-instruct", named=named, dedicated=Dedicated((GPU,), 1, 3)
    )
    catalog, room = Catalog((own,)), sender.room
    room.standins.control.set_options("gateway", hosts={"models.internal.contoso.com": sender.server.url})
    await room.models(catalog)
    granted = (ModelAccess("gemma", "kaito", None, None, GPU),)
    sender.key = await room.team(asking(of=catalog, models=granted), catalog)
    assert (await sender.post(b'{"model":"gemma"}')).status_code == 200
    assert json.loads(sender.server.calls[0].body)["model"] == asked_for
