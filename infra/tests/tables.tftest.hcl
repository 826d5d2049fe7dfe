# terraform test: plans everything against an invented provider; no Azure account is needed.

mock_provider "azurerm" {}

variables {
  subscription_id = "00000000-0000-0000-0000-000000000001"
  tenant_id       = "00000000-0000-0000-0000-000000000002"
  location        = "swedencentral"
  name            = "contoso-mk"
  github          = { repository = "contoso/model-access", repository_id = 123456789, app_id = "1", installation_id = 2 }
  api_management = {
    id           = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ai/providers/Microsoft.ApiManagement/service/contoso-ai"
    principal_id = "00000000-0000-0000-0000-000000000003"
    gateway_url  = "https://contoso-ai.azure-api.net"
  }
}

run "the_least_that_can_be_asked_for" {
  override_resource {
    target = azurerm_resource_group_template_deployment.function_app
    values = { output_content = "{\"hostname\":{\"value\":\"contoso-mk-app.azurewebsites.net\"}}" }
  }

  assert {
    condition     = output.webhook_url == "https://contoso-mk-app.azurewebsites.net/api/github/webhook"
    error_message = "the webhook's address is the app's route github/webhook"
  }

  assert {
    condition     = alltrue([for path, subscription in local.topic_subscriptions : toset([for rule in subscription.rules : rule.to]) == toset(["all", subscription.name])])
    error_message = "each subscription takes what is addressed to all and what is addressed to it"
  }

  assert {
    condition     = [for name, role in azurerm_role_assignment.role : name if role.principal_id != azurerm_user_assigned_identity.app.principal_id] == ["gateway reads its own"]
    error_message = "without models and cluster the gateway may only read its own vault"
  }

  assert {
    condition     = azurerm_role_assignment.role["app grants secrets"].condition != null
    error_message = "the app may grant one role only"
  }

  assert {
    condition     = alltrue([for name in ["GITHUB_WEBHOOK_SECRET", "GITHUB_APP_PRIVATE_KEY"] : startswith(local.app_settings[name], "@Microsoft.KeyVault(")])
    error_message = "secrets are references, not values"
  }

  assert {
    condition     = alltrue([for name in ["GITHUB_WEBHOOK_SECRET_PREVIOUS", "AKS_CLUSTER_ID", "FOUNDRY_ACCOUNT_ID", "FOUNDRY_TRACING_RESOURCE_ID", "ENTRA_TENANT_ID", "API_AUDIENCE"] : local.app_settings[name] == ""])
    error_message = "what was not asked for is empty"
  }
}

run "everything_that_can_be_asked_for" {
  variables {
    accept_previous_webhook_secret = true
    foundry_account_ids            = ["/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ai/providers/Microsoft.CognitiveServices/accounts/contoso-ai"]
    playground = {
      account_id              = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ai/providers/Microsoft.CognitiveServices/accounts/contoso-ai"
      application_insights_id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ai/providers/Microsoft.Insights/components/traces"
    }
    api_audience = "api://00000000-0000-0000-0000-000000000004"
    alert_emails = ["platform@contoso.com"]
    subnet_id    = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/hub/subnets/mergekey"
    settings     = { GRACE_DAYS = "3" }
    api_management = {
      id           = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ai/providers/Microsoft.ApiManagement/service/contoso-ai"
      principal_id = "00000000-0000-0000-0000-000000000003"
      gateway_url  = "https://contoso-ai.azure-api.net"
      metrics      = true
    }
    cluster = {
      id          = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ai/providers/Microsoft.ContainerService/managedClusters/gpu"
      gateway     = "gateway-system/internal"
      ingress_url = "https://models.internal.contoso.com"
    }
  }

  override_resource {
    target = azurerm_resource_group_template_deployment.function_app
    values = { output_content = "{\"hostname\":{\"value\":\"contoso-mk-app.azurewebsites.net\"}}" }
  }

  assert {
    condition     = contains([for each in jsondecode(azurerm_resource_group_template_deployment.function_app.parameters_content).settings.value : "${each.name}=${each.value}"], "GRACE_DAYS=3")
    error_message = "var.settings goes before what function_app.tf says"
  }

  assert {
    condition     = local.app_settings["AKS_CLUSTER_ID"] == var.cluster.id && contains(keys(local.roles), "app finds the cluster")
    error_message = "the app knows the cluster and may ask for its address"
  }

  assert {
    condition     = local.app_settings["FOUNDRY_ACCOUNT_ID"] == var.playground.account_id && local.app_settings["FOUNDRY_TRACING_RESOURCE_ID"] == var.playground.application_insights_id
    error_message = "the app knows where projects are made and where traces go"
  }

  assert {
    condition     = strcontains(azurerm_role_assignment.role["app makes projects"].condition, local.foundry_user) && !strcontains(azurerm_role_assignment.role["app makes projects"].condition, local.secrets_user)
    error_message = "the app may grant one role on projects"
  }

  assert {
    condition     = strcontains(azurerm_resource_group_template_deployment.gateway_diagnostic[0].template_content, "\"metrics\":true")
    error_message = "token metrics need a diagnostic with metrics"
  }

  assert {
    condition     = local.app_settings["API_AUDIENCE"] == var.api_audience && local.app_settings["ENTRA_TENANT_ID"] == var.tenant_id
    error_message = "operators call with a token of the tenant for the API"
  }
}
