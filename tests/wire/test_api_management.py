"""The API Management part of the Resource Manager stand-in, driven by azure-mgmt-apimanagement."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import sys
import uuid
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml
from azure.core.exceptions import ClientAuthenticationError, HttpResponseError, ResourceExistsError, ResourceNotFoundError
from azure.identity.aio import ManagedIdentityCredential
from azure.mgmt.apimanagement.aio import ApiManagementClient
from azure.mgmt.apimanagement.models import (
    ApiCreateOrUpdateParameter,
    ApiUpdateContract,
    BackendContract,
    BackendUpdateParameters,
    PolicyContract,
    PolicyFragmentContract,
    ProductContract,
    ProductUpdateParameters,
    SubscriptionCreateParameters,
    SubscriptionUpdateParameters,
)
from azure.mgmt.containerservice.aio import ContainerServiceClient

from standins.control import Control
from standins.world import SUBSCRIPTION
from tests.conftest import ROOT, StandIns
from tests.wire.azure_clients import GROUP, SERVICE, api_management, ask, managed_identity, with_etag

#: ApiManagementClient. With `cls=` its methods return something else than their annotations say.
Client = Any

WHERE = (GROUP, SERVICE)
INSTANCE = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/{GROUP}/providers/Microsoft.ApiManagement/service/{SERVICE}"
POLICY = "<policies><inbound><base />{}</inbound><backend><base /></backend><outbound /><on-error /></policies>"
OPENAPI = {
    "openapi": "3.0.1",
    "info": {"title": "AI models", "version": "1"},
    "servers": [{"url": "https://models.example/v1"}],
    "paths": {
        "/deployments/{model}/chat/completions": {
            "parameters": [{"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}],
            "post": {"operationId": "chat-by-path", "summary": "Chat", "responses": {"200": {"description": "an answer"}}},
        },
        "/v1/chat/completions": {"post": {"responses": {"200": {"description": "an answer"}}}},
    },
}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def credential(standins: StandIns) -> AsyncIterator[ManagedIdentityCredential]:
    with managed_identity(standins):
        async with ManagedIdentityCredential() as credential:
            yield credential


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def client(standins: StandIns, credential: ManagedIdentityCredential) -> AsyncIterator[ApiManagementClient]:
    async with api_management(standins, credential) as client:
        yield client


@pytest_asyncio.fixture(loop_scope="session")
async def product(client: Client) -> str:
    name = unique("team")
    await client.product.create_or_update(*WHERE, name, ProductContract(display_name=name))
    return name


@pytest_asyncio.fixture(loop_scope="session")
async def api(client: Client) -> str:
    name = unique("ai")
    await (await client.api.begin_create_or_update(*WHERE, name, an_api(name))).result()
    return name


def unique(what: str) -> str:
    return f"{what}-{uuid.uuid4().hex[:12]}"


def an_api(path: str) -> ApiCreateOrUpdateParameter:
    return ApiCreateOrUpdateParameter(path=path, format="openapi+json", value=json.dumps(OPENAPI), subscription_required=True)


def a_subscription(product: str, **properties: Any) -> SubscriptionCreateParameters:
    return SubscriptionCreateParameters(scope=f"/products/{product}", display_name="Team", **properties)


def raw(inbound: str) -> PolicyContract:
    return PolicyContract(value=POLICY.format(inbound), format="rawxml")


def problem(error: HttpResponseError) -> tuple[str, str, str]:
    """Code of the error, target and message of its first detail."""
    assert error.error is not None
    detail = error.error.details[0]
    return str(error.error.code), str(detail.target), str(detail.message)


@contextmanager
def options(standins: StandIns, **changed: Any) -> Iterator[None]:
    url = f"{standins.addresses['resource-manager']}/_standin/options"
    assert ask(standins, "PUT", url, body=changed)[0] == 200
    yield
    assert ask(standins, "PUT", url, body={"keys_in_put_answers": True, "api_write_seconds": 0.0})[0] == 200


async def test_a_product_is_unpublished_until_it_is_published_and_every_write_changes_its_etag(client: Client) -> None:
    name = unique("team")
    made, first = await client.product.create_or_update(*WHERE, name, ProductContract(display_name="Team"), cls=with_etag)
    assert (made.name, made.state, made.subscription_required, made.id) == (name, "notPublished", True, f"{INSTANCE}/products/{name}")
    changes = ProductUpdateParameters(state="published", description="for the team")
    _, second = await client.product.update(*WHERE, name, first, changes, cls=with_etag)
    read, third = await client.product.get(*WHERE, name, cls=with_etag)
    assert (read.state, read.description, read.display_name) == ("published", "for the team", "Team")
    assert first != second == third


async def test_a_write_with_an_old_etag_is_refused(client: Client, product: str) -> None:
    _, old = await client.product.get(*WHERE, product, cls=with_etag)
    await client.product.update(*WHERE, product, old, ProductUpdateParameters(description="somebody else's"))
    for write in (
        client.product.update(*WHERE, product, old, ProductUpdateParameters(description="mine")),
        client.product.create_or_update(*WHERE, product, ProductContract(display_name="mine"), if_match=old),
        client.product.delete(*WHERE, product, old, delete_subscriptions=True),
        client.product_policy.create_or_update(*WHERE, product, "policy", raw(""), if_match=old),
    ):
        with pytest.raises(HttpResponseError) as refused:
            await write
        assert refused.value.status_code == 412
    assert (await client.product.get(*WHERE, product)).description == "somebody else's"


async def test_a_product_comes_with_a_subscription_and_the_group_of_the_administrators(client: Client, product: str) -> None:
    [extra] = [row async for row in client.product_subscriptions.list(*WHERE, product)]
    assert re.fullmatch(r"[0-9a-f]{24}", extra.name)
    assert (extra.owner_id, extra.state, extra.scope) == (f"{INSTANCE}/users/1", "active", f"{INSTANCE}/products/{product}")
    assert [group.name async for group in client.product_group.list_by_product(*WHERE, product)] == ["administrators"]


async def test_a_product_with_subscriptions_is_deleted_only_together_with_them(client: Client, product: str, api: str) -> None:
    await client.product_api.create_or_update(*WHERE, product, api)
    await client.product_policy.create_or_update(*WHERE, product, "policy", raw(""))
    [extra] = [row async for row in client.product_subscriptions.list(*WHERE, product)]
    with pytest.raises(HttpResponseError, match="existing subscriptions") as refused:
        await client.product.delete(*WHERE, product, "*")
    assert refused.value.status_code == 400
    await client.product.delete(*WHERE, product, "*", delete_subscriptions=True)
    with pytest.raises(ResourceNotFoundError):
        await client.subscription.get(*WHERE, extra.name)
    assert [row.name async for row in client.api_product.list_by_apis(*WHERE, api)] == []
    await client.product.create_or_update(*WHERE, product, ProductContract(display_name="again"))
    with pytest.raises(ResourceNotFoundError):
        await client.product_policy.get(*WHERE, product, "policy")


async def test_deleting_what_is_not_there_succeeds(client: Client, product: str) -> None:
    gone = unique("gone")
    await client.product.delete(*WHERE, gone, "*")
    await client.subscription.delete(*WHERE, gone, "*")
    await client.backend.delete(*WHERE, gone, "*")
    await client.product_policy.delete(*WHERE, product, "policy", "*")
    await client.product_api.delete(*WHERE, product, gone)
    await client.policy_fragment.delete(*WHERE, gone, "*")
    await (await client.api.begin_delete(*WHERE, gone, "*")).result()


async def test_a_subscription_waits_for_approval_unless_it_is_made_active(client: Client, product: str) -> None:
    name = unique("team")
    made, etag = await client.subscription.create_or_update(*WHERE, name, a_subscription(product), cls=with_etag)
    assert (made.state, made.scope, made.owner_id) == ("submitted", f"{INSTANCE}/products/{product}", None)
    updated = await client.subscription.update(*WHERE, name, etag, SubscriptionUpdateParameters(state="active"))
    assert (updated.state, updated.display_name) == ("active", "Team")
    assert name in [row.name async for row in client.product_subscriptions.list(*WHERE, product)]
    await client.subscription.delete(*WHERE, name, "*")
    with pytest.raises(ResourceNotFoundError):
        await client.subscription.get(*WHERE, name)


async def test_keys_are_in_the_answer_of_put_and_of_list_secrets_and_nowhere_else(client: Client, product: str) -> None:
    name = unique("team")
    made = await client.subscription.create_or_update(*WHERE, name, a_subscription(product, state="active"))
    assert re.fullmatch(r"[0-9a-f]{32}", made.primary_key)
    keys = await client.subscription.list_secrets(*WHERE, name)
    assert (keys.primary_key, keys.secondary_key) == (made.primary_key, made.secondary_key)
    assert (await client.subscription.get(*WHERE, name)).primary_key is None
    listed = [row async for row in client.product_subscriptions.list(*WHERE, product)]
    assert {row.primary_key for row in listed} == {None}
    again = await client.subscription.create_or_update(*WHERE, name, a_subscription(product, state="active"))
    assert again.primary_key == made.primary_key


async def test_the_answer_of_put_may_come_without_keys(standins: StandIns, client: Client, product: str) -> None:
    with options(standins, keys_in_put_answers=False):
        made = await client.subscription.create_or_update(*WHERE, unique("team"), a_subscription(product))
    assert made.primary_key is None


async def test_a_regenerated_key_replaces_one_of_the_two(client: Client, product: str) -> None:
    name = unique("team")
    made = await client.subscription.create_or_update(*WHERE, name, a_subscription(product))
    await client.subscription.regenerate_primary_key(*WHERE, name)
    first = await client.subscription.list_secrets(*WHERE, name)
    assert (first.primary_key == made.primary_key, first.secondary_key == made.secondary_key) == (False, True)
    await client.subscription.regenerate_secondary_key(*WHERE, name)
    second = await client.subscription.list_secrets(*WHERE, name)
    assert (second.primary_key == first.primary_key, second.secondary_key == first.secondary_key) == (True, False)


async def test_what_is_too_long_or_missing_is_refused_by_name_of_the_field(client: Client, product: str) -> None:
    name = unique("team")
    for target, write in (
        ("displayName", client.product.create_or_update(*WHERE, name, ProductContract(display_name="x" * 301))),
        ("displayName", client.product.create_or_update(*WHERE, name, ProductContract(display_name=""))),
        ("description", client.product.create_or_update(*WHERE, name, ProductContract(display_name="x", description="x" * 1001))),
        ("name", client.product.create_or_update(*WHERE, "a:b", ProductContract(display_name="x"))),
        (
            "displayName",
            client.subscription.create_or_update(*WHERE, name, SubscriptionCreateParameters(scope="/apis", display_name="x" * 101)),
        ),
        ("scope", client.subscription.create_or_update(*WHERE, name, a_subscription("absent"))),
        ("url", client.backend.create_or_update(*WHERE, name, BackendContract(protocol="http"))),
        ("name", client.backend.create_or_update(*WHERE, "b" * 81, BackendContract(url="https://x", protocol="http"))),
    ):
        with pytest.raises(HttpResponseError) as refused:
            await write
        assert refused.value.status_code == 400
        assert problem(refused.value)[:2] == ("ValidationError", target)


async def test_a_raw_policy_keeps_its_expressions_but_not_its_layout(client: Client, product: str) -> None:
    condition = """@(context.Request.Headers.GetValueOrDefault("x", "<(&") == "\\")" && 1 < 2)"""
    sent = raw(f"""<!-- a comment --><choose><when condition="{condition}"><set-body>@{{ return "a > b)"; }}</set-body></when></choose>""")
    await client.product_policy.create_or_update(*WHERE, product, "policy", sent)
    as_raw = await client.product_policy.get(*WHERE, product, "policy", format="rawxml")
    as_xml = await client.product_policy.get(*WHERE, product, "policy")
    assert f'condition="{condition}"' in as_raw.value
    assert '@{ return "a > b)"; }' in as_raw.value
    assert "&lt;(&amp;" in as_xml.value
    assert "comment" not in as_raw.value
    assert as_raw.value != sent.value
    for read, format_ in ((as_raw, "rawxml"), (as_xml, "xml")):
        await client.product_policy.create_or_update(*WHERE, product, "policy", PolicyContract(value=read.value, format=format_))
        assert (await client.product_policy.get(*WHERE, product, "policy")).value == as_xml.value


