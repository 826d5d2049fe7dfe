"""Set, read, list and change secrets: https://learn.microsoft.com/azure/key-vault/secrets/about-secrets"""

from __future__ import annotations

import base64
import binascii
import json

from aiohttp import web

from standins.key_vault.errors import Json, VaultError, bad_property
from standins.key_vault.vault import Vault

_LONGEST = 25 * 1024
_TAGS, _TAG = 15, 512
_CONTENT_TYPE = 255
_PAGE = 25


async def put(vault: Vault, request: web.Request) -> web.Response:
    """A new version, even when nothing differs from the one before."""
    sent = await _body(request)
    value, name = sent.get("value"), request.match_info["name"]
    if not isinstance(value, str) or len(value.encode()) > _LONGEST:
        raise bad_property()
    entry = {
        "value": value,
        "contentType": sent.get("contentType"),
        "tags": sent.get("tags"),
        "attributes": _attributes(sent),
    }
    added = vault.add_version(name, entry)
    return web.json_response({"value": value} | bundle(request, vault.secret(name), added))


async def get(vault: Vault, request: web.Request) -> web.Response:
    entry = vault.readable(request.match_info["name"], request.match_info.get("version", ""))
    return web.json_response(
        {"value": entry["value"]} | bundle(request, vault.secret(request.match_info["name"]), entry)
    )


async def patch(vault: Vault, request: web.Request) -> web.Response:
    """Attributes given are changed; tags and content type are replaced when given."""
    sent = await _body(request)
    entry = _addressed(vault, request)
    changed = {name: sent[name] for name in ("tags", "contentType") if sent.get(name) is not None}
    attributes = (
        entry["attributes"] | _attributes(sent, entry["attributes"]["enabled"]) | {"updated": vault.now()}
    )
    entry = entry | changed | {"attributes": attributes}
    vault.replace_version(request.match_info["name"], entry)
    return web.json_response(bundle(request, vault.secret(request.match_info["name"]), entry))


async def list_all(vault: Vault, request: web.Request) -> web.Response:
    return page(request, [item(request, row) for row in vault.live()])


async def list_versions(vault: Vault, request: web.Request) -> web.Response:
    name = request.match_info["name"]
    found = vault.versions(name)
    return page(request, [bundle(request, vault.secret(name), entry) for entry in found])


def bundle(request: web.Request, row: Json, entry: Json) -> Json:
    """One version as the vault shows it, without its value. What was never given is left out."""
    shown: Json = {
        "id": f"{request.scheme}://{request.host}/secrets/{row['name']}/{entry['version']}",
        "attributes": entry["attributes"],
    }
    return shown | {name: entry[name] for name in ("contentType", "tags") if entry[name] is not None}


def item(request: web.Request, row: Json) -> Json:
    """A secret as lists show it: its latest version, under an id without a version."""
    return bundle(request, row, row["versions"][-1]) | {
        "id": f"{request.scheme}://{request.host}/secrets/{row['name']}"
    }


def page(request: web.Request, items: list[Json]) -> web.Response:
    """Some of the items, and the link to the others: it begins after the last one shown, whatever comes and
    goes meanwhile.
    """
    size = request.query.get("maxresults", str(_PAGE))
    if not (size.isascii() and size.isdigit() and 1 <= int(size) <= _PAGE):
        raise VaultError(400, "BadParameter", f"maxresults must be between 1 and {_PAGE}")
    after = _marker(request.query.get("$skiptoken"))
    begin = (
        0
        if after is None
        else next((at for at, shown in enumerate(items) if shown["id"].lower() > after), len(items))
    )
    end = begin + int(size)
    link = None
    if end < len(items):
        token = base64.urlsafe_b64encode(items[end - 1]["id"].lower().encode()).decode()
        link = str(request.url.update_query({"$skiptoken": token, "maxresults": size}))
    return web.json_response({"value": items[begin:end], "nextLink": link})


def _marker(token: str | None) -> str | None:
    """What a link to more says: the id of the last item shown, in lower case."""
    try:
        return None if token is None else base64.urlsafe_b64decode(token).decode()
    except (binascii.Error, UnicodeDecodeError) as error:
        raise VaultError(400, "BadParameter", "The skip token is invalid.") from error


def _addressed(vault: Vault, request: web.Request) -> Json:
    return vault.version(request.match_info["name"], request.match_info.get("version", ""))


def _attributes(sent: Json, enabled: bool = True) -> Json:
    """enabled, nbf and exp, as far as they were sent."""
    given = sent.get("attributes") or {}
    if not isinstance(given, dict) or not isinstance(given.get("enabled") or False, bool):
        raise bad_property("attributes")
    dates = {name: given[name] for name in ("nbf", "exp") if given.get(name) is not None}
    if any(type(date) is not int for date in dates.values()):
        raise bad_property("attributes")
    return {"enabled": enabled if given.get("enabled") is None else given["enabled"]} | dates


async def _body(request: web.Request) -> Json:
    try:
        sent = await request.json()
    except json.JSONDecodeError as error:
        raise VaultError(400, "BadParameter", "The body is not JSON.") from error
    if not isinstance(sent, dict):
        raise VaultError(400, "BadParameter", "The body must be a JSON object.")
    _check_tags(sent.get("tags"))
    content_type = sent.get("contentType") or ""
    if not isinstance(content_type, str) or len(content_type) > _CONTENT_TYPE:
        raise bad_property()
    return sent


def _check_tags(tags: object) -> None:
    if tags is None:
        return
    if not isinstance(tags, dict) or len(tags) > _TAGS:
        raise bad_property()
    if any(not isinstance(text, str) or len(text) > _TAG for pair in tags.items() for text in pair):
        raise bad_property()
