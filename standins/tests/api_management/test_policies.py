"""Policies and fragments: what is refused, and what comes back, driven by azure-mgmt-apimanagement."""

from __future__ import annotations

import re

import pytest
from azure.core.exceptions import HttpResponseError, ResourceNotFoundError
from azure.mgmt.apimanagement.models import PolicyContract

from standins.tests.api_management.builders import (
    INSTANCE,
    WHERE,
    Client,
    a_backend,
    a_fragment,
    options,
    problem,
    raw,
    unique,
)
from standins.tests.azure_clients import with_etag
from standins.tests.differences import known_difference
from standins.tests.plugin import StandIns

_WRITTEN = (
    "<!-- for the team -->\n<policies>\n  <inbound>\n      <!-- who --><base />\n    <set-header name='x' "
    'exists-action="override">\n<value>1</value></set-header>\n  '
    "</inbound><backend><base/></backend><outbound /></policies>"
)
_READ = (
    '<policies>\r\n\t<inbound>{}\r\n\t\t<base />\r\n\t\t<set-header name="x" exists-action="override">\r\n'
    "\t\t\t<value>1</value>\r\n\t\t"
    "</set-header>\r\n\t</inbound>\r\n\t<backend>\r\n\t\t<base />\r\n\t</backend>\r\n\t<outbound />\r\n"
    "</policies>"
)


async def test_a_policy_comes_back_in_the_services_own_writing(client: Client, product: str) -> None:
    for format_ in ("xml", "rawxml"):
        await client.product_policy.create_or_update(
            *WHERE, product, "policy", PolicyContract(value=_WRITTEN, format=format_)
        )
        read = await client.product_policy.get(*WHERE, product, "policy", format=format_)
        assert read.value == "<!-- for the team -->\r\n" + _READ.format("\r\n\t\t<!-- who -->")
        assert (read.name, read.id) == ("policy", f"{INSTANCE}/products/{product}/policies/policy")


@known_difference(
    "resource-manager", "An empty element of a policy that was written with an end tag comes back with it."
)
async def test_an_empty_element_keeps_its_end_tag(client: Client, product: str) -> None:
    sent = PolicyContract(value="<policies><inbound></inbound></policies>")
    await client.product_policy.create_or_update(*WHERE, product, "policy", sent)
    assert "<inbound></inbound>" in (await client.product_policy.get(*WHERE, product, "policy")).value


@pytest.mark.parametrize(
    "inbound",
    [
        "<set-variable name='x' value='1' colour='red' />",
        pytest.param(
            "<set-variable name='x' value='@(no.Such.Thing)' />",
            marks=known_difference(
                "resource-manager", "A policy expression that does not compile is refused."
            ),
        ),
    ],
)
async def test_a_policy_that_the_service_would_not_understand_is_refused(
    client: Client, product: str, inbound: str
) -> None:
    with pytest.raises(HttpResponseError, match="ValidationError"):
        await client.product_policy.create_or_update(*WHERE, product, "policy", raw(inbound))


async def test_comments_may_be_lost(standins: StandIns, client: Client, product: str) -> None:
    with options(standins, policy_comments_kept=False):
        await client.product_policy.create_or_update(
            *WHERE, product, "policy", PolicyContract(value=_WRITTEN)
        )
    assert (await client.product_policy.get(*WHERE, product, "policy")).value == _READ.format("")


async def test_a_policy_that_is_written_as_it_is_keeps_its_etag(client: Client, product: str) -> None:
    _, first = await client.product_policy.create_or_update(*WHERE, product, "policy", raw(""), cls=with_etag)
    read, second = await client.product_policy.get(*WHERE, product, "policy", format="rawxml", cls=with_etag)
    same = PolicyContract(value=read.value, format="rawxml")
    _, third = await client.product_policy.create_or_update(
        *WHERE, product, "policy", same, if_match=second, cls=with_etag
    )
    _, fourth = await client.product_policy.create_or_update(
        *WHERE, product, "policy", raw("<trace source='x' />"), cls=with_etag
    )
    assert first == second == third != fourth


