# terraform test: plans everything against an invented provider; no Azure account is needed.

mock_provider "azurerm" {
  source = "./tests/azurerm"
}

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
  assert {
    condition     = endswith(output.webhook_url, ".azurewebsites.net/api/github/webhook")
    error_message = "the webhook's address is the app's route github/webhook"
  }

  assert {
    condition     = alltrue([for path, subscription in local.topic_subscriptions : toset([for rule in subscription.rules : rule.to]) == toset(["all", subscription.name])])
    error_message = "each subscription takes what is addressed to all and what is addressed to it"
  }

  assert {
    condition     = [for name, role in local.roles : name if role.who == "gateway"] == ["gateway reads its own"]
    error_message = "without models and cluster the gateway may only read its own vault"
  }

  assert {
    condition     = strcontains(azurerm_role_assignment.role["workers grant secrets"].condition, local.grantable["Key Vault Secrets User"])
    error_message = "the app may grant one role only"
  }

  assert {
    condition     = azurerm_role_assignment.role["workers write products"].role_definition_id == azurerm_role_definition.own["gateway writer"].role_definition_resource_id && azurerm_role_assignment.role["workers read their own"].role_definition_name == "Key Vault Secrets User"
    error_message = "a role is built in or our own"
  }

  assert {
    condition     = [for role in azurerm_role_definition.own : role.name] == [for name in ["gateway reader", "gateway writer", "products reader", "secrets reader", "secrets writer"] : "Mergekey ${name} (contoso-mk)"]
    error_message = "there are no roles for what was not asked for"
  }

  assert {
    condition     = azurerm_role_assignment.role["scaler looks at the bus"].scope == azurerm_servicebus_namespace.bus.id
    error_message = "the scaler may ask how many messages wait"
  }

  assert {
    condition     = [for app in azurerm_resource_group_template_deployment.function_app : jsondecode(app.template_content).resources[0].properties.functionAppConfig.scaleAndConcurrency.alwaysReady] == [[], [{ name = "http", instanceCount = 1 }], []]
    error_message = "one instance waits for GitHub's calls"
  }

  assert {
    condition     = length(azurerm_user_assigned_identity.publisher) == 0 && length(azurerm_role_assignment.publisher) == 0 && output.publisher_client_id == null
    error_message = "nobody may publish who was not asked for"
  }

  assert {
    condition     = length(azurerm_resource_group_template_deployment.gateway_diagnostic) == 0
    error_message = "no diagnostic is written where nobody asked for metrics"
  }

  assert {
    condition     = { for part, settings in local.settings : part => [settings.APP_PART, settings.GITHUB_WEBHOOK_SECRET != "", startswith(settings.GITHUB_APP_PRIVATE_KEY, "@Microsoft.KeyVault(")] } == { questions = ["questions", false, true], webhook = ["webhook", true, true], workers = ["workers", false, true] }
    error_message = "each app knows its part, and the webhook alone the webhook's secret"
  }

  assert {
    condition     = alltrue([for settings in local.settings : "${settings.OTEL_TRACES_SAMPLER} ${settings.OTEL_TRACES_SAMPLER_ARG}" == "microsoft.fixed_percentage 1.0" && length([for name in keys(settings) : name if startswith(name, "PYTHON_")]) == 0])
    error_message = "the host sends all traces, and the worker none of its own"
  }

  assert {
    condition     = alltrue([for name in ["GITHUB_WEBHOOK_SECRET", "GITHUB_APP_PRIVATE_KEY"] : startswith(local.app_settings[name], "@Microsoft.KeyVault(")])
    error_message = "secrets are references, not values"
  }

  assert {
    condition     = alltrue([for name in ["GITHUB_WEBHOOK_SECRET_PREVIOUS", "AKS_CLUSTER_ID", "WORKSPACE_CLIENT_CERTIFICATE", "FOUNDRY_ACCOUNT_ID", "FOUNDRY_TRACING_RESOURCE_ID", "ENTRA_TENANT_ID", "API_AUDIENCE"] : local.app_settings[name] == ""])
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
      sampling     = 25
    }
    publisher          = { repository = "contoso/mergekey" }
    always_ready       = 3
    scaler_manages_bus = false
    cluster = {
      id                 = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ai/providers/Microsoft.ContainerService/managedClusters/gpu"
      gateway            = "gateway-system/internal"
      ingress_url        = "https://models.internal.contoso.com"
      client_certificate = true
      roads              = "gateway"
    }
  }

  assert {
    condition     = local.app_settings["WORKSPACE_ROADS"] == "gateway" && jsondecode(azurerm_resource_group_template_deployment.roads[0].parameters_content).ingressUrl.value == "https://models.internal.contoso.com"
    error_message = "API Management asks the roads where that is asked for"
  }

  assert {
    condition     = startswith(local.app_settings["WORKSPACE_CLIENT_CERTIFICATE"], "@Microsoft.KeyVault(")
    error_message = "the client certificate is a reference, not a value"
  }

  assert {
    condition     = alltrue([for app in azurerm_resource_group_template_deployment.function_app : contains([for each in jsondecode(app.parameters_content).settings.value : "${each.name}=${each.value}"], "GRACE_DAYS=3")])
    error_message = "var.settings goes before what function_app.tf says"
  }

  assert {
    condition     = local.app_settings["AKS_CLUSTER_ID"] == var.cluster.id && contains(keys(local.roles), "workers find the cluster")
    error_message = "the app knows the cluster and may ask for its address"
  }

  assert {
    condition     = local.app_settings["FOUNDRY_ACCOUNT_ID"] == var.playground.account_id && local.app_settings["FOUNDRY_TRACING_RESOURCE_ID"] == var.playground.application_insights_id
    error_message = "the app knows where projects are made and where traces go"
  }

  assert {
    condition     = strcontains(azurerm_role_assignment.role["workers make projects"].condition, local.grantable["Foundry User"]) && !strcontains(azurerm_role_assignment.role["workers make projects"].condition, local.grantable["Key Vault Secrets User"])
    error_message = "the app may grant one role on projects"
  }

  assert {
    condition     = jsondecode(azurerm_resource_group_template_deployment.gateway_diagnostic[0].template_content).resources[0].properties.metrics
    error_message = "token metrics need a diagnostic with metrics"
  }

  assert {
    condition     = [for each in jsondecode(azurerm_resource_group_template_deployment.gateway_diagnostic[0].template_content).resources : "${each.type} ${each.name} ${each.properties.sampling.percentage}"] == ["Microsoft.ApiManagement/service/apis/diagnostics contoso-ai/ai/applicationinsights 25"]
    error_message = "the diagnostic is our API's, not the service's"
  }

  assert {
    condition     = { for name, role in azurerm_role_assignment.role : role.scope => role.role_definition_name if startswith(name, "gateway calls") } == { for id in var.foundry_account_ids : id => "Cognitive Services OpenAI User" }
    error_message = "the gateway may call models and not list keys"
  }

  assert {
    condition     = azurerm_federated_identity_credential.publisher[0].subject == "repo:contoso/mergekey:environment:production" && keys(azurerm_role_assignment.publisher) == ["publisher publishes questions", "publisher publishes webhook", "publisher publishes workers"]
    error_message = "the workflow signs in from its environment, and may publish"
  }

  assert {
    condition     = !contains(keys(azurerm_role_assignment.role), "scaler looks at the bus")
    error_message = "the scaler's right can be taken away"
  }

  assert {
    condition     = jsondecode(azurerm_resource_group_template_deployment.function_app["webhook"].template_content).resources[0].properties.functionAppConfig.scaleAndConcurrency.alwaysReady[0].instanceCount == 3
    error_message = "as many instances wait as were asked for"
  }

  assert {
    condition     = local.app_settings["API_AUDIENCE"] == var.api_audience && local.app_settings["ENTRA_TENANT_ID"] == var.tenant_id
    error_message = "operators call with a token of the tenant for the API"
  }
}

