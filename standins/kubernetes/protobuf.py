"""The binary form in which kubectl writes built-in kinds:
https://kubernetes.io/docs/reference/using-api/api-concepts/#protobuf-encoding .

Only what `kubectl create namespace` and `kubectl auth can-i` send is known; field numbers: k8s.io/api,
`generated.proto`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from standins.kubernetes.errors import bad_request, unsupported
from standins.kubernetes.kinds import Object

MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
_MAGIC = b"k8s\x00"
#: A message: field number -> name, and what is inside: text, a map of texts, another message, or ignored.
_Message = Mapping[int, tuple[str, Any]]

_METADATA: _Message = {
    1: ("name", "text"),
    2: ("generateName", "text"),
    3: ("namespace", "text"),
    11: ("labels", "map"),
    12: ("annotations", "map"),
}
_RESOURCE_NAMES = ("namespace", "verb", "group", "version", "resource", "subresource", "name")
_RESOURCE: _Message = {number: (name, "text") for number, name in enumerate(_RESOURCE_NAMES, start=1)}
#: Nobody may say anything of the status here, so it is not looked at.
_STATUS = ("status", "ignored")
_MESSAGES: Mapping[str, _Message] = {
    "Namespace": {1: ("metadata", _METADATA), 3: _STATUS},
    "SelfSubjectAccessReview": {
        1: ("metadata", _METADATA),
        2: ("spec", {1: ("resourceAttributes", _RESOURCE)}),
        3: _STATUS,
    },
}


def decoded(body: bytes) -> Object:
    """The object in a request. Raises `Refused`: 400 for what is no such message, 501 for a kind or a field
    that is not known.
    """
    if not body.startswith(_MAGIC):
        raise bad_request(
            "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
        )
    envelope = dict(_fields(body[len(_MAGIC) :]))
    about = {number: text.decode() for number, text in _fields(envelope.get(1, b""))}
    api_version, kind = about.get(1, ""), about.get(2, "")
    if kind not in _MESSAGES:
        raise unsupported(f"the protobuf form of a {kind}: send JSON")
    return {"apiVersion": api_version, "kind": kind, **_read(envelope.get(2, b""), _MESSAGES[kind])}


def _read(data: bytes, message: _Message) -> Object:
    result: Object = {}
    for number, content in _fields(data):
        if not content:
            continue  # every field is sent, also those that are not set
        if number not in message:
            raise unsupported(f"field {number} of this protobuf message: send JSON")
        name, inside = message[number]
        if inside == "map":
            entry = dict(_fields(content))
            result.setdefault(name, {})[entry[1].decode()] = entry.get(2, b"").decode()
        elif inside != "ignored":
            result[name] = content.decode() if inside == "text" else _read(content, inside)
    return result


def _fields(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Field numbers and contents; numbers are skipped when they are zero."""
    place = 0
    while place < len(data):
        tag, place = _number(data, place)
        if tag & 7 == 0:
            value, place = _number(data, place)
            yield tag >> 3, b"\x01" if value else b""
        elif tag & 7 == 2:
            size, place = _number(data, place)
            yield tag >> 3, data[place : place + size]
            place += size
        else:
            raise bad_request("error decoding the body")


def _number(data: bytes, place: int) -> tuple[int, int]:
    value = shift = 0
    while place < len(data):
        byte = data[place]
        value, shift, place = value | (byte & 0x7F) << shift, shift + 7, place + 1
        if byte < 0x80:
            return value, place
    raise bad_request("error decoding the body")
