"""The policies of the gateway, compiled as XML trees: https://learn.microsoft.com/azure/api-management/api-management-policies

Nothing is concatenated: an XML library writes every element and escapes every value, so the policies are sent as `xml`, not
`rawxml`. The gateway also *evaluates* `@(...)` and `{{...}}`, which no escaping prevents. So only names and URLs that passed a strict
character set, and numbers, reach a policy; `literal` checks that once more.

The gateway runs product policies before API policies. The product decides whether and how much, the API decides where to.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from xml.etree.ElementTree import Element, ParseError, SubElement, fromstring, indent, tostring

from shared.domain.catalog import Catalog, CatalogModel
from shared.domain.names import FRAGMENT, backend, product, shared_backend
from shared.domain.request import AccessRequest, ModelAccess

#: For whom the gateway's own identity asks for a token when it calls a Foundry model.
FOUNDRY_AUDIENCE = "https://cognitiveservices.azure.com"

_DIGEST = "mergekey-digest"
_LITERAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/ -]*")

_FIND_MODEL = """@{
    var inPath = context.Request.MatchedParameters.GetValueOrDefault("deployment-id", "");
    var inBody = "";
    var text = context.Request.Body == null ? "" : context.Request.Body.As<string>(preserveContent: true);
    if (!string.IsNullOrEmpty(text)) {
        try { inBody = (string)JObject.Parse(text)["model"] ?? ""; } catch (Exception) { inBody = ""; }
    }
    if (inPath != "" && inBody != "" && inPath != inBody) { return "!contradiction"; }
    return inPath != "" ? inPath : inBody;
}"""

_SERVE_MODEL = """@{
    var body = context.Request.Body.As<JObject>(preserveContent: true);
    body["model"] = (string)context.Variables["served-model"];
    return body.ToString();
}"""


def literal(value: str) -> str:
    """A value that may stand in an expression of a policy. Raises ValueError for anything that could end the text or start code."""
    if not _LITERAL.fullmatch(value):
        raise ValueError(f"not allowed in a policy: {value!r}")
    return value


def requested_model_fragment() -> str:
    """The fragment that finds the model in the path or in the body; both given and different is a bad request."""
    root = Element("fragment")
    SubElement(root, "set-variable", name="requested-model", value=_FIND_MODEL)
    when = _when(SubElement(root, "choose"), '(string)context.Variables["requested-model"] == "!contradiction"')
    _refuse(when, 400, "The path and the body of the request name different models.")
    return _text(root)


def product_policy(request: AccessRequest) -> str:
    """What the team may call, and how much of it."""
    root, inbound = _policies()
    SubElement(inbound, "include-fragment", {"fragment-id": FRAGMENT})
    if request.tokens_per_minute is not None or request.daily_token_quota is not None:
        daily = None if request.daily_token_quota is None else (request.daily_token_quota, "Daily")
        _token_limit(inbound, literal(request.team), request.tokens_per_minute, daily)
    choose = SubElement(inbound, "choose")
    for model in request.models:
        _grant(_when(choose, f'(string)context.Variables["requested-model"] == "{literal(model.name)}"'), request, model)
    names = ", ".join(literal(model.name) for model in request.models)
    _refuse(SubElement(choose, "otherwise"), 403, f"This key is not for that model. It is for: {names}.")
    return _sealed(root, inbound)


def api_policy(catalog: Catalog) -> str:
    """Where a granted model is served. Refuses what no product decided, and lets no key of a client through to a backend."""
    root, inbound = _policies()
    undecided = _when(SubElement(inbound, "choose"), '!context.Variables.ContainsKey("granted-model")')
    _refuse(undecided, 403, "This key belongs to no team.")
    for name in ("api-key", "Authorization"):
        SubElement(inbound, "set-header", {"name": name, "exists-action": "delete"})
    SubElement(inbound, "set-query-parameter", {"name": "api-key", "exists-action": "delete"})
    choose = SubElement(inbound, "choose")
    for model in catalog.models:
        _serve(_when(choose, f'(string)context.Variables["granted-model"] == "{literal(model.name)}"'), model)
    _refuse(SubElement(choose, "otherwise"), 403, "This model is no longer served.")
    SubElement(inbound, "set-body").text = _SERVE_MODEL
    ending = '@(context.Request.Url.Path.EndsWith("/embeddings") ? "/embeddings" : "/chat/completions")'
    SubElement(inbound, "rewrite-uri", {"template": ending, "copy-unmatched-params": "false"})
    return _sealed(root, inbound)


def digest_of(policy: str) -> str:
    """The digest that a policy of ours carries; empty for any other, and for one that was edited since.

    It is over the canonical form, so it survives the gateway's own way of writing XML.
    """
    try:
        root = fromstring(policy)  # noqa: S314 - what the gateway holds was written by who may write policies: no stranger's XML
    except ParseError:
        return ""
    inbound = root.find("inbound")
    carried = None if inbound is None else inbound.find(f"set-variable[@name='{_DIGEST}']")
    if inbound is None or carried is None:
        return ""
    inbound.remove(carried)
    value = carried.get("value", "")
    return value if value == _digest(root) else ""


def _sealed(root: Element, inbound: Element) -> str:
    """The text, with the digest of all the rest as its first variable: so the gateway can tell which policy it has."""
    inbound.insert(1, Element("set-variable", name=_DIGEST, value=_digest(root)))
    return _text(root)


def _digest(root: Element) -> str:
    return hashlib.sha256(json.dumps(_canonical(root)).encode()).hexdigest()


def _canonical(element: Element) -> list[object]:
    """What a policy says, without how it is written: order of attributes, quotes, comments, whitespace."""
    attributes = sorted((name, _collapsed(value)) for name, value in element.items())
    return [element.tag, attributes, _collapsed(element.text), [_canonical(child) for child in element]]


def _collapsed(text: str | None) -> str:
    return " ".join((text or "").split())


def _grant(when: Element, request: AccessRequest, model: ModelAccess) -> None:
    quota = None if model.token_quota is None else (model.token_quota.tokens, model.token_quota.period)
    if model.tokens_per_minute is not None or quota is not None:
        _token_limit(when, f"{literal(request.team)}:{literal(model.name)}", model.tokens_per_minute, quota)
    metric = SubElement(when, "llm-emit-token-metric", namespace="mergekey")
    for name, value in _dimensions(request, model):
        SubElement(metric, "dimension", name=name, value=value)
    SubElement(when, "set-variable", name="granted-model", value=literal(model.name))
    if model.instance_type is not None:
        SubElement(when, "set-variable", name="dedicated", value="yes")
        SubElement(when, "set-backend-service", {"backend-id": backend(request.team, model.name)})


def _dimensions(request: AccessRequest, model: ModelAccess) -> Iterable[tuple[str, str]]:
    yield "Team", literal(request.team)
    yield "Model", literal(model.name)
    if request.cost_center is not None and _LITERAL.fullmatch(request.cost_center):
        yield "Cost centre", request.cost_center
    yield "Product", product(request.team)


def _serve(when: Element, model: CatalogModel) -> None:
    SubElement(when, "set-variable", name="served-model", value=literal(model.served_name))
    if model.endpoint is None:
        return
    shared = _when(SubElement(when, "choose"), '!context.Variables.ContainsKey("dedicated")')
    if model.provider == "foundry":
        SubElement(shared, "authentication-managed-identity", resource=FOUNDRY_AUDIENCE)
    SubElement(shared, "set-backend-service", {"backend-id": shared_backend(model.name)})


def _token_limit(parent: Element, counter: str, per_minute: int | None, quota: tuple[int, str] | None) -> None:
    """One counter per key whatever the scope, so the key names the team. A limit per minute answers 429, a quota 403."""
    limits = {"counter-key": counter, "estimate-prompt-tokens": "false"}
    if per_minute is not None:
        limits |= {"tokens-per-minute": str(per_minute), "remaining-tokens-header-name": "x-remaining-tokens"}
    if quota is not None:
        limits |= {"token-quota": str(quota[0]), "token-quota-period": quota[1]}
    SubElement(parent, "llm-token-limit", limits)


def _policies() -> tuple[Element, Element]:
    root = Element("policies")
    inbound = SubElement(root, "inbound")
    SubElement(inbound, "base")
    for section in ("backend", "outbound", "on-error"):
        SubElement(SubElement(root, section), "base")
    return root, inbound


def _when(choose: Element, condition: str) -> Element:
    return SubElement(choose, "when", condition=f"@({condition})")


def _refuse(parent: Element, status: int, message: str) -> None:
    """Answer in the form that OpenAI clients show to people."""
    response = SubElement(parent, "return-response")
    SubElement(response, "set-status", code=str(status), reason={400: "Bad Request", 403: "Forbidden"}[status])
    header = SubElement(response, "set-header", {"name": "Content-Type", "exists-action": "override"})
    SubElement(header, "value").text = "application/json"
    code = {400: "bad_request", 403: "model_not_allowed"}[status]
    SubElement(response, "set-body").text = f'{{"error": {{"code": "{code}", "message": "{message}"}}}}'


def _text(root: Element) -> str:
    indent(root, "    ")
    return tostring(root, encoding="unicode", short_empty_elements=True)
