terraform {
  required_version = ">= 1.9"

  required_providers {
    azurerm = {
      source  = "hashicorp/azurerm"
      version = ">= 5.0, < 6.0"
    }
  }
}

provider "azurerm" {
  subscription_id = var.subscription_id
  # The storage account takes no account keys.
  storage_use_azuread = true

  features {}
}

resource "azurerm_resource_group" "mergekey" {
  name     = var.name
  location = var.location
  tags     = var.tags
}
