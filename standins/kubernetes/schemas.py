"""The schemas of the kinds, shortened to what matters here: names, types, defaults, what is required.

Workspaces: the CustomResourceDefinitions in https://github.com/kaito-project/kaito
(charts/kaito/workspace/crds) of v0.6.0 and v0.12.0; HTTPRoutes:
https://gateway-api.sigs.k8s.io/reference/spec/; the others:
https://kubernetes.io/docs/reference/kubernetes-api/.
"""

from __future__ import annotations

from dataclasses import replace

from standins.kubernetes.schema import (
    ANY,
    BOOLEAN,
    INTEGER,
    STRING,
    Schema,
    array,
    choice,
    mapping,
    optional,
    record,
)

_TEXTS = array(STRING)
_OWNER = record(
    {
        **dict.fromkeys(("apiVersion", "kind", "name", "uid"), STRING),
        "controller": BOOLEAN,
        "blockOwnerDeletion": BOOLEAN,
    },
    *("apiVersion", "kind", "name", "uid"),
)
METADATA = record(
    {
        **dict.fromkeys(("name", "generateName", "namespace", "uid", "resourceVersion", "selfLink"), STRING),
        **dict.fromkeys(("creationTimestamp", "deletionTimestamp"), STRING),
        **dict.fromkeys(("generation", "deletionGracePeriodSeconds"), INTEGER),
        **dict.fromkeys(("labels", "annotations"), mapping(STRING)),
        "finalizers": _TEXTS,
        "ownerReferences": array(_OWNER),
        "managedFields": ANY,
    }
)


def whole(**named: Schema) -> Schema:
    """An object with these fields besides `apiVersion`, `kind` and `metadata`."""
    return record({"apiVersion": STRING, "kind": STRING, "metadata": METADATA, **named})


_EXPRESSION = record({"key": STRING, "operator": STRING, "values": _TEXTS}, "key", "operator")
_SELECTOR = replace(optional(matchLabels=mapping(STRING), matchExpressions=array(_EXPRESSION)), atomic=True)


# Workspaces

_ADD_ON_INSTANCE = replace(STRING, default="Standard_NC24ads_A100_v4")
_PARTITION = record(
    {"mode": choice("mig", "accelerator"), "profile": STRING, "count": replace(INTEGER, minimum=1)}, "mode"
)
_SOURCE = optional(image=STRING, imagePullSecrets=_TEXTS, name=STRING, urls=_TEXTS, volumeSource=ANY)
_OUTPUT = optional(image=STRING, imagePushSecret=STRING, volumeSource=ANY)
_CONDITION_NAMES = ("lastTransitionTime", "message", "reason", "status", "type")
_CONDITION = record(
    {
        **dict.fromkeys(_CONDITION_NAMES, STRING),
        "status": choice("True", "False", "Unknown"),
        "observedGeneration": replace(INTEGER, minimum=0),
    },
    *_CONDITION_NAMES,
)
_METRIC = record(
    {"description": STRING, "value": STRING, "unit": STRING, "config": mapping(STRING)},
    "description",
    "value",
)


def _preset(**options: Schema) -> Schema:
    return record(
        {
            "name": STRING,
            "accessMode": choice("public", "private", default="public"),
            "presetOptions": optional(image=STRING, imagePullSecrets=_TEXTS, **options),
        },
        "name",
    )


def _workspace(preset: Schema, resource: dict[str, Schema], status: dict[str, Schema]) -> Schema:
    nodes = {"count": replace(INTEGER, default=1), "labelSelector": _SELECTOR, "preferredNodes": _TEXTS}
    adapters = array(optional(source=_SOURCE, strength=STRING))
    return whole(
        resource=record({**nodes, **resource}, "labelSelector"),
        inference=optional(preset=preset, template=ANY, config=STRING, adapters=adapters),
        tuning=record(
            {"preset": preset, "method": STRING, "config": STRING, "input": _SOURCE, "output": _OUTPUT},
            "input",
            "output",
        ),
        status=optional(conditions=array(_CONDITION), workerNodes=_TEXTS, **status),
    )


#: In both releases.
WORKSPACE_V1ALPHA1 = _workspace(_preset(), {"instanceType": _ADD_ON_INSTANCE}, {})
ADD_ON_WORKSPACE_V1BETA1 = _workspace(
    _preset(modelAccessSecret=STRING), {"instanceType": _ADD_ON_INSTANCE}, {}
)
WORKSPACE_V1BETA1 = _workspace(
    _preset(modelAccessSecret=STRING),
    {"instanceType": STRING, "partition": _PARTITION},
    {"state": STRING, "targetNodeCount": INTEGER, "performance": optional(metrics=mapping(_METRIC))},
)


def _of_release(
    *status: str, size: Schema = STRING, partition: bool = False, unreleased: bool = False
) -> Schema:
    """A workspace as `kaito.sh/v1beta1` declares it in one release."""
    known = {
        "targetNodeCount": INTEGER,
        "state": STRING,
        "performance": optional(metrics=mapping(_METRIC)),
    }
    resource = {"instanceType": size}
    resource |= {"partition": _PARTITION} if partition else {}
    resource |= {"unreleased": STRING} if unreleased else {}
    preset = _preset(modelAccessSecret=STRING)
    return _workspace(preset, resource, {name: known[name] for name in status})


