"""What a chat template makes of messages, in words and characters: a frame around each message, and the
beginning of the answer.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

from standins.models.texts import tokens
from standins.models.vllm.errors import Json, raised
from standins.models.vllm.grammar import pieces_of_json
from standins.models.vllm.server import Server

#: Tokens of `<|im_start|>role\n...<|im_end|>\n` and of `<|im_start|>assistant\n`.
_FRAME, _ANSWER = 7, 10
_PARTS = ("text", "input_text", "output_text", "refusal", "thinking", "reasoning")


def text_of(content: Any) -> str:
    if isinstance(content, list):
        return " ".join(text_of(part) for part in content)
    if isinstance(content, dict):
        return next((str(content[name]) for name in (*_PARTS, "content", "output") if content.get(name)), "")
    return str(content or "")


def parts_of(messages: Iterable[Any]) -> list[Json]:
    """The parts of messages that are no texts."""
    contents = [message.get("content") for message in messages if isinstance(message, dict)]
    parts = [part for content in contents if isinstance(content, list) for part in content]
    return [part for part in parts if isinstance(part, dict) and part.get("type", "text") not in _PARTS]


def checked(messages: list[Json], server: Server) -> list[Json]:
    """Raises Refused for what the template of a model does not take."""
    if not messages:
        raise raised("Cannot apply chat template to an empty conversation. Provide at least one message.")
    for part in parts_of(messages):
        kind = str(part.get("type"))
        if kind not in ("image_url", "input_image", "image", "input_audio", "audio_url", "video_url"):
            raise raised(f"Unknown part type: {kind}")
        if not server.multimodal:
            raise raised(f"{server.served} is not a multimodal model")
    return messages


def said(messages: list[Json]) -> str:
    """The text of the last message."""
    return text_of(messages[-1].get("content"))


def count(messages: Iterable[Json], tools: Any = None) -> int:
    """Tokens of a prompt."""
    words = sum(_FRAME + tokens(text_of(message.get("content"))) for message in messages)
    return words + _ANSWER + (len(pieces_of_json(json.dumps(tools))) if tools else 0)


def characters(messages: Iterable[Mapping[str, Any]]) -> int:
    frames = (len(f"<|im_start|>{each.get('role', '')}\n<|im_end|>\n") for each in messages)
    texts = (len(text_of(each.get("content"))) for each in messages)
    return sum(frames) + sum(texts) + len("<|im_start|>assistant\n")
