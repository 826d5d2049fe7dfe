"""The forms of routes and of the network policy: which there are, and which stays."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace

import pytest

from shared.catalog.terms import Ability
from shared.gateway_api.controllers import HABITS, Controller, by_class, by_name, controller_of, proxies
from shared.gateway_api.observed import Parent
from shared.marker import Marker
from shared.resources.actual import Limit, Namespace, Route, Workspace
from shared.resources.desired import DesiredWorkspaces, Platform, compile_workspaces
from shared.resources.network_policy import PolicyForms, Step, form_to_have, policy_forms
from shared.resources.plan import UNREAD, Create, Plan, Update
from shared.resources.routes import PATHS, form_of, hostname_of, without_host
from shared.resources.workspace_plan import ActualWorkspaces, plan_workspaces
from shared.resources.workspaces import LIMITS, Cluster, Manifest, fixed_fields, labels_of
from tests.fakes.app import GPU, REPOSITORY, Asked, a_catalog
from tests.fakes.gateways import GATEWAY
from tests.resources.plans import steps_of

CLUSTER = Cluster("gateway-system/internal", "https://models.internal.contoso.com/", "istio")
REQUEST = Asked(dedicated={"phi-4": GPU, "mistral-7b": GPU}).read()
MARKER = Marker(REPOSITORY, "alpha", "a/access.yaml", "c" * 40)
BOTH = frozenset({"phi-4", "mistral-7b"})


def _desired(cluster: Cluster = CLUSTER) -> DesiredWorkspaces:
    return compile_workspaces(REQUEST, a_catalog(), Platform(REPOSITORY, "https://ai.contoso.com", cluster))


DESIRED = _desired()
assert DESIRED.policy is not None
FORMS: PolicyForms = DESIRED.policy


def _limit(manifest: Manifest) -> Limit:
    return Limit(manifest["kind"], manifest["metadata"]["name"], True, deepcopy(manifest["spec"]))


def _actual(routes: dict[str, Manifest], policy: Manifest | None, *, marked: bool = True) -> ActualWorkspaces:
    """A team that has all it asked for, with these routes and this policy."""
    marker = replace(MARKER, digest=DESIRED.digest if marked else "")
    quota = DESIRED.limits[0]
    return ActualWorkspaces(
        _home(marker),
        [
            Workspace(name, "1", fixed_fields(each), (), terminating=False, managed=True)
            for name, each in DESIRED.workspaces.items()
        ],
        [Route(name, True, deepcopy(each["spec"])) for name, each in routes.items()],
        [_limit(each) for each in (quota, policy) if each is not None],
    )


def _home(marker: Marker) -> Namespace:
    return Namespace("team-alpha", "3", terminating=False, marker=marker, labels=labels_of(MARKER))


def _plan(actual: ActualWorkspaces, due: frozenset[str] = frozenset(), policy: Step = "stays") -> Plan:
    marker = replace(MARKER, digest=DESIRED.digest)
    return plan_workspaces(DESIRED, marker, actual, due=due, policy=policy)


def _policies(plan: Plan) -> list[Manifest]:
    """The network policies that a plan writes."""
    written = [each for each in plan if isinstance(each, Create | Update) and each.kind == "limits"]
    return [each.body for each in written if each.body["kind"] == "NetworkPolicy"]


@pytest.mark.parametrize(
    ("url", "host"),
    [
        ("https://models.internal.contoso.com/", "models.internal.contoso.com"),
        ("http://Models.Contoso.COM:8080/", "models.contoso.com"),
        ("http://localhost:8443", "localhost"),
        ("http://10.224.0.9/", None),
        ("http://[fd00::9]:80/", None),
        ("http://gpu_models.contoso.com/", None),
        ("http://models.contoso.com./", "models.contoso.com"),
    ],
)
def test_a_route_names_the_host_of_its_address_unless_it_is_an_ip(url: str, host: str | None) -> None:
    spec = _desired(replace(CLUSTER, url=url)).routes["phi-4"]["spec"]
    assert hostname_of(url) == host
    assert spec.get("hostnames") == (None if host is None else [host])


def test_the_form_of_a_route_is_known_by_its_rules() -> None:
    exact, prefix = DESIRED.routes["phi-4"]["spec"], DESIRED.earlier_routes["phi-4"]["spec"]
    moved = {**exact, "hostnames": ["elsewhere"], "parentRefs": []}
    unnamed, silent = ({**exact, "rules": rules} for rules in (exact["rules"][:-1], exact["rules"][1:]))
    doubled = {**exact, "rules": [*exact["rules"], exact["rules"][0]]}
    for spec, name, form in (
        (exact, "phi-4", "exact"),
        (moved, "phi-4", "exact"),
        (prefix, "phi-4", "prefix"),
        (silent, "phi-4", "exact"),
        (unnamed, "phi-4", "other"),
        (doubled, "phi-4", "other"),
        (exact, "phi-3", "other"),
        ({}, "phi-4", "other"),
    ):
        assert form_of(spec, "team-alpha", name) == form


CHAT_PATHS = ["/v1/chat/completions", "/v1/models"]


def _serving(*abilities: Ability) -> DesiredWorkspaces:
    """With a catalogue that says what its models serve."""
    catalog = a_catalog()
    models = tuple(replace(each, serves=frozenset(abilities)) for each in catalog.models)
    platform = Platform(REPOSITORY, "https://ai.contoso.com", CLUSTER)
    return compile_workspaces(REQUEST, replace(catalog, models=models), platform)


def _replaced(manifest: Manifest) -> list[str]:
    return [each["filters"][0]["urlRewrite"]["path"]["replaceFullPath"] for each in manifest["spec"]["rules"]]


def test_a_route_opens_what_its_model_serves_and_its_name() -> None:
    assert _replaced(_serving("chat", "tools").routes["phi-4"]) == CHAT_PATHS
    every = _serving("images", "completions", "responses", "embeddings", "chat")
    assert _replaced(every.routes["phi-4"]) == list(PATHS)
    assert _serving("chat").digest == DESIRED.digest


@pytest.mark.parametrize("host", [True, False])
@pytest.mark.parametrize("release", ["of five paths", "of today"])
def test_a_wide_route_stays_and_a_narrow_one_is_written(release: str, host: bool) -> None:
    chat = _serving("chat")
    routes = {"of five paths": DESIRED, "of today": chat}[release].routes
    standing = routes if host else {name: without_host(each) for name, each in routes.items()}
    marker = replace(MARKER, digest=DESIRED.digest)
    assert list(plan_workspaces(chat, marker, _actual(standing, FORMS.narrow))) == []
    wider = _serving("chat", "embeddings")
    written = [each.name for each in plan_workspaces(wider, marker, _actual(standing, FORMS.narrow))]
    assert written == ([] if release == "of five paths" else ["mistral-7b", "phi-4"])


def test_a_wide_route_that_was_edited_gets_what_its_model_serves() -> None:
    chat, edited = _serving("chat"), deepcopy(DESIRED.routes)
    edited["phi-4"]["spec"]["parentRefs"] = []
    edited["mistral-7b"]["spec"]["rules"][0]["timeouts"]["request"] = "9s"
    plan = plan_workspaces(chat, replace(MARKER, digest=chat.digest), _actual(edited, FORMS.narrow))
    assert {each.name: each.body for each in plan if isinstance(each, Create)} == chat.routes


def test_a_route_has_fewer_rules_than_are_allowed() -> None:
    assert len(DESIRED.routes["phi-4"]["spec"]["rules"]) <= 16


@pytest.mark.parametrize("marked", [True, False])
def test_an_earlier_form_stays_and_so_does_todays(marked: bool) -> None:
    for routes in (DESIRED.earlier_routes, DESIRED.routes):
        for policy in (FORMS.earlier, FORMS.wide, FORMS.narrow):
            steps = steps_of(_plan(_actual(routes, policy, marked=marked)))
            written = [each for step in steps for each in step if "namespace" not in each]
            assert written == []


@pytest.mark.parametrize("policy", [FORMS.earlier, FORMS.wide])
def test_a_due_route_is_one_write_and_no_marker_is(policy: Manifest) -> None:
    actual = _actual(DESIRED.earlier_routes, policy)
    plan = _plan(actual, frozenset({"phi-4"}))
    assert list(plan) == [Create("route", "phi-4", DESIRED.routes["phi-4"])]
    assert not _plan(_actual({**DESIRED.earlier_routes, "phi-4": DESIRED.routes["phi-4"]}, policy))
    assert not _plan(_actual(DESIRED.routes, policy), BOTH)


def test_what_is_missing_or_edited_gets_todays_form() -> None:
    elsewhere = {**DESIRED.earlier_routes["phi-4"]["spec"], "parentRefs": [{"name": "public"}]}
    edited = {"phi-4": {"spec": elsewhere}, "mistral-7b": DESIRED.earlier_routes["mistral-7b"]}
    missing = {"mistral-7b": DESIRED.earlier_routes["mistral-7b"]}
    for routes in (edited, missing):
        written = [each for each in _plan(_actual(routes, FORMS.earlier)) if each.kind == "route"]
        assert written == [Create("route", "phi-4", DESIRED.routes["phi-4"])]


def test_without_a_kind_that_is_needed_nothing_is_brought_to_todays_form() -> None:
    actual = replace(_actual(DESIRED.earlier_routes, FORMS.earlier), routes=UNREAD)
    assert not _plan(actual, BOTH, "wide")


@pytest.mark.parametrize(
    ("standing", "step", "written"),
    [
        (FORMS.earlier, "wide", FORMS.wide),
        (FORMS.wide, "wide", None),
        (FORMS.wide, "narrow", FORMS.narrow),
        (FORMS.narrow, "narrow", None),
        (FORMS.narrow, "wide", FORMS.wide),
        (None, "stays", FORMS.wide),
        ({**FORMS.narrow, "spec": {"podSelector": {}}}, "stays", FORMS.wide),
    ],
)
def test_a_policy_is_widened_before_it_is_narrowed(
    standing: Manifest | None, step: Step, written: Manifest | None
) -> None:
    plan = _plan(_actual(DESIRED.routes, standing), policy=step)
    assert _policies(plan) == [each for each in (written,) if each is not None]
    assert bool(plan) == (written is not None)


def test_a_namespace_in_which_nothing_serves_gets_the_narrow_policy() -> None:
    plan = plan_workspaces(DESIRED, replace(MARKER, digest=DESIRED.digest), ActualWorkspaces())
    assert _policies(plan) == [FORMS.narrow]


def test_without_a_known_controller_the_policy_is_as_before() -> None:
    forms = policy_forms(MARKER, replace(CLUSTER, controller=None))
    assert forms.earlier == forms.wide == forms.narrow == policy_forms(MARKER, CLUSTER).earlier


@pytest.mark.parametrize("controller", HABITS)
@pytest.mark.parametrize("form", ["wide", "narrow"])
def test_a_policy_of_any_controller_stays_while_none_is_known(controller: Controller, form: str) -> None:
    standing = getattr(policy_forms(MARKER, replace(CLUSTER, controller=controller)), form)
    seen = [Limit("NetworkPolicy", LIMITS["NetworkPolicy"], managed=True, spec=standing["spec"])]
    unknown = policy_forms(MARKER, replace(CLUSTER, controller=None))
    assert form_to_have(unknown, seen, "stays", serves=True) == standing


def test_a_policy_of_another_controller_is_widened_and_closes_nothing() -> None:
    other = policy_forms(MARKER, replace(CLUSTER, controller="envoy-gateway")).narrow
    seen = [Limit("NetworkPolicy", LIMITS["NetworkPolicy"], managed=True, spec=other["spec"])]
    forms = policy_forms(MARKER, replace(CLUSTER, controller="istio"))
    assert form_to_have(forms, seen, "stays", serves=True) == forms.wide


@pytest.mark.parametrize(
    ("controller", "home", "labels"),
    [
        ("istio", "gateway-system", {"gateway.networking.k8s.io/gateway-name": "internal"}),
        ("nginx", "gateway-system", {"gateway.networking.k8s.io/gateway-name": "internal"}),
        (
            "envoy-gateway",
            "envoy-gateway-system",
            {
                "gateway.envoyproxy.io/owning-gateway-name": "internal",
                "gateway.envoyproxy.io/owning-gateway-namespace": "gateway-system",
            },
        ),
    ],
)
def test_the_proxies_of_each_controller_are_let_in(
    controller: Controller, home: str, labels: dict[str, str]
) -> None:
    peer = proxies(controller, "gateway-system/internal")
    assert peer["namespaceSelector"] == {"matchLabels": {"kubernetes.io/metadata.name": home}}
    assert peer["podSelector"] == {"matchLabels": labels}
    team, server = policy_forms(MARKER, replace(CLUSTER, controller=controller)).narrow["spec"]["ingress"]
    assert team == {"from": [{"podSelector": {}}]}
    assert server == {"from": [peer], "ports": [{"protocol": "TCP", "port": 5000}]}


def test_markers_vouch_for_every_form() -> None:
    for controller in (None, *HABITS):
        assert _desired(replace(CLUSTER, controller=controller)).digest == DESIRED.digest
    earlier = replace(
        DESIRED,
        routes=DESIRED.earlier_routes,
        limits=(DESIRED.limits[0], FORMS.earlier),
        earlier_routes={},
        policy=None,
    )
    assert earlier.digest == DESIRED.digest
    moved = replace(CLUSTER, gateway="gateway-system/other")
    assert _desired(moved).digest != DESIRED.digest


def test_a_controller_is_known_by_its_name_and_else_by_the_class() -> None:
    assert {by_name(each.name) for each in HABITS.values()} == HABITS.keys()
    assert (by_name("example.com/other"), by_class("nobody")) == (None, None)
    said = (Parent("elsewhere/main", HABITS["istio"].name), Parent(GATEWAY.name, HABITS["nginx"].name))
    assert controller_of(GATEWAY, said) == "nginx"
    assert controller_of(GATEWAY) == "istio"
    assert controller_of(None) is None
