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
    query                   = "requests | extend called = coalesce(tostring(customDimensions['faas.name']), name) | where called == 'receive_push' and toint(resultCode) >= 500"
    time_aggregation_method = "Count"
    operator                = "GreaterThan"
    threshold               = 0
  }

  action {
    action_groups = [azurerm_monitor_action_group.platform.id]
  }
}

# Every quarter of an hour a timer asks for a sweep, and a message wakes it. Without sweeps nobody finds what a lost push changed.
resource "azurerm_monitor_scheduled_query_rules_alert_v2" "sweeps" {
  name                = "Mergekey does not sweep"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  description         = "No sweep succeeded for an hour: the workers do not run, or messages do not wake them. What to type: docs/operations.md, Alarms."
  scopes              = [azurerm_application_insights.mergekey.id]
  severity            = 1
  tags                = var.tags

  evaluation_frequency = "PT15M"
  window_duration      = "PT1H"

  criteria {
    query                   = "traces | where message startswith 'Sweeps: sweep done'"
    time_aggregation_method = "Count"
    operator                = "LessThan"
    threshold               = 1
  }

  action {
    action_groups = [azurerm_monitor_action_group.platform.id]
  }
}

# What comes back later is scheduled, not active. What is active all the time is not worked on fast enough, or by nobody.
resource "azurerm_monitor_metric_alert" "waiting" {
  name                = "Mergekey lets messages wait"
  resource_group_name = azurerm_resource_group.mergekey.name
  description         = "Messages waited for half an hour without a pause. What to type: docs/operations.md, Alarms."
  scopes              = [azurerm_servicebus_namespace.bus.id]
  severity            = 2
  frequency           = "PT5M"
  window_size         = "PT30M"
  tags                = var.tags

  criteria {
    metric_namespace = "Microsoft.ServiceBus/namespaces"
    metric_name      = "ActiveMessages"
    aggregation      = "Minimum"
    operator         = "GreaterThan"
    threshold        = 0

    dimension {
      name     = "EntityName"
      operator = "Include"
      values   = concat([for name in keys(local.service_bus.queues) : name if name != "dead-letters"], keys(local.service_bus.topics))
    }
  }

  action {
    action_group_id = azurerm_monitor_action_group.platform.id
  }
}

# The broker has no metric of a message's age. A message that is taken says how long it waited; one that nobody takes is seen by the alert above.
resource "azurerm_monitor_scheduled_query_rules_alert_v2" "late" {
  name                = "Mergekey takes messages late"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  description         = "A message waited for more than a quarter of an hour before a stage took it. What to type: docs/operations.md, Alarms."
  scopes              = [azurerm_application_insights.mergekey.id]
  severity            = 3
  tags                = var.tags

  evaluation_frequency = "PT15M"
  window_duration      = "PT15M"

  criteria {
    query                   = "traces | where message startswith 'Measured: ' | where toreal(parse_json(substring(message, 10))['waited']) > 900"
    time_aggregation_method = "Count"
    operator                = "GreaterThan"
    threshold               = 0
  }

  action {
    action_groups = [azurerm_monitor_action_group.platform.id]
  }
}

# Each row is what one function counted. A few are usual after a large change: what is throttled is tried again.
resource "azurerm_monitor_scheduled_query_rules_alert_v2" "limits" {
  name                = "Mergekey meets limits of Azure or GitHub"
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  description         = "Calls are throttled again and again, or GitHub's budget for this hour is nearly used up. What to type: docs/operations.md, Alarms."
  scopes              = [azurerm_application_insights.mergekey.id]
  severity            = 3
  tags                = var.tags

  evaluation_frequency = "PT15M"
  window_duration      = "PT15M"

  criteria {
    query                   = "traces | where message startswith 'Measured: ' | mv-expand call = parse_json(substring(message, 10))['calls'] | where toint(call['throttled']) > 0 or (tostring(call['to']) == 'GitHub' and toint(call['left']) < 250)"
    time_aggregation_method = "Count"
    operator                = "GreaterThan"
    threshold               = 10
  }

  action {
    action_groups = [azurerm_monitor_action_group.platform.id]
  }
}

# How it goes, on one page: the queries are in workbook.json.
resource "azurerm_application_insights_workbook" "mergekey" {
  name                = uuidv5("url", "mergekey/${var.name}")
  resource_group_name = azurerm_resource_group.mergekey.name
  location            = azurerm_resource_group.mergekey.location
  display_name        = "Mergekey (${var.name})"
  source_id           = lower(azurerm_application_insights.mergekey.id)
  tags                = var.tags

  data_json = jsonencode({
    version = "Notebook/1.0"
    items = concat(
      [{ type = 9, name = "time", content = { version = "KqlParameterItem/1.0", parameters = [{ name = "range", type = 4, isRequired = true, value = { durationMs = 86400000 }, typeSettings = { selectableValues = [{ durationMs = 3600000 }, { durationMs = 86400000 }, { durationMs = 604800000 }, { durationMs = 2592000000 }] } }] } }],
      [for each in jsondecode(file("${path.module}/workbook.json")) : {
        type    = 3
        name    = each.title
        content = { version = "KqlItem/1.0", title = each.title, query = each.query, queryType = 0, resourceType = "microsoft.insights/components", size = 0, timeContextFromParameter = "range" }
      }],
    )
  })
}
