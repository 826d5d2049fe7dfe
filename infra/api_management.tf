# The API Management service exists already: Mergekey makes products, policies and subscriptions in it (roles.json says with which role).
# What is here is optional: token metrics per team need a logger, and a diagnostic with custom metrics switched on.

locals {
  # /subscriptions/<1>/resourceGroups/<3>/providers/Microsoft.ApiManagement/service/<7>
  api_management_parts = split("/", trimprefix(var.api_management.id, "/"))
  api_management_group = local.api_management_parts[3]
  api_management_name  = local.api_management_parts[7]
}

resource "azurerm_api_management_logger" "insights" {
  count = var.api_management.metrics ? 1 : 0

  name                = "mergekey"
  api_management_name = local.api_management_name
  resource_group_name = local.api_management_group
  resource_id         = azurerm_application_insights.mergekey.id

  application_insights {
    connection_string = azurerm_application_insights.mergekey.connection_string
  }
}

# Of our API alone: the service has one diagnostic for all its APIs, and whoever writes that replaces what others set there. The app makes the
# API when the first catalogue is merged, so `metrics` is switched on after that (README.md).
# A template, because azurerm_api_management_api_diagnostic has no argument for `metrics`, without which llm-emit-token-metric emits nothing.
# No bodies and no headers are logged: prompts and keys stay out of the logs.
resource "azurerm_resource_group_template_deployment" "gateway_diagnostic" {
  count = var.api_management.metrics ? 1 : 0

  name                = "mergekey-gateway-diagnostic"
  resource_group_name = local.api_management_group
  deployment_mode     = "Incremental"
  tags                = var.tags

  template_content = jsonencode({
    "$schema"      = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"
    contentVersion = "1.0.0.0"
    resources = [{
      type       = "Microsoft.ApiManagement/service/apis/diagnostics"
      apiVersion = "2024-05-01"
      name       = "${local.api_management_name}/ai/applicationinsights"
      properties = {
        loggerId  = "${var.api_management.id}/loggers/${azurerm_api_management_logger.insights[0].name}"
        alwaysLog = "allErrors"
        metrics   = true
        sampling  = { samplingType = "fixed", percentage = var.api_management.sampling }
        frontend  = { request = { headers = [], body = { bytes = 0 } }, response = { headers = [], body = { bytes = 0 } } }
        backend   = { request = { headers = [], body = { bytes = 0 } }, response = { headers = [], body = { bytes = 0 } } }
      }
    }]
  })
}

# How the workers ask models on GPUs for their names where they do not reach them: an API with that one operation, and a product and a
# subscription that open nothing else. No key is in the template, nor in Terraform's state: the workers read it with the role that they have.
resource "azurerm_resource_group_template_deployment" "roads" {
  count = try(var.cluster.roads, "direct") == "gateway" ? 1 : 0

  name                = "mergekey-roads"
  resource_group_name = local.api_management_group
  deployment_mode     = "Incremental"
  tags                = var.tags
  template_content    = file("${path.module}/roads.json")

  parameters_content = jsonencode({
    service      = { value = local.api_management_name }
    ingressUrl   = { value = var.cluster.ingress_url }
    certificates = { value = try(var.cluster.backend_certificate, null) == null ? [] : ["${var.api_management.id}/certificates/${var.cluster.backend_certificate}"] }
  })
}
