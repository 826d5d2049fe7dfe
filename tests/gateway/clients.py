"""Every verb by clients of others, in Python: what each client sees of the gateway.

Also a program, for clients that this project does not install: `python clients.py NAME` with the gateway's
address and a key in the environment prints what `seen` returns, as JSON.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

Way = Literal["key", "bearer"]
Calls = Mapping[str, Callable[[], Any]]

MODEL, API_VERSION = "gpt-4.1", "2025-04-01-preview"
HELLO: Any = [{"role": "user", "content": "hello to you"}]
CITY: Any = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}
TOOL: Any = {"type": "function", "function": {"name": "weather", "description": "-", "parameters": CITY}}
SAID = "You said: hello to you"
#: What the call of each verb comes to, where it works.
EXPECTED: Mapping[str, str] = {
    "models": MODEL,
    "chat": SAID,
    "chat, stream": SAID,
    "tools": '{"city": "word"}',
    "completions": SAID,
    "embeddings": "64 numbers of length 1.0",
    "responses": SAID,
    "responses, stream": SAID,
    "images": "PNG",
}


class Place:
    """The gateway's address and a key; what a client is given for each way to send it."""

    def __init__(self, gateway: str, key: str) -> None:
        self.gateway, self.key = gateway, key

    def plain(self, way: Way) -> dict[str, Any]:
        """For clients that know OpenAI only."""
        if way == "bearer":
            return {"base_url": f"{self.gateway}/bearer/openai/v1", "api_key": self.key}
        headers = {"api-key": self.key}
        return {"base_url": f"{self.gateway}/openai/v1", "api_key": "-", "default_headers": headers}

    def azure(self, way: Way) -> dict[str, Any]:
        """For clients of Azure's."""
        if way == "bearer":
            sent = {"azure_endpoint": f"{self.gateway}/bearer", "azure_ad_token": self.key}
        else:
            sent = {"azure_endpoint": self.gateway, "api_key": self.key}
        return {**sent, "api_version": API_VERSION}


def seen(client: str, place: Place) -> dict[str, dict[str, Any]]:
    """What came of each call that the client has, by way: its result, or the error."""
    ways: tuple[Way, Way] = ("key", "bearer")
    return {way: {verb: _result(call) for verb, call in CLIENTS[client](place, way).items()} for way in ways}


