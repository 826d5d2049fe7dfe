"""Calls of functions. The stand-in's model calls one only where it is told to: `required`, or by name."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from standins.models.openai.asked import Asked, Json, Refused
from standins.models.vllm import grammar


@dataclass(frozen=True)
class Called:
    """A call that a model makes; `by_name`: it was told which."""

    id: str
    name: str
    arguments: str
    by_name: bool


def called(asked: Asked) -> Called | None:
    """The call that the request forces. `tools` are as chats have them (within `function`), or as Responses
    have them. Raises Refused.
    """
    choice = asked.body.get("tool_choice")
    _check(asked.body, choice)
    functions = [tool.get("function", tool) for tool in asked.tools if tool["type"] == "function"]
    if choice == "required":
        return _call(functions[0], by_name=False) if functions else None
    if isinstance(choice, dict) and choice.get("type") == "function":
        return _call(_by_name(functions, choice), by_name=True)
    return None


def _by_name(functions: Sequence[Json], choice: Json) -> Json:
    name = choice.get("name") or (choice.get("function") or {}).get("name")
    found = next((each for each in functions if each["name"] == name), None)
    if found is None:
        raise Refused(400, None, f"Tool choice '{name}' not found in 'tools' parameter.", "tool_choice")
    return found


def _check(body: Json, choice: Any) -> None:
    if body.get("tools") == []:
        message = (
            "Invalid 'tools': empty array. Expected an array with minimum length 1, but got an empty array "
            "instead."
        )
        raise Refused(400, "empty_array", message, "tools")
    if choice not in (None, "none", "auto") and not body.get("tools"):
        message = "Invalid value for 'tool_choice': 'tool_choice' is only allowed when 'tools' are specified."
        raise Refused(400, None, message, "tool_choice")


def _call(function: Json, *, by_name: bool) -> Called:
    arguments = grammar.written(function.get("parameters") or {"type": "object"})
    return Called(f"call_{uuid.uuid4().hex[:24]}", function["name"], arguments, by_name)


def in_message(call: Called) -> Sequence[Json]:
    function = {"name": call.name, "arguments": call.arguments}
    return [{"id": call.id, "type": "function", "function": function}]


def pieces(call: Called) -> Sequence[str]:
    """The arguments as a stream brings them."""
    middle = len(call.arguments) // 2
    return [call.arguments[:middle], call.arguments[middle:]]
