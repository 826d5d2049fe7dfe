"""The order in which differences are written, and what is not written at all."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.domain.actual import ActualBackend, ActualNamedValue, Api, Policy, Product, Route, Workspace
from shared.domain.backends import Backend, Credential, NamedValue, PoolMember
from shared.domain.catalog import Breaker
from shared.domain.desired import DesiredCatalog, DesiredGateway, DesiredWorkspaces, compile_catalog, compile_workspaces
from shared.domain.marker import Marker
from shared.domain.plan import (
    ActualCatalog,
    ActualGateway,
    Create,
    Plan,
    Update,
    plan_catalog,
    plan_cleaning,
    plan_gateway,
    plan_workspaces,
)
from shared.domain.policy import product_policy
from shared.domain.policy_xml import digest_of, meaning_of
from shared.domain.workspace import fixed_fields
from shared.errors import NotManaged
from tests.fakes.app import GPU, LARGER_GPU, REPOSITORY, Asked, FakeApp, a_catalog, path_of
from tests.fakes.clock import START

OWN = Backend("team-alpha--phi-4", "https://models/team-alpha/phi-4/v1")
TEXT = product_policy(Asked().read(), a_catalog())
GATEWAY = DesiredGateway("team-alpha", "Team Alpha", TEXT, ())
#: The team's policy as it should be, and another one.
KNOWN, OLD = Policy('"1"', digest_of(TEXT)), Policy('"1"', "other")
MARKER = Marker(REPOSITORY, "alpha", path_of("alpha"), "c" * 40, "d" * 64)
OTHERS = Marker(REPOSITORY, "bravo", path_of("bravo"), "c" * 40)


def _product(marker: Marker | None, published: bool = True) -> Product:
    return Product("team-alpha", '"p1"', "Team Alpha", published, marker)


def _backend(name: str, url: str = OWN.url, marker: Marker | None = MARKER) -> ActualBackend:
    return ActualBackend(name, '"b1"', url, marker and Backend(name, url).sealed(marker))


def _plan(desired: DesiredGateway, marker: Marker, product: Product | None, policy: Policy | None, backends: list[ActualBackend]) -> Plan:
    return plan_gateway(desired, marker, ActualGateway(product, policy, tuple(backends)))


def _steps(plan: Plan) -> list[list[str]]:
    return [sorted(str(Plan(((change,),))) for change in step) for step in plan.steps]


def test_a_new_team_is_product_policy_link_marker_in_this_order() -> None:
    assert _steps(_plan(GATEWAY, MARKER, None, None, [])) == [
        ["create product team-alpha"],
        ["create administrator subscription team-alpha", "update product policy team-alpha"],
        ["create product link team-alpha"],
        ["update product marker team-alpha"],
    ]


def test_backends_stand_before_the_policy_that_names_them() -> None:
    steps = _steps(_plan(replace(GATEWAY, backends=(OWN,)), MARKER, None, None, []))
    assert "create backend team-alpha--phi-4" in steps[1]
    assert steps[2] == ["update product policy team-alpha"]


def test_a_product_that_was_deleted_after_its_policy_was_read_gets_a_policy_before_its_door_is_opened() -> None:
    assert _steps(_plan(GATEWAY, MARKER, None, KNOWN, [])) == _steps(_plan(GATEWAY, MARKER, None, None, []))


def test_what_is_no_longer_wanted_goes_after_the_policy_that_named_it() -> None:
    plan = _plan(GATEWAY, MARKER, _product(replace(MARKER, digest="e" * 64)), OLD, [_backend("team-alpha--phi-4")])
    assert _steps(plan) == [
        ["update product policy team-alpha"],
        ["delete backend team-alpha--phi-4"],
        ["update product marker team-alpha"],
    ]


def test_a_finished_product_keeps_its_link() -> None:
    assert _steps(_plan(GATEWAY, MARKER, _product(replace(MARKER, digest="e" * 64)), OLD, [])) == [
        ["update product policy team-alpha"],
        ["update product marker team-alpha"],
    ]


def test_an_unfinished_product_gets_everything_but_its_creation() -> None:
    plan = _plan(GATEWAY, MARKER, _product(MARKER.unfinished(), published=False), OLD, [])
    assert _steps(plan)[0] == ["create administrator subscription team-alpha", "update product policy team-alpha"]
    assert ["create product link team-alpha"] in _steps(plan)


def test_what_nobody_has_looked_at_is_vouched_for_by_the_marker() -> None:
    wanted = replace(GATEWAY, backends=(OWN,))
    assert not plan_gateway(wanted, MARKER, ActualGateway(_product(MARKER), KNOWN))
    looked = ActualGateway(_product(MARKER), KNOWN, backends=(), linked=False)
    assert _steps(plan_gateway(wanted, MARKER, looked)) == [["create backend team-alpha--phi-4"], ["create product link team-alpha"]]


def test_a_product_that_is_open_is_closed_whatever_its_marker_says() -> None:
    opened = replace(_product(MARKER), subscription_required=False)
    plan = _plan(GATEWAY, MARKER, opened, KNOWN, [])
    assert _steps(plan) == [["update product team-alpha"]]
    assert [getattr(change, "tag", None) for change in plan] == [opened.etag]


@pytest.mark.parametrize("marker", [replace(MARKER, digest="e" * 64), MARKER.unfinished(), replace(MARKER, withdrawn=START)])
def test_an_open_product_is_closed_before_anything_that_may_fail(marker: Marker) -> None:
    steps = _steps(_plan(GATEWAY, MARKER, replace(_product(marker), subscription_required=False), OLD, []))
    assert steps[0] == ["update product team-alpha"]
    assert steps[1:] == _steps(_plan(GATEWAY, MARKER, _product(marker), OLD, []))


def test_nothing_differs_and_nothing_is_planned() -> None:
    plan = _plan(GATEWAY, MARKER, _product(replace(MARKER, commit="e" * 40)), KNOWN, [])
    assert not plan
    assert str(plan) == ""
    assert list(plan) == []


@pytest.mark.parametrize(
    "product",
    [_product(replace(MARKER, withdrawn=START)), _product(replace(MARKER, path="elsewhere")), _product(MARKER, published=False)],
    ids=["withdrawn", "moved", "unpublished"],
)
def test_only_the_seal_is_renewed_when_only_the_seal_differs(product: Product) -> None:
    assert _steps(_plan(GATEWAY, MARKER, product, KNOWN, [])) == [["update product marker team-alpha"]]


@pytest.mark.parametrize("policy", [OLD, None], ids=["another", "none"])
def test_a_policy_that_is_not_the_one_that_the_marker_vouches_for_is_written_again(policy: Policy | None) -> None:
    assert _steps(_plan(GATEWAY, MARKER, _product(MARKER), policy, [])) == [["update product policy team-alpha"]]


def test_a_policy_that_stands_already_is_not_written_again() -> None:
    plan = _plan(GATEWAY, MARKER, _product(replace(MARKER, digest="e" * 64)), KNOWN, [])
    assert _steps(plan) == [["update product marker team-alpha"]]


def test_writes_carry_the_tags_that_were_read() -> None:
    desired = replace(GATEWAY, backends=(OWN,))
    plan = _plan(desired, MARKER, _product(MARKER.unfinished()), Policy('"policy"', ""), [_backend(OWN.name, "https://elsewhere/v1")])
    tags = {change.kind: getattr(change, "tag", None) for change in plan}
    assert (tags["product policy"], tags["product marker"], tags["backend"]) == ('"policy"', '"p1"', '"b1"')


def test_a_backend_of_somebody_else_is_neither_changed_nor_deleted() -> None:
    with pytest.raises(NotManaged):
        _plan(replace(GATEWAY, backends=(OWN,)), MARKER, None, None, [_backend(OWN.name, marker=OTHERS)])
    plan = _plan(GATEWAY, MARKER, None, None, [_backend("team-alpha--x", marker=OTHERS), _backend("team-alpha--y", marker=None)])
    assert "backend" not in str(plan)


def test_a_plan_says_nothing_of_what_it_writes() -> None:
    plan = _plan(replace(GATEWAY, policy="<secret/>"), MARKER, None, None, [])
    assert "secret" not in repr(plan) + str(plan)


@given(st.booleans(), st.booleans(), st.booleans(), st.sampled_from(["", "d" * 64, "e" * 64, None]))
def test_the_marker_is_always_last_and_alone(wants: bool, has: bool, published: bool, digest: str | None) -> None:
    desired = replace(GATEWAY, backends=(OWN,) if wants else ())
    product = None if digest is None else _product(replace(MARKER, digest=digest), published)
    plan = _plan(desired, MARKER, product, None, [_backend(OWN.name)] if has else [])
    kinds = [[change.kind for change in step] for step in plan.steps]
    assert all("product marker" not in step for step in kinds[:-1])
    assert "product marker" not in kinds[-1] or len(kinds[-1]) == 1


# ------------------------------------------------------------------------------------------------------------ the catalogue

CATALOG = compile_catalog(a_catalog(), FakeApp().platform)
RULES = Policy('"1"', digest_of(CATALOG.policy))
SAID = meaning_of(CATALOG.fragment)
SEAL = Marker(REPOSITORY, "catalogue", "platform/config/model_catalog.yaml", "c" * 40, CATALOG.digest)


def _catalog_plan(desired: DesiredCatalog, api: Api | None, *backends: ActualBackend) -> list[list[str]]:
    return _steps(plan_catalog(desired, SEAL, ActualCatalog(api, OLD if api is None or api.marker != SEAL else RULES, backends)))


def test_a_new_api_has_its_operations_before_its_policy_and_its_policy_before_its_marker() -> None:
    first, *rest = _catalog_plan(CATALOG, None)
    assert first == [
        "create backend shared--gpt-4-1",
        "create backend shared--phi-4",
        "create backend shared--text-embedding-3-large",
        "create policy fragment requested-model",
        "update api ai",
    ]
    assert rest == [["update api policy ai"], ["update api marker ai"]]


def test_an_api_that_is_imported_again_keeps_its_marker_until_all_is_written() -> None:
    known = Api('"api"', "other", replace(SEAL, digest="old"))
    writes = {change.kind: change for change in plan_catalog(CATALOG, SEAL, ActualCatalog(known, OLD, _shared()))}
    api, policy, marker = writes["api"], writes["api policy"], writes["api marker"]
    assert isinstance(api, Update)
    assert isinstance(policy, Update)
    assert isinstance(marker, Update)
    assert (api.tag, api.body) == ('"api"', (CATALOG, known.marker))
    assert (policy.tag, policy.body) == (OLD.etag, CATALOG.policy)
    assert (marker.name, marker.body) == ("ai", SEAL)
    [first, *_] = plan_catalog(CATALOG, SEAL, ActualCatalog(None, None, ()))
    assert isinstance(first, Update)
    assert (first.kind, first.tag, first.body) == ("api", None, (CATALOG, SEAL.unfinished()))


def test_what_cannot_be_changed_in_a_workspace_is_its_type_its_label_and_its_preset() -> None:
    manifest = _desired(phi_4=GPU).workspaces["phi-4"]
    labels = {"matchLabels": {"apps": "team-alpha--phi-4"}}
    assert fixed_fields(manifest) == {"instanceType": GPU, "labelSelector": labels, "preset": "phi-4", "accessSecret": None}
    assert fixed_fields({}) == {"instanceType": None, "labelSelector": None, "preset": None, "accessSecret": None}


def test_a_backend_that_the_catalogue_does_not_name_goes_even_when_the_marker_vouches_for_the_rest() -> None:
    old = ActualBackend("shared--old", '"1"', "https://old/v1", SEAL)
    plan = plan_cleaning(CATALOG, SEAL, ActualCatalog(Api('"1"', CATALOG.api_digest, SEAL), RULES, (*_shared(), old)))
    assert _steps(plan) == [["delete backend shared--old"]]


def test_an_api_that_is_as_it_should_be_is_left_alone() -> None:
    plan = plan_catalog(CATALOG, SEAL, ActualCatalog(Api('"1"', CATALOG.api_digest, SEAL), RULES, _shared(), fragment=SAID))
    assert not plan


@pytest.mark.parametrize(
    "changed", [{"subscription_required": False}, {"key_names": ("x-key", "api-key")}, {"key_names": ("api-key", "key")}]
)
def test_an_api_that_does_not_ask_for_keys_as_it_should_is_told_to_without_being_imported(changed: dict[str, Any]) -> None:
    known = replace(Api('"1"', CATALOG.api_digest, SEAL), **changed)
    assert _steps(plan_catalog(CATALOG, SEAL, ActualCatalog(known, RULES, _shared(), fragment=SAID))) == [["update api marker ai"]]


def test_operations_that_are_not_those_that_the_marker_vouches_for_are_imported_again() -> None:
    assert "update api ai" in str(_catalog_plan(CATALOG, Api('"1"', "edited", SEAL)))


def test_an_api_heals_what_its_marker_vouches_for_and_is_not_there() -> None:
    plan = plan_catalog(CATALOG, SEAL, ActualCatalog(Api('"1"', CATALOG.api_digest, SEAL), OLD, _shared()[1:]))
    assert _steps(plan) == [["create backend shared--gpt-4-1", "create policy fragment requested-model"], ["update api policy ai"]]


def _shared(desired: DesiredCatalog = CATALOG) -> tuple[ActualBackend, ...]:
    return tuple(ActualBackend(each.name, '"1"', each.url, each.sealed(SEAL), each.breaker, each.members) for each in desired.backends)


def test_operations_are_imported_again_only_when_they_differ() -> None:
    known = Api('"1"', CATALOG.api_digest, replace(SEAL, digest="old"))
    assert "update api ai" not in str(_catalog_plan(CATALOG, known))
    assert "update api ai" in str(_catalog_plan(CATALOG, replace(known, operations="other")))


#: A pool of two, one of which needs a secret.
POOLED = replace(
    CATALOG,
    backends=(
        Backend("shared--m--a", "https://a/v1", credential=Credential("credential--key")),
        Backend("shared--m--b", "https://b/v1", breaker=Breaker(3, 60, 30)),
        Backend("shared--m", members=(PoolMember("shared--m--a", 90, 1), PoolMember("shared--m--b", 10, 1))),
    ),
    named_values=(NamedValue("credential--key", "https://vault/secrets/key"),),
)
VALUES = (ActualNamedValue("credential--key", '"v1"', "https://vault/secrets/key", ours=True),)


def _cleaning(desired: DesiredCatalog, backends: tuple[ActualBackend, ...], values: tuple[ActualNamedValue, ...] = ()) -> list[list[str]]:
    return _steps(plan_cleaning(desired, SEAL, ActualCatalog(None, None, backends, values)))


def test_secrets_stand_before_backends_and_these_before_their_pool() -> None:
    assert _catalog_plan(POOLED, None) == [
        ["create named value credential--key", "create policy fragment requested-model", "update api ai"],
        ["create backend shared--m--a", "create backend shared--m--b"],
        ["create backend shared--m"],
        ["update api policy ai"],
        ["update api marker ai"],
    ]


def test_what_is_no_longer_served_goes_in_reverse_order() -> None:
    assert _cleaning(replace(CATALOG, backends=(), named_values=()), _shared(POOLED), VALUES) == [
        ["delete backend shared--m"],
        ["delete backend shared--m--a", "delete backend shared--m--b"],
        ["delete named value credential--key"],
    ]
    assert _cleaning(POOLED, _shared(POOLED), VALUES) == []


@pytest.mark.parametrize(
    "edit",
    [
        {"members": (PoolMember("shared--m--a", 50, 1), PoolMember("shared--m--b", 50, 1))},
        {"members": (PoolMember("shared--m--a", 90, 1),)},
        {"breaker": Breaker(1, 1, 1)},
        {"url": "https://elsewhere/v1"},
        {"marker": replace(SEAL, digest="")},
    ],
    ids=["weights", "members", "breaker", "url", "what lists do not show"],
)
def test_a_backend_that_somebody_edited_is_written_again(edit: dict[str, Any]) -> None:
    edited = tuple(replace(each, **edit) for each in _shared(POOLED))
    plan = plan_catalog(POOLED, SEAL, ActualCatalog(Api('"1"', CATALOG.api_digest, SEAL), RULES, edited, VALUES))
    assert "update backend" in str(plan)
    assert "update backend shared--m;" in f"{plan};" or "members" not in edit


@pytest.mark.parametrize("digest", ["", "e" * 64], ids=["gone", "edited"])
def test_a_fragment_that_is_not_the_one_that_was_written_is_put_before_any_policy(digest: str) -> None:
    standing = ActualCatalog(Api('"1"', CATALOG.api_digest, SEAL), OLD, _shared(), fragment=digest)
    assert _steps(plan_catalog(CATALOG, SEAL, standing)) == [["create policy fragment requested-model"], ["update api policy ai"]]
    assert not plan_catalog(CATALOG, SEAL, replace(standing, policy=RULES, fragment=meaning_of(CATALOG.fragment)))


def test_a_named_value_that_leads_elsewhere_is_written_over_what_was_read() -> None:
    moved, standing = (replace(VALUES[0], url="https://elsewhere/secrets/key"),), Api('"1"', CATALOG.api_digest, SEAL)
    plan = plan_catalog(POOLED, SEAL, ActualCatalog(standing, RULES, _shared(POOLED), moved, SAID))
    assert list(plan) == [Update("named value", "credential--key", '"v1"', POOLED.named_values[0])]
    assert list(plan_catalog(POOLED, SEAL, ActualCatalog(standing, RULES, _shared(POOLED), VALUES, SAID))) == []


@pytest.mark.parametrize("marked", [SEAL, None], ids=["the same catalogue", "another"])
def test_who_sent_a_secret_that_is_gone_forgets_it_first_and_gets_it_back(marked: Marker | None) -> None:
    sender, alone, pool = POOLED.backends
    # One more is missing, and waits for the secret like the sender.
    standing = tuple(each for each in _shared(POOLED) if each.name != alone.name)
    plan = plan_catalog(POOLED, SEAL, ActualCatalog(Api('"1"', CATALOG.api_digest, marked), RULES, standing, ()))
    steps = [list(step) for step in plan.steps]
    assert steps[0] == [Update("backend", sender.name, "*", replace(sender, credential=None))]
    assert Create("named value", "credential--key", POOLED.named_values[0]) in steps[1]
    assert steps[2] == [Create("backend", alone.name, alone), Update("backend", sender.name, "*", sender)]
    assert pool not in [change.body for change in plan if isinstance(change, Create | Update)]


def test_a_named_value_of_somebody_else_is_not_touched() -> None:
    theirs = (replace(VALUES[0], ours=False),)
    assert _cleaning(CATALOG, (), theirs) == []
    with pytest.raises(NotManaged, match="credential--key"):
        plan_catalog(POOLED, SEAL, ActualCatalog(None, None, (), theirs))


# --------------------------------------------------------------------------------------------------------------- workspaces


def _desired(**dedicated: str) -> DesiredWorkspaces:
    models = {name.replace("_", "-"): gpu for name, gpu in dedicated.items()}
    return compile_workspaces(Asked(dedicated=models).read(), a_catalog(), FakeApp().platform)


PHI = Route("phi-4", True, _desired(phi_4=GPU).routes["phi-4"]["spec"])


def _workspace(name: str, desired: DesiredWorkspaces, **changed: Any) -> Workspace:
    found = Workspace(name, "7", fixed_fields(desired.workspaces[name]), (), terminating=False, managed=True)
    return replace(found, **changed)


def test_limits_stand_before_the_workspaces_that_need_them() -> None:
    assert [[change.kind for change in step] for step in plan_workspaces(_desired(phi_4=GPU), [], [], marked=False).steps] == [
        ["limits", "limits"],
        ["workspace"],
        ["route"],
    ]


def test_a_workspace_on_another_instance_type_is_replaced_with_the_version_that_was_read() -> None:
    plan = plan_workspaces(_desired(phi_4=LARGER_GPU), [_workspace("phi-4", _desired(phi_4=GPU))], [PHI], marked=True)
    [_, change] = plan
    assert (str(plan), getattr(change, "tag", None)) == ("delete route phi-4; replace workspace phi-4", "7")


def test_a_workspace_that_is_being_replaced_has_no_route() -> None:
    desired = _desired(phi_4=GPU)
    assert "create route" not in str(plan_workspaces(desired, [_workspace("phi-4", desired, terminating=True)], [], marked=False))


def test_a_workspace_that_goes_is_waited_for() -> None:
    desired = _desired(phi_4=GPU)
    assert not plan_workspaces(desired, [_workspace("phi-4", desired, terminating=True)], [], marked=True)


def _with_none_done(desired: DesiredWorkspaces, *found: Workspace) -> list[list[str]]:
    """The steps after the limits, when nothing vouches for anything."""
    return _steps(plan_workspaces(desired, found, [], marked=False))[1:]


@pytest.mark.parametrize("begun", [False, True])
def test_a_model_that_takes_the_place_of_another_comes_when_that_is_gone(begun: bool) -> None:
    old, new = _workspace("mistral-7b", _desired(mistral_7b=GPU), terminating=begun), _desired(phi_4=GPU)
    assert _with_none_done(new, old) == ([] if begun else [["delete workspace mistral-7b"]])
    assert _with_none_done(new) == [["create workspace phi-4"], ["create route phi-4"]]


def test_a_workspace_that_goes_holds_up_no_more_than_has_no_room_beside_it() -> None:
    two = _desired(phi_4=GPU, mistral_7b=GPU)
    old = replace(_workspace("phi-4", two, terminating=True), name="old")
    first, second = two.workspaces
    assert _with_none_done(two, old) == [[f"create workspace {first}"], [f"create route {first}"]]
    more = (_workspace(second, two), replace(old, name="falcon", terminating=False))
    assert _with_none_done(two, old, *more) == [["delete workspace falcon"], [f"create route {second}"]]


def test_a_workspace_that_grows_into_two_waits_for_nothing() -> None:
    both = _desired(phi_4=GPU, mistral_7b=GPU)
    found = _workspace("mistral-7b", both)
    assert _with_none_done(both, found) == [["create workspace phi-4"], ["create route mistral-7b", "create route phi-4"]]


def test_somebody_elses_workspace_that_stays_holds_nothing_up() -> None:
    desired = _desired(phi_4=GPU)
    assert _with_none_done(desired, replace(_workspace("phi-4", desired, managed=False), name="theirs"))[0] == ["create workspace phi-4"]


def test_a_workspace_that_nobody_asks_for_goes_with_its_route() -> None:
    desired = _desired(phi_4=GPU, mistral_7b=GPU)
    found = [_workspace(name, desired) for name in ("phi-4", "mistral-7b")]
    routes = [Route(name, True, manifest["spec"]) for name, manifest in desired.routes.items()]
    assert str(plan_workspaces(_desired(phi_4=GPU), found, routes, marked=True)) == "delete route mistral-7b; delete workspace mistral-7b"


def test_a_workspace_of_somebody_else_is_not_deleted() -> None:
    desired = _desired(phi_4=GPU)
    assert not plan_workspaces(_desired(), [_workspace("phi-4", desired, managed=False)], [Route("phi-4", managed=False)], marked=True)


def test_a_workspace_that_is_gone_comes_back_alone() -> None:
    assert str(plan_workspaces(_desired(phi_4=GPU), [], [PHI], marked=True)) == "create workspace phi-4"


def test_a_route_that_is_gone_comes_back_and_one_that_is_left_goes() -> None:
    desired = _desired(phi_4=GPU)
    left = [Route("mistral-7b", managed=True)]
    assert str(plan_workspaces(desired, [_workspace("phi-4", desired)], left, marked=True)) == "delete route mistral-7b; create route phi-4"


def test_a_route_that_was_edited_is_written_again() -> None:
    desired = _desired(phi_4=GPU)
    edited = replace(PHI, spec={**PHI.spec, "parentRefs": [{"name": "theirs", "namespace": "elsewhere"}]})
    assert str(plan_workspaces(desired, [_workspace("phi-4", desired)], [edited], marked=True)) == "create route phi-4"
    assert not plan_workspaces(desired, [_workspace("phi-4", desired)], [PHI], marked=True)


def test_a_route_of_somebody_else_is_neither_written_over_nor_deleted() -> None:
    desired, theirs = _desired(phi_4=GPU), [Route("phi-4", managed=False)]
    with pytest.raises(NotManaged, match="route phi-4"):
        plan_workspaces(desired, [_workspace("phi-4", desired)], theirs, marked=True)
    assert not plan_workspaces(_desired(), [], theirs, marked=True)
