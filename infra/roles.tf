# Who may do what stands in one table, roles.json: read it before you merge a change to it. Here it is carried out. The stand-ins, the tests
# and SECURITY.md read the same file, and a test compares it with the calls that the app makes.

locals {
  table = jsondecode(file("${path.module}/roles.json"))

  who = {
    webhook   = azurerm_user_assigned_identity.app["webhook"].principal_id
    workers   = azurerm_user_assigned_identity.app["workers"].principal_id
    questions = azurerm_user_assigned_identity.app["questions"].principal_id
    publisher = try(azurerm_user_assigned_identity.publisher[0].principal_id, null)
    gateway   = var.api_management.principal_id
  }

  # Where a role can be given: the ids by name; the name is empty where there is only one.
  places = {
    api_management    = { "" = var.api_management.id }
    teams_vault       = { "" = azurerm_key_vault.teams.id }
    platform_vault    = { "" = azurerm_key_vault.platform.id }
    gateway_vault     = { "" = azurerm_key_vault.gateway.id }
    webhook_storage   = { "" = azurerm_storage_account.host["webhook"].id }
    workers_storage   = { "" = azurerm_storage_account.host["workers"].id }
    questions_storage = { "" = azurerm_storage_account.host["questions"].id }
    topics            = { for name, topic in azurerm_servicebus_topic.topic : name => topic.id }
    queues            = { for name, queue in azurerm_servicebus_queue.queue : name => queue.id }
    sweeps            = { "" = azurerm_servicebus_queue.queue["sweeps"].id }
    dead_letters      = { "" = azurerm_servicebus_queue.queue["dead-letters"].id }
    subscriptions     = { for path, subscription in azurerm_servicebus_subscription.subscription : path => subscription.id }
    scaled_bus        = var.scaler_manages_bus ? { "" = azurerm_servicebus_namespace.bus.id } : {}
    foundry_accounts  = { for id in var.foundry_account_ids : id => id }
    # The Foundry account in which teams get projects, and the Application Insights that takes their traces.
    playground    = { for id in compact([try(var.playground.account_id, null)]) : "" => id }
    traces        = { for id in compact([try(var.playground.application_insights_id, null)]) : "" => id }
    cluster       = { for id in compact([try(var.cluster.id, null)]) : "" => id }
    function_apps = { for part, name in local.function_app_names : part => "${azurerm_resource_group.mergekey.id}/providers/Microsoft.Web/sites/${name}" if var.publisher != null }
  }

  roles = merge([
    for name, given in local.table.assignments : {
      for place, id in local.places[given.at] : trimspace("${name} ${place}") => merge(given, { scope = id })
    }
  ]...)

  # Who may grant, may grant this role only. By its id, because names of built-in roles change (Foundry User was Azure AI User):
  # https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-examples
  grantable = {
    "Key Vault Secrets User" = "4633458b-17de-408a-b874-0445c86b69e6"
    "Foundry User"           = "53ca6127-db72-4b80-b1b0-d745d6d5456d"
  }
  conditions = {
    for role, id in local.grantable : role => <<-EOT
    (
      (!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'}))
      OR
      (
        @Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${id}}
        AND
        @Request[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'Group'}
      )
    )
    AND
    (
      (!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'}))
      OR
      (
        @Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${id}}
        AND
        @Resource[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'Group'}
      )
    )
  EOT
  }
}

resource "azurerm_role_assignment" "role" {
  for_each = { for name, given in local.roles : name => given if given.at != "function_apps" }

  principal_id   = local.who[each.value.who]
  principal_type = "ServicePrincipal"
  scope          = each.value.scope
  description    = each.value.why

  role_definition_name = contains(keys(local.table.own_roles), each.value.role) ? null : each.value.role
  role_definition_id   = try(azurerm_role_definition.own[each.value.role].role_definition_resource_id, null)

  condition         = try(local.conditions[each.value.only], null)
  condition_version = try(local.conditions[each.value.only], null) == null ? null : "2.0"
}

# The app starts when all other roles are there; this one can be given when the app is.
resource "azurerm_role_assignment" "publisher" {
  for_each = { for name, given in local.roles : name => given if given.at == "function_apps" }

  principal_id         = local.who[each.value.who]
  principal_type       = "ServicePrincipal"
  scope                = each.value.scope
  description          = each.value.why
  role_definition_name = each.value.role

  depends_on = [azurerm_resource_group_template_deployment.function_app]
}

# Roles of our own, because the built-in ones may do more: API Management Service Contributor may delete the service, Key Vault Secrets Officer
# read and purge every team's keys, Azure AI Project Manager use every project and its data.
resource "azurerm_role_definition" "own" {
  for_each = { for name, role in local.table.own_roles : name => role if length(local.places[role.at]) > 0 }

  name        = "Mergekey ${each.key} (${var.name})"
  description = each.value.description
  scope       = join("/", slice(split("/", local.places[each.value.at][""]), 0, 5)) # the resource group

  permissions {
    actions      = each.value.actions
    data_actions = each.value.data_actions
  }
}
