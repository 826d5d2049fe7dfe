# Everything that anybody may do, in one table. Read it before you merge a change to it.

locals {
  who = {
    app     = { id = azurerm_user_assigned_identity.app.principal_id, type = "ServicePrincipal" }
    gateway = { id = var.api_management.principal_id, type = "ServicePrincipal" }
  }

  queues        = azurerm_servicebus_queue.queue
  subscriptions = azurerm_servicebus_subscription.subscription
  topics        = azurerm_servicebus_topic.topic

  roles = merge(
    {
      "app writes products"   = { who = "app", role = local.gateway_role, scope = var.api_management.id, why = "products, policies, the unified API, backends, subscriptions and their keys" }
      "app writes secrets"    = { who = "app", role = local.secrets_role, scope = azurerm_key_vault.teams.id, why = "sets, disables and deletes the teams' secrets; cannot read a value" }
      "app grants secrets"    = { who = "app", role = "Key Vault Data Access Administrator", scope = azurerm_key_vault.teams.id, why = "lets a team's group read its secrets; the condition allows that one role, for groups only", condition = local.only_secrets_user }
      "app reads its own"     = { who = "app", role = "Key Vault Secrets User", scope = azurerm_key_vault.platform.id, why = "the webhook secret and the GitHub App's private key, by reference" }
      "gateway reads its own" = { who = "gateway", role = "Key Vault Secrets User", scope = azurerm_key_vault.gateway.id, why = "the keys of providers, which named values of the catalogue point to" }
      "host keeps its state"  = { who = "app", role = "Storage Blob Data Owner", scope = azurerm_storage_account.host.id, why = "the published code, and the host's locks and keys" }
    },
    { for name, topic in local.topics : "app sends to ${name}" => { who = "app", role = "Azure Service Bus Data Sender", scope = topic.id, why = "access changes, and those that come back later" } },
    { for name, queue in local.queues : "app sends to ${name}" => { who = "app", role = "Azure Service Bus Data Sender", scope = queue.id, why = "successors, retries, dead letters" } },
    { for name, queue in local.queues : "app receives from ${name}" => { who = "app", role = "Azure Service Bus Data Receiver", scope = queue.id, why = "its trigger and its native dead letters; of dead-letters what operators ask for" } },
    # The host asks for the role at the subscription: at the topic it is not enough.
    { for path, subscription in local.subscriptions : "app receives from ${path}" => { who = "app", role = "Azure Service Bus Data Receiver", scope = subscription.id, why = "its trigger, and its native dead letters" } },
    { for id in var.foundry_account_ids : "gateway calls ${id}" => { who = "gateway", role = "Cognitive Services User", scope = id, why = "calls Foundry models with its own identity: no provider key exists" } },
    # The Foundry account in which teams get projects, and the Application Insights that takes their traces.
    { for id in compact([try(var.playground.account_id, null)]) : "app makes projects" => { who = "app", role = local.projects_role, scope = id, why = "teams' projects and their connections; lets a team's group use its project: the condition allows that one role, for groups only", condition = local.only_foundry_user } },
    { for id in compact([try(var.playground.application_insights_id, null)]) : "app connects traces" => { who = "app", role = local.traces_role, scope = id, why = "the connection string that projects send their traces with" } },
    # What the app may do inside the cluster is in kubernetes/rbac.yaml.
    { for id in compact([try(var.cluster.id, null)]) : "app finds the cluster" => { who = "app", role = "Azure Kubernetes Service Cluster User Role", scope = id, why = "the cluster's address and certificate" } },
  )

  # By its id, because names of built-in roles change: Key Vault Secrets User. https://learn.microsoft.com/azure/role-based-access-control/delegate-role-assignments-examples
  secrets_user      = "4633458b-17de-408a-b874-0445c86b69e6"
  only_secrets_user = <<-EOT
    (
      (!(ActionMatches{'Microsoft.Authorization/roleAssignments/write'}))
      OR
      (
        @Request[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${local.secrets_user}}
        AND
        @Request[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'Group'}
      )
    )
    AND
    (
      (!(ActionMatches{'Microsoft.Authorization/roleAssignments/delete'}))
      OR
      (
        @Resource[Microsoft.Authorization/roleAssignments:RoleDefinitionId] ForAnyOfAnyValues:GuidEquals {${local.secrets_user}}
        AND
        @Resource[Microsoft.Authorization/roleAssignments:PrincipalType] ForAnyOfAnyValues:StringEqualsIgnoreCase {'Group'}
      )
    )
  EOT

  # The same for Foundry User, which was Azure AI User.
  foundry_user      = "53ca6127-db72-4b80-b1b0-d745d6d5456d"
  only_foundry_user = replace(local.only_secrets_user, local.secrets_user, local.foundry_user)

  gateway_role  = "Mergekey gateway writer (${var.name})"
  secrets_role  = "Mergekey secrets writer (${var.name})"
  projects_role = "Mergekey projects writer (${var.name})"
  traces_role   = "Mergekey traces reader (${var.name})"
  own_roles = merge(
    {
      (local.gateway_role) = azurerm_role_definition.gateway_writer.role_definition_resource_id
      (local.secrets_role) = azurerm_role_definition.secrets_writer.role_definition_resource_id
    },
    { for role in azurerm_role_definition.projects_writer : (local.projects_role) => role.role_definition_resource_id },
    { for role in azurerm_role_definition.traces_reader : (local.traces_role) => role.role_definition_resource_id },
  )
}

