"""The fields of requests to an embedding model."""

from __future__ import annotations

from typing import Any, Literal

from standins.models.vllm.message_shapes import AnyMessage, Open


class EmbeddingOfTexts(Open):
    model: str | None = None
    input: list[int] | list[list[int]] | str | list[str]
    encoding_format: Literal["float", "base64", "bytes", "bytes_only"] = "float"
    dimensions: int | None = None


class EmbeddingOfChat(Open):
    model: str | None = None
    messages: list[AnyMessage]
    encoding_format: Literal["float", "base64", "bytes", "bytes_only"] = "float"
    dimensions: int | None = None


class _Texts2(EmbeddingOfTexts):
    pass


class _Texts3(EmbeddingOfTexts):
    pass


class _Chat2(EmbeddingOfChat):
    pass


class _Chat3(EmbeddingOfChat):
    pass


class _Chat4(EmbeddingOfChat):
    pass


#: The operation tries seven shapes, three of texts and four of messages; each says what it misses.
Embedding = EmbeddingOfTexts | EmbeddingOfChat | _Texts2 | _Chat2 | _Texts3 | _Chat3 | _Chat4


class Rerank(Open):
    model: str | None = None
    query: str | dict[str, Any]
    documents: list[str] | dict[str, Any]
    top_n: int = 0


class ScoreOfTexts(Open):
    model: str | None = None
    text_1: str | list[str]
    text_2: str | list[str]


class ScoreOfQueries(Open):
    model: str | None = None
    queries: str | list[str]
    documents: str | list[str]
