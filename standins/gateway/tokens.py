"""Entra tokens: the client's, which is checked, and the gateway's own, which it shows to a backend.

https://learn.microsoft.com/azure/api-management/validate-azure-ad-token-policy
https://learn.microsoft.com/azure/api-management/authentication-managed-identity-policy
"""

from __future__ import annotations

from standins.gateway.context import Context, Step
from standins.gateway.document import Node
from standins.gateway.exchange import Failure
from standins.identity import InvalidToken, verify


def validate_token(node: Node) -> Step:
    """A token of the tenant for one of the audiences; it is checked with the identity stand-in's key."""
    attributes = node.only("tenant-id", "header-name", "failed-validation-httpcode")
    tenant, header = node.fixed(attributes, "tenant-id").lower(), node.fixed(attributes, "header-name")
    status = int(node.fixed(attributes, "failed-validation-httpcode") or 401)
    audiences = [
        audience.text for group in node.children("audiences") for audience in group.children("audience")
    ]

    async def validate(context: Context) -> None:
        given = context.request.headers.get(header or "Authorization")
        if given is None:
            raise Failure(status, "Azure Active Directory JWT not present.")
        try:
            claims = verify(context.gateway.world, given, audiences)
        except InvalidToken as error:
            raise Failure(status, f"Invalid Azure Active Directory JWT: {error}.") from error
        if claims["tid"].lower() != tenant:
            raise Failure(status, "Invalid Azure Active Directory JWT: another tenant issued it.")

    return validate


def managed_identity(node: Node) -> Step:
    attributes = node.only("resource", "output-token-variable-name")
    node.empty()
    resource, variable = (
        node.fixed(attributes, "resource"),
        node.fixed(attributes, "output-token-variable-name"),
    )

    async def take(context: Context) -> None:
        token = await context.gateway.token(resource)
        if variable:
            context.variables[variable] = token
        if not variable or context.gateway.options["identity_sets_header"]:
            context.request.headers["Authorization"] = f"Bearer {token}"

    return take
