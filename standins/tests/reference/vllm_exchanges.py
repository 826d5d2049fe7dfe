"""What a real vLLM answered, and how far another server answers alike: status, headers that matter, form
(keys and types), fields of errors, order of events, and whether the connection ends unsaid. Texts are noise.
"""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from standins.tests.reference.descriptions import DIRECTORY

Json = dict[str, Any]
FOLDER = DIRECTORY / "vllm"
PRESENT = FOLDER.is_dir()
ABSENT = (
    f"what a real vLLM answered is not on this machine (looked in {FOLDER}; REFERENCE_DIR names the folder)"
)
#: The servers of the records, by the first word of their names: what is special about each, as the option
#: `servers` of the stand-in has it.
SERVERS: dict[str, Json] = {
    "plain": {"served": "chat-small", "endless": True},
    "slash": {"served": "team/chat-small", "tool_parser": "hermes", "endless": True},
    "embeddings": {"served": "embed-small", "task": "embed", "context": 512},
    "busy": {"served": "chat-small", "state": "busy"},
    "loading": {"served": "chat-small", "state": "loading"},
    "api-key": {"served": "chat-small", "api_key": "secret-1"},
    "dying": {"served": "chat-small", "state": "dying", "endless": True},
}
_HEADERS = (
    "content-type",
    "allow",
    "retry-after",
    "server",
    "location",
    "transfer-encoding",
    "connection",
    "access-control-allow-origin",
    "access-control-allow-methods",
)
#: What the records replaced: a part of an id or of a place.
_REPLACED = (
    (re.compile(r"\b(resp|chatcmpl|cmpl)([-_])[0-9a-f]{8,}"), r"\1\2ID"),
    (re.compile(r"/[\w./-]+/(site-packages/)"), r"/PATH/\1"),
)
#: Fields whose values are no noise.
_EXACT = {"object", "role", "type", "finish_reason", "stop_reason", "status", "detail", "model", "owned_by"}
_EXACT |= {"code", "param", "truncation", "input_tokens_per_turn", "index", "name"}
#: Lists of whose length something depends.
_COUNTED = {"choices", "data", "output", "results", "tool_calls", "tools", "permission"}
#: Objects with the texts or numbers of tokens as keys.
_BY_TOKEN = {"top_logprobs", "prompt_logprobs"}
#: Events that there are only where there is a text: a random model may write none.
_OF_TEXT = {
    "content_block_start",
    "content_block_delta",
    "content_block_stop",
    "response.content_part.added",
    "response.output_text.delta",
    "response.output_text.done",
    "response.content_part.done",
}


@dataclass(frozen=True)
class Answer:
    status: int
    headers: Mapping[str, str]
    text: str
    closes: bool

    @property
    def streamed(self) -> bool:
        return "event-stream" in self.headers.get("content-type", "")


@dataclass
class Client:
    """Sends recorded requests, one connection each, to a server at `address` (host and port) under `host`."""

    address: str
    host: str = ""
    _previous: str = field(default="resp_none", init=False)

    def send(self, request: Json) -> Answer:
        content = _content(request, self._previous)
        wanted = {"Content-Type": "application/json"} if content is not None else {}
        headers = {name: value for name, value in {**wanted, **request.get("headers", {})}.items() if value}
        connection = http.client.HTTPConnection(self.address, timeout=60)
        try:
            host = {"Host": self.host} if self.host else {}
            path = request["path"].replace("{{prev.id}}", self._previous)
            connection.request(request["method"], path, content, {**host, **headers})
            found = connection.getresponse()
            text = found.read().decode()
            kept = {name.lower(): value for name, value in found.headers.items()}
            said = "close" in kept.get("connection", "")
            closes = not said and _is_closed(connection, host)
        finally:
            connection.close()
        self._previous = next(iter(re.findall(r'"id": ?"(resp_[^"]+)"', text)), self._previous)
        return Answer(found.status, kept, text, closes)


def exchanges(release: str) -> list[Json]:
    found: list[Json] = json.loads(Path(FOLDER / f"exchanges-{release}.json").read_text())
    return found


def kind_of(exchange: Json) -> str:
    return str(exchange["server"]).partition(":")[0]


def differences(exchange: Json, answer: Answer) -> list[str]:
    """What is other than recorded, in words; empty where they agree."""
    found = (
        [f"status {answer.status}, not {exchange['status']}"] if answer.status != exchange["status"] else []
    )
    if answer.closes != exchange.get("closes", False):
        found.append("the connection ends unsaid" if answer.closes else "the connection stays")
    found += list(_headers(exchange["headers"], answer))
    if "events" in exchange:
        return [*found, *_events(exchange["events"], _read_events(answer.text))]
    if "body" in exchange:
        try:
            body = json.loads(answer.text)
        except ValueError:
            return [*found, f"no JSON: {answer.text[:60]!r}"]
        return [*found, *_unlike(exchange["body"], body, "")]
    empty = not answer.text
    return (
        found if empty == (not exchange["text"]) else [*found, f"the body is {'' if empty else 'not '}empty"]
    )


