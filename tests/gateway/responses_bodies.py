"""Bodies of calls of the Responses API: what passes, what is refused and what it is called, and many more
that are made of their parts.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

from standins.gateway.body_scan import scanned_body
from standins.gateway.context import Context
from tests.gateway.csharp_programs import Call

USER = {"role": "user", "content": "hi"}
FUNCTION = {"type": "function", "name": "f", "parameters": {"type": "object", "file_id": {"type": "x"}}}

OTHER_TOOLS = (
    "web_search", "web_search_preview", "file_search", "mcp", "code_interpreter", "image_generation",
    "computer_use_preview", "local_shell", "shell", "apply_patch", "namespace", "tool_search", "Function",
)  # fmt: skip


def _with(part: dict[str, Any]) -> dict[str, Any]:
    return {"role": "user", "content": [part]}


#: Each arrives as it is, but for `store`.
PASSED: dict[str, tuple[bytes, bytes]] = {
    "nothing": (b" { } ", b' {"store":false } '),
    "absent": (b'{"input":"hi"}', b'{"store":false,"input":"hi"}'),
    "true": (b'{"input":"hi","store" : true }', b'{"input":"hi","store" : false }'),
    "false": (b'{"store":false,"input":"hi"}', b'{"store":false,"input":"hi"}'),
    "null": (b'{"store":null,"input":"hi"}', b'{"store":false,"input":"hi"}'),
    "nothing asked": (
        b'{"background":false,"conversation":null,"prompt":null,"previous_response_id":null,'
        b'"tools":null,"":null}',
        b'{"store":false,"background":false,"conversation":null,"prompt":null,"previous_response_id":null,'
        b'"tools":null,"":null}',
    ),
    "escapes": (
        '{"input":"\\u0073tore \\/Date(0)\\/ é😀","temperature":1.120E+0}'.encode(),
        '{"store":false,"input":"\\u0073tore \\/Date(0)\\/ é😀","temperature":1.120E+0}'.encode(),
    ),
    "names of a schema": (
        b'{"text":{"format":{"schema":{"properties":{"file_id":{"type":"mcp"},"Type":{}}}}},'
        b'"metadata":{"file_id":"x"}}',
        b'{"store":false,"text":{"format":{"schema":{"properties":{"file_id":{"type":"mcp"},"Type":{}}}}},'
        b'"metadata":{"file_id":"x"}}',
    ),
}

#: Values that pass.
FINE: dict[str, list[Any]] = {
    "input": [
        None,
        "hi",
        [],
        [USER],
        [USER | {"type": None}],
        [{"type": "message", "role": "user", "content": [{"type": "input_image", "file_id": None}]}],
        [{"type": "function_call_output", "call_id": "c", "output": [{"type": "input_text", "text": "x"}]}],
        [{"type": "reasoning", "id": "rs_1", "summary": [], "encrypted_content": "x"}],
        [{"type": "reasoning", "summary": [{"type": "summary_text", "text": "x"}]}],
    ],
    "instructions": ["be brief"],
    "include": [["reasoning.encrypted_content"], []],
    "tools": [[], [FUNCTION, {"type": "custom", "name": "c", "format": {"type": "grammar"}}]],
    "tool_choice": [
        "auto",
        {"type": "function", "name": "f"},
        {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "function", "name": "f"}]},
    ],
    "stream": [True],
    "reasoning": [{"effort": "low"}],
}

#: Fields with what is refused in them, and what the refusal says where.
REFUSED: list[tuple[dict[str, Any], str, str | None]] = [
    ({"background": True}, "background", "background"),
    ({"conversation": "conv_1"}, "conversation", "conversation"),
    ({"conversation": {"id": "conv_1"}}, "conversation", "conversation"),
    ({"prompt": {"id": "pmpt_1"}}, "prompt", "prompt"),
    ({"previous_response_id": "resp_1"}, "previous_response_id", "previous_response_id"),
    ({"context_management": [{"type": "compaction"}]}, "context_management", "context_management"),
    ({"Store": None}, "Store", "Store"),
    ({"STORE": True}, "STORE", "STORE"),
    ({"Tools": []}, "Tools", "Tools"),
    ({"aé" + "x" * 80: 1}, "a?" + "x" * 62 + "'", "a?" + "x" * 62),
    ({"store": "no"}, "store", "store"),
    ({"input": {"type": "item_reference"}}, "input", "input"),
    ({"input": ["hi"]}, "input", "input[0]"),
    ({"instructions": [USER]}, "instructions", "instructions"),
    ({"input": [USER, {"type": "item_reference", "id": "msg_1"}]}, "item_reference", "input[1]"),
    ({"input": [{"id": "msg_1"}]}, "item_reference", "input[0]"),
    ({"input": [{"id": "msg_1", "type": None, "role": None}]}, "item_reference", "input[0]"),
    ({"input": [{"type": "reasoning", "id": "rs_1", "summary": []}]}, "reference", "input[0]"),
    ({"input": [{"type": "web_search_call", "id": "ws_1"}]}, "web_search_call", "input[0]"),
    ({"input": [USER | {"type": 1}]}, "text", "input[0]"),
    ({"input": [USER | {"Type": "item_reference"}]}, "type", "input[0]"),
    ({"input": [_with({"type": "input_file", "file_id": "f"})]}, "file_id", "input[0]"),
    ({"input": [_with({"type": "input_image", "FILE_ID": "f"})]}, "file_id", "input[0]"),
    ({"input": [_with({"a": [{"vector_store_ids": ["v"]}]})]}, "vector_store_ids", "input[0]"),
    ({"input": [_with({"type": "computer_screenshot"})]}, "computer_screenshot", "input[0]"),
    ({"tools": [FUNCTION, {"type": "file_search", "vector_store_ids": ["v"]}]}, "file_search", "tools[1]"),
    ({"tools": [{"vector_store_ids": ["v"], "type": "file_search"}]}, "vector_store_ids", "tools[0]"),
    *(({"tools": [{"type": kind}]}, kind, "tools[0]") for kind in OTHER_TOOLS),
    ({"tools": [{"name": "f"}]}, "type", "tools[0]"),
    ({"tools": [{"type": None}]}, "type", "tools[0]"),
    ({"tools": ["function"]}, "tools", "tools[0]"),
    ({"tools": {"type": "mcp"}}, "tools", "tools"),
    ({"tool_choice": {"type": "mcp", "server_label": "x"}}, "mcp", "tool_choice"),
    ({"tool_choice": {"type": "allowed_tools", "tools": [{"type": "mcp"}]}}, "mcp", "tool_choice"),
    ({"tool_choice": {"name": "f"}}, "type", "tool_choice"),
    ({"tool_choice": ["auto"]}, "tool_choice", "tool_choice"),
    ({"include": ["reasoning.encrypted_content", "file_search.x"]}, "file_search.x", "include[1]"),
    ({"include": [None]}, "include", "include[0]"),
    ({"include": "x"}, "include", "include"),
]  # fmt: skip

#: As they are written: with escapes, with keys twice, and the deepest that the scan lets in.
WRITTEN = [
    b'{"input":[{"t\\u0079pe":"item_referenc\\u0065","id":"x"}]}',
    b'{"input":[{"role":"user","content":[{"file\\u005fid":"x"}]}]}',
    b'{"tools":[{"type":"m\\u0063p"}]}',
    b'{"include":["file_search_call.r\\u0065sults"]}',
    b'{"tools":[{"type":"mcp","type":"function"}]}',
    b'{"tools":[{"type":"mcp","typ\\u0065":"function"}]}',
    b'{"metadata":{"a":1,"a":2}}',
    b'{"input":[{"role":"user","content":' + b"[" * 60 + b'{"file_id":1}' + b"]" * 60 + b"}]}",
]


def bodies(count: int, seed: int = 21) -> Iterator[bytes]:
    """Made of good and bad parts, some with a letter escaped, another case, or a key twice."""
    chance = random.Random(seed)
    bad: list[tuple[str, Any]] = [pair for fields, _, _ in REFUSED for pair in fields.items()]
    good = [(key, value) for key, values in FINE.items() for value in values] + [
        ("store", True),
        ("user", "u"),
    ]
    for _ in range(count):
        chosen = chance.choices(good, k=chance.randint(0, 4)) + chance.choices(bad, k=chance.randint(0, 1))
        chance.shuffle(chosen)
        text = json.dumps(dict(chosen), ensure_ascii=chance.random() < 0.5)
        for _ in range(chance.randint(0, 2)):
            text = _changed(text, chance)
        yield text.encode("utf-8", "replace")


def _changed(text: str, chance: random.Random) -> str:
    at = chance.randrange(len(text))
    letter = text[at]
    if letter.isascii() and letter.isalpha() and text[at - 1] != "\\":
        other = chance.choice((f"\\u{ord(letter):04X}", letter.upper(), letter, "ſ", "K", "ı"))
        return text[:at] + other + text[at + 1 :]
    if letter == "{" and text[at + 1] == '"':
        end = text.index('"', at + 2)
        return f"{text[: at + 1]}{text[at + 1 : end + 1]}: null, {text[at + 1 :]}"
    return text


def call_of(body: bytes) -> Call | None:
    """With what the scan says of the body; None for one that it refuses."""
    call = Call("a call without storage", body)
    scanned = scanned_body(_context(call))
    if scanned[0] == "!":
        return None
    return Call("a call without storage", body, variables={"scanned-body": scanned})


def _context(call: Call) -> Context:
    from multidict import CIMultiDict, MultiDict

    from standins.gateway.exchange import Request

    headers = CIMultiDict({"Content-Type": "application/json"})
    gateway: Any = None
    request = Request("POST", "/openai/v1/responses", headers, MultiDict(), call.body or b"", {})
    return Context(gateway, request, {}, {"name": "v1-responses"}, variables=dict(call.variables))


def unstored(body: bytes) -> str:
    """The changed text, or `!` and the refusal, by the stand-in; `!!` if the scan refuses."""
    from standins.gateway.responses_call import responses_call

    call = call_of(body)
    return "!!" if call is None else responses_call(_context(call))


def responses_calls() -> Iterator[Call]:
    written = [body for body, _ in PASSED.values()] + WRITTEN
    written += [json.dumps(fields, ensure_ascii=False).encode() for fields, _, _ in REFUSED]
    written += [json.dumps({key: value}).encode() for key, values in FINE.items() for value in values]
    for body in (*written, *bodies(3000)):
        if call := call_of(body):
            yield call
    for operation in ("v1-responses", "responses", "deployment-responses", "v1-chat-completions"):
        yield Call("a call of responses", operation=operation)
        yield Call("path", path="/openai/v1/Responses/", operation=operation)
    for method in ("GET", "DELETE", "POST"):
        for path in ("/openai/v1/Responses/resp_1", "/openai/responses", "/openai/responses/x/cancel"):
            yield Call("a stored response", path=path, method=method)
    for found in ('!{"error": {}}', '{"store":false}', " {}"):
        for name in ("refused response", "why the response is refused"):
            yield Call(name, variables={"responses-body": found})