resource "azurerm_role_assignment" "role" {
  for_each = local.roles

  principal_id   = local.who[each.value.who].id
  principal_type = local.who[each.value.who].type
  scope          = each.value.scope
  description    = each.value.why

  role_definition_name = contains(keys(local.own_roles), each.value.role) ? null : each.value.role
  role_definition_id   = lookup(local.own_roles, each.value.role, null)

  condition         = try(each.value.condition, null)
  condition_version = try(each.value.condition, null) == null ? null : "2.0"
}

# What shared/adapters/api_management.py calls, and nothing else. API Management Service Contributor would do too, but may delete the service.
resource "azurerm_role_definition" "gateway_writer" {
  name        = local.gateway_role
  description = "Products, policies, APIs, backends, named values, policy fragments and subscriptions of one API Management service, with the subscriptions' keys."
  scope       = "/subscriptions/${local.api_management_parts[1]}/resourceGroups/${local.api_management_group}"

  permissions {
    actions = [
      "Microsoft.ApiManagement/service/products/read",
      "Microsoft.ApiManagement/service/products/write",
      "Microsoft.ApiManagement/service/products/delete",
      "Microsoft.ApiManagement/service/products/policies/read",
      "Microsoft.ApiManagement/service/products/policies/write",
      "Microsoft.ApiManagement/service/products/apis/read",
      "Microsoft.ApiManagement/service/products/apis/write",
      "Microsoft.ApiManagement/service/products/apis/delete",
      "Microsoft.ApiManagement/service/products/subscriptions/read",
      "Microsoft.ApiManagement/service/subscriptions/read",
      "Microsoft.ApiManagement/service/subscriptions/write",
      "Microsoft.ApiManagement/service/subscriptions/delete",
      "Microsoft.ApiManagement/service/subscriptions/listSecrets/action",
      "Microsoft.ApiManagement/service/subscriptions/regeneratePrimaryKey/action",
      "Microsoft.ApiManagement/service/subscriptions/regenerateSecondaryKey/action",
      "Microsoft.ApiManagement/service/backends/read",
      "Microsoft.ApiManagement/service/backends/write",
      "Microsoft.ApiManagement/service/backends/delete",
      "Microsoft.ApiManagement/service/namedValues/read",
      "Microsoft.ApiManagement/service/namedValues/write",
      "Microsoft.ApiManagement/service/namedValues/delete",
      "Microsoft.ApiManagement/service/apis/read",
      "Microsoft.ApiManagement/service/apis/write",
      "Microsoft.ApiManagement/service/apis/policies/read",
      "Microsoft.ApiManagement/service/apis/policies/write",
      "Microsoft.ApiManagement/service/apis/products/read",
      "Microsoft.ApiManagement/service/policyFragments/read",
      "Microsoft.ApiManagement/service/policyFragments/write",
      # Importing an API, writing a fragment and writing a named value go on after the first answer. Where their outcome is asked for, that
      # answer says: the service's examples have it below the tenant, whose operations need an action of their own.
      "Microsoft.ApiManagement/service/operationresults/read",
      "Microsoft.ApiManagement/service/tenant/operationResults/read",
    ]
  }
}

# What shared/adapters/key_vault.py calls. Key Vault Secrets Officer would do too, but may read every team's keys and purge them.
resource "azurerm_role_definition" "secrets_writer" {
  name        = local.secrets_role
  description = "Set, disable, delete and recover secrets; see their tags, not their values."
  scope       = azurerm_resource_group.mergekey.id

  permissions {
    data_actions = [
      # Versions, tags, and the list of deleted secrets. To get one deleted secret would need the right to read values.
      "Microsoft.KeyVault/vaults/secrets/readMetadata/action",
      "Microsoft.KeyVault/vaults/secrets/setSecret/action",
      "Microsoft.KeyVault/vaults/secrets/update/action",
      "Microsoft.KeyVault/vaults/secrets/delete",
      "Microsoft.KeyVault/vaults/secrets/recover/action",
    ]
  }
}

# What shared/adapters/foundry.py and role_assignments.py call. Azure AI Project Manager would do too, but may use every project and its data.
resource "azurerm_role_definition" "projects_writer" {
  count = var.playground == null ? 0 : 1

  name        = local.projects_role
  description = "Projects of one Foundry account, their connections, and who may use them; not what is in them."
  scope       = join("/", slice(split("/", var.playground.account_id), 0, 5))

  permissions {
    actions = [
      "Microsoft.CognitiveServices/accounts/read",
      "Microsoft.CognitiveServices/accounts/projects/read",
      "Microsoft.CognitiveServices/accounts/projects/write",
      "Microsoft.CognitiveServices/accounts/projects/delete",
      "Microsoft.CognitiveServices/accounts/projects/connections/read",
      "Microsoft.CognitiveServices/accounts/projects/connections/write",
      "Microsoft.CognitiveServices/accounts/projects/connections/delete",
      "Microsoft.Authorization/roleAssignments/read",
      "Microsoft.Authorization/roleAssignments/write",
      "Microsoft.Authorization/roleAssignments/delete",
    ]
  }
}

resource "azurerm_role_definition" "traces_reader" {
  count = try(var.playground.application_insights_id, null) == null ? 0 : 1

  name        = local.traces_role
  description = "See one Application Insights with its connection string."
  scope       = join("/", slice(split("/", var.playground.application_insights_id), 0, 5))

  permissions {
    actions = ["Microsoft.Insights/components/read"]
  }
}
