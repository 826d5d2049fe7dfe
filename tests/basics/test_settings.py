"""Settings: everything that is missing or wrong is said at once."""

from __future__ import annotations

import pytest

from shared.adapters.roads import RoadsByGateway, WorkspaceRoads
from shared.bootstrap import RealApp
from shared.settings import Settings, SettingsError, load, shown

GROUP = "/subscriptions/0000/resourceGroups/ai/providers"
VALID = {
    "GITHUB_REPOSITORY": "contoso/model-access",
    "GITHUB_REPOSITORY_ID": "7",
    "GITHUB_WEBHOOK_SECRET": "a-long-enough-secret",
    "GITHUB_TOKEN": "ghp_token",
    "SERVICE_BUS": "Endpoint=sb://127.0.0.1:5672;SharedAccessKeyName=R;SharedAccessKey=K;",
    "APIM_SERVICE_ID": f"{GROUP}/Microsoft.ApiManagement/service/contoso-ai",
    "GATEWAY_URL": "https://contoso-ai.azure-api.net",
    "KEY_VAULT_URL": "https://contoso-keys.vault.azure.net",
    "KEY_VAULT_ID": f"{GROUP}/Microsoft.KeyVault/vaults/contoso-keys",
}
APP = {"GITHUB_APP_ID": "1", "GITHUB_APP_PRIVATE_KEY": "pem", "GITHUB_INSTALLATION_ID": "9"}
CLUSTER = {
    "AKS_CLUSTER_ID": f"{GROUP}/Microsoft.ContainerService/managedClusters/gpu",
    "WORKSPACE_GATEWAY": "gateway-system/internal",
    "WORKSPACE_INGRESS_URL": "https://models.internal",
}
KNOWN = {str(field.alias) for field in Settings.model_fields.values()}


@pytest.fixture(autouse=True)
def _nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KNOWN:
        monkeypatch.delenv(name, raising=False)


def _loaded(monkeypatch: pytest.MonkeyPatch, **changed: str | None) -> Settings:
    for name, value in (VALID | changed).items():
        if value is not None:
            monkeypatch.setenv(name, value)
    return load()


def _problems(monkeypatch: pytest.MonkeyPatch, **changed: str | None) -> list[str]:
    with pytest.raises(SettingsError) as refused:
        _loaded(monkeypatch, **changed)
    return [line.strip() for line in str(refused.value).splitlines()[1:]]


def test_nothing_set_tells_everything_that_is_missing() -> None:
    with pytest.raises(SettingsError) as refused:
        load()
    missing = {line.strip().partition(":")[0] for line in str(refused.value).splitlines()[1:]}
    assert missing == VALID.keys() - {"SERVICE_BUS"} | {"SERVICE_BUS__fullyQualifiedNamespace"}