run "a_platform_in_a_private_network" {
  variables {
    always_ready = 0
    subnet_id    = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/net/providers/Microsoft.Network/virtualNetworks/hub/subnets/mergekey"
    cluster = {
      id            = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ai/providers/Microsoft.ContainerService/managedClusters/gpu"
      kaito_dialect = "0.6" # of an earlier version; ignored
      gateway       = "gateway-system/internal"
      ingress_url   = "https://models.internal.contoso.com"
    }
    github = { repository = "contoso/model-access", repository_id = 123456789, app_id = "1", installation_id = 2, api_url = "https://github.contoso.com/api/v3" }
  }

  assert {
    condition     = jsondecode(azurerm_resource_group_template_deployment.function_app["webhook"].template_content).resources[0].properties.virtualNetworkSubnetId == var.subnet_id
    error_message = "the app calls out through the subnet"
  }

  assert {
    condition     = jsondecode(azurerm_resource_group_template_deployment.function_app["webhook"].template_content).resources[0].properties.functionAppConfig.scaleAndConcurrency.alwaysReady == []
    error_message = "nothing waits where nobody wants to pay for it"
  }

  assert {
    condition     = !contains(keys(local.app_settings), "KAITO_DIALECT") && local.app_settings["GITHUB_API_URL"] == var.github.api_url
    error_message = "the app is told about a GitHub of one's own, and no setting of an earlier version"
  }
}

run "half_an_instance" {
  command = plan

  variables {
    always_ready = 0.5
  }

  expect_failures = [var.always_ready]
}

run "more_than_all_calls" {
  command = plan

  variables {
    api_management = {
      id           = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/ai/providers/Microsoft.ApiManagement/service/contoso-ai"
      principal_id = "00000000-0000-0000-0000-000000000003"
      gateway_url  = "https://contoso-ai.azure-api.net"
      sampling     = 101
    }
  }

  expect_failures = [var.api_management]
}
