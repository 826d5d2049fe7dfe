"""Who asks for what: a catalogue with all that a catalogue can say, and teams for every state that lasts.

Names say the state that a team is in at the end of the story (`make_snapshot.py`).
"""

from __future__ import annotations

from datetime import date

GROUPS = {
    "one": "5f8d0d55-1c3e-4f7a-9b5e-2a6c8e4d7b10",
    "two": "5f8d0d56-1c3e-4f7a-9b5e-2a6c8e4d7b10",
    "three": "5f8d0d57-1c3e-4f7a-9b5e-2a6c8e4d7b10",
    "four": "5f8d0d58-1c3e-4f7a-9b5e-2a6c8e4d7b10",
}
GPU = "Standard_NC24ads_A100_v4"
#: The day of access that ends while the story goes on, and of access that lasts.
ENDS, LASTS = date(2041, 3, 7), date(2041, 12, 31)

CATALOG = """\
currency: EUR
overCommitment: 1.5
contentSafety: {endpoint: https://contoso-safety.cognitiveservices.azure.com, threshold: 4}
semanticCache: {embeddings: text-embedding-3-large, score: 0.05, seconds: 600}
origins: [https://chat.contoso.com]
models:
  - name: gpt-4.1
    provider: foundry
    pool:
      - {name: sweden, endpoint: https://contoso-ai.openai.azure.com/openai/v1, weight: 80}
      - {name: france, endpoint: https://contoso-ai-fr.openai.azure.com/openai/v1, weight: 20}
      - {name: spain, endpoint: https://contoso-ai-es.openai.azure.com/openai/v1, priority: 2}
    circuitBreaker: {failures: 3, interval: 60, trip: 30}
    retries: 2
    fallback: gpt-4.1-mini
    price: {prompt: 1.85, completion: 7.40}
    maxTokensPerMinute: 100000
    maxDailyTokens: 5000000
    cached: true
    screened: true

  - name: gpt-4.1-mini
    provider: foundry
    endpoint: https://contoso-ai.openai.azure.com/openai/v1
    servedName: gpt-41-mini-eu
    price: {prompt: 0.37, completion: 1.48}
    maxTokensPerMinute: 200000
    maxDailyTokens: 20000000

  - name: gpt-4o-mini
    provider: foundry
    endpoint: https://contoso-ai.openai.azure.com/openai/v1
    maxTokensPerMinute: 100000
    retiresOn: 2041-06-30
    successor: gpt-4.1-mini

  - name: text-embedding-3-large
    provider: foundry
    endpoint: https://contoso-ai.openai.azure.com/openai/v1
    price: {prompt: 0.12, completion: 0}
    maxTokensPerMinute: 350000
    capacity: 400000

  - name: claude-sonnet
    provider: openai
    endpoint: https://api.anthropic.com/v1
    servedName: claude-sonnet-4-5
    credential: anthropic-key
    price: {prompt: 3.00, completion: 15.00}
    dataClasses: [public, internal]

  - name: phi-4
    provider: kaito
    preset: phi-4
    shared: {instanceType: Standard_NC24ads_A100_v4}
    maxTokensPerMinute: 200000
    dataClasses: [public, internal, confidential, restricted]
    dedicated:
      instanceTypes: [Standard_NC24ads_A100_v4, Standard_NC48ads_A100_v4]
      perTeam: 1
      total: 2

  - name: mistral-7b-instruct
    provider: kaito
    endpoint: http://mistral-7b-instruct.kaito-shared.example.internal/v1
    maxTokensPerMinute: 50000

  - name: qwen3-32b
    provider: openai
    endpoint: http://ollama.example.internal:11434/v1
    servedName: qwen3:32b
    private: true
    dataClasses: [internal, confidential, restricted]
"""


def simple(team: str, group: str = "", more: str = "", tokens: int = 5000) -> str:
    """The shortest request, with whatever else a team says."""
    reader = f", entraGroup: {GROUPS[group]}" if group else ""
    who = f"team: {{name: {team}, owner: {team}@contoso.com{reader}}}"
    return f"{who}\nmodels:\n  foundry:\n    - {{name: gpt-4.1-mini, tokensPerMinute: {tokens}}}\n{more}"


