"""The kinds of text and number that a catalogue is made of, beyond those of requests. None repeats what may
be a key.
"""

from __future__ import annotations

import re
from decimal import Decimal, InvalidOperation
from functools import partial
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from shared import names
from shared.catalog.endpoints import HOST
from shared.documents.field_types import validation_error
from shared.documents.problem import listed, quote
from shared.documents.secret_detection import looks_like_a_key
from shared.kaito.releases import RELEASES, Release

MAX_DECIMAL_PLACES = 6
"""Digits after the point of a decimal number."""

_PATH_PART = r"[A-Za-z0-9._~-]+"
_ENDPOINT = rf"^https?://{HOST}(:[0-9]{{1,5}})?(/{_PATH_PART})*/v1$"
_SERVICE = rf"^https://{HOST}$"
_ORIGIN = rf"^https://{HOST}(:[0-9]{{1,5}})?$"
_SERVED_NAME = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,127}$"
_SECRET_NAME = r"^[A-Za-z0-9]([A-Za-z0-9-]{0,62}[A-Za-z0-9])?$"  # noqa: S105 - the form of a name
_KUBERNETES_NAME = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"
_PARSER_NAME = r"^[a-z0-9][a-z0-9_-]{0,63}$"
_AUDIENCE = r"^[A-Za-z0-9][A-Za-z0-9._:/-]{0,255}$"
_CURRENCY = r"^[A-Z]{3}$"
_DECIMAL = r"^[0-9]{1,7}(\.[0-9]{1,6})?$"


def _text(pattern: str, reason: str, advice: str, text: str) -> str:
    """Never repeats a key that was written by mistake."""
    if looks_like_a_key(text):
        raise validation_error(
            "SecretInCatalogue",
            "this looks like a key. Write the name of a secret, and revoke the key: Git keeps it forever.",
        )
    if not re.fullmatch(pattern, text):
        raise validation_error(reason, f"{quote(text)} {advice}")
    return text


def _url(pattern: str, advice: str, url: str) -> str:
    """Does not repeat a user, a password or a query: they are where keys are found."""
    if re.search(r"[@?#]", url):
        raise validation_error(
            "BadUrl",
            "write the URL without user, password, query or fragment; a key is named by 'credential'.",
        )
    if port := re.search(r":([0-9]+)(/|$)", url.partition("//")[2]):
        _proper_port(int(port[1]))
    return _text(pattern, "BadUrl", advice, url)


def _proper_port(port: int) -> None:
    if not 1 <= port <= 65_535:
        raise validation_error("BadUrl", "a port is a number from 1 to 65535.")


def _member(text: str) -> str:
    if problem := names.member_problem(text):
        raise validation_error(
            problem[0], f"{quote(text)} cannot be the name of a backend in a pool: {problem[1]}."
        )
    return text


def _release(value: object) -> object:
    """A release as text. Without quotes YAML reads a number, and 0.10 as 0.1."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise validation_error("WrongType", f'write the release in quotes, such as "{RELEASES[-1]}".')
    if isinstance(value, str) and value not in RELEASES:
        advice = f"this version of Mergekey does not know KAITO {quote(value)}. It knows {listed(RELEASES)}."
        raise validation_error("UnknownRelease", advice)
    return value


def _decimal(least: int, most: int, value: object) -> Decimal:
    """A number as it is written in the file: YAML has read a fraction as a binary one, whose shortest form is
    what was written.
    """
    number = _number(value)
    if number is None or not least <= number <= most:
        advice = f"write a number from {least:,} to {most:,}, with up to {MAX_DECIMAL_PLACES} digits"
        raise validation_error("BadAmount", f"{quote(value)} is not possible here; {advice} after the point.")
    return number


def _number(value: object) -> Decimal | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = Decimal(value if isinstance(value, int) else str(value))
    except InvalidOperation:
        return None
    plain = f"{number:f}"
    return number if number.is_finite() and re.fullmatch(_DECIMAL, plain) else None


def _schema(pattern: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern})


def _decimal_schema(least: int, most: int) -> WithJsonSchema:
    return WithJsonSchema(
        {
            "anyOf": [
                {"type": "number", "minimum": least, "maximum": most},
                {"type": "string", "pattern": _DECIMAL},
            ]
        }
    )


Endpoint = Annotated[
    str,
    Field(max_length=512),
    AfterValidator(
        partial(
            _url,
            _ENDPOINT,
            "must be a base URL that ends in /v1, such as https://contoso-ai.openai.azure.com/openai/v1.",
        )
    ),
    _schema(_ENDPOINT),
]
ServiceUrl = Annotated[
    str,
    Field(max_length=512),
    AfterValidator(
        partial(
            _url,
            _SERVICE,
            "must be the URL of a service, such as https://contoso-safety.cognitiveservices.azure.com.",
        )
    ),
    _schema(_SERVICE),
]
Origin = Annotated[
    str,
    Field(max_length=512),
    AfterValidator(
        partial(_url, _ORIGIN, "must be an origin: https:// and a host, such as https://chat.contoso.com.")
    ),
    _schema(_ORIGIN),
]
ServedName = Annotated[
    str,
    AfterValidator(
        partial(_text, _SERVED_NAME, "BadServedName", "must have only letters, digits and . _ : / - in it.")
    ),
    _schema(_SERVED_NAME),
]
SecretName = Annotated[
    str,
    AfterValidator(
        partial(
            _text,
            _SECRET_NAME,
            "BadSecretName",
            "must be the name of a secret: up to 64 letters, digits and dashes.",
        )
    ),
    _schema(_SECRET_NAME),
]
KubernetesName = Annotated[
    str,
    AfterValidator(
        partial(
            _text,
            _KUBERNETES_NAME,
            "BadSecretName",
            "must be the name of a Kubernetes secret: lower-case letters, digits, dashes.",
        )
    ),
    _schema(_KUBERNETES_NAME),
]
ParserName = Annotated[
    str,
    AfterValidator(
        partial(
            _text,
            _PARSER_NAME,
            "BadParserName",
            "must be the name of a parser as vLLM has it, such as hermes.",
        )
    ),
    _schema(_PARSER_NAME),
]
Audience = Annotated[
    str,
    AfterValidator(
        partial(
            _text, _AUDIENCE, "BadAudience", "must be an application's id or URI, such as api://mergekey."
        )
    ),
    _schema(_AUDIENCE),
]
Currency = Annotated[
    str,
    AfterValidator(
        partial(_text, _CURRENCY, "BadCurrency", "must be three capital letters as in ISO 4217, such as EUR.")
    ),
    _schema(_CURRENCY),
]
MemberName = Annotated[
    str,
    AfterValidator(_member),
    WithJsonSchema({"type": "string", "pattern": names.TEAM_PATTERN, "maxLength": names.MAX_MEMBER_LENGTH}),
]
KaitoRelease = Annotated[Release, BeforeValidator(_release)]
Amount = Annotated[Decimal, BeforeValidator(partial(_decimal, 0, 1_000_000)), _decimal_schema(0, 1_000_000)]
OverCommitment = Annotated[Decimal, BeforeValidator(partial(_decimal, 1, 100)), _decimal_schema(1, 100)]
Score = Annotated[Decimal, BeforeValidator(partial(_decimal, 0, 1)), _decimal_schema(0, 1)]
Context = Annotated[int, Field(ge=1, le=10_000_000)]
AnswerTokens = Annotated[int, Field(ge=256, le=10_000_000)]
Count = Annotated[int, Field(ge=1, le=1000)]
Share = Annotated[int, Field(ge=1, le=100)]
PoolsTaken = Annotated[int, Field(ge=0, le=100)]