async def test_an_expression_of_several_lines_keeps_its_lines(client: Client, product: str) -> None:
    expression = "@{\n  // one (\n  return 1;\n}"
    sent = raw(f'<set-variable name="v" value="{expression}" />')
    await client.product_policy.create_or_update(*WHERE, product, "policy", sent)
    assert expression in (await client.product_policy.get(*WHERE, product, "policy", format="rawxml")).value


@pytest.mark.parametrize(
    ("inbound", "target", "message"),
    [
        ("\n  <set-header name='x'>", "set-header", r"Error in element 'set-header' on line 2, column \d+: "),
        ("\n<when condition='@(1 + (2)' />", "when", "line 2, column 18: The parentheses of the expression are not balanced"),
        (
            "\n\n <set-backend-service backend-id='absent' />",
            "set-backend-service",
            "line 3, column 3: Backend with id 'absent' could not be found",
        ),
        ("<include-fragment fragment-id='absent' />", "include-fragment", "'absent' could not be found"),
        ("<llm-token-limit counter-key='k' estimate-prompt-tokens='true' />", "llm-token-limit", "tokens-per-minute"),
        ("\n<set-heder name='x' />", "set-heder", "line 2, column 2: 'set-heder' is not a policy"),
        ("<set-variable name='x' value='{{absent}}' />", "set-variable", "Cannot find a property 'absent'"),
    ],
)
async def test_a_policy_that_cannot_work_is_refused_with_its_place(
    client: Client, product: str, inbound: str, target: str, message: str
) -> None:
    with pytest.raises(HttpResponseError) as refused:
        await client.product_policy.create_or_update(*WHERE, product, "policy", raw(inbound))
    code, where, why = problem(refused.value)
    assert (refused.value.status_code, code, where) == (400, "ValidationError", target)
    assert re.search(message, why)


