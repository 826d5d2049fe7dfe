"""Soft deletion: https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview"""

from __future__ import annotations

from aiohttp import web

from standins.key_vault.secrets import bundle
from standins.key_vault.vault import Json, Vault, VaultError


async def delete(vault: Vault, request: web.Request) -> web.Response:
    return web.json_response(_deleted_bundle(request, vault.delete(request.match_info["name"])))


async def get(vault: Vault, request: web.Request) -> web.Response:
    return web.json_response(_deleted_bundle(request, _require(vault, request)))


async def recover(vault: Vault, request: web.Request) -> web.Response:
    row = _require(vault, request)
    vault.recover(row)
    return web.json_response(bundle(request, row, row["versions"][-1]))


async def purge(vault: Vault, request: web.Request) -> web.Response:
    vault.purge(_require(vault, request))
    return web.Response(status=204)


def _require(vault: Vault, request: web.Request) -> Json:
    name = request.match_info["name"]
    row = vault.deleted(name)
    if row is None:
        raise VaultError(404, "SecretNotFound", f"Deleted Secret not found: {name}")
    return row


def _deleted_bundle(request: web.Request, row: Json) -> Json:
    recovery: Json = {"recoveryId": f"{request.scheme}://{request.host}/deletedsecrets/{row['name']}"}
    dates: Json = row["deleted"]
    return bundle(request, row, row["versions"][-1]) | recovery | dates
