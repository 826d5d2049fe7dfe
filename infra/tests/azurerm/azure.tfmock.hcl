# What Azure answers when something is made, as far as others refer to it. The provider refuses ids that are not of their kind.

mock_resource "azurerm_resource_group" {
  defaults = {
    id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso-mk"
  }
}

mock_resource "azurerm_user_assigned_identity" {
  defaults = {
    id           = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso-mk/providers/Microsoft.ManagedIdentity/userAssignedIdentities/contoso-mk-app"
    principal_id = "00000000-0000-0000-0000-00000000000a"
    client_id    = "00000000-0000-0000-0000-00000000000b"
  }
}

mock_resource "azurerm_service_plan" {
  defaults = {
    id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso-mk/providers/Microsoft.Web/serverFarms/contoso-mk-plan"
  }
}

mock_resource "azurerm_storage_account" {
  defaults = {
    id                    = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso-mk/providers/Microsoft.Storage/storageAccounts/contosomkhost"
    primary_blob_endpoint = "https://contosomkhost.blob.core.windows.net/"
  }
}

mock_resource "azurerm_storage_container" {
  defaults = {
    id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso-mk/providers/Microsoft.Storage/storageAccounts/contosomkhost/blobServices/default/containers/code"
  }
}

mock_resource "azurerm_key_vault" {
  defaults = {
    id        = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso-mk/providers/Microsoft.KeyVault/vaults/contoso-mk-keys"
    vault_uri = "https://contoso-mk-keys.vault.azure.net/"
  }
}

mock_resource "azurerm_servicebus_namespace" {
  defaults = {
    id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso-mk/providers/Microsoft.ServiceBus/namespaces/contoso-mk-bus"
  }
}

mock_resource "azurerm_servicebus_queue" {
  defaults = {
    id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso-mk/providers/Microsoft.ServiceBus/namespaces/contoso-mk-bus/queues/a-queue"
  }
}

mock_resource "azurerm_servicebus_topic" {
  defaults = {
    id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso-mk/providers/Microsoft.ServiceBus/namespaces/contoso-mk-bus/topics/a-topic"
  }
}

mock_resource "azurerm_servicebus_subscription" {
  defaults = {
    id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso-mk/providers/Microsoft.ServiceBus/namespaces/contoso-mk-bus/topics/a-topic/subscriptions/a-subscription"
  }
}

mock_resource "azurerm_log_analytics_workspace" {
  defaults = {
    id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso-mk/providers/Microsoft.OperationalInsights/workspaces/contoso-mk-logs"
  }
}

mock_resource "azurerm_application_insights" {
  defaults = {
    id                = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso-mk/providers/Microsoft.Insights/components/contoso-mk-insights"
    connection_string = "InstrumentationKey=00000000-0000-0000-0000-00000000000c"
  }
}

mock_resource "azurerm_monitor_action_group" {
  defaults = {
    id = "/subscriptions/00000000-0000-0000-0000-000000000001/resourceGroups/contoso-mk/providers/Microsoft.Insights/actionGroups/contoso-mk-platform"
  }
}

mock_resource "azurerm_role_definition" {
  defaults = {
    role_definition_resource_id = "/subscriptions/00000000-0000-0000-0000-000000000001/providers/Microsoft.Authorization/roleDefinitions/00000000-0000-0000-0000-00000000000d"
  }
}

mock_resource "azurerm_resource_group_template_deployment" {
  defaults = {
    output_content = "{\"hostname\":{\"value\":\"contoso-mk-app.azurewebsites.net\"}}"
  }
}
