"""Client certificates that the gateway shows to backends. Their private keys are never shown.

https://learn.microsoft.com/rest/api/apimanagement/certificate?view=rest-apimanagement-2024-05-01
"""

from __future__ import annotations

import base64
import binascii
from functools import partial

from aiohttp import web
from cryptography.hazmat.primitives.hashes import SHA1
from cryptography.hazmat.primitives.serialization.pkcs12 import load_key_and_certificates
from cryptography.x509 import Certificate

from standins.http import route
from standins.resource_manager.arm import (
    SERVICE,
    Json,
    check_if_match,
    contract,
    insensitive,
    invalid,
    not_known,
    properties_of,
)
from standins.resource_manager.kinds import Kind
from standins.resource_manager.lists import filterable
from standins.resource_manager.state import State


def routes(app: web.Application, state: State) -> None:
    fields = filterable("subject", "thumbprint", "expirationDate")
    Kind(state, "certificate", "certificates", state.certificates, fields).reading(app)
    one = insensitive(f"{SERVICE}/certificates/{{name}}")
    route(app, "PUT", one, "PUT certificate", partial(_put, state))


async def _put(state: State, request: web.Request) -> web.Response:
    properties = await properties_of(request)
    state.certificates.check_name(request)
    if properties.get("keyVault"):
        raise not_known(state.world, "a certificate in a Key Vault")
    id_ = state.certificates.id(request)
    old = state.certificates.get(id_)
    check_if_match(request, old)
    found = _read(properties)
    shown = {
        "subject": found.subject.rfc4514_string(),
        # The service says it so; it protects nothing.
        "thumbprint": found.fingerprint(SHA1()).hex().upper(),
        "expirationDate": f"{found.not_valid_after_utc:%Y-%m-%dT%H:%M:%SZ}",
    }
    hidden = {name: properties.get(name) for name in ("data", "password")}
    return contract(state.certificates.write(id_, shown, hidden), 201 if old is None else 200)


def _read(properties: Json) -> Certificate:
    """The certificate in the PKCS #12 file that was sent. Raises 400 where it is none, or has no key."""
    password = str(properties.get("password") or "").encode() or None
    try:
        content = base64.b64decode(str(properties.get("data")), validate=True)
        key, found, _ = load_key_and_certificates(content, password)
    except (binascii.Error, ValueError):
        raise invalid(("data", "The certificate or its password is not valid.")) from None
    if key is None or found is None:
        raise invalid(("data", "The certificate must have its private key."))
    return found
