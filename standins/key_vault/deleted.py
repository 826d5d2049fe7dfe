"""Soft-deleted secrets: https://learn.microsoft.com/azure/key-vault/general/soft-delete-overview"""

from __future__ import annotations

from aiohttp import web

from standins.key_vault.errors import Json
from standins.key_vault.secrets import bundle, item, page
from standins.key_vault.vault import Vault


async def delete(vault: Vault, request: web.Request) -> web.Response:
    row = vault.delete(request.match_info["name"])
    return web.json_response(_when_deleted(request, row) | bundle(request, row, row["versions"][-1]))


async def get(vault: Vault, request: web.Request) -> web.Response:
    row = vault.deleted(request.match_info["name"])
    return web.json_response(_when_deleted(request, row) | bundle(request, row, row["versions"][-1]))


async def list_all(vault: Vault, request: web.Request) -> web.Response:
    return page(request, [_when_deleted(request, row) | item(request, row) for row in vault.soft_deleted()])


async def recover(vault: Vault, request: web.Request) -> web.Response:
    row = vault.recover(request.match_info["name"])
    return web.json_response(bundle(request, row, row["versions"][-1]))


async def purge(vault: Vault, request: web.Request) -> web.Response:
    vault.purge(request.match_info["name"])
    return web.Response(status=204)


def _when_deleted(request: web.Request, row: Json) -> Json:
    dates: Json = row["deleted"]
    return {"recoveryId": f"{request.scheme}://{request.host}/deletedsecrets/{row['name']}"} | dates