#: By release. `next` stands for one that nobody knows yet: it has a field more.
WORKSPACES_V1BETA1 = {
    "0.6": ADD_ON_WORKSPACE_V1BETA1,
    "0.7": _of_release("targetNodeCount", size=_ADD_ON_INSTANCE),
    "0.8": _of_release("targetNodeCount"),
    "0.9": _of_release("targetNodeCount", "state"),
    "0.10": _of_release("targetNodeCount", "state", "performance"),
    "0.11": _of_release("targetNodeCount", "state", "performance"),
    "0.12": WORKSPACE_V1BETA1,
    "next": _of_release("targetNodeCount", "state", "performance", partition=True, unreleased=True),
}
#: The releases that serve InferenceSets in that version.
WITH_INFERENCE_SETS = ("0.11", "0.12", "next")

# What belongs to the platform

NAMESPACE = whole(spec=optional(finalizers=_TEXTS), status=ANY)
QUOTA = whole(spec=optional(hard=mapping(STRING), scopes=_TEXTS, scopeSelector=ANY), status=ANY)
_BLOCK = record({"cidr": STRING, "except": _TEXTS}, "cidr")
_PEERS = array(optional(podSelector=_SELECTOR, namespaceSelector=_SELECTOR, ipBlock=_BLOCK))
_PORTS = array(optional(port=ANY, endPort=INTEGER, protocol=STRING))
NETWORK_POLICY = whole(
    spec=optional(
        podSelector=_SELECTOR,
        policyTypes=_TEXTS,
        ingress=array(record({"from": _PEERS, "ports": _PORTS})),
        egress=array(record({"to": _PEERS, "ports": _PORTS})),
    )
)

_HEADER = record(
    {"name": STRING, "value": STRING, "type": choice("Exact", "RegularExpression", default="Exact")},
    "name",
    "value",
)
_ANY_PATH = {"type": "PathPrefix", "value": "/"}
_PATH = optional(
    type=choice("Exact", "PathPrefix", "RegularExpression", default="PathPrefix"),
    value=replace(STRING, default="/"),
)
_MATCH = optional(
    path=replace(_PATH, default=_ANY_PATH), headers=array(_HEADER), queryParams=array(_HEADER), method=STRING
)
_NEW_PATH = record(
    {
        "type": choice("ReplaceFullPath", "ReplacePrefixMatch"),
        "replaceFullPath": STRING,
        "replacePrefixMatch": STRING,
    },
    "type",
)
_MODIFIERS = (
    "requestHeaderModifier",
    "responseHeaderModifier",
    "requestMirror",
    "requestRedirect",
    "extensionRef",
)
_FILTER_TYPES = (
    "RequestHeaderModifier",
    "ResponseHeaderModifier",
    "RequestMirror",
    "RequestRedirect",
    "URLRewrite",
    "ExtensionRef",
)
_FILTERS = array(
    record(
        {
            "type": choice(*_FILTER_TYPES),
            "urlRewrite": optional(hostname=STRING, path=_NEW_PATH),
            **dict.fromkeys(_MODIFIERS, ANY),
        },
        "type",
    )
)
_PORT_NUMBER = replace(INTEGER, minimum=1)
_BACKEND = record(
    {
        **dict.fromkeys(("name", "namespace"), STRING),
        "port": _PORT_NUMBER,
        "filters": _FILTERS,
        "group": replace(STRING, default=""),
        "kind": replace(STRING, default="Service"),
        "weight": replace(INTEGER, default=1, minimum=0),
    },
    "name",
)
_PARENT = record(
    {
        **dict.fromkeys(("name", "namespace", "sectionName"), STRING),
        "port": _PORT_NUMBER,
        "group": replace(STRING, default="gateway.networking.k8s.io"),
        "kind": replace(STRING, default="Gateway"),
    },
    "name",
)
_RULE = optional(
    name=STRING,
    matches=replace(array(_MATCH), default=[{"path": _ANY_PATH}]),
    filters=_FILTERS,
    backendRefs=array(_BACKEND),
    timeouts=optional(request=STRING, backendRequest=STRING),
)
_RULES = replace(array(_RULE), default=[{"matches": [{"path": _ANY_PATH}]}])
HTTP_ROUTE = whole(spec=optional(parentRefs=array(_PARENT), hostnames=_TEXTS, rules=_RULES), status=ANY)

# Rights

_RIGHTS = array(
    record(
        dict.fromkeys(("verbs", "apiGroups", "resources", "resourceNames", "nonResourceURLs"), _TEXTS),
        "verbs",
    )
)
ROLE = whole(rules=_RIGHTS)
CLUSTER_ROLE = whole(rules=_RIGHTS, aggregationRule=ANY)
_SUBJECTS = array(record(dict.fromkeys(("kind", "name", "apiGroup", "namespace"), STRING), "kind", "name"))
_ROLE_REFERENCE = record(dict.fromkeys(("apiGroup", "kind", "name"), STRING), "apiGroup", "kind", "name")
BINDING = whole(roleRef=replace(_ROLE_REFERENCE, atomic=True), subjects=_SUBJECTS)
ADMISSION_POLICY = whole(spec=ANY, status=ANY)
ADMISSION_BINDING = whole(spec=ANY)