_MANY = f"""\
team:
  name: many-models
  displayName: "Viele Modelle – groß & klein <1>"
  owner: many-lead@contoso.com
  costCenter: CC-12345
  entraGroup: {GROUPS["one"]}
models:
  foundry:
    - {{name: gpt-4.1, tokensPerMinute: 10000, tokenQuota: {{tokens: 1000000, period: Daily}}}}
    - {{name: gpt-4.1-mini}}
    - {{name: gpt-4o-mini, tokensPerMinute: 4000}}
    - {{name: text-embedding-3-large, tokensPerMinute: 300000}}
  openai:
    - {{name: claude-sonnet, tokensPerMinute: 3000, tokenQuota: {{tokens: 90000000, period: Monthly}}}}
    - {{name: qwen3-32b}}
  kaito:
    - {{name: phi-4, tokensPerMinute: 50000}}
    - {{name: mistral-7b-instruct}}
limits: {{tokensPerMinute: 355000, dailyTokenQuota: 2000000, requestsPerMinute: 600}}
dataClassification: internal
expires: {LASTS}
"""

_UNLIMITED = """\
team: {name: unlimited, owner: unlimited@contoso.com}
models:
  openai:
    - {name: qwen3-32b}
dataClassification: restricted
"""

_GPU = f"""\
team: {{name: own-gpu, owner: own-gpu@contoso.com, entraGroup: {GROUPS["two"]}}}
models:
  kaito:
    - {{name: phi-4, dedicated: true, instanceType: {GPU}, tokensPerMinute: 9000}}
dataClassification: confidential
"""

_CONFIG_MAP = """\
apiVersion: v1
kind: ConfigMap
metadata:
  name: config-map-access-request
  labels:
    app.kubernetes.io/managed-by: gitops
    ai.contoso.com/request-type: model-access
data:
  team: config-map
  owner: config-map-lead@contoso.com
  costCenter: CC-23456
  models: |
    - name: gpt-4.1-mini
      type: foundry
      enabled: true
    - name: phi-4
      type: kaito
      enabled: true
    - name: mistral-7b-instruct
      type: kaito
      enabled: false
  tokensPerMinute: "5000"
  dailyTokenQuota: "500000"
  playgroundAccess: "false"
  tracingEnabled: "true"
"""

_SHORT_FORM = f"""\
team:
  name: short-form
  displayName: The short form
  owner: short-form-lead@contoso.com
  entraGroup: {GROUPS["three"]}
models:
  foundry:
    enabled: true
    models: [gpt-4.1-mini, text-embedding-3-large]
  kaito:
    enabled: false
limits:
  tokensPerMinute: 20000
  dailyTokenQuota: 1000000
"""

_PLAYGROUND = "features: {playgroundAccess: true, tracingEnabled: true}\n"
#: Where a team's file stands when nothing else is said, and where else it may.
USUAL, ELSEWHERE = "tenant-access/config/{}/access.yaml", "developer-requests/{}/access.yaml"

#: The requests that the story begins with, by path. The story changes those whose team has a state of its
#: own.
AT_FIRST = {
    USUAL.format("one-model"): simple("one-model"),
    USUAL.format("many-models"): _MANY,
    USUAL.format("unlimited"): _UNLIMITED,
    USUAL.format("own-gpu"): _GPU,
    USUAL.format("team-config-map"): _CONFIG_MAP,
    ELSEWHERE.format("short-form"): _SHORT_FORM,
    USUAL.format("playground"): simple("playground", "four", _PLAYGROUND),
    USUAL.format("read-by-group"): simple("read-by-group", "one", f"expires: {LASTS}\n"),
    **{
        USUAL.format(team): simple(team, group, more)
        for team, group, more in (
            ("lapsed", "two", f"expires: {ENDS}\n"),
            ("withdrawn", "three", _PLAYGROUND),
            ("gone-for-good", "four", ""),
            ("held-gone", "one", ""),
            ("held-junk", "", ""),
            ("begun", "", ""),
            ("robbed", "two", ""),
            ("garbled", "", f"expires: {LASTS}\n"),
            ("newer", "", ""),
            ("strange", "", ""),
            ("handed-over", "one", ""),
            ("invalid", "", ""),
            ("unreadable", "", ""),
            ("doubled", "", ""),
            ("moved", "two", ""),
            ("letter", "", ""),
        )
    },
}
#: Teams that leave together with those that are held, so that they are too many, and come back.
CROWD = ("one-model", "unlimited", "begun", "robbed", "garbled", "newer", "doubled", "moved")
