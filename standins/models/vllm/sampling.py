"""The bounds of what a request asks of a model. Raises Refused."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from standins.models.vllm import grammar, prompts
from standins.models.vllm.errors import Json, no_model, parameter, raised, refused
from standins.models.vllm.generation import Limits
from standins.models.vllm.server import Server

#: Characters of the longest token of the recorded tokenizer: no prompt of fewer tokens is longer.
_LONGEST = 13
_LOGPROBS = 20
_TOO_LONG = (
    "This model's maximum context length is {context} tokens. However, you requested {asked} output tokens "
    "and your prompt contains {found}. Please reduce the length of the input prompt or the number of "
    "requested output tokens."
)


def model(server: Server, body: Mapping[str, Any]) -> str:
    """The name that a request asks for; the server's own where it names none."""
    name = body.get("model")
    if name and name != server.served:
        raise no_model(name)
    return server.served


def limits(
    server: Server, body: Json, prompt: int, length: int, *, name: str, default: int | None = None
) -> Limits:
    """How much may be written after a prompt of so many tokens and characters; the field is `name`."""
    asked = body.get(name)
    context, wanted = server.context, default if asked is None else asked
    reserved = wanted or 0
    if reserved > context:
        message = (
            f"{name}={asked} cannot be greater than max_model_len=max_total_tokens={context}. Please request "
            "fewer output tokens."
        )
        raise parameter(message, name, asked, old=server.old)
    fit(server, prompt, length, asked=max(reserved, 0))
    _numbers(server, body, asked)
    most = context - prompt if server.ceiling is None else min(context - prompt, server.ceiling)
    _least(body, most if wanted is None else min(wanted, most))
    return Limits(wanted, most)


def fit(server: Server, prompt: int, length: int, *, asked: int = 0) -> None:
    """A prompt is first measured in characters, before it is made tokens."""
    room = server.context - asked
    if length > room * _LONGEST:
        found = (
            f"{length} characters (more than {room * _LONGEST} characters, which is the upper bound for "
            f"{room} input tokens)"
        )
        name, value = "input_text", length
    elif prompt > room or (prompt == room and asked == 0):
        found = f"at least {room + 1} input tokens, for a total of at least {server.context + 1} tokens"
        name, value = "input_tokens", room + 1
    else:
        return
    message = _TOO_LONG.format(context=server.context, asked=asked, found=found)
    raise parameter(message, name, value, old=server.old)


def chat_limits(server: Server, body: Json, prompt: int, length: int) -> Limits:
    both = body.get("max_completion_tokens") is not None
    return limits(server, body, prompt, length, name="max_completion_tokens" if both else "max_tokens")


def output_format(body: Mapping[str, Any]) -> Any:
    """The schema that an answer must have; None for any object; False where the format is free."""
    wanted = body.get("response_format") or {}
    if wanted.get("type") == "json_schema":
        schema = (wanted.get("json_schema") or {}).get("schema")
        grammar.compiled(schema)
        return schema
    return None if wanted.get("type") == "json_object" else False


def logprobs(count: int, server: Server) -> None:
    if count > _LOGPROBS:
        message = f"Requested sample logprobs of {count}, which is greater than max allowed: {_LOGPROBS}"
        raise parameter(message, "logprobs", count, old=server.old)


def trusted(body: Mapping[str, Any]) -> None:
    if body.get("chat_template") or "chat_template" in (body.get("chat_template_kwargs") or {}):
        raise refused(
            "Chat template is passed with request, but --trust-request-chat-template is not set. Refused "
            "request with untrusted chat template."
        )


def _numbers(server: Server, body: Json, asked: int | None) -> None:
    count, temperature = _given(body, "n", 1), _given(body, "temperature", 1.0)
    if count < 1:
        raise raised(f"n must be at least 1, got {count}.")
    for name in ("presence_penalty", "frequency_penalty"):
        if not -2.0 <= (value := float(_given(body, name, 0.0))) <= 2.0:
            raise raised(f"{name} must be in [-2, 2], got {value}.")
    if (repeated := float(_given(body, "repetition_penalty", 1.0))) <= 0.0:
        raise raised(f"repetition_penalty must be greater than zero, got {repeated}.")
    _temperature(server, float(temperature))
    _shares(server, body)
    if asked is not None and asked < 1:
        raise parameter(f"max_tokens must be at least 1, got {asked}.", "max_tokens", asked, old=server.old)
    if temperature < 1e-5 and count > 1:
        raise raised(f"n must be 1 when using greedy sampling, got {count}.")


def _temperature(server: Server, value: float) -> None:
    if value < 0.0:
        raise parameter(
            f"temperature must be non-negative, got {value}.", "temperature", value, old=server.old
        )
    if value > 2.0 and not server.old:
        raise parameter(f"temperature must be in [0, 2], got {value}.", "temperature", value, old=False)


def _shares(server: Server, body: Json) -> None:
    if not 0.0 < (top := float(_given(body, "top_p", 1.0))) <= 1.0:
        raise parameter(f"top_p must be in (0, 1], got {top}.", "top_p", top, old=server.old)
    if (first := _given(body, "top_k", 0)) < -1:
        raise raised(f"top_k must be 0 (disable), or at least 1, got {first}.")
    if not 0.0 <= (least := float(_given(body, "min_p", 0.0))) <= 1.0:
        raise raised(f"min_p must be in [0, 1], got {least}.")


def _least(body: Json, most: int) -> None:
    least = _given(body, "min_tokens", 0)
    if least < 0:
        raise raised(f"min_tokens must be greater than or equal to 0, got {least}.")
    if least > most:
        raise raised(f"min_tokens must be less than or equal to max_tokens={most}, got {least}.")


def _given(body: Mapping[str, Any], name: str, default: float) -> Any:
    value = body.get(name)
    return default if value is None else value


def prompt_of(server: Server, messages: list[Json], tools: Any = None) -> tuple[int, int]:
    """Tokens and characters of a prompt made of messages."""
    found = prompts.checked(messages, server)
    return prompts.count(found, tools), prompts.characters(found)