async def test_a_policy_may_have_256_kibibytes(client: Client, product: str) -> None:
    with pytest.raises(HttpResponseError, match="ValidationError"):
        await client.product_policy.create_or_update(*WHERE, product, "policy", raw("<!--" + "x" * 256 * 1024 + "-->"))


async def test_a_policy_may_name_a_backend_that_exists(client: Client, product: str) -> None:
    name = unique("team")
    made, etag = await client.backend.create_or_update(*WHERE, name, BackendContract(url="https://x/v1", protocol="http"), cls=with_etag)
    assert (made.url, made.name) == ("https://x/v1", name)
    await client.product_policy.create_or_update(*WHERE, product, "policy", raw(f'<set-backend-service backend-id="{name}" />'))
    changed = await client.backend.update(*WHERE, name, etag, BackendUpdateParameters(description="moved"))
    assert (changed.url, changed.description) == ("https://x/v1", "moved")
    with pytest.raises(HttpResponseError) as refused:
        await client.backend.delete(*WHERE, name, etag)
    assert refused.value.status_code == 412


async def test_a_pool_is_made_of_backends_that_exist(standins: StandIns, credential: ManagedIdentityCredential) -> None:
    token = (await credential.get_token("https://management.azure.com/.default")).token
    url = standins.addresses["resource-manager"] + INSTANCE + "/backends/{}?api-version=2024-05-01"
    single, pool = unique("one"), unique("pool")
    services = {"type": "Pool", "pool": {"services": [{"id": f"{INSTANCE}/backends/{single}", "weight": 1}]}}
    for name, properties, expected in (
        (pool, services, 400),
        (single, {"url": "https://x", "protocol": "http"}, 201),
        (pool, services, 201),
    ):
        status, _, _ = ask(standins, "PUT", url.format(name), body={"properties": properties}, Authorization=f"Bearer {token}")
        assert status == expected


