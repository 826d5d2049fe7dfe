"""What the comparison finds: good exchanges pass, and each way to break one is named."""

from __future__ import annotations

from dataclasses import replace

import pytest

from standins.tests.reference.samples import (
    SERVICE,
    VERSION,
    exchange,
    policy_written,
    product_deleted,
    product_written,
    ref_read,
    secret_read,
    status_written,
    webhook_sent,
    workspace,
    workspace_applied,
)
from standins.tests.reference.validator import NOTHING, verdict
from standins.world import Exchange

EMPTY = "<policies><inbound><base /></inbound><backend><base /></backend><outbound /><on-error /></policies>"
LIMITED = (
    '<policies><inbound><llm-token-limit counter-key="alpha" estimate-prompt-tokens="{}" '
    'tokens-per-minute="1" /></inbound></policies>'
)
RAW = '<policies><inbound><set-variable name="v" value="@("a" + (1 < 2))" /></inbound></policies>'
FRAGMENT = "policyFragments/requested-model"
APPLY, MERGE = "application/apply-patch+yaml", "application/merge-patch+json"
PING_HOOK = {
    "type": "Repository",
    "id": 1,
    "name": "web",
    "active": True,
    "events": ["push"],
    "config": {"content_type": "json", "insecure_ssl": "0", "secret": "********", "url": "http://localhost/"},
    "updated_at": "2026-01-01T00:00:00Z",
    "created_at": "2026-01-01T00:00:00Z",
    "url": "http://localhost/",
    "ping_url": "http://localhost/",
    "deliveries_url": "http://localhost/",
    "last_response": {"code": None, "status": "unused", "message": None},
}

GOOD = {
    "a product": product_written(),
    "null for what is not set": product_written(),
    "a deletion with If-Match": product_deleted(**{"if-match": "*"}),
    "a policy in xml": policy_written(EMPTY),
    "a policy in rawxml": policy_written(RAW, "rawxml"),
    "the latest version of a secret": secret_read(),
    "the latest version of a secret, another spelling": secret_read("/secrets/alpha-primary-key"),
    "a ref with a slash": ref_read(),
    "an answer that GitHub declares in general": replace(ref_read(), status=304, answer_body=None),
    "a workspace that is applied": workspace_applied(),
    "a workspace that is patched in part": workspace_applied(MERGE, resource=None, inference=None),
    "a ping": webhook_sent("ping", zen="Keep it", hook_id=1, hook=PING_HOOK),
}

