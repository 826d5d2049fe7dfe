resource "azurerm_log_analytics_workspace" "logs" {
  name                = "${var.name}-logs"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  tags                = var.tags

  sku               = "PerGB2018"
  retention_in_days = 90
}

resource "azurerm_application_insights" "mergekey" {
  name                = "${var.name}-insights"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  tags                = var.tags

  application_type = "web"
  workspace_id     = azurerm_log_analytics_workspace.logs.id
}

resource "azurerm_monitor_action_group" "platform" {
  name                = "${var.name}-platform"
  resource_group_name = azurerm_resource_group.mergekey.name
  short_name          = "mergekey"
  tags                = var.tags

  dynamic "email_receiver" {
    for_each = var.alert_emails

    content {
      name                    = email_receiver.value
      email_address           = email_receiver.value
      use_common_alert_schema = true
    }
  }
}

# Somebody must act: a message could not be finished.
resource "azurerm_monitor_metric_alert" "dead_letters" {
  name                = "Mergekey has dead letters"
  resource_group_name = azurerm_resource_group.mergekey.name
  description         = "The queue dead-letters is not empty: somebody must act. What to type: docs/operations.md, Alarms."
  scopes              = [azurerm_servicebus_namespace.bus.id]
  severity            = 2
  frequency           = "PT5M"
  window_size         = "PT5M"
  tags                = var.tags

  criteria {
    metric_namespace = "Microsoft.ServiceBus/namespaces"
    metric_name      = "ActiveMessages"
    aggregation      = "Maximum"
    operator         = "GreaterThan"
    threshold        = 0

    dimension {
      name     = "EntityName"
      operator = "Include"
      values   = ["dead-letters"]
    }
  }

  action {
    action_group_id = azurerm_monitor_action_group.platform.id
  }
}

# What the broker puts aside is collected within moments. If it stays, nobody collects: the app is down.
resource "azurerm_monitor_metric_alert" "not_collected" {
  name                = "Mergekey does not collect dead letters"
  resource_group_name = azurerm_resource_group.mergekey.name
  description         = "Messages stay in a native dead-letter queue: the function app does not run. What to type: docs/operations.md, Alarms."
  scopes              = [azurerm_servicebus_namespace.bus.id]
  severity            = 1
  frequency           = "PT5M"
  window_size         = "PT30M"
  tags                = var.tags

  criteria {
    metric_namespace = "Microsoft.ServiceBus/namespaces"
    metric_name      = "DeadletteredMessages"
    # The least of half an hour: they were there all the time.
    aggregation = "Minimum"
    operator    = "GreaterThan"
    threshold   = 0

    dimension {
      name     = "EntityName"
      operator = "Include"
      values   = concat(keys(local.service_bus.queues), keys(local.service_bus.topics))
    }
  }

  action {
    action_group_id = azurerm_monitor_action_group.platform.id
  }
}

# A webhook call that was answered with 5xx is lost until it is redelivered or the next sweep.
resource "azurerm_monitor_scheduled_query_rules_alert_v2" "webhook" {
  name                = "Mergekey fails to take in pushes"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  description         = "GitHub's webhook was answered with 5xx: a sweep repeats it, the log has the reason. What to type: docs/operations.md, Alarms."
  scopes              = [azurerm_application_insights.mergekey.id]
  severity            = 2
  tags                = var.tags

  evaluation_frequency = "PT5M"
  window_duration      = "PT5M"

  criteria {
    query                   = "requests | where name == 'receive_push' and toint(resultCode) >= 500"
    time_aggregation_method = "Count"
    operator                = "GreaterThan"
    threshold               = 0
  }

  action {
    action_groups = [azurerm_monitor_action_group.platform.id]
  }
}
