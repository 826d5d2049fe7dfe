"""Probabilities of tokens: forms alone, the numbers mean nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from standins.models.vllm.errors import Json

_LIKELY, _STEP = -0.5, 1.0


def in_chat(pieces: Sequence[str], body: Mapping[str, Any]) -> Json | None:
    if not body.get("logprobs"):
        return None
    return {"content": [{**_token(piece), "top_logprobs": _top(piece, body)} for piece in pieces]}


def in_completion(
    pieces: Sequence[str], body: Mapping[str, Any], *, first: bool, offset: int = 0
) -> Json | None:
    """`first`: the tokens begin with the prompt, and nothing is known of its first."""
    top = body.get("logprobs")
    if top is None:
        return None
    offsets = [offset + sum(map(len, pieces[:number])) for number in range(len(pieces))]
    known: list[Json | None] = [
        {each: _LIKELY - _STEP * rank for rank, each in enumerate(_others(piece, max(int(top), 1)))}
        for piece in pieces
    ]
    values: list[float | None] = [_LIKELY] * len(pieces)
    if first:
        known[0] = values[0] = None
    return {"text_offset": offsets, "token_logprobs": values, "tokens": list(pieces), "top_logprobs": known}


def of_prompt(pieces: Sequence[str], top: int) -> list[Json | None]:
    """By the ids of tokens; of the first nothing is known."""
    rows: list[Json | None] = [
        {
            str(number + rank): {"logprob": _LIKELY - _STEP * rank, "rank": rank + 1, "decoded_token": each}
            for rank, each in enumerate(_others(piece, max(top, 1)))
        }
        for number, piece in enumerate(pieces)
    ]
    return [None, *rows[1:]]


def _top(piece: str, body: Mapping[str, Any]) -> list[Json]:
    count = body.get("top_logprobs") or 0
    return [_token(each, rank) for rank, each in enumerate(_others(piece, count))]


def _others(piece: str, count: int) -> list[str]:
    return [piece, *(f"{piece}{number}" for number in range(1, count))][:count]


def _token(text: str, rank: int = 0) -> Json:
    return {"token": text, "logprob": _LIKELY - _STEP * rank, "bytes": list(text.encode())}
