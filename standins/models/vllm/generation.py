"""What a model writes: the last message again, a word a token, until it ends or is ended."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain, cycle, islice
from typing import Any, Literal

from standins.models.vllm import grammar
from standins.models.vllm.errors import Json
from standins.models.vllm.server import Server

Finish = Literal["stop", "length"]
#: How many blanks a model that never ends by itself writes before a grammar ends it.
_BLANKS = 25


@dataclass(frozen=True)
class Text:
    """What was written, token by token; `stopped_by` is the text among `stop` that ended it."""

    pieces: Sequence[str]
    finish: Finish
    stopped_by: str | None = None

    @property
    def text(self) -> str:
        return "".join(self.pieces)


@dataclass(frozen=True)
class Limits:
    """`asked`: how many tokens the request allows, None where it says nothing; `most`: how many can be."""

    asked: int | None
    most: int

    @property
    def tokens(self) -> int:
        return self.most if self.asked is None else min(self.asked, self.most)


def write(server: Server, said: str, limits: Limits, stop: Any = None) -> Text:
    pieces = _words(f"You said: {said}")
    if server.endless and limits.asked is not None:
        again = chain(pieces, cycle([" and", f" {pieces[0]}", *pieces[1:]]))
        return _ended(list(islice(again, limits.tokens)), "length", stop)
    return _cut(pieces, limits, stop)


def write_json(server: Server, schema: Any, said: str, limits: Limits) -> Text:
    """`schema` None: any object."""
    if schema is None:
        pieces = grammar.pieces_of_json(json.dumps({"answer": f"You said: {said}"}))
        blanks = limits.tokens if server.endless and limits.asked is not None else 0
    else:
        pieces = grammar.pieces_of_json(grammar.written(schema))
        blanks = _BLANKS if server.endless else 0
    return _cut([*pieces[:1], *[" "] * blanks, *pieces[1:]], limits)


def write_calls(server: Server, calls: Sequence[Json], limits: Limits, *, once: bool) -> Text:
    """Calls of tools as the model writes them (`<tool_call>...</tool_call>`); `once`: the grammar ends it."""
    pieces = [
        piece
        for call in calls
        for piece in grammar.pieces_of_json(f"<tool_call>{json.dumps(call)}</tool_call>")
    ]
    if server.endless and limits.asked is not None and not once:
        return Text([*islice(cycle(pieces), limits.tokens)], "length")
    return _cut(pieces, limits)


def stops(wanted: Any) -> list[str]:
    return [wanted] if isinstance(wanted, str) else [each for each in wanted or () if each]


def _words(text: str) -> list[str]:
    first, *rest = text.split() or [""]
    return [first, *(f" {word}" for word in rest)]


def _cut(pieces: Sequence[str], limits: Limits, stop: Any = None) -> Text:
    kept = list(pieces[: limits.tokens])
    return _ended(kept, "length" if len(pieces) > len(kept) else "stop", stop)


def _ended(pieces: list[str], finish: Finish, stop: Any) -> Text:
    """What is left before the first of the texts that shall end it."""
    whole = "".join(pieces)
    found = sorted((whole.find(each), each) for each in stops(stop) if each in whole)
    if not found:
        return Text(pieces, finish)
    end, by = found[0]
    kept: list[str] = []
    for piece in pieces:
        if end <= 0:
            break
        kept.append(piece[:end])
        end -= len(piece)
    return Text(kept, "stop", by)
