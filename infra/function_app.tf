# One package, three apps, each with an identity that may do no more than its part needs (roles.json): the webhook takes GitHub's calls
# and only sends, the workers do everything else, and questions are answered by an app that only reads.
locals {
  parts = {
    webhook = {
      always_ready = var.always_ready
      settings     = { APP_PART = "webhook", ENTRA_TENANT_ID = "", API_AUDIENCE = "", WORKSPACE_CLIENT_CERTIFICATE = "" }
    }
    workers = {
      always_ready = 0
      settings     = { APP_PART = "workers", GITHUB_WEBHOOK_SECRET = "", GITHUB_WEBHOOK_SECRET_PREVIOUS = "" }
    }
    questions = {
      always_ready = 0
      settings     = { APP_PART = "questions", GITHUB_WEBHOOK_SECRET = "", GITHUB_WEBHOOK_SECRET_PREVIOUS = "", WORKSPACE_CLIENT_CERTIFICATE = "" }
    }
  }

  function_app_names = { for part in keys(local.parts) : part => "${var.name}-${part}" }
}

resource "azurerm_user_assigned_identity" "app" {
  for_each = local.parts

  name                = "${var.name}-${each.key}"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  tags                = var.tags
}

# A plan of this kind holds one app.
resource "azurerm_service_plan" "flex" {
  for_each = local.parts

  name                = "${var.name}-${each.key}-plan"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  tags                = var.tags

  os_type  = "Linux"
  sku_name = "FC1"
}

locals {
  # Every setting of shared/settings.py, except the two that production does without: SERVICE_BUS (a connection string; the
  # identity is used instead) and GITHUB_TOKEN (the GitHub App is used instead). A test compares.
  app_settings = {
    # Each app has its own, with what else differs: `parts`, above.
    APP_PART = "all"

    GITHUB_REPOSITORY              = var.github.repository
    GITHUB_REPOSITORY_ID           = tostring(var.github.repository_id)
    GITHUB_BRANCH                  = var.github.branch
    GITHUB_WEBHOOK_SECRET          = local.platform_secrets["github-webhook-secret"]
    GITHUB_WEBHOOK_SECRET_PREVIOUS = var.accept_previous_webhook_secret ? local.platform_secrets["github-webhook-secret-previous"] : ""
    GITHUB_API_URL                 = var.github.api_url
    GITHUB_APP_ID                  = var.github.app_id
    GITHUB_APP_PRIVATE_KEY         = local.platform_secrets["github-app-private-key"]
    GITHUB_INSTALLATION_ID         = tostring(var.github.installation_id)
    GITHUB_REPORT_INTERVAL         = "1.0"
    DOCS_URL                       = var.docs_url

    SERVICE_BUS__fullyQualifiedNamespace = "${azurerm_servicebus_namespace.bus.name}.servicebus.windows.net"

    RESOURCE_MANAGER_URL       = "https://management.azure.com"
    APIM_SERVICE_ID            = var.api_management.id
    APIM_TIER                  = var.api_management.tier
    GATEWAY_URL                = var.api_management.gateway_url
    KEY_VAULT_URL              = azurerm_key_vault.teams.vault_uri
    KEY_VAULT_ID               = azurerm_key_vault.teams.id
    PLATFORM_VAULT_URL         = azurerm_key_vault.gateway.vault_uri
    KEY_VAULT_VERIFY_CHALLENGE = "true"

    AKS_CLUSTER_ID                = var.cluster == null ? "" : var.cluster.id
    WORKSPACE_GATEWAY             = var.cluster == null ? "" : var.cluster.gateway
    WORKSPACE_INGRESS_URL         = var.cluster == null ? "" : var.cluster.ingress_url
    WORKSPACE_GATEWAY_CONTROLLER  = var.cluster == null ? "" : var.cluster.gateway_controller
    WORKSPACE_BACKEND_CERTIFICATE = try(var.cluster.backend_certificate, null) == null ? "" : var.cluster.backend_certificate
    WORKSPACE_CLIENT_CERTIFICATE  = try(var.cluster.client_certificate, false) ? local.platform_secrets["workspace-client-certificate"] : ""
    WORKSPACE_ROADS               = try(var.cluster.roads, "direct")
    POD_LOGS                      = "false"

    FOUNDRY_ACCOUNT_ID          = var.playground == null ? "" : var.playground.account_id
    FOUNDRY_TRACING_RESOURCE_ID = try(var.playground.application_insights_id, null) == null ? "" : var.playground.application_insights_id

    REQUEST_PATHS           = "tenant-access/config/*/access.yaml,developer-requests/*/access.yaml"
    CATALOG_PATH            = "platform/config/model_catalog.yaml"
    GRACE_DAYS              = "7"
    WORKSPACE_GRACE_MINUTES = "60"
    KEY_OVERLAP_HOURS       = "24"
    WAITING_LIMIT_MINUTES   = "120"
    RETRY_LIMIT_HOURS       = "24"
    SWEEP_REPORT_ONLY       = "false"
    SWEEP_UPGRADES          = "100"

    ENTRA_TENANT_ID     = var.api_audience == null ? "" : var.tenant_id
    API_AUDIENCE        = var.api_audience == null ? "" : var.api_audience
    ENTRA_AUTHORITY_URL = "https://login.microsoftonline.com"
  }

  # For the host and the SDKs: which identity to be, everywhere.
  host_settings = { for part, identity in azurerm_user_assigned_identity.app : part => {
    AzureWebJobsStorage__accountName      = azurerm_storage_account.host[part].name
    AzureWebJobsStorage__credential       = "managedidentity"
    AzureWebJobsStorage__clientId         = identity.client_id
    SERVICE_BUS__credential               = "managedidentity"
    SERVICE_BUS__clientId                 = identity.client_id
    AZURE_CLIENT_ID                       = identity.client_id
    AZURE_TOKEN_CREDENTIALS               = "ManagedIdentityCredential"
    APPLICATIONINSIGHTS_CONNECTION_STRING = azurerm_application_insights.mergekey.connection_string
    # The host sends everything, the worker's log too (host.json, `telemetryMode`), and takes a sample of traces with their log unless it is
    # told not to. The settings that make a Python worker send for itself stay away: the host would drop the app's log then.
    OTEL_TRACES_SAMPLER     = "microsoft.fixed_percentage"
    OTEL_TRACES_SAMPLER_ARG = "1.0"
  } }

  settings = { for part, own in local.parts : part => merge(local.app_settings, own.settings, local.host_settings[part], var.settings) }
}

