"""Set, read, list and change secrets."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from standins.key_vault.vault import Json, Vault, VaultError

_LONGEST = 25 * 1024
_TAGS = 15
_PAGE = 25


async def put(vault: Vault, request: web.Request) -> web.Response:
    sent = await _body(request)
    value = sent.get("value")
    if not isinstance(value, str) or len(value.encode()) > _LONGEST:
        raise VaultError(400, "BadParameter", f"value is required and may have at most {_LONGEST} bytes")
    entry = {"value": value, "contentType": sent.get("contentType"), "tags": sent.get("tags") or {}, "attributes": _attributes(sent)}
    added = vault.add_version(request.match_info["name"], entry)
    return web.json_response(bundle(request, vault.secret(request.match_info["name"]), added) | {"value": value})


async def get(vault: Vault, request: web.Request) -> web.Response:
    entry = _addressed(vault, request)
    if not entry["attributes"]["enabled"]:
        raise VaultError(403, "Forbidden", "Operation get is not allowed on a disabled secret.", "SecretDisabled")
    return web.json_response(bundle(request, vault.secret(request.match_info["name"]), entry) | {"value": entry["value"]})


async def patch(vault: Vault, request: web.Request) -> web.Response:
    """Attributes given are changed; tags and content type are replaced when given."""
    sent = await _body(request)
    entry = _addressed(vault, request)
    changed = {name: sent[name] for name in ("tags", "contentType") if sent.get(name) is not None}
    attributes = entry["attributes"] | _attributes(sent, entry["attributes"]["enabled"]) | {"updated": vault.now()}
    entry = entry | changed | {"attributes": attributes}
    vault.replace_version(request.match_info["name"], entry)
    return web.json_response(bundle(request, vault.secret(request.match_info["name"]), entry))


async def list_all(vault: Vault, request: web.Request) -> web.Response:
    return _page(request, [_item(bundle(request, row, row["versions"][-1]), row["name"]) for row in vault.names()])


async def list_versions(vault: Vault, request: web.Request) -> web.Response:
    row = vault.secret(request.match_info["name"])
    return _page(request, [bundle(request, row, entry) for entry in row["versions"]])


def bundle(request: web.Request, row: Json, entry: Json) -> Json:
    """One version as the vault shows it, without its value."""
    shown: Json = {
        "id": f"{request.scheme}://{request.host}/secrets/{row['name']}/{entry['version']}",
        "attributes": entry["attributes"],
        "tags": entry["tags"],
    }
    return shown if entry["contentType"] is None else shown | {"contentType": entry["contentType"]}


def _item(shown: Json, name: str) -> Json:
    """The list of secrets names them without a version."""
    return shown | {"id": shown["id"].rpartition(f"/{name}/")[0] + f"/{name}"}


def _addressed(vault: Vault, request: web.Request) -> Json:
    return vault.version(request.match_info["name"], request.match_info.get("version", ""))


def _page(request: web.Request, items: list[Json]) -> web.Response:
    skip, size = _number(request.query, "$skiptoken", 0), _number(request.query, "maxresults", _PAGE)
    if not 1 <= size <= _PAGE:
        raise VaultError(400, "BadParameter", f"maxresults must be between 1 and {_PAGE}")
    more = skip + size < len(items)
    link = str(request.url.update_query({"$skiptoken": str(skip + size)})) if more else None
    return web.json_response({"value": items[skip : skip + size], "nextLink": link})


def _number(query: Mapping[str, str], parameter: str, default: int) -> int:
    text = query.get(parameter, str(default))
    if not text.isascii() or not text.isdigit():
        raise VaultError(400, "BadParameter", f"{parameter} must be a number")
    return int(text)


def _attributes(sent: Json, enabled: bool = True) -> Json:
    """enabled, nbf and exp, as far as they were sent."""
    given: dict[str, Any] = sent.get("attributes") or {}
    shown = {"enabled": enabled if given.get("enabled") is None else given["enabled"]}
    return shown | {name: given[name] for name in ("nbf", "exp") if given.get(name) is not None}


async def _body(request: web.Request) -> Json:
    try:
        sent = await request.json()
    except json.JSONDecodeError as error:
        raise VaultError(400, "BadParameter", "The body is not JSON.") from error
    if not isinstance(sent, dict):
        raise VaultError(400, "BadParameter", "The body must be a JSON object.")
    tags = sent.get("tags") or {}
    if len(tags) > _TAGS or any(len(text) > 512 for pair in tags.items() for text in pair):
        raise VaultError(400, "BadParameter", f"A secret may have at most {_TAGS} tags of 512 characters.")
    return sent
