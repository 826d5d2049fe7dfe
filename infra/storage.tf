# What each app's host needs: the published code, and its own locks and keys. Nothing of the product is stored here. Each has an account of
# its own, since who can write there can replace the code.

resource "azurerm_storage_account" "host" {
  for_each = local.parts

  name                = "${replace(var.name, "-", "")}${each.key}"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  tags                = var.tags

  account_tier                    = "Standard"
  account_replication_type        = "ZRS"
  min_tls_version                 = "TLS1_2"
  shared_access_key_enabled       = false
  default_to_oauth_authentication = true
  allow_nested_items_to_be_public = false
}

resource "azurerm_storage_container" "code" {
  for_each = local.parts

  name                  = "code"
  storage_account_id    = azurerm_storage_account.host[each.key].id
  container_access_type = "private"
}
