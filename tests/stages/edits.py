"""What somebody can change by hand of what Mergekey wrote: what lists show, and what only a deep look
does.
"""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace

from shared.names import FRAGMENT
from shared.secret import SecretValue
from tests.fakes.app import GPU, LARGER_GPU, READERS, Asked, FakeApp
from tests.fakes.cluster import Kept
from tests.fakes.gateway import Policy

QUOTA, NETWORK = ("ResourceQuota", "workspaces"), ("NetworkPolicy", "only-through-the-gateway")
FULL = Asked(dedicated={"phi-4": GPU})
Change = Callable[[FakeApp], None]


def remove_the_link(app: FakeApp) -> None:
    app.gateway.state.links.clear()


def unpublish(app: FakeApp) -> None:
    app.gateway.state.products["team-alpha"] = replace(
        app.gateway.state.products["team-alpha"], published=False
    )


def open_the_product(app: FakeApp) -> None:
    assert app.gateway.open_product("team-alpha")


def ask_for_no_keys(app: FakeApp) -> None:
    app.gateway.state.apis["ai"] = replace(app.gateway.state.apis["ai"], subscription_required=False)


def ask_for_keys_elsewhere(app: FakeApp) -> None:
    app.gateway.state.apis["ai"] = replace(
        app.gateway.state.apis["ai"], key_names=("Ocp-Apim-Subscription-Key", "subscription-key")
    )


def remove_a_backend(app: FakeApp) -> None:
    del app.gateway.state.backends["team-alpha--phi-4"]


def point_a_backend_elsewhere(app: FakeApp) -> None:
    found = app.gateway.state.backends["team-alpha--phi-4"]
    app.gateway.state.backends["team-alpha--phi-4"] = replace(found, url="https://elsewhere.example/v1")


def point_a_shared_backend_elsewhere(app: FakeApp) -> None:
    found = app.gateway.state.backends["shared--gpt-4-1"]
    app.gateway.state.backends["shared--gpt-4-1"] = replace(found, url="https://elsewhere.example/v1")


def suspend(app: FakeApp) -> None:
    app.gateway.state.subscriptions["team-alpha"] = replace(
        app.gateway.state.subscriptions["team-alpha"], state="suspended"
    )


def remove_a_secret(app: FakeApp) -> None:
    del app.vault.kept["alpha-secondary-key"]


def disable_a_secret(app: FakeApp) -> None:
    versions = app.vault.kept["alpha-endpoint"].versions
    versions[0] = replace(versions[0], enabled=False)


def take_a_role_away(app: FakeApp) -> None:
    app.roles.assigned.discard(("alpha-primary-key", READERS))


def remove_the_workspace(app: FakeApp) -> None:
    assert app.cluster is not None
    del app.cluster.state.objects["team-alpha", "Workspace", "phi-4"]


def objects_of(app: FakeApp, team: str = "team-alpha") -> dict[tuple[str, str], Kept]:
    """What stands in a namespace, by kind and name."""
    assert app.cluster is not None
    return {key[1:]: kept for key, kept in app.cluster.state.objects.items() if key[0] == team}


def lead_the_route_elsewhere(app: FakeApp) -> None:
    rule = objects_of(app)["HTTPRoute", "phi-4"].manifest["spec"]["rules"][0]
    rule["backendRefs"] = [{"name": "phi-4", "port": 80, "namespace": "theirs"}]


def make_another_workspace(app: FakeApp) -> None:
    """With another GPU: KAITO lets nobody change it in place."""
    objects_of(app)["Workspace", "phi-4"].manifest["resource"]["instanceType"] = LARGER_GPU


def copy_the_workspace(app: FakeApp) -> None:
    """And its route, under another name: as a handler that came too late would have made them."""
    for kind in ("Workspace", "HTTPRoute"):
        copy = deepcopy(objects_of(app)[kind, "phi-4"])
        copy.manifest["metadata"]["name"] = "phi-3"
        assert app.cluster is not None
        app.cluster.state.objects["team-alpha", kind, "phi-3"] = copy


def copy_the_workspace_alone(app: FakeApp) -> None:
    copy_the_workspace(app)
    assert app.cluster is not None
    del app.cluster.state.objects["team-alpha", "HTTPRoute", "phi-3"]


