variable "subscription_id" {
  description = "The Azure subscription that everything is made in."
  type        = string
}

variable "tenant_id" {
  description = "The Entra tenant of the subscription."
  type        = string
}

variable "location" {
  description = "The Azure region, such as swedencentral."
  type        = string
}

variable "name" {
  description = "Every name begins with it. Several must be unique in all of Azure: put your organisation in it, such as contoso-mk."
  type        = string

  validation {
    # The longest name made of it is a Key Vault's: 24 characters with "-platform".
    condition     = can(regex("^[a-z][a-z0-9]*(-[a-z0-9]+)*$", var.name)) && length(var.name) >= 3 && length(var.name) <= 15
    error_message = "3 to 15 lower-case letters, digits and single dashes, beginning with a letter."
  }
}

variable "tags" {
  description = "Tags of every resource."
  type        = map(string)
  default     = {}
}

variable "github" {
  description = "The repository of requests and the GitHub App that reads it. The repository's id: gh api repos/OWNER/NAME --jq .id"
  type = object({
    repository      = string
    repository_id   = number
    branch          = optional(string, "main")
    api_url         = optional(string, "https://api.github.com")
    app_id          = string
    installation_id = number
  })
}

variable "accept_previous_webhook_secret" {
  description = "While the webhook secret is being changed: accept the secret github-webhook-secret-previous too."
  type        = bool
  default     = false
}

variable "api_management" {
  description = "The existing API Management service: its id, the object id of its system-assigned identity, its tier, the address that teams call. `metrics`: make a logger, and the diagnostic of our API that token metrics need; only once the API `ai` is there (README.md). `sampling`: how many of a hundred calls are logged; errors always are."
  type = object({
    id           = string
    principal_id = string
    tier         = optional(string, "premium")
    gateway_url  = string
    metrics      = optional(bool, false)
    sampling     = optional(number, 100)
  })

  validation {
    condition     = var.api_management.sampling >= 0 && var.api_management.sampling <= 100
    error_message = "sampling is a percentage: 0 to 100."
  }

  validation {
    condition     = contains(["consumption", "developer", "basic", "standard", "premium", "basicv2", "standardv2", "premiumv2"], var.api_management.tier)
    error_message = "tier must be consumption, developer, basic, standard, premium, basicv2, standardv2 or premiumv2."
  }

  validation {
    condition     = can(regex("^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.ApiManagement/service/[^/]+$", var.api_management.id))
    error_message = "id must be the id of an API Management service: /subscriptions/.../providers/Microsoft.ApiManagement/service/..."
  }
}

variable "foundry_account_ids" {
  description = "Ids of the Foundry (Cognitive Services) accounts whose models the catalogue names. The gateway's identity may call them."
  type        = set(string)
  default     = []
}

variable "playground" {
  description = "The existing Foundry account (kind AIServices, project management allowed) in which teams with playground access get a project; null when nobody does. `application_insights_id`: where traces go of teams that want them; no key protects it, so let it be one for this alone."
  type = object({
    account_id              = string
    application_insights_id = optional(string)
  })
  default = null

  validation {
    condition     = var.playground == null ? true : can(regex("^/subscriptions/[^/]+/resourceGroups/[^/]+/providers/Microsoft.CognitiveServices/accounts/[^/]+$", var.playground.account_id))
    error_message = "account_id must be the id of a Foundry account: /subscriptions/.../providers/Microsoft.CognitiveServices/accounts/..."
  }
}

variable "cluster" {
  description = "The existing AKS cluster with KAITO; null when no team gets a GPU of its own. `gateway` is NAMESPACE/NAME of the Kubernetes Gateway, `ingress_url` how API Management reaches it, `gateway_controller` whose Gateway it is (istio, envoy-gateway, nginx), `backend_certificate` the name of the client certificate in API Management that it shows there (docs/gpus.md); `client_certificate`: the workers show it the certificate that the platform's vault has as workspace-client-certificate; `roads`: how they ask whether calls arrive, direct or gateway (through API Management)."
  type = object({
    id                  = string
    gateway             = string
    ingress_url         = string
    gateway_controller  = optional(string, "")
    backend_certificate = optional(string)
    client_certificate  = optional(bool, false)
    roads               = optional(string, "direct")
  })
  default = null
}

variable "settings" {
  description = "Settings of the app that shall differ from those in function_app.tf, by name; docs/settings.md explains them."
  type        = map(string)
  default     = {}
}

variable "maximum_instances" {
  description = "The most instances of each function group. Flex Consumption takes 40 to 1000."
  type        = number
  default     = 40
}

variable "always_ready" {
  description = "Instances that always wait for HTTP calls. GitHub gives a webhook ten seconds, and an app that must be started first can need longer. One costs about 20 USD a month at the list price for 2 GB; with 0 nothing is paid while nothing happens, and a push that came too early waits for the next sweep."
  type        = number
  default     = 1

  validation {
    condition     = var.always_ready >= 0 && var.always_ready <= var.maximum_instances && floor(var.always_ready) == var.always_ready
    error_message = "always_ready is a whole number from 0 to maximum_instances."
  }
}

variable "scaler_manages_bus" {
  description = "Whether the app's identity is Azure Service Bus Data Owner of the namespace. The platform's scaler asks Service Bus with it how many messages wait, which only who may manage is told; without it messages may wake no instance. False, if the check in README.md shows that they do all the same."
  type        = bool
  default     = true
}

variable "subnet_id" {
  description = "The subnet through which the app calls out; needed to reach a private cluster or private endpoints. Delegated to Microsoft.App/environments."
  type        = string
  default     = null
}

variable "publisher" {
  description = "The GitHub repository (OWNER/NAME) and its environment whose workflow publishes the code, .github/workflows/deploy.yml. It gets an identity of its own and signs in without a secret. Null: people publish."
  type = object({
    repository  = string
    environment = optional(string, "production")
  })
  default = null
}

variable "docs_url" {
  description = "Where your people read the pages of docs/, such as https://github.com/OWNER/NAME/blob/main/docs: checks and commit statuses lead there. Empty: no links."
  type        = string
  default     = ""
}

variable "api_audience" {
  description = "For whom the access tokens of operators are made out: api:// and the client id of the app registration with the roles Reader and Operator (operators-api.md makes it). Null: nobody can call."
  type        = string
  default     = null
}

variable "alert_emails" {
  description = "Who is written to when an alert fires."
  type        = set(string)
  default     = []
}