async def test_a_fragment_is_kept_while_a_policy_includes_it(client: Client, product: str) -> None:
    name = unique("model")
    fragment = PolicyFragmentContract(value="<fragment><base /></fragment>", format="rawxml", description="which model")
    made, etag = await (await client.policy_fragment.begin_create_or_update(*WHERE, name, fragment, cls=with_etag)).result()
    assert made.name == name
    assert etag
    await client.product_policy.create_or_update(*WHERE, product, "policy", raw(f'<include-fragment fragment-id="{name}" />'))
    with pytest.raises(HttpResponseError, match=f"/products/{product}/policies/policy") as refused:
        await client.policy_fragment.delete(*WHERE, name, "*")
    assert refused.value.status_code == 400
    await client.product_policy.delete(*WHERE, product, "policy", "*")
    await client.policy_fragment.delete(*WHERE, name, etag)
    with pytest.raises(ResourceNotFoundError):
        await client.policy_fragment.get(*WHERE, name)
    assert name not in [row.name for row in [row async for row in client.policy_fragment.list_by_service(*WHERE)]]


async def test_an_api_gets_its_operations_from_its_openapi_document(client: Client) -> None:
    name = unique("ai")
    made, etag = await (await client.api.begin_create_or_update(*WHERE, name, an_api(name), cls=with_etag)).result()
    assert (made.display_name, made.path, made.service_url, made.name) == ("AI models", name, "https://models.example/v1", name)
    rows = {row.name: row async for row in client.api_operation.list_by_api(*WHERE, name)}
    assert rows.keys() == {"chat-by-path", "post-v1-chat-completions"}
    assert (rows["chat-by-path"].method, rows["chat-by-path"].url_template) == ("POST", "/deployments/{model}/chat/completions")
    assert [parameter.name for parameter in rows["chat-by-path"].template_parameters] == ["model"]
    changed, _ = await client.api.update(*WHERE, name, etag, ApiUpdateContract(description="one for all"), cls=with_etag)
    assert (changed.description, changed.path) == ("one for all", name)
    policy = await client.api_policy.create_or_update(*WHERE, name, "policy", raw(""))
    assert (policy.name, (await client.api_policy.get(*WHERE, name, "policy")).value) == ("policy", policy.value)
    await (await client.api.begin_delete(*WHERE, name, "*")).result()
    with pytest.raises(ResourceNotFoundError):
        await client.api.get(*WHERE, name)


