# Three vaults. In the first the teams fetch their keys. The second holds what proves us to GitHub and GitHub to us; no team can read
# there. The third holds what the gateway proves itself with to providers of models: the catalogue names its secrets, so nothing else may be in it.

resource "azurerm_key_vault" "teams" {
  name                = "${var.name}-keys"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  tenant_id           = var.tenant_id
  tags                = var.tags

  sku_name                   = "standard"
  rbac_authorization_enabled = true
  purge_protection_enabled   = true
  soft_delete_retention_days = 90
}

resource "azurerm_key_vault" "platform" {
  name                = "${var.name}-platform"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  tenant_id           = var.tenant_id
  tags                = var.tags

  sku_name                   = "standard"
  rbac_authorization_enabled = true
  purge_protection_enabled   = true
  soft_delete_retention_days = 90
}

resource "azurerm_key_vault" "gateway" {
  name                = "${var.name}-gateway"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  tenant_id           = var.tenant_id
  tags                = var.tags

  sku_name                   = "standard"
  rbac_authorization_enabled = true
  purge_protection_enabled   = true
  soft_delete_retention_days = 90
}

# The secrets themselves are put in by hand (README.md), so that they never stand in a Terraform state.
locals {
  platform_secrets = {
    for name in ["github-webhook-secret", "github-webhook-secret-previous", "github-app-private-key", "workspace-client-certificate"] :
    name => "@Microsoft.KeyVault(SecretUri=${azurerm_key_vault.platform.vault_uri}secrets/${name}/)"
  }
}

# Who read which secret, and when.
resource "azurerm_monitor_diagnostic_setting" "vaults" {
  for_each = {
    teams    = azurerm_key_vault.teams.id
    platform = azurerm_key_vault.platform.id
    gateway  = azurerm_key_vault.gateway.id
  }

  name                       = "audit"
  target_resource_id         = each.value
  log_analytics_workspace_id = azurerm_log_analytics_workspace.logs.id

  enabled_log {
    category_group = "audit"
  }
}
