# The entities are described in service-bus.json: the local stand-ins and the tests read the same file.

locals {
  service_bus = jsondecode(file("${path.module}/service-bus.json"))

  topic_subscriptions = merge([
    for topic, entity in local.service_bus.topics : {
      for name, subscription in entity.subscriptions : "${topic}/${name}" => merge(subscription, { topic = topic, name = name })
    }
  ]...)

  subscription_rules = merge([
    for path, subscription in local.topic_subscriptions : {
      for name, rule in subscription.rules : "${path}/${name}" => { subscription = path, name = name, to = rule.to }
    }
  ]...)
}

resource "azurerm_servicebus_namespace" "bus" {
  name                = "${var.name}-bus"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  tags                = var.tags

  # Sessions, topics and duplicate detection need Standard.
  sku = "Standard"
  # No connection strings: only Entra identities with a role.
  local_auth_enabled  = false
  minimum_tls_version = "1.2"
}

resource "azurerm_servicebus_queue" "queue" {
  for_each = local.service_bus.queues

  name         = each.key
  namespace_id = azurerm_servicebus_namespace.bus.id

  requires_session                        = each.value.requires_session
  requires_duplicate_detection            = true
  duplicate_detection_history_time_window = each.value.duplicate_detection_window
  lock_duration                           = each.value.lock_duration
  max_delivery_count                      = each.value.max_delivery_count
  dead_lettering_on_message_expiration    = true
}

resource "azurerm_servicebus_topic" "topic" {
  for_each = local.service_bus.topics

  name         = each.key
  namespace_id = azurerm_servicebus_namespace.bus.id

  requires_duplicate_detection            = true
  duplicate_detection_history_time_window = each.value.duplicate_detection_window
  support_ordering                        = true
}

resource "azurerm_servicebus_subscription" "subscription" {
  for_each = local.topic_subscriptions

  name     = each.value.name
  topic_id = azurerm_servicebus_topic.topic[each.value.topic].id

  requires_session                          = each.value.requires_session
  lock_duration                             = each.value.lock_duration
  max_delivery_count                        = each.value.max_delivery_count
  dead_lettering_on_message_expiration      = true
  dead_lettering_on_filter_evaluation_error = true
}

# Service Bus gives a new subscription a rule $Default that lets everything in. It must not be there: README.md says how to look.
resource "azurerm_servicebus_subscription_rule" "rule" {
  for_each = local.subscription_rules

  name            = each.value.name
  subscription_id = azurerm_servicebus_subscription.subscription[each.value.subscription].id
  filter_type     = "CorrelationFilter"

  correlation_filter {
    to = each.value.to
  }
}
