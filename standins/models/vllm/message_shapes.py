"""Messages of a chat, and what all requests have in common.

One kind of message after the other is tried, and each says what it misses: the names of the classes and of
the wrapping validator are part of answers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal, Required, Self

from pydantic import BaseModel, ConfigDict, ModelWrapValidatorHandler, model_validator
from typing_extensions import TypedDict

Part = dict[str, Any]
Content = str | Iterable[Part]


class Open(BaseModel):
    model_config = ConfigDict(extra="allow", protected_namespaces=())

    @model_validator(mode="wrap")
    @classmethod
    def __log_extra_fields__(cls, data: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        return handler(data)


class ChatCompletionDeveloperMessageParam(TypedDict, total=False):
    content: Required[Content]
    role: Required[Literal["developer"]]


class ChatCompletionSystemMessageParam(TypedDict, total=False):
    content: Required[Content]
    role: Required[Literal["system"]]


class ChatCompletionUserMessageParam(TypedDict, total=False):
    content: Required[Content]
    role: Required[Literal["user"]]


class ChatCompletionAssistantMessageParam(TypedDict, total=False):
    role: Required[Literal["assistant"]]
    content: Content | None
    tool_calls: Iterable[Part]


class ChatCompletionToolMessageParam(TypedDict, total=False):
    content: Required[Content]
    role: Required[Literal["tool"]]
    tool_call_id: Required[str]


class ChatCompletionFunctionMessageParam(TypedDict, total=False):
    content: Required[str | None]
    name: Required[str]
    role: Required[Literal["function"]]


class CustomChatCompletionMessageParam(TypedDict, total=False):
    """A message of any role."""

    role: Required[str]
    content: str | list[Part]
    tool_call_id: str | None
    tool_calls: Iterable[Part] | None


class Message(BaseModel):
    """A message in the form of gpt-oss."""

    author: dict[str, Any]
    content: list[Part]


AnyMessage = (
    ChatCompletionDeveloperMessageParam
    | ChatCompletionSystemMessageParam
    | ChatCompletionUserMessageParam
    | ChatCompletionAssistantMessageParam
    | ChatCompletionToolMessageParam
    | ChatCompletionFunctionMessageParam
    | CustomChatCompletionMessageParam
    | Message
)
