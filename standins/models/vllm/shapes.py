"""The fields that vLLM reads of requests, with their types: pydantic words what is wrong with them, there and
here. Unknown fields pass.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, model_validator

from standins.models.vllm import checks
from standins.models.vllm.message_shapes import AnyMessage, Open, Part


def _old(info: ValidationInfo) -> bool:
    """Whether the release is from before 0.25: what is read is read for a release."""
    return bool((info.context or {})["old"])


class Function(Open):
    name: str
    description: str | None = None
    parameters: dict[str, Any] | None = None


class Tool(Open):
    type: Literal["function"] = "function"
    function: Function


class FunctionName(Open):
    name: str


class ToolChoice(Open):
    function: FunctionName
    type: Literal["function"] = "function"


class JsonSchema(Open):
    name: str
    strict: bool | None = None


class ResponseFormat(Open):
    type: Literal["text", "json_object", "json_schema"]
    json_schema: JsonSchema | None = None


class StructuralTag(Open):
    type: Literal["structural_tag"]
    format: Any


class LegacyStructuralTag(Open):
    type: Literal["structural_tag"]
    structures: list[Any]
    triggers: list[str]


class StreamOptions(Open):
    include_usage: bool | None = None
    continuous_usage_stats: bool | None = None


class Generation(Open):
    """What requests for text have in common."""

    model: str | None = None
    frequency_penalty: float | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None
    logit_bias: dict[str, float] | None = None
    n: int | None = 1
    seed: int | None = None
    stop: str | list[str] | None = None
    stream: bool | None = False
    stream_options: StreamOptions | None = None
    temperature: float | None = None
    top_p: float | None = None
    top_k: int | None = None
    min_p: float | None = None
    min_tokens: int = 0
    user: str | None = None
    response_format: ResponseFormat | StructuralTag | LegacyStructuralTag | None = None


class Chat(Generation):
    messages: list[AnyMessage]
    logprobs: bool | None = False
    top_logprobs: int | None = 0
    max_tokens: int | None = None
    max_completion_tokens: int | None = None
    tools: list[Tool] | None = None
    tool_choice: Literal["none"] | Literal["auto"] | Literal["required"] | ToolChoice | None = "none"
    parallel_tool_calls: bool | None = True
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh", "max"] | None = None
    echo: bool = False
    add_generation_prompt: bool = True
    continue_final_message: bool = False

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        return checks.chat(data, old=_old(info))


class Batch(Generation):
    messages: list[list[AnyMessage]]
    max_tokens: int | None = None
    max_completion_tokens: int | None = None


class Completion(Generation):
    prompt: list[int] | list[list[int]] | str | list[str] | None = None
    echo: bool | None = False
    logprobs: int | None = None
    max_tokens: int | None = 16
    suffix: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        return checks.completion(data, old=_old(info))


class Responses(Open):
    input: str | list[dict[str, Any]]
    model: str | None = None
    background: bool | None = False
    instructions: str | None = None
    max_output_tokens: int | None = None
    max_tool_calls: int | None = None
    metadata: dict[str, str] | None = None
    parallel_tool_calls: bool | None = True
    previous_response_id: str | None = None
    service_tier: Literal["auto", "default", "flex", "scale", "priority"] = "auto"
    store: bool | None = True
    stream: bool | None = False
    temperature: float | None = None
    tool_choice: str | dict[str, Any] = "auto"
    tools: list[dict[str, Any]] = Field(default_factory=list)
    top_logprobs: int | None = 0
    top_p: float | None = None
    truncation: Literal["auto", "disabled"] | None = "disabled"
    user: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _check(cls, data: dict[str, Any], info: ValidationInfo) -> dict[str, Any]:
        return checks.responses(data, old=_old(info))


class AnthropicMessage(BaseModel):
    role: Literal["user", "assistant", "system"]
    content: str | list[Part]


class Messages(BaseModel):
    model_config = ConfigDict(extra="allow")

    model: str
    messages: list[AnthropicMessage]
    max_tokens: int
    stop_sequences: list[str] | None = None
    stream: bool | None = False
    system: str | list[Part] | None = None
    temperature: float | None = None
    tool_choice: dict[str, Any] | None = None
    tools: list[dict[str, Any]] | None = None
    top_p: float | None = None


class CountTokens(BaseModel):
    model: str
    messages: list[AnthropicMessage]
    system: str | list[Part] | None = None


class TokenizeText(Open):
    model: str | None = None
    prompt: str
    return_token_strs: bool | None = False


class TokenizeChat(Open):
    model: str | None = None
    messages: list[AnyMessage]
    return_token_strs: bool | None = False


class Detokenize(Open):
    model: str | None = None
    tokens: list[int]


class Generate(BaseModel):
    """Tokens in, tokens out."""

    model: str | None = None
    token_ids: list[int]
    sampling_params: dict[str, Any]


class Scoring(Open):
    model: str | None = None
    query: str | list[int]
    items: list[str] | list[list[int]]
    label_token_ids: list[int]


class Answered(BaseModel):
    """What is made a text again."""

    model: str | None = None
    generate_response: dict[str, Any]
