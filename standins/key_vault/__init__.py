"""Key Vault secrets, data plane. https only: the SDK refuses http.

https://learn.microsoft.com/rest/api/keyvault/secrets/operation-groups
"""

from __future__ import annotations

from functools import partial

from aiohttp import web

from standins.http import application, route
from standins.key_vault import deleted, secrets
from standins.key_vault.access import guard
from standins.key_vault.vault import OPTIONS, Vault
from standins.world import World

SERVER = "key-vault"


def build(world: World) -> web.Application:
    """Routes of the server. Paths may end with a slash: the SDK asks for the latest version with an empty
    one.
    """
    app, options = application(world, SERVER), world.options_of(SERVER, OPTIONS)
    app.middlewares.append(guard(world, options))
    vault = world.parts[SERVER] = Vault(world, options)
    route(app, "GET", "/secrets", "LIST secrets", partial(secrets.list_all, vault))
    route(app, "PUT", "/secrets/{name}", "PUT secret", partial(secrets.put, vault))
    route(app, "DELETE", "/secrets/{name}", "DELETE secret", partial(deleted.delete, vault))
    route(
        app, "GET", "/secrets/{name}/versions", "GET secret versions", partial(secrets.list_versions, vault)
    )
    for path in ("/secrets/{name}", "/secrets/{name}/{version:[^/]*}"):
        route(app, "GET", path, "GET secret", partial(secrets.get, vault))
        route(app, "PATCH", path, "PATCH secret", partial(secrets.patch, vault))
    route(app, "GET", "/deletedsecrets", "LIST deleted secrets", partial(deleted.list_all, vault))
    route(app, "GET", "/deletedsecrets/{name}", "GET deleted secret", partial(deleted.get, vault))
    route(
        app, "POST", "/deletedsecrets/{name}/recover", "POST secret recover", partial(deleted.recover, vault)
    )
    route(app, "DELETE", "/deletedsecrets/{name}", "DELETE deleted secret", partial(deleted.purge, vault))
    return app