# An ARM template instead of azurerm_function_app_flex_consumption, for two things which that resource cannot say:
# - which identity reads Key Vault references: https://github.com/hashicorp/terraform-provider-azurerm/issues/28928
# - no AzureWebJobsStorage beside the identity-based one: https://github.com/hashicorp/terraform-provider-azurerm/issues/29693
resource "azurerm_resource_group_template_deployment" "function_app" {
  for_each = local.parts

  name                = "function-app-${each.key}"
  resource_group_name = azurerm_resource_group.mergekey.name
  deployment_mode     = "Incremental"
  tags                = var.tags

  # Values go in as parameters: text in a template that begins with a bracket would be evaluated.
  parameters_content = jsonencode({
    settings = { value = [for name, value in local.settings[each.key] : { name = name, value = value }] }
  })

  template_content = jsonencode({
    "$schema"      = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
    contentVersion = "1.0.0.0"
    parameters     = { settings = { type = "array" } }
    resources = [
      {
        type       = "Microsoft.Web/sites"
        apiVersion = "2024-04-01"
        name       = local.function_app_names[each.key]
        location   = var.location
        kind       = "functionapp,linux"
        tags       = merge(var.tags, { azd-service-name = each.key }) # by which `azd deploy` finds it
        identity = {
          type                   = "UserAssigned"
          userAssignedIdentities = { (azurerm_user_assigned_identity.app[each.key].id) = {} }
        }
        properties = merge(
          {
            serverFarmId              = azurerm_service_plan.flex[each.key].id
            httpsOnly                 = true
            keyVaultReferenceIdentity = azurerm_user_assigned_identity.app[each.key].id
            functionAppConfig = {
              runtime = { name = "python", version = "3.12" }
              scaleAndConcurrency = {
                instanceMemoryMB     = 2048
                maximumInstanceCount = var.maximum_instances
                alwaysReady          = [for count in [each.value.always_ready] : { name = "http", instanceCount = count } if count > 0]
              }
              deployment = {
                storage = {
                  type  = "blobContainer"
                  value = "${azurerm_storage_account.host[each.key].primary_blob_endpoint}${azurerm_storage_container.code[each.key].name}"
                  authentication = {
                    type                           = "UserAssignedIdentity"
                    userAssignedIdentityResourceId = azurerm_user_assigned_identity.app[each.key].id
                  }
                }
              }
            }
            siteConfig = { minTlsVersion = "1.2", appSettings = "[parameters('settings')]" }
          },
          { for subnet in compact([var.subnet_id]) : "virtualNetworkSubnetId" => subnet },
        )
      },
      # Publishing takes an Entra identity, no password.
      {
        type       = "Microsoft.Web/sites/basicPublishingCredentialsPolicies"
        apiVersion = "2024-04-01"
        name       = "${local.function_app_names[each.key]}/scm"
        dependsOn  = ["[resourceId('Microsoft.Web/sites', '${local.function_app_names[each.key]}')]"]
        properties = { allow = false }
      },
    ]
    outputs = {
      hostname = {
        type  = "string"
        value = "[reference(resourceId('Microsoft.Web/sites', '${local.function_app_names[each.key]}'), '2024-04-01').defaultHostName]"
      }
    }
  })

  # The host starts at once, and a Key Vault reference is read when it starts.
  depends_on = [azurerm_role_assignment.role]
}