async def test_a_document_or_a_path_that_cannot_be_is_refused(client: Client, api: str) -> None:
    name = unique("ai")
    broken = ApiCreateOrUpdateParameter(path=name, format="openapi+json", value="{")
    with pytest.raises(HttpResponseError, match="ValidationError"):
        await client.api.begin_create_or_update(*WHERE, name, broken)
    with pytest.raises(HttpResponseError, match="ValidationError") as refused:
        await client.api.begin_create_or_update(*WHERE, name, an_api(api))
    assert problem(refused.value)[1] == "path"


async def test_a_link_shows_on_both_sides(client: Client, product: str, api: str) -> None:
    with pytest.raises(ResourceNotFoundError):
        await client.product_api.check_entity_exists(*WHERE, product, api)
    linked = await client.product_api.create_or_update(*WHERE, product, api)
    assert linked.name == api
    assert await client.product_api.check_entity_exists(*WHERE, product, api) is True
    assert [row.name async for row in client.product_api.list_by_product(*WHERE, product)] == [api]
    assert [row.name async for row in client.api_product.list_by_apis(*WHERE, api)] == [product]
    await client.product_api.delete(*WHERE, product, api)
    assert [row.name async for row in client.product_api.list_by_product(*WHERE, product)] == []


async def test_an_api_that_is_not_there_cannot_be_linked(client: Client, product: str) -> None:
    with pytest.raises(ResourceNotFoundError):
        await client.product_api.create_or_update(*WHERE, product, unique("absent"))


async def test_two_writes_on_one_api_at_once_are_one_too_many(standins: StandIns, client: Client, product: str, api: str) -> None:
    other = unique("team")
    await client.product.create_or_update(*WHERE, other, ProductContract(display_name=other))
    with options(standins, api_write_seconds=0.3):
        answers = await asyncio.gather(
            *(client.product_api.create_or_update(*WHERE, name, api) for name in (product, other)), return_exceptions=True
        )
    [refused] = [answer for answer in answers if isinstance(answer, ResourceExistsError)]
    assert refused.error is not None
    assert (refused.status_code, refused.error.code) == (409, "PessimisticConcurrencyConflict")
    assert len([row async for row in client.api_product.list_by_apis(*WHERE, api)]) == 1


async def test_lists_are_filtered_and_come_in_pages(standins: StandIns, client: Client) -> None:
    prefix = unique("page")
    names = [f"{prefix}-{number}" for number in range(3)]
    for name in names:
        await client.backend.create_or_update(*WHERE, name, BackendContract(url="https://x", protocol="http"))
    standins.control.forget_calls()
    listed = [row.name async for row in client.backend.list_by_service(*WHERE, filter=f"startswith(name,'{prefix}')", top=2)]
    assert listed == names
    assert [call.kind for call in standins.control.calls("resource-manager")] == ["LIST backends"] * 2
    with pytest.raises(HttpResponseError) as refused:
        _ = [row async for row in client.backend.list_by_service(*WHERE, filter="contains(name,'x')")]
    assert refused.value.status_code == 501