def rename_the_product(app: FakeApp) -> None:
    app.gateway.state.products["team-alpha"] = replace(
        app.gateway.state.products["team-alpha"], display_name="Somebody's"
    )


def move_the_endpoint(app: FakeApp) -> None:
    """As it was written when the gateway was elsewhere."""
    kept, old = app.vault.kept["alpha-endpoint"], SecretValue("https://old.example")
    kept.values[kept.versions[0].version] = old.reveal()
    kept.versions[0] = replace(
        kept.versions[0], tags={**kept.versions[0].tags, "fingerprint": old.fingerprint("alpha-endpoint")}
    )


def remove_the_fragment(app: FakeApp) -> None:
    app.gateway.state.fragments.clear()


def edit_the_fragment(app: FakeApp) -> None:
    app.gateway.state.fragments[FRAGMENT] = (
        '<fragment><set-variable name="requested-model" value="gpt-4.1" /></fragment>'
    )


def remove_limits(app: FakeApp) -> None:
    assert app.cluster is not None
    for limit in (QUOTA, NETWORK):
        del app.cluster.state.objects["team-alpha", *limit]


def raise_the_quota(app: FakeApp) -> None:
    objects_of(app)[QUOTA].manifest["spec"]["hard"] = {"count/workspaces.kaito.sh": "9"}


def open_the_network(app: FakeApp) -> None:
    """One more word: it holds for no pod any more."""
    objects_of(app)[NETWORK].manifest["spec"]["podSelector"] = {"matchLabels": {"app": "none"}}


def take_label_off(app: FakeApp, kind: str, name: str) -> None:
    del objects_of(app)[kind, name].manifest["metadata"]["labels"]["app.kubernetes.io/managed-by"]


def remove_the_other_workspace(app: FakeApp) -> None:
    """With its route, of a team that has two."""
    assert app.cluster is not None
    for kind in ("Workspace", "HTTPRoute"):
        del app.cluster.state.objects["team-alpha", kind, "mistral-7b"]


#: The edits of these limits.
EDITS_OF: dict[tuple[str, str], tuple[Change, ...]] = {
    QUOTA: (raise_the_quota,),
    NETWORK: (open_the_network,),
}


def garble_the_quota(app: FakeApp) -> None:
    objects_of(app)[QUOTA].manifest["spec"]["hard"] = {"count/workspaces.kaito.sh": "abc"}


def take_labels_off_the_namespace(app: FakeApp) -> None:
    """All but the one by which the cluster knows what is ours."""
    assert app.cluster is not None
    labels = app.cluster.state.namespaces["team-alpha"].manifest["metadata"]["labels"]
    del labels["mergekey.dev/team"]
    labels["mergekey.dev/repository"] = "1"


SEEN_IN_LISTS: list[Change] = [
    remove_the_fragment,
    edit_the_fragment,
    move_the_endpoint,
    copy_the_workspace,
    copy_the_workspace_alone,
    rename_the_product,
    lead_the_route_elsewhere,
    make_another_workspace,
    remove_the_link,
    unpublish,
    open_the_product,
    ask_for_no_keys,
    ask_for_keys_elsewhere,
    remove_a_backend,
    point_a_backend_elsewhere,
    point_a_shared_backend_elsewhere,
    suspend,
    remove_a_secret,
    disable_a_secret,
    take_a_role_away,
    remove_the_workspace,
    remove_limits,
    raise_the_quota,
    garble_the_quota,
    open_the_network,
    take_labels_off_the_namespace,
]


def edit_the_policy(app: FakeApp) -> None:
    policy = app.gateway.state.policies["team-alpha"]
    app.gateway.state.policies["team-alpha"] = Policy(
        policy.text.replace('tokens-per-minute="', 'tokens-per-minute="9'), '"edited"'
    )


def renew_a_key(app: FakeApp) -> None:
    app.gateway.state.keys["team-alpha"][1] = "0123456789abcdef0123456789abcdef"


SEEN_BY_A_DEEP_LOOK: list[tuple[Change, str]] = [
    (edit_the_policy, "alpha"),
    (renew_a_key, "alpha"),
]
