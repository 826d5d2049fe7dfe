"""What vLLM looks at before the types of fields. Raises ValueError (pydantic makes a fault of it).

Since 0.25 the parameter is part of most of these errors; before, of none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

from standins.models.vllm.errors import VLLMValidationError

Data = dict[str, Any]
_USAGE = 'Correct usage: `{"type": "function", "function": {"name": "my_function"}}`'


def _fail(message: str, parameter: str, *, old: bool) -> NoReturn:
    raise ValueError(message) if old else VLLMValidationError(message, parameter)


def chat(data: Data, *, old: bool) -> Data:
    _format(data, old=old)
    _stream(data, old=old)
    _top_logprobs(data, old=old)
    if data.get("continue_final_message") and data.get("add_generation_prompt"):
        raise ValueError("Cannot set both `continue_final_message` and `add_generation_prompt` to True.")
    return _tools(data, old=old)


def completion(data: Data, *, old: bool) -> Data:
    if not data.get("prompt") and not data.get("prompt_embeds"):
        _fail("Either prompt or prompt_embeds must be provided and non-empty.", "prompt", old=old)
    _format(data, old=old)
    _stream(data, old=old)
    logprobs = data.get("logprobs")
    if isinstance(logprobs, int) and not isinstance(logprobs, bool) and logprobs < -1:
        _fail("`logprobs` must be a positive value.", "logprobs", old=old)
    return data


def responses(data: Data, *, old: bool) -> Data:
    if not data.get("tools") and "tool_choice" not in data:
        data["tool_choice"] = "none"
    if data.get("prompt") is not None:
        _fail("prompt template is not supported", "prompt", old=old)
    if data.get("background") and not data.get("store", True):
        raise ValueError("background can only be used when `store` is true")
    return data


def _format(data: Data, *, old: bool) -> None:
    wanted = data.get("response_format")
    if isinstance(wanted, dict) and wanted.get("type") == "json_schema" and wanted.get("json_schema") is None:
        message = "When response_format type is 'json_schema', the 'json_schema' field must be provided."
        _fail(message, "response_format", old=old)


def _stream(data: Data, *, old: bool) -> None:
    if data.get("stream_options") and not data.get("stream"):
        _fail("Stream options can only be defined when `stream=True`.", "stream_options", old=old)


def _top_logprobs(data: Data, *, old: bool) -> None:
    top = data.get("top_logprobs")
    if not isinstance(top, int) or isinstance(top, bool):
        return
    if top < -1:
        _fail("`top_logprobs` must be a positive value or -1.", "top_logprobs", old=old)
    if top and not data.get("logprobs"):
        _fail("when using `top_logprobs`, `logprobs` must be set to true.", "top_logprobs", old=old)


def _tools(data: Data, *, old: bool) -> Data:
    if data.get("tools") == []:
        raise ValueError(
            "`tools` must not be an empty array. Either provide at least one tool or omit the field entirely."
        )
    if "tool_choice" not in data and data.get("tools"):
        data["tool_choice"] = "auto"
    choice = data.get("tool_choice")
    if choice is None or choice == "none":
        return data
    if data.get("tools") is None:
        _fail("When using `tool_choice`, `tools` must be set.", "tool_choice", old=old)
    if isinstance(choice, dict):
        _named(choice, data["tools"], old=old)
    elif choice not in ("auto", "required"):
        message = (
            f'Invalid value for `tool_choice`: {choice}! Only named tools, "none", "auto" or "required" are '
            "supported."
        )
        _fail(message, "tool_choice", old=old)
    return data


def _named(choice: Mapping[str, Any], tools: Any, *, old: bool) -> None:
    function = choice.get("function")
    if not isinstance(function, dict):
        message = f"Invalid value for `function`: `{function}` in `tool_choice`! {_USAGE}"
        _fail(message, "tool_choice.function", old=old)
    if "name" not in function:
        message = f"Expected field `name` in `function` in `tool_choice`! {_USAGE}"
        _fail(message, "tool_choice.function.name", old=old)
    name = function["name"]
    if not isinstance(name, str) or not name:
        message = f"Invalid `name` in `function`: `{name}` in `tool_choice`! {_USAGE}"
        _fail(message, "tool_choice.function.name", old=old)
    if name not in [tool.get("function", {}).get("name") for tool in tools if isinstance(tool, dict)]:
        message = "The tool specified in `tool_choice` does not match any of the specified `tools`"
        _fail(message, "tool_choice", old=old)