def _content(request: Json, previous: str) -> bytes | None:
    text = (
        request["text"] if "text" in request else json.dumps(request["body"]) if "body" in request else None
    )
    if text is None:
        return None
    long = "word " * (request.get("repeat", 0) // 5)
    return str(text).replace("{{prev.id}}", previous).replace("{{long}}", long).encode()


def _is_closed(connection: http.client.HTTPConnection, host: Mapping[str, str]) -> bool:
    """Whether the next request of a connection meets its end."""
    if connection.sock is None:
        return True
    try:
        connection.request("GET", "/health", headers=dict(host))
        connection.getresponse().read()
    except (OSError, http.client.HTTPException):
        return True
    return False


def _headers(recorded: Mapping[str, str], answer: Answer) -> Iterator[str]:
    for name in _HEADERS:
        wanted, found = recorded.get(name), answer.headers.get(name)
        if name == "location" and found:
            found = re.sub(r"//[^/]+", "//SERVER", found)
        if wanted != found:
            yield f"{name} is {found!r}, not {wanted!r}"
    if recorded.get("content-length") == "0" and answer.headers.get("content-length") != "0":
        yield "content-length is not 0"


def _unlike(wanted: Any, found: Any, where: str) -> list[str]:
    """Where two values have different forms, or different values where these count."""
    name = where.rpartition(".")[2].partition("[")[0]
    if isinstance(wanted, dict) and isinstance(found, dict):
        return _objects(wanted, found, where, by_token=name in _BY_TOKEN)
    if isinstance(wanted, list) and isinstance(found, list):
        return _lists(wanted, found, where, counted=name in _COUNTED)
    if _kind(wanted) != _kind(found):
        return [f"{where} is {_kind(found)}, not {_kind(wanted)}"]
    if name in _EXACT and wanted != found:
        return [f"{where} is {found!r}, not {wanted!r}"]
    if name == "message":
        return _messages(wanted, found, where)
    return []


def _objects(wanted: Json, found: Json, where: str, *, by_token: bool) -> list[str]:
    if by_token:
        pairs = list(zip(wanted.values(), found.values(), strict=False))[:1]
        return [line for one, other in pairs for line in _unlike(one, other, f"{where}.*")]
    lines = [f"{where}.{name} is missing" for name in wanted.keys() - found.keys()]
    lines += [f"{where}.{name} is too much" for name in found.keys() - wanted.keys()]
    for name in wanted.keys() & found.keys():
        lines += _unlike(wanted[name], found[name], f"{where}.{name}")
    return lines


def _lists(wanted: list[Any], found: list[Any], where: str, *, counted: bool) -> list[str]:
    real = [each for each in wanted if not _is_gap(each)]
    if counted and len(real) != len(found):
        return [f"{where} has {len(found)}, not {len(real)}"]
    pairs = zip(real, found, strict=False)
    return [
        line
        for number, (one, other) in enumerate(pairs)
        for line in _unlike(one, other, f"{where}[{number}]")
    ]


def _messages(wanted: str, found: str, where: str) -> list[str]:
    """The texts of errors, as far as they were kept."""
    for pattern, by in _REPLACED:
        found = pattern.sub(by, found)
    kept, gap, _ = re.sub(r"\.\.\. \d+ characters$", "\0", wanted).partition("\0")
    alike = found.startswith(kept) if gap else found == kept
    return [] if alike else [f"{where} is {found[:400]!r}, not {kept!r}"]


def _kind(value: Any) -> str:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return "number" if number else type(value).__name__


def _is_gap(value: Any) -> bool:
    return isinstance(value, str) and value.startswith("... ")


def _read_events(text: str) -> list[Any]:
    """The data of each event, within its name where it has one."""
    found: list[Any] = []
    for block in filter(None, text.replace("\r\n", "\n").split("\n\n")):
        lines = block.split("\n")
        data = "\n".join(line[5:].strip() for line in lines if line.startswith("data:"))
        value = json.loads(data) if data.startswith("{") else data
        names = [line[6:].strip() for line in lines if line.startswith("event:")]
        found.append({"event": names[0], "data": value} if names else value)
    return found


def _events(wanted: list[Any], found: list[Any]) -> list[str]:
    labels = [_label(each) for each in wanted]
    seen = [event for event in found if _label(event) not in _OF_TEXT - set(labels)]
    order = _steps([_label(each) for each in seen])
    lines = [] if _in_order(wanted, order) else [f"events are {order}, not {_steps(labels)}"]
    by_label = {_label(each): each for each in seen}
    for event in wanted:
        if not _is_gap(event) and (other := by_label.get(_label(event))) is not None:
            lines += _unlike(_timeless(event), _timeless(other), _label(event))
    return list(dict.fromkeys(lines))


def _in_order(wanted: list[Any], order: list[str]) -> bool:
    """Whether events come as recorded; of long streams only beginning and end were kept."""
    labels = [_label(each) for each in wanted]
    gap = next((number for number, each in enumerate(wanted) if _is_gap(each)), None)
    if gap is None:
        return order == _steps(labels)
    first, last = _steps(labels[:gap]), _steps(labels[gap + 1 :])
    return order[: len(first)] == first and order[-len(last) :] == last


def _timeless(event: Any) -> Any:
    """Without what differs from one event of a kind to the next."""
    return json.loads(re.sub(r'"index": \d+', '"index": 0', json.dumps(event)))


def _label(event: Any) -> str:
    """What an event is."""
    if isinstance(event, str):
        return event
    if "event" in event:
        return str(event["event"])
    if "error" in event:
        return "error"
    if not event.get("choices"):
        return "usage"
    choice = event["choices"][0]
    delta = choice.get("delta", {"text": ""})
    calls = [sorted(call.get("function", {})) for call in delta.get("tool_calls", ())]
    return f"{sorted(delta)} {calls} {'last' if choice.get('finish_reason') else ''}"


def _steps(labels: list[str]) -> list[str]:
    """Without repetitions."""
    return [label for number, label in enumerate(labels) if number == 0 or labels[number - 1] != label]
