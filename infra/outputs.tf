output "webhook_url" {
  description = "Where GitHub sends its pushes."
  value       = "https://${local.hosts["webhook"]}/api/github/webhook"
}

output "operators_url" {
  description = "MERGEKEY_URL for the platform team: everything can be asked there."
  value       = "https://${local.hosts["workers"]}"
}

output "questions_url" {
  description = "MERGEKEY_URL for teams."
  value       = "https://${local.hosts["questions"]}"
}

# Where the code is published.
output "webhook_app_name" {
  value = local.function_app_names["webhook"]
}

output "workers_app_name" {
  value = local.function_app_names["workers"]
}

output "questions_app_name" {
  value = local.function_app_names["questions"]
}

output "resource_group_name" {
  value = azurerm_resource_group.mergekey.name
}

# The users' names in Kubernetes.
output "app_object_id" {
  description = "The object id of the workers' identity."
  value       = azurerm_user_assigned_identity.app["workers"].principal_id
}

output "webhook_object_id" {
  value = azurerm_user_assigned_identity.app["webhook"].principal_id
}

output "questions_object_id" {
  value = azurerm_user_assigned_identity.app["questions"].principal_id
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

locals {
  hosts = { for part, app in azurerm_resource_group_template_deployment.function_app : part => jsondecode(app.output_content).hostname.value }
}