async def test_the_fixed_words_of_a_path_may_be_spelled_in_any_case(
    standins: StandIns, credential: ManagedIdentityCredential, product: str
) -> None:
    token = (await credential.get_token("https://management.azure.com/.default")).token
    path = INSTANCE.replace("resourceGroups", "RESOURCEGROUPS").replace("Microsoft.ApiManagement", "microsoft.apimanagement")
    url = f"{standins.addresses['resource-manager']}{path}/Products/{product.upper()}?api-version=2024-05-01"
    status, body, _ = ask(standins, "GET", url, Authorization=f"Bearer {token}")
    assert (status, body["name"]) == (200, product)


async def test_a_request_without_what_resource_manager_needs_is_refused(
    standins: StandIns, credential: ManagedIdentityCredential, product: str
) -> None:
    right = (await credential.get_token("https://management.azure.com/.default")).token
    wrong = (await credential.get_token("https://vault.azure.net/.default")).token
    url = f"{standins.addresses['resource-manager']}{INSTANCE}/products/{product}"
    for method, query, token, expected in (
        ("GET", "?api-version=2024-05-01", wrong, (401, "InvalidAuthenticationToken")),
        ("GET", "", right, (400, "MissingApiVersionParameter")),
        ("GET", "?api-version=2021-08-01", right, (400, "NoRegisteredProviderFound")),
        ("DELETE", "?api-version=2024-05-01", right, (400, "ValidationError")),
        ("PATCH", "?api-version=2024-05-01", right, (400, "ValidationError")),
        ("POST", "?api-version=2024-05-01", right, (501, "NotImplemented")),
    ):
        body: Any = {"properties": {}} if method == "PATCH" else None
        status, answer, _ = ask(standins, method, url + query, body=body, Authorization=f"Bearer {token}")
        assert (status, answer["error"]["code"]) == expected


async def test_a_client_with_a_token_for_another_service_is_told_so(standins: StandIns, credential: ManagedIdentityCredential) -> None:
    async with ApiManagementClient(
        credential,
        SUBSCRIPTION,
        base_url=standins.addresses["resource-manager"],
        credential_scopes=["https://vault.azure.net/.default"],
        connection_verify=standins.ca,
    ) as client:
        with pytest.raises(ClientAuthenticationError):
            await client.product.get(*WHERE, "any")


async def test_the_credentials_of_a_cluster_lead_to_the_kubernetes_server(
    standins: StandIns, credential: ManagedIdentityCredential
) -> None:
    if "kubernetes" not in standins.addresses:
        pytest.skip("the Kubernetes stand-in does not run")
    async with ContainerServiceClient(
        credential, SUBSCRIPTION, base_url=standins.addresses["resource-manager"], connection_verify=standins.ca
    ) as client:
        answer = await client.managed_clusters.list_cluster_user_credentials("rg-aks", "aks-local", format="exec")
    assert answer.kubeconfigs is not None
    config = yaml.safe_load(bytes(answer.kubeconfigs[0].value or b""))
    cluster = config["clusters"][0]["cluster"]
    assert cluster["server"] == standins.addresses["kubernetes"]
    assert base64.b64decode(cluster["certificate-authority-data"]) == Path(standins.ca).read_bytes()
    assert "exec" in config["users"][0]["user"]


async def test_a_killed_server_forgets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = unique("team")
    for life in (1, 2):
        with own_standins(tmp_path) as standins, managed_identity(standins):
            async with ManagedIdentityCredential() as credential, api_management(standins, credential) as client:
                if life == 1:
                    await client.product.create_or_update(*WHERE, name, ProductContract(display_name="kept"))
                    await client.product_policy.create_or_update(*WHERE, name, "policy", raw(""))
                else:
                    assert (await client.product.get(*WHERE, name)).display_name == "kept"
                    assert (await client.product_policy.get(*WHERE, name, "policy")).value


@contextmanager
def own_standins(folder: Path) -> Iterator[StandIns]:
    """A set for one test, which ends it with SIGKILL."""
    command = [sys.executable, "-m", "standins.run", "--folder", str(folder), "--only", "identity", "resource-manager"]
    command += ["--control", "--latency", "none"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready = json.loads(process.stdout.readline())
        yield StandIns(Control(ready["control"]), ready["addresses"], ready["ca"], folder)
        os.kill(process.pid, signal.SIGKILL)