BROKEN = {
    "no api-version": (product_written(query=""), "query api-version: is required, and missing"),
    "an unknown query parameter": (
        product_written(f"{VERSION}&apiversion=1"),
        "query apiversion: is no declared parameter",
    ),
    "a query parameter's type": (
        replace(
            product_deleted(**{"if-match": "*"}),
            path=f"{SERVICE}/products/a?{VERSION}&deleteSubscriptions=yes",
        ),
        'query deleteSubscriptions: "yes" is not of type "boolean"',
    ),
    "a name that is too long": (product_written(name="a" * 257), "path productId: "),
    "a subscription that is no UUID": (
        replace(
            product_written(),
            path=product_written().path.replace("00000000-0000-4000-8000-000000000001", "mine"),
        ),
        'path subscriptionId: "mine" is not a "uuid"',
    ),
    "no If-Match": (product_deleted(), "header If-Match: is required, and missing"),
    "a wrong type": (
        product_written(subscriptionRequired="yes"),
        'body/properties/subscriptionRequired: "yes" is not of type "boolean"',
    ),
    "a value that is none of the list": (product_written(state="open"), "body/properties/state: "),
    "a missing property": (
        replace(product_written(), request_body='{"properties": {"terms": ""}}'),
        '"displayName" is a required property',
    ),
    "an unknown property": (
        product_written(approval=True),
        "body/properties: Unevaluated properties are not allowed ('approval'",
    ),
    "a read-only property": (
        replace(product_written(), request_body='{"name": "a"}'),
        "body/name: is read-only",
    ),
    "no body": (replace(product_written(), request_body=None), "body: is required, and missing"),
    "a body that is no JSON": (replace(product_written(), request_body="{"), "body: is no JSON"),
    "a body that is called text": (
        replace(product_written(), request_headers={"content-type": "text/plain"}),
        "body: is called text/plain, not application/json",
    ),
    "an unknown path": (
        exchange("resource-manager", f"GET {SERVICE}/produkte?{VERSION}", 200),
        "path: the description has no such path",
    ),
    "an unknown method": (
        exchange("resource-manager", f"POST {SERVICE}/products/a?{VERSION}", 200),
        "path: the description has no POST for /subscriptions/",
    ),
    "an undeclared status": (
        replace(product_written(), status=202),
        "status: 202 is not declared, only 201, 200, default",
    ),
    "an answer without ETag": (
        replace(product_written(), answer_headers={"content-type": "application/json"}),
        "answer header etag",
    ),
    "an error that is none of Azure's": (
        exchange(
            "resource-manager", f"GET {SERVICE}/products/a?{VERSION}", 404, None, {"message": "Not Found"}
        ),
        "answer: Unevaluated properties are not allowed ('message'",
    ),
    "an answer without its body": (
        replace(secret_read(), answer_body=None),
        "answer: has no body, and one is declared",
    ),
    "an answer with an unknown property": (
        secret_read(secret="x"),
        "answer: Unevaluated properties are not allowed ('secret'",
    ),
    "an answer with a wrong type": (
        secret_read(attributes={"created": "now"}),
        "answer/attributes/created: ",
    ),
    "an answer without a required property": (
        replace(ref_read(), answer_body='{"ref": "x", "url": "http://localhost/x", "object": {}}'),
        'answer: "node_id" is a required property',
    ),
    "a policy that the XSD does not know": (
        policy_written(EMPTY.replace("<base />", "<token-limit />", 1)),
        "Element 'token-limit'",
    ),
    "a policy attribute's value": (
        policy_written(LIMITED.format("maybe")),
        "attribute 'estimate-prompt-tokens'",
    ),
    "a policy in rawxml that the XSD does not know": (
        policy_written(RAW.replace("name", "nom"), "rawxml"),
        "attribute 'nom'",
    ),
    "a fragment that the XSD does not know": (
        policy_written("<fragment><nothing /></fragment>", path=FRAGMENT),
        "Element 'nothing'",
    ),
    "a workspace's unknown part": (
        workspace_applied(spec={}),
        "body: Unevaluated properties are not allowed ('spec'",
    ),
    "a workspace's wrong type": (
        workspace_applied(resource={"count": "1"}),
        'body/resource/count: "1" is not of type "integer"',
    ),
    "a workspace of another version": (
        workspace_applied(apiVersion="kaito.sh/v1"),
        "calls itself kaito.sh/v1 Workspace",
    ),
    "an answered workspace without its labels": (
        workspace_applied(answer=workspace(resource={})),
        '"labelSelector" is a required property',
    ),
    "a listed workspace": (
        workspace_applied(answer={"kind": "WorkspaceList", "items": [workspace(status={"state": 1})]}),
        "answer/items/0/status/state: ",
    ),
    "a push without its commits": (
        webhook_sent("push", ref="refs/heads/main"),
        'body: "commits" is a required property',
    ),
    "a ping with a wrong hook": (
        webhook_sent("ping", zen="x", hook_id=1, hook={**PING_HOOK, "id": "1"}),
        "body/hook/id: ",
    ),
}


@pytest.mark.parametrize("good", GOOD.values(), ids=GOOD)
def test_a_good_exchange_passes(good: Exchange) -> None:
    found = verdict(good)
    assert found.request
    assert not found.problems


@pytest.mark.parametrize(("broken", "problem"), BROKEN.values(), ids=BROKEN)
def test_what_is_wrong_is_named(broken: Exchange, problem: str) -> None:
    assert problem in "\n".join(map(str, verdict(broken).problems))


def test_a_refused_request_may_be_wrong_but_its_answer_may_not() -> None:
    refused = status_written(state="wrong")
    assert not verdict(refused).problems
    assert verdict(replace(refused, answer_body='{"error": "no"}')).problems


def test_an_injected_answer_is_not_the_stand_ins_but_the_request_is_the_apps() -> None:
    injected = replace(product_written(query=""), status=503, answer_body="{}", injected=True)
    assert [problem.where for problem in verdict(injected).problems] == ["query api-version"]


def test_a_request_that_is_wrong_on_purpose_is_spared_but_not_its_answer() -> None:
    sent = workspace_applied(spec={}, answer=workspace(spec={}))
    assert [problem.where for problem in verdict(sent, wrong_on_purpose=True).problems] == ["answer"]


def test_a_newer_version_may_have_more_properties_but_no_other_types() -> None:
    path = SERVICE.replace(
        "Microsoft.ApiManagement/service/contoso-ai", "Microsoft.CognitiveServices/accounts/foundry"
    )
    body = {"kind": "AIServices", "properties": {"allowProjectManagement": True}}
    made = exchange("resource-manager", f"PUT {path}?api-version=2025-09-01", 201, body, body)
    assert not verdict(made).problems
    assert verdict(replace(made, request_body='{"kind": 1}')).problems


@pytest.mark.parametrize(
    "path",
    [
        "/_standin/options",
        "/subscriptions/x/providers/Microsoft.ContainerService/managedClusters/gpu",
        f"{SERVICE}/providers/Microsoft.Authorization/roleAssignments/x",
        (
            "/subscriptions/x/resourceGroups/ai/providers/Microsoft.CognitiveServices/accounts/foundry/"
            "projects/team-alpha"
        ),
    ],
)
def test_what_no_description_is_about_is_not_counted(path: str) -> None:
    assert verdict(exchange("resource-manager", f"GET {path}", 200)) == NOTHING
