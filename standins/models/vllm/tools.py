"""Calls of tools. Without a parser a chat refuses them; with one only `required` and a named tool are called,
for the stand-in's model calls nothing by its own choice.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from standins.models.vllm import grammar
from standins.models.vllm.errors import Json, refused
from standins.models.vllm.server import Server


def check(server: Server, body: Mapping[str, Any]) -> None:
    """What a chat says to tools that the server cannot read. Raises Refused."""
    choice = body.get("tool_choice")
    if server.tool_parser or not body.get("tools") or choice in (None, "none"):
        return
    if choice == "auto":
        raise refused(
            '"auto" tool choice requires --enable-auto-tool-choice and --tool-call-parser to be set'
        )
    shown = choice
    if isinstance(choice, dict):
        function = f"ChatCompletionNamedFunction(name={choice['function']['name']!r})"
        shown = f"function={function} type='function'"
    raise refused(f'tool_choice="{shown}" requires --tool-call-parser to be set')


def read_by_parser(server: Server, body: Mapping[str, Any]) -> bool:
    return bool(server.tool_parser and body.get("tools") and body.get("tool_choice") not in (None, "none"))


def called(tools: Sequence[Json], choice: Any) -> list[Json]:
    """Name and arguments of each call that a choice forces; `tools` as Responses has them, or within
    `function`.
    """
    functions = [tool.get("function", tool) for tool in tools if tool.get("type", "function") == "function"]
    if isinstance(choice, dict):
        name = choice.get("name") or (choice.get("function") or {}).get("name")
        functions = [each for each in functions if each["name"] == name]
    elif choice != "required":
        return []
    return [
        {"name": each["name"], "arguments": grammar.instance(each.get("parameters") or {"type": "object"})}
        for each in functions[:1]
    ]


def as_json(call: Json) -> str:
    return json.dumps(call["arguments"], ensure_ascii=False)


def new_id() -> str:
    return f"chatcmpl-tool-{uuid.uuid4().hex[:16]}"


def in_chat(calls: Sequence[Json]) -> list[Json]:
    """Calls as a message has them."""
    return [
        {
            "id": new_id(),
            "type": "function",
            "function": {"name": call["name"], "arguments": as_json(call)},
        }
        for call in calls
    ]