async def test_a_raw_policy_keeps_its_expressions(client: Client, product: str) -> None:
    condition = """@(context.Request.Headers.GetValueOrDefault("x", "<(&") == "\\")" && 1 < 2)"""
    sent = raw(f"""<choose><when condition="{condition}">\
<set-body>@{{ return "a > b)"; }}</set-body></when></choose>""")
    await client.product_policy.create_or_update(*WHERE, product, "policy", sent)
    as_raw = await client.product_policy.get(*WHERE, product, "policy", format="rawxml")
    as_xml = await client.product_policy.get(*WHERE, product, "policy")
    assert f'condition="{condition}"' in as_raw.value
    assert '@{ return "a > b)"; }' in as_raw.value
    assert "&lt;(&amp;" in as_xml.value
    for read, format_ in ((as_raw, "rawxml"), (as_xml, "xml")):
        await client.product_policy.create_or_update(
            *WHERE, product, "policy", PolicyContract(value=read.value, format=format_)
        )
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
        (
            "\n<when condition='@(1 + (2)' />",
            "when",
            "line 2, column 18: The parentheses of the expression are not balanced",
        ),
        (
            "\n\n <set-backend-service backend-id='absent' />",
            "set-backend-service",
            "line 3, column 3: Backend with id 'absent' could not be found",
        ),
        ("<include-fragment fragment-id='absent' />", "include-fragment", "'absent' could not be found"),
        (
            "<llm-token-limit counter-key='k' estimate-prompt-tokens='true' />",
            "llm-token-limit",
            "tokens-per-minute",
        ),
        ("\n<set-heder name='x' />", "set-heder", "line 2, column 2: 'set-heder' is not a policy"),
        ("<set-variable name='x' value='{{absent}}' />", "set-variable", "Cannot find a property 'absent'"),
        (
            "<set-variable name='x' value='@(\"{{absent}}\")' />",
            "set-variable",
            "Cannot find a property 'absent'",
        ),
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
        await client.product_policy.create_or_update(
            *WHERE, product, "policy", raw("<!--" + "x" * 256 * 1024 + "-->")
        )


async def test_a_policy_may_name_a_backend_that_exists(client: Client, product: str) -> None:
    name = unique("team")
    await client.backend.create_or_update(*WHERE, name, a_backend())
    named = f'<set-backend-service backend-id="{name}" />'
    await client.product_policy.create_or_update(*WHERE, product, "policy", raw(named))
    assert named in (await client.product_policy.get(*WHERE, product, "policy")).value


async def test_the_service_a_product_an_api_and_an_operation_have_policies(
    client: Client, product: str, api: str
) -> None:
    of_all = await client.policy.get(*WHERE, "policy")
    assert "<forward-request />" in of_all.value
    assert [row.name async for row in client.policy.list_by_service(*WHERE)] == ["policy"]
    operation = (api, "chat-by-path")
    for operations, owner in (
        (client.product_policy, (product,)),
        (client.api_policy, (api,)),
        (client.api_operation_policy, operation),
    ):
        with pytest.raises(ResourceNotFoundError):
            await operations.get(*WHERE, *owner, "policy")
        _, etag = await operations.create_or_update(*WHERE, *owner, "policy", raw(""), cls=with_etag)
        assert await operations.get_entity_tag(*WHERE, *owner, "policy") is True
        await operations.delete(*WHERE, *owner, "policy", etag)
        with pytest.raises(ResourceNotFoundError):
            await operations.get(*WHERE, *owner, "policy")


async def test_a_fragment_is_kept_while_a_policy_includes_it(client: Client, product: str) -> None:
    name = unique("model")
    made, etag = await (
        await client.policy_fragment.begin_create_or_update(*WHERE, name, a_fragment(), cls=with_etag)
    ).result()
    assert made.name == name
    assert etag
    await client.product_policy.create_or_update(
        *WHERE, product, "policy", raw(f'<include-fragment fragment-id="{name}" />')
    )
    users = await client.policy_fragment.list_references(*WHERE, name)
    assert [user.id for user in users.value] == [f"{INSTANCE}/products/{product}/policies/policy"]
    with pytest.raises(HttpResponseError, match=f"/products/{product}/policies/policy") as refused:
        await client.policy_fragment.delete(*WHERE, name, "*")
    assert refused.value.status_code == 400
    await client.product_policy.delete(*WHERE, product, "policy", "*")
    await client.policy_fragment.delete(*WHERE, name, etag)
    with pytest.raises(ResourceNotFoundError):
        await client.policy_fragment.get(*WHERE, name)
    assert name not in [row.name async for row in client.policy_fragment.list_by_service(*WHERE)]


async def test_a_fragment_is_read_back_with_what_another_hand_put_into_it(client: Client) -> None:
    name = unique("model")
    for value in ("1", "by hand"):
        text = f'<set-variable name="v" value="{value}" />'
        await (await client.policy_fragment.begin_create_or_update(*WHERE, name, a_fragment(text))).result()
        found, etag = await client.policy_fragment.get(*WHERE, name, format="xml", cls=with_etag)
        assert f'value="{value}"' in found.value
        assert etag


@pytest.mark.parametrize(
    "content",
    [
        "<base />",
        "<inbound><base /></inbound>",
        "<include-fragment fragment-id='other' />",
        "<!--" + "x" * 32 * 1024 + "-->",
    ],
    ids=["base", "section", "fragment", "33 KB"],
)
async def test_a_fragment_holds_policies_only_and_32_kibibytes(client: Client, content: str) -> None:
    with pytest.raises(HttpResponseError, match="ValidationError") as refused:
        await client.policy_fragment.begin_create_or_update(*WHERE, unique("model"), a_fragment(content))
    assert refused.value.status_code == 400
