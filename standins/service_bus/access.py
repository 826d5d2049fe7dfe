"""Who may do what on a connection: the tokens put to `$cbs`, and what they allow.

A token is put for an audience, `sb://<host>/<entity>`, and counts for that entity and what is below it. A
shared access signature has the claims of its key, an Entra token those of the roles of its principal (with
the option `check_roles`, else all). Sources:
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-amqp-protocol-guide#claims-based-authorization
https://learn.microsoft.com/azure/service-bus-messaging/service-bus-sas
https://learn.microsoft.com/azure/service-bus-messaging/authenticate-application#azure-built-in-roles-for-azure-service-bus
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, quote_plus, unquote

import jwt

from standins.identity import InvalidToken, verify
from standins.roles import holds_role
from standins.service_bus.broker import Broker
from standins.service_bus.codec import CodecError, decode
from standins.service_bus.errors import Unauthorized
from standins.service_bus.message import Message
from standins.world import Options, Right, World

SEND, LISTEN, MANAGE = "Send", "Listen", "Manage"
#: What a shared access key may be allowed.
ALL = [MANAGE, SEND, LISTEN]
MANAGEMENT_SUFFIX = "/$management"
_AUDIENCE = "https://servicebus.azure.net"
_SIGNATURE = "SharedAccessSignature "
_OWNER = "090c5cfd-751d-490a-894a-3ce6f1109419"
_ROLES = {
    SEND: {_OWNER, "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39"},
    LISTEN: {_OWNER, "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0"},
    MANAGE: {_OWNER},
}
_REASONS: dict[type | None, str] = {
    jwt.ExpiredSignatureError: "ExpiredToken: The token is expired.",
    jwt.InvalidAudienceError: (
        "InvalidAudience: The authorization header contains a token with an invalid audience."
    ),
    jwt.InvalidSignatureError: "InvalidSignature: The token has an invalid signature.",
}


@dataclass(frozen=True)
class Grant:
    """What one token allows on an entity and below it: `allows` is asked with a claim and the entity's path.
    `who` it names: an object id, or a shared access key.

    `until` is real time: clients renew their tokens by the real clock, and would go on with one that expired
    on a moved clock.
    """

    who: str
    entity: str
    until: float
    allows: Callable[[str, str], bool]

    def covers(self, path: str) -> bool:
        return self.until > time.time() and f"{path.lower()}/".startswith(self.entity and f"{self.entity}/")


class Access:
    """The tokens of one connection."""

    def __init__(self, world: World, broker: Broker) -> None:
        self._world = world
        self._broker = broker
        self._options: Options = broker.environment.options
        self._grants: dict[str, Grant] = {}

    def put(self, request: Message) -> float:
        """Take a token; returns until when it is good. Raises Unauthorized, or EntityNotFound for an audience
        that does not exist.
        """
        properties = request.application_properties()
        audience = str(properties.get("name"))
        entity = _entity(audience)
        grant = self.checked(str(properties.get("type")), _token(request), audience)
        if entity:
            self._broker.find(entity)
        self._grants[entity] = grant
        return grant.until

    def require(self, claims: Collection[str], path: str) -> None:
        """Raises Unauthorized unless a token allows one of the claims on the entity."""
        used = [
            Right("service-bus", grant.who, claim, path.removesuffix(MANAGEMENT_SUFFIX))
            for grant in self._grants.values()
            if grant.covers(path)
            for claim in claims
            if grant.allows(claim, path)
        ]
        if not used:
            address = f"sb://{self._world.addresses.get('service-bus', 'localhost')}/{path}"
            named = f"'{','.join(claims)}' claim(s) are required to perform this operation"
            raise Unauthorized(f"Unauthorized access. {named}. Resource: '{address}'.")
        if len(claims) == 1:  # where any of several would do, none of them was needed
            self._world.rights.update(used)

    def checked(self, kind: str, token: str, audience: str) -> Grant:
        """What a token allows for an audience. Raises Unauthorized."""
        if kind not in ("jwt", "servicebus.windows.net:sastoken"):
            raise Unauthorized(f"The type '{kind}' of a token is not known.")
        # What the token says counts: azure-servicebus (aio) calls a shared access signature "jwt" too, and
        # the service takes it.
        return (
            self._by_signature(token, audience)
            if token.startswith(_SIGNATURE)
            else self._by_identity(token, audience)
        )

    def _by_identity(self, token: str, audience: str) -> Grant:
        try:
            claims = verify(self._world, f"Bearer {token}", [_AUDIENCE])
        except InvalidToken as error:
            raise Unauthorized(
                _REASONS.get(type(error.__cause__), "MalformedToken: The token could not be read.")
            ) from error
        principals = {claims["oid"], *claims.get("groups", ())}

        def allows(claim: str, path: str) -> bool:
            return not self._options["check_roles"] or holds_role(
                self._world, principals, _ROLES[claim], _scopes(path)
            )

        return Grant(claims["oid"], _entity(audience), float(claims["exp"]), allows)

    def _by_signature(self, token: str, audience: str) -> Grant:
        """`SharedAccessSignature sr=<resource>&sig=<signature>&se=<expiry>&skn=<name of the
        key>`, the values quoted.
        """
        fields = {name: values[0] for name, values in parse_qs(token.removeprefix(_SIGNATURE)).items()}
        key: dict[str, Any] | None = self._options["shared_access_keys"].get(fields.get("skn"))
        if key is None or not _is_signed(token, fields, key["key"]):
            raise Unauthorized("InvalidSignature: The token has an invalid signature.")
        until = float(fields["se"])
        if until <= time.time():
            raise Unauthorized(
                "ExpiredToken: The token is expired. Expiration time: "
                f"'{datetime.fromtimestamp(until, UTC)}'."
            )
        if not f"{_bare(audience)}/".startswith(f"{_bare(fields['sr'])}/"):
            raise Unauthorized("InvalidAudience: The token is for another resource.")
        return Grant(fields["skn"], _entity(audience), until, lambda claim, _: claim in key["claims"])


def signature(resource: str, until: int, name: str, key: str) -> str:
    """A shared access signature, as clients make it: for `sb://<host>/<entity>`, until seconds since 1970,
    with a key and its name.
    """
    quoted = quote_plus(resource)
    signature = quote_plus(_signed(quoted, str(until), key))
    return f"{_SIGNATURE}sr={quoted}&sig={signature}&se={until}&skn={quote_plus(name)}"


def _signed(quoted_resource: str, until: str, key: str) -> str:
    digest = hmac.digest(key.encode(), f"{quoted_resource}\n{until}".encode(), hashlib.sha256)
    return base64.b64encode(digest).decode()


def _is_signed(token: str, fields: dict[str, str], key: str) -> bool:
    """What is signed is the resource as it is quoted in the token, a line break, and the expiry."""
    quoted = re.search(r"(?:^|[ &])sr=([^&]*)", token)
    if quoted is None or not fields.get("se", "").isdigit():
        return False
    return hmac.compare_digest(_signed(quoted[1], fields["se"], key), fields.get("sig", ""))


def _token(request: Message) -> str:
    try:
        return str(decode(request.body)[0].value)
    except (CodecError, AttributeError) as error:
        raise Unauthorized("MalformedToken: The token could not be read.") from error


def _bare(uri: str) -> str:
    """Host and path, in lower case: a resource is spelled with `http:`, `sb:` or `amqps:`."""
    return unquote(uri).split("://", 1)[-1].rstrip("/").lower()


def _entity(audience: str) -> str:
    """The path of the entity, in lower case; empty for the whole namespace."""
    return _bare(audience).partition("/")[2].removesuffix(MANAGEMENT_SUFFIX)


def _scopes(path: str) -> re.Pattern[str]:
    """Scopes at which a role assignment counts: subscription, resource group, namespace, queue or topic,
    subscription of the topic.
    """
    name, _, below = (
        path.lower()
        .removesuffix(MANAGEMENT_SUFFIX)
        .removesuffix("/$deadletterqueue")
        .partition("/subscriptions/")
    )
    entity = rf"/(queues|topics)/{re.escape(name)}" + (
        rf"(/subscriptions/{re.escape(below)})?" if below else ""
    )
    namespace = "/providers/microsoft.servicebus/namespaces/[^/]+"
    return re.compile(rf"/subscriptions/[^/]+(/resourcegroups/[^/]+({namespace}({entity})?)?)?")
