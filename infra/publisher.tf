# The identity of the workflow that publishes the code: GitHub vouches for it, so there is no secret that could be copied.

resource "azurerm_user_assigned_identity" "publisher" {
  count = var.publisher == null ? 0 : 1

  name                = "${var.name}-publisher"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  tags                = var.tags
}

resource "azurerm_federated_identity_credential" "publisher" {
  count = var.publisher == null ? 0 : 1

  name                      = "github"
  user_assigned_identity_id = azurerm_user_assigned_identity.publisher[0].id
  audience                  = ["api://AzureADTokenExchange"]
  issuer                    = "https://token.actions.githubusercontent.com"
  subject                   = "repo:${var.publisher.repository}:environment:${var.publisher.environment}"
}