def _result(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except Exception as error:  # each client has errors of its own
        return f"{type(error).__name__}: {error}"[:300]


def _openai(place: Place, way: Way) -> Calls:
    from openai import OpenAI

    return _official(OpenAI(**place.plain(way), max_retries=0))


def _azure_openai(place: Place, way: Way) -> Calls:
    from openai import AzureOpenAI

    return _official(AzureOpenAI(**place.azure(way), max_retries=0))


def _official(client: Any) -> Calls:
    chat = client.chat.completions.create
    responses = client.responses.create
    asked: Any = {"model": MODEL, "input": "hello to you"}
    return {
        "models": lambda: ", ".join(each.id for each in client.models.list()),
        "chat": lambda: chat(model=MODEL, messages=HELLO).choices[0].message.content,
        "chat, stream": lambda: _joined(
            chunk.choices[0].delta.content
            for chunk in chat(model=MODEL, messages=HELLO, stream=True)
            if chunk.choices
        ),
        "tools": lambda: (
            chat(model=MODEL, messages=HELLO, tools=[TOOL], tool_choice="required")
            .choices[0]
            .message.tool_calls[0]
            .function.arguments
        ),
        "completions": lambda: client.completions.create(model=MODEL, prompt="hello to you").choices[0].text,
        "embeddings": lambda: _length(client.embeddings.create(model=MODEL, input="hi").data[0].embedding),
        "responses": lambda: responses(**asked).output_text,
        "responses, stream": lambda: _joined(
            event.delta
            for event in responses(**asked, stream=True)
            if event.type == "response.output_text.delta"
        ),
        "images": lambda: _picture(client.images.generate(model=MODEL, prompt="a cat").data[0].b64_json),
    }


def _langchain(place: Place, way: Way) -> Calls:
    from langchain_openai import (  # type: ignore[import-not-found]
        ChatOpenAI,
        OpenAI,
        OpenAIEmbeddings,
    )

    given = {"model": MODEL, "max_retries": 0, **place.plain(way)}
    vectors = OpenAIEmbeddings(**given, check_embedding_ctx_length=False)
    return _of_langchain(ChatOpenAI, OpenAI, vectors, given)


def _langchain_azure(place: Place, way: Way) -> Calls:
    from langchain_openai import (
        AzureChatOpenAI,
        AzureOpenAI,
        AzureOpenAIEmbeddings,
    )

    given = {"azure_deployment": MODEL, "max_retries": 0, **place.azure(way)}
    vectors = AzureOpenAIEmbeddings(**given, check_embedding_ctx_length=False)
    return _of_langchain(AzureChatOpenAI, AzureOpenAI, vectors, given)


def _of_langchain(chats: Any, texts: Any, vectors: Any, given: Mapping[str, Any]) -> Calls:
    chat, responses = chats(**given), chats(**given, use_responses_api=True)
    with_tool = chat.bind_tools([TOOL], tool_choice="required")
    return {
        "chat": lambda: chat.invoke("hello to you").text,
        "chat, stream": lambda: _joined(chunk.text for chunk in chat.stream("hello to you")),
        "tools": lambda: json.dumps(with_tool.invoke("hello to you").tool_calls[0]["args"]),
        "completions": lambda: texts(**given).invoke("hello to you"),
        "embeddings": lambda: _length(vectors.embed_query("hi")),
        "responses": lambda: responses.invoke("hello to you").text,
        "responses, stream": lambda: _joined(chunk.text for chunk in responses.stream("hello to you")),
    }


def _litellm(place: Place, way: Way) -> Calls:
    given = place.plain(way)
    sent = {"api_base": given["base_url"], "api_key": given["api_key"]}
    if "default_headers" in given:
        sent["extra_headers"] = given["default_headers"]
    return {
        "models": lambda: _models_of_litellm(given),
        **_of_litellm(f"openai/{MODEL}", f"text-completion-openai/{MODEL}", sent),
    }


def _litellm_azure(place: Place, way: Way) -> Calls:
    given = place.azure(way)
    sent = {("api_base" if name == "azure_endpoint" else name): value for name, value in given.items()}
    return _of_litellm(f"azure/{MODEL}", f"azure_text/{MODEL}", sent)


def _models_of_litellm(given: Mapping[str, Any]) -> str:
    import litellm  # type: ignore[import-not-found]

    found = litellm.get_valid_models(
        check_provider_endpoint=True,
        custom_llm_provider="openai",
        api_key=given["api_key"],
        api_base=given["base_url"],
    )
    return ", ".join(name.removeprefix("openai/") for name in found)


def _of_litellm(model: str, text_model: str, sent: Mapping[str, Any]) -> Calls:
    import litellm

    given: Any = {"model": model, **sent, "max_retries": 0}
    chat, responses = litellm.completion, litellm.responses
    return {
        "chat": lambda: chat(**given, messages=HELLO).choices[0].message.content,
        "chat, stream": lambda: _joined(
            chunk.choices[0].delta.content for chunk in chat(**given, messages=HELLO, stream=True)
        ),
        "tools": lambda: (
            chat(**given, messages=HELLO, tools=[TOOL], tool_choice="required")
            .choices[0]
            .message.tool_calls[0]
            .function.arguments
        ),
        "completions": lambda: (
            litellm.text_completion(**{**given, "model": text_model}, prompt="hello to you").choices[0].text
        ),
        "embeddings": lambda: _length(litellm.embedding(**given, input=["hi"]).data[0]["embedding"]),
        "responses": lambda: responses(**given, input="hello to you").output_text,
        "responses, stream": lambda: _joined(
            event.delta
            for event in responses(**given, input="hello to you", stream=True)
            if event.type == "response.output_text.delta"
        ),
        "images": lambda: _picture(litellm.image_generation(**given, prompt="a cat").data[0].b64_json),
    }


def _pydantic_ai(place: Place, way: Way) -> Calls:
    from openai import AsyncOpenAI
    from pydantic import BaseModel
    from pydantic_ai import Agent, Embedder, ToolOutput  # type: ignore[import-not-found]
    from pydantic_ai.embeddings.openai import (  # type: ignore[import-not-found]
        OpenAIEmbeddingModel,
    )
    from pydantic_ai.models.openai import (  # type: ignore[import-not-found]
        OpenAIChatModel,
        OpenAIResponsesModel,
    )
    from pydantic_ai.providers.openai import (  # type: ignore[import-not-found]
        OpenAIProvider,
    )

    class City(BaseModel):
        city: str

    provider = OpenAIProvider(openai_client=AsyncOpenAI(**place.plain(way), max_retries=0))
    chat, responses = (each(MODEL, provider=provider) for each in (OpenAIChatModel, OpenAIResponsesModel))
    vectors = Embedder(OpenAIEmbeddingModel(MODEL, provider=provider))
    with_tool = Agent(chat, output_type=ToolOutput(City))
    return {
        "chat": lambda: Agent(chat).run_sync("hello to you").output,
        "chat, stream": lambda: _streamed(Agent(chat)),
        "tools": lambda: json.dumps(with_tool.run_sync("hello to you").output.model_dump()),
        "embeddings": lambda: _length(vectors.embed_query_sync("hi").embeddings[0]),
        "responses": lambda: Agent(responses).run_sync("hello to you").output,
        "responses, stream": lambda: _streamed(Agent(responses)),
    }


def _streamed(agent: Any) -> str:
    return _joined(agent.run_stream_sync("hello to you").stream_text(delta=True))


def _joined(pieces: Iterable[str | None]) -> str:
    return "".join(piece or "" for piece in pieces)


def _length(vector: Iterable[float]) -> str:
    numbers = list(vector)
    return f"{len(numbers)} numbers of length {round(sum(each * each for each in numbers), 3)}"


def _picture(text: str) -> str:
    return base64.b64decode(text)[1:4].decode()


CLIENTS: Mapping[str, Callable[[Place, Way], Calls]] = {
    "openai for Python, OpenAI": _openai,
    "openai for Python, AzureOpenAI": _azure_openai,
    "LangChain, OpenAI": _langchain,
    "LangChain, Azure": _langchain_azure,
    "LiteLLM, openai": _litellm,
    "LiteLLM, azure": _litellm_azure,
    "pydantic-ai": _pydantic_ai,
}

if __name__ == "__main__":
    place = Place(os.environ["MERGEKEY_GATEWAY"], os.environ["MERGEKEY_API_KEY"])
    print(json.dumps(seen(sys.argv[1], place)))
