"""What the tests of API Management write, and where."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from azure.core.exceptions import HttpResponseError
from azure.mgmt.apimanagement.models import (
    ApiCreateOrUpdateParameter,
    BackendContract,
    PolicyContract,
    PolicyFragmentContract,
    SubscriptionCreateParameters,
)

from standins.tests.azure_clients import GROUP, SERVICE
from standins.tests.plugin import StandIns
from standins.world import SUBSCRIPTION

#: ApiManagementClient. With `cls=` its methods return something else than their annotations say.
Client = Any

SERVER = "resource-manager"
#: The application id that owns the subscription: `standins.roles`.
OPERATOR = "operator"
WHERE = (GROUP, SERVICE)
INSTANCE = (
    f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.ApiManagement/service/"
    f"{SERVICE}"
)
#: Of the SDK: how long it waits between two looks at a long-running operation when the service does not say,
#: in seconds.
QUICKLY = {"polling_interval": 0.02}

_POLICY = (
    "<policies><inbound><base />{}</inbound><backend><base /></backend><outbound /><on-error /></policies>"
)
_OPENAPI = {
    "openapi": "3.0.1",
    "info": {"title": "AI models", "version": "1"},
    "servers": [{"url": "https://models.example/v1"}],
    "paths": {
        "/deployments/{model}/chat/completions": {
            "parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}],
            "post": {
                "operationId": "chat-by-path",
                "summary": "Chat",
                "responses": {"200": {"description": "an answer"}},
            },
        },
        "/v1/chat/completions": {"post": {"responses": {"200": {"description": "an answer"}}}},
    },
}


def unique(what: str) -> str:
    return f"{what}-{uuid.uuid4().hex[:12]}"


def an_api(path: str) -> ApiCreateOrUpdateParameter:
    return ApiCreateOrUpdateParameter(
        path=path, format="openapi+json", value=json.dumps(_OPENAPI), subscription_required=True
    )


def a_backend(**properties: Any) -> BackendContract:
    return BackendContract(url="https://models.example/v1", protocol="http", **properties)


def a_subscription(product: str, **properties: Any) -> SubscriptionCreateParameters:
    return SubscriptionCreateParameters(scope=f"/products/{product}", display_name="Team", **properties)


def raw(inbound: str) -> PolicyContract:
    return PolicyContract(value=_POLICY.format(inbound), format="rawxml")


def a_fragment(content: str = '<set-variable name="v" value="1" />') -> PolicyFragmentContract:
    return PolicyFragmentContract(
        value=f"<fragment>{content}</fragment>", format="rawxml", description="which model"
    )


def problem(error: HttpResponseError) -> tuple[str, str, str]:
    """Code of the error, target and message of its first detail."""
    assert error.error is not None
    detail = error.error.details[0]
    return str(error.error.code), str(detail.target), str(detail.message)


@contextmanager
def options(standins: StandIns, server: str = SERVER, /, **changed: Any) -> Iterator[None]:
    """Other options for a while."""
    before = standins.control.options(server)
    standins.control.set_options(server, **changed)
    try:
        yield
    finally:
        standins.control.set_options(server, **{name: before[name] for name in changed})
