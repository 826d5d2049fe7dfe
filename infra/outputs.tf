output "webhook_url" {
  description = "Where GitHub sends its pushes."
  value       = "https://${jsondecode(azurerm_resource_group_template_deployment.function_app.output_content).hostname.value}/api/github/webhook"
}

output "function_app_name" {
  description = "Where the code is published."
  value       = local.function_app_name
}

output "resource_group_name" {
  value = azurerm_resource_group.mergekey.name
}

output "app_object_id" {
  description = "The object id of the app's identity: the user's name in Kubernetes."
  value       = azurerm_user_assigned_identity.app.principal_id
}

output "publisher_client_id" {
  description = "For the deploy workflow: AZURE_CLIENT_ID. Null without `publisher`."
  value       = try(azurerm_user_assigned_identity.publisher[0].client_id, null)
}

output "platform_vault_name" {
  description = "Where the platform team puts github-webhook-secret and github-app-private-key."
  value       = azurerm_key_vault.platform.name
}

output "gateway_vault_name" {
  description = "Where the platform team puts the keys of providers that the catalogue names as `credential`, and `content-safety`."
  value       = azurerm_key_vault.gateway.name
}

output "teams_vault_url" {
  description = "Where teams fetch their keys."
  value       = azurerm_key_vault.teams.vault_uri
}

output "service_bus_namespace" {
  description = "For the command line: SERVICE_BUS__fullyQualifiedNamespace."
  value       = "${azurerm_servicebus_namespace.bus.name}.servicebus.windows.net"
}