def test_what_is_missing_and_what_is_wrong_come_together(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = _problems(
        monkeypatch,
        GITHUB_REPOSITORY="no-slash",
        GATEWAY_URL=None,
        GITHUB_REPOSITORY_ID="x",
        KEY_VAULT_ID="kv",
        SERVICE_BUS="",
        GRACE_DAYS="-1",
    )
    named = {problem.partition(":")[0] for problem in problems}
    assert named == {
        "GITHUB_REPOSITORY",
        "GATEWAY_URL",
        "GITHUB_REPOSITORY_ID",
        "KEY_VAULT_ID",
        "SERVICE_BUS__fullyQualifiedNamespace",
        "GRACE_DAYS",
    }


@pytest.mark.parametrize("value", ["0.6", "0.12", "anything"])
def test_a_setting_of_an_earlier_version_does_no_harm(monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    without = _loaded(monkeypatch)
    assert _loaded(monkeypatch, KAITO_DIALECT=value) == without


def test_defaults_are_what_the_documentation_says(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _loaded(monkeypatch)
    assert (settings.github_branch, settings.grace.days) == ("main", 7)
    assert settings.paths.patterns == (
        "tenant-access/config/*/access.yaml",
        "developer-requests/*/access.yaml",
    )
    assert settings.webhook_secrets == ("a-long-enough-secret",)


def test_an_empty_value_is_no_value(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _loaded(monkeypatch, GITHUB_BRANCH="", AKS_CLUSTER_ID="").aks_cluster_id is None


def test_two_webhook_secrets_while_one_replaces_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _loaded(monkeypatch, GITHUB_WEBHOOK_SECRET_PREVIOUS="the-secret-before-it")
    assert settings.webhook_secrets == ("a-long-enough-secret", "the-secret-before-it")


def test_paths_are_a_list_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _loaded(monkeypatch, REQUEST_PATHS="a/*/x.yaml, b/*/y.yaml").paths.patterns == (
        "a/*/x.yaml",
        "b/*/y.yaml",
    )


@pytest.mark.parametrize("patterns", ["a/x.yaml", "*/*/x.yaml", "/a/*/x.yaml", "a/*"])
def test_a_path_must_have_one_folder_for_the_team(monkeypatch: pytest.MonkeyPatch, patterns: str) -> None:
    [problem] = _problems(monkeypatch, REQUEST_PATHS=patterns)
    assert problem.startswith("REQUEST_PATHS: ")
    assert f"'{patterns}'" in problem


def test_an_app_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    [problem] = _problems(monkeypatch, GITHUB_APP_ID="1")
    assert problem.startswith("GITHUB_APP_PRIVATE_KEY, GITHUB_INSTALLATION_ID: missing")
    assert _loaded(monkeypatch, **APP, GITHUB_TOKEN=None).github_app_id == "1"


def test_a_cluster_is_told_what_it_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = _problems(monkeypatch, AKS_CLUSTER_ID=CLUSTER["AKS_CLUSTER_ID"])
    assert [problem.partition(":")[0] for problem in problems] == [
        "WORKSPACE_GATEWAY",
        "WORKSPACE_INGRESS_URL",
    ]
    assert _loaded(monkeypatch, **CLUSTER).workspace_gateway == "gateway-system/internal"


def test_a_gateway_has_a_name_with_dots_and_a_known_controller(monkeypatch: pytest.MonkeyPatch) -> None:
    dotted = {**CLUSTER, "WORKSPACE_GATEWAY": "gateway-system/models.internal"}
    loaded = _loaded(monkeypatch, **dotted, WORKSPACE_GATEWAY_CONTROLLER="envoy-gateway")
    assert (loaded.workspace_gateway, loaded.workspace_gateway_controller) == (
        "gateway-system/models.internal",
        "envoy-gateway",
    )
    assert (
        _loaded(monkeypatch, **CLUSTER, WORKSPACE_GATEWAY_CONTROLLER="").workspace_gateway_controller is None
    )
    for name in (
        "gateway.system/internal",
        "gateway-system/internal.",
        "gateway-system/.internal",
        "internal",
    ):
        [problem] = _problems(monkeypatch, **{**CLUSTER, "WORKSPACE_GATEWAY": name})
        assert problem.startswith("WORKSPACE_GATEWAY: ")
    [problem] = _problems(monkeypatch, **CLUSTER, WORKSPACE_GATEWAY_CONTROLLER="traefik")
    assert problem.startswith("WORKSPACE_GATEWAY_CONTROLLER: ")


def test_roads_are_asked_directly_unless_a_setting_says_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _loaded(monkeypatch, **CLUSTER).workspace_roads == "direct"
    assert _loaded(monkeypatch, **CLUSTER, WORKSPACE_ROADS="gateway").workspace_roads == "gateway"
    for name, kind in (("direct", WorkspaceRoads), ("gateway", RoadsByGateway)):
        assert type(RealApp(_loaded(monkeypatch, **CLUSTER, WORKSPACE_ROADS=name)).roads) is kind
    [problem] = _problems(monkeypatch, **CLUSTER, WORKSPACE_ROADS="both")
    assert problem.startswith("WORKSPACE_ROADS: ")


def test_a_certificate_is_one_of_a_clusters_backends_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    [lacks] = _problems(monkeypatch, WORKSPACE_BACKEND_CERTIFICATE="gpu-gateway")
    assert lacks.startswith("AKS_CLUSTER_ID: missing")
    [no_name] = _problems(monkeypatch, **CLUSTER, WORKSPACE_BACKEND_CERTIFICATE="/certificates/gpu-gateway")
    assert no_name.startswith("WORKSPACE_BACKEND_CERTIFICATE: ")
    app = RealApp(_loaded(monkeypatch, **CLUSTER, WORKSPACE_BACKEND_CERTIFICATE="gpu-gateway"))
    assert app.platform.cluster is not None
    assert app.platform.cluster.certificate == "gpu-gateway"


def test_traces_need_a_playground_and_both_are_named_by_their_ids(monkeypatch: pytest.MonkeyPatch) -> None:
    account = f"{GROUP}/Microsoft.CognitiveServices/accounts/contoso-ai"
    traces = f"{GROUP}/Microsoft.Insights/components/traces"
    [lacks] = _problems(monkeypatch, FOUNDRY_TRACING_RESOURCE_ID=traces)
    assert lacks.startswith("FOUNDRY_ACCOUNT_ID: missing")
    assert "FOUNDRY_TRACING_RESOURCE_ID" in lacks
    [no_id] = _problems(monkeypatch, FOUNDRY_ACCOUNT_ID="contoso-ai")
    assert no_id.startswith("FOUNDRY_ACCOUNT_ID: ")
    loaded = _loaded(monkeypatch, FOUNDRY_ACCOUNT_ID=account, FOUNDRY_TRACING_RESOURCE_ID=traces)
    assert (loaded.foundry_account_id, loaded.foundry_tracing_resource_id) == (account, traces)


def test_a_reference_that_azure_could_not_resolve_is_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    reference = "@Microsoft.KeyVault(SecretUri=https://kv.vault.azure.net/secrets/hook)"
    [problem] = _problems(monkeypatch, GITHUB_WEBHOOK_SECRET=reference)
    assert problem.startswith("GITHUB_WEBHOOK_SECRET: ")
    assert reference not in problem


def test_no_secret_is_quoted(monkeypatch: pytest.MonkeyPatch) -> None:
    problems = _problems(
        monkeypatch, GITHUB_WEBHOOK_SECRET="too-short-1", GATEWAY_URL="https://user:hunter2@"
    )
    assert "too-short-1" not in str(problems)
    settings = repr(
        _loaded(
            monkeypatch,
            GITHUB_WEBHOOK_SECRET=VALID["GITHUB_WEBHOOK_SECRET"],
            GATEWAY_URL=VALID["GATEWAY_URL"],
        )
    )
    assert not [
        secret
        for secret in (VALID["GITHUB_WEBHOOK_SECRET"], VALID["GITHUB_TOKEN"], VALID["SERVICE_BUS"])
        if secret in settings
    ]


@pytest.mark.parametrize(
    "given",
    [{"ENTRA_TENANT_ID": "11111111-1111-4111-8111-111111111111"}, {"API_AUDIENCE": "api://mergekey"}],
    ids=str,
)
def test_the_operators_api_needs_a_tenant_and_an_audience(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, str]
) -> None:
    [missing] = {"ENTRA_TENANT_ID", "API_AUDIENCE"} - given.keys()
    [problem] = _problems(monkeypatch, **given)
    assert problem.startswith(f"{missing}: missing")
    assert "API_AUDIENCE, ENTRA_TENANT_ID" in problem


def test_settings_are_shown_without_any_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = _loaded(
        monkeypatch, GITHUB_API_URL="https://ghe:hunter2@github.contoso.com/api/v3?token=hunter3", **APP
    )
    rows = {row.name: row for row in shown(settings).settings}
    assert rows.keys() == KNOWN
    told = repr(rows)
    for secret in ("a-long-enough-secret", "ghp_token", "SharedAccessKey", "'pem'", "hunter"):
        assert secret not in told
    assert (rows["GITHUB_WEBHOOK_SECRET"].secret, rows["GITHUB_WEBHOOK_SECRET"].is_set) == (True, True)
    assert (rows["GITHUB_WEBHOOK_SECRET_PREVIOUS"].secret, rows["GITHUB_WEBHOOK_SECRET_PREVIOUS"].is_set) == (
        True,
        False,
    )
    assert rows["GITHUB_API_URL"].value == "https://github.contoso.com:443/api/v3"
    assert rows["GRACE_DAYS"].value == "7.0"
    assert (rows["AKS_CLUSTER_ID"].secret, rows["AKS_CLUSTER_ID"].is_set) == (False, False)


@pytest.mark.parametrize(("part", "needs"), [("webhook", True), ("workers", False), ("questions", False)])
def test_only_the_app_that_takes_pushes_needs_the_webhooks_secret(
    monkeypatch: pytest.MonkeyPatch, part: str, needs: bool
) -> None:
    if needs:
        assert _problems(monkeypatch, APP_PART=part, GITHUB_WEBHOOK_SECRET=None) == [
            "GITHUB_WEBHOOK_SECRET: missing"
        ]
    else:
        assert _loaded(monkeypatch, APP_PART=part, GITHUB_WEBHOOK_SECRET=None).webhook_secrets == ()
