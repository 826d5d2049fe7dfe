"""What each policy looks like: attributes, children, and the sections in which it may stand.

From the reference pages of the policies and the schemas of Microsoft's editor extension:
https://learn.microsoft.com/azure/api-management/api-management-policies
https://github.com/microsoft/vscode-apimanagement
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

SECTIONS = ("inbound", "backend", "outbound", "on-error")
Content = Literal["none", "text", "words", "any", "policies"]

#: A line per element: name, for a policy the first letters of its sections in brackets, then attributes;
#: children stand below it, further in, and in this order in a document. A child's name says how often it may
#: stand: `?` at most once, `*` any number, `+` at least once, else once; `=` before it means that it is the
#: policy of that name.
#:
#: An attribute with `!` is required. Behind `:` stands what it may be: a word of `policy_rules.VALUES`, or
#: values with `|` between them; behind that `@` where an expression may stand. Without `:` it is any text,
#: with `:name` one that is not empty, with `:fixed` neither that nor an expression. `id` may stand anywhere.
#:
#: Behind `>` stands what is inside: `text`, `words` (a text that is not empty), `any`, `policies`; nothing
#: otherwise.
TABLE = """
authentication-basic (i) username! password!
authentication-certificate (i) thumbprint certificate-id body password
authentication-managed-identity (i) resource!:name client-id output-token-variable-name:fixed ignore-error:bool@
authentication-token (i) token-type token-service-url resource-url ignore-error:bool@
authentication-token-store (i) token-id client-id output-token-variable-name ignore-error:bool@
azure-openai-emit-token-metric (i) namespace name value-type:all|total-tokens|prompt-tokens|completion-tokens
  dimension+ name!:fixed value
azure-openai-semantic-cache-lookup (i) score-threshold!:share embeddings-backend-id!:name embeddings-backend-auth:system-assigned|header ignore-system-messages:bool@ cache-id max-message-count:int@
  vary-by* >text
azure-openai-semantic-cache-store (o) duration!:count@ cache-id
azure-openai-token-limit (i) counter-key!:name estimate-prompt-tokens!:bool tokens-per-minute:count@ token-quota:count@ token-quota-period:Hourly|Daily|Weekly|Monthly|Yearly prompt-type retry-after-header-name retry-after-variable-name remaining-quota-tokens-header-name remaining-quota-tokens-variable-name remaining-tokens-header-name remaining-tokens-variable-name tokens-consumed-header-name tokens-consumed-variable-name ignore-prompt:bool@
block (iboe) >policies
cache-lookup (i) vary-by-developer!:bool@ vary-by-developer-groups!:bool@ caching-type:prefer-external|internal|external@ downstream-caching-type:none|private|public@ must-revalidate:bool@ allow-private-response-caching:bool@
  vary-by-header* >text
  vary-by-query-parameter* >text
cache-lookup-value (iboe) key!:name variable-name!:name default-value caching-type:prefer-external|internal|external@
cache-remove-value (iboe) key!:name caching-type:prefer-external|internal|external@
cache-store (o) duration!:int@ cache-response:bool@ caching-mode
cache-store-value (iboe) key!:name value! duration!:int@ caching-type:prefer-external|internal|external@
check-header (i) name!:name failed-check-httpcode!:int@ failed-check-error-message! ignore-case:bool@
  value* >text
choose (iboe)
  when+ condition!:bool@ >policies
  otherwise? >policies
cors (i) allow-credentials:bool@ terminate-unmatched-request:bool@
  allowed-origins
    origin+ >words
  allowed-methods? preflight-result-max-age:int@
    method+ >words
  allowed-headers?
    header+ >words
  expose-headers?
    header+ >words
cosmosdb-data-source (b) >any
cross-domain (i) >any
emit-metric (iboe) name!:name namespace value default-dimensions:bool@
  dimension* name!:fixed value
find-and-replace (iboe) from!:name to!
forward-request (b) timeout:int@ timeout-ms:int@ continue-timeout:int@ follow-redirects:bool@ buffer-request-body:bool buffer-response:bool fail-on-error-status-code:bool http-version:1|2|2or1
get-authorization-context (i) provider-id!:name authorization-id!:name context-variable-name!:name identity-type:managed|jwt@ identity ignore-error:bool@
graphql-data-source (b) >any
http-data-source (b) >any
include-fragment (iboe) fragment-id!:fixed
invoke-dapr-binding (iboe) name!:name operation ignore-error:bool@ response-variable-name timeout:int@ template content-type >any
ip-filter (i) action!:allow|forbid@
  address* >text
  address-range* from!:name to!:name
json-to-xml (ioe) apply!:always|content-type-json@ consider-accept-header:bool@ parse-date:bool@ namespace-separator namespace-prefix attribute-block-name attribute-prefix namespace-block-name invalid-character-replacement null-values trim-values:bool@ empty-values
jsonp (o) callback-parameter-name!:name
limit-concurrency (iboe) key!:name max-count!:count@ >policies
llm-content-safety (i) backend-id!:name shield-prompt:bool@ enforce-on-completions:bool@ window-size:int@ window-overlap-size:int@
  categories? output-type:FourSeverityLevels|EightSeverityLevels@
    category+ name!:Hate|SelfHarm|Sexual|Violence@ threshold!:severity@
  blocklists?
    id+ >text
llm-emit-token-metric (i) namespace name value-type:all|total-tokens|prompt-tokens|completion-tokens
  dimension+ name!:fixed value
llm-semantic-cache-lookup (i) score-threshold!:share embeddings-backend-id!:name embeddings-backend-auth:system-assigned|header ignore-system-messages:bool@ cache-id max-message-count:int@
  vary-by* >text
llm-semantic-cache-store (o) duration!:count@ cache-id
llm-token-limit (i) counter-key!:name estimate-prompt-tokens!:bool tokens-per-minute:count@ token-quota:count@ token-quota-period:Hourly|Daily|Weekly|Monthly|Yearly prompt-type retry-after-header-name retry-after-variable-name remaining-quota-tokens-header-name remaining-quota-tokens-variable-name remaining-tokens-header-name remaining-tokens-variable-name tokens-consumed-header-name tokens-consumed-variable-name ignore-prompt:bool@
log-to-eventhub (iboe) logger-id!:name partition-key partition-id >text
mock-response (ioe) status-code:status@ content-type index:int@ enabled:bool@
proxy (i) url!:name username password
publish-event (iboe) >any
publish-to-dapr (iboe) topic!:name pubsub-name ignore-error:bool@ response-variable-name timeout:int@ template content-type >any
quota (i) calls:int bandwidth:int renewal-period!:int
  api* name id calls:int bandwidth:int renewal-period:int
    operation* name id calls:int bandwidth:int renewal-period:int
quota-by-key (i) calls:int@ bandwidth:int@ renewal-period!:quota-period@ counter-key!:name increment-condition increment-count first-period-start
rate-limit (i) calls!:int renewal-period!:rate-period retry-after-header-name retry-after-variable-name remaining-calls-header-name remaining-calls-variable-name total-calls-header-name
  api* name id calls:int renewal-period:int
    operation* name id calls:int renewal-period:int
  operation* name id calls:int renewal-period:int
rate-limit-by-key (i) calls!:count@ renewal-period!:rate-period@ counter-key!:name increment-condition increment-count increment-after-response:bool@ flexible-retry-window:bool@ retry-after-header-name retry-after-variable-name remaining-calls-header-name remaining-calls-variable-name total-calls-header-name
redirect-content-urls (io)
retry (iboe) condition!:bool@ count!:retries@ interval!:interval@ max-interval:count@ delta:count@ first-fast-retry:bool@ >policies
return-response (iboe) response-variable-name:name
  =set-status?
  =set-header*
  =set-body?
rewrite-uri (i) template!:name copy-unmatched-params:bool@
send-one-way-request (iboe) mode:new|copy@ timeout:int@
  set-url? >text
  =set-method?
  =set-header*
  =set-query-parameter*
  =set-body?
  =authentication-certificate?
  =authentication-managed-identity?
  =authentication-basic?
  =proxy?
send-request (iboe) mode:new|copy@ response-variable-name timeout:int@ timeout-ms:int@ ignore-error:bool@ buffer-response:bool fail-on-error-status-code:bool
  set-url? >text
  =set-method?
  =set-header*
  =set-query-parameter*
  =set-body?
  =authentication-certificate?
  =authentication-managed-identity?
  =authentication-basic?
  =proxy?
send-service-bus-message (iboe) >any
set-backend-service (ib) backend-id:name base-url sf-resolve-condition:bool@ sf-service-instance-name sf-partition-key sf-listener-name sf-replica-type:primary|secondary@ dapr-app-id:name dapr-method dapr-namespace
set-body (ibo) template:none|liquid xsi-nil:blank|null parse-date:bool@ html-decode-expression:bool@ >any
set-header (iboe) name!:name exists-action:override|skip|append|delete@
  value* >text
set-method (ibe) >text
set-query-parameter (ib) name!:name exists-action:override|skip|append|delete@
  value* >text
set-request-metric-dimension-value (iboe) name!:name value!
set-status (iboe) code!:status@ reason
set-variable (iboe) name!:fixed value!
sql-data-source (b) >any
trace (iboe) source!:name severity:verbose|information|error@ >any
validate-azure-ad-token (i) tenant-id!:name header-name:name query-parameter-name:name token-value failed-validation-httpcode:status@ failed-validation-error-message output-token-variable-name:fixed authentication-endpoint require-scheme allow-protected-forwarded-tokens:bool@ allow-proof-of-possession-tokens:bool@
  backend-application-ids?
    application-id+ >words
  client-application-ids?
    application-id+ >words
  audiences?
    audience+ >words
  required-claims?
    claim+ name!:name match:all|any@ separator
      value* >text
  decryption-keys?
    key+ certificate-id!:name
validate-client-certificate (i) validate-revocation:bool@ validate-trust:bool@ validate-not-before:bool@ validate-not-after:bool@ ignore-error:bool@
  identities?
    identity+ thumbprint serial-number common-name subject dns-name issuer-subject issuer-thumbprint issuer-certificate-id >text
validate-content (ioe) unspecified-content-type-action!:ignore|prevent|detect@ max-size!:int@ size-exceeded-action!:ignore|prevent|detect@ errors-variable-name
  content-type-map? any-content-type-value missing-content-type-value
    type* from when:bool@ to!:name
  content* validate-as!:json|xml|soap type action!:ignore|prevent|detect@ schema-id schema-ref allow-additional-properties:bool@ case-insensitive-property-names:bool@
validate-graphql-request (i) error-variable-name max-depth:int@ max-size:int@ max-total-depth:int@ max-complexity:int@
  authorize?
    rule+ path!:name action
validate-headers (oe) specified-header-action!:ignore|prevent|detect@ unspecified-header-action!:ignore|prevent|detect@ errors-variable-name
  header* name!:name action!:ignore|prevent|detect@
validate-jwt (i) header-name:name query-parameter-name:name token-value failed-validation-httpcode:status@ failed-validation-error-message require-expiration-time:bool@ require-scheme require-signed-tokens:bool@ clock-skew:int@ output-token-variable-name:fixed
  openid-config* url!:name host
  issuer-signing-keys? >any
  decryption-keys? >any
  issuer-signing-tokens? >any
  audiences?
    audience+ >words
  issuers?
    issuer+ >text
  required-claims?
    claim+ name!:name match:all|any@ separator
      value* >text
validate-odata-request (i) error-variable-name default-odata-version min-odata-version max-odata-version max-size:int@
validate-parameters (i) specified-parameter-action!:ignore|prevent|detect@ unspecified-parameter-action!:ignore|prevent|detect@ errors-variable-name
  headers? specified-parameter-action!:ignore|prevent|detect@ unspecified-parameter-action!:ignore|prevent|detect@
    parameter* name!:name action!:ignore|prevent|detect@
  query? specified-parameter-action!:ignore|prevent|detect@ unspecified-parameter-action!:ignore|prevent|detect@
    parameter* name!:name action!:ignore|prevent|detect@
  path? specified-parameter-action!:ignore|prevent|detect@
    parameter* name!:name action!:ignore|prevent|detect@
validate-status-code (oe) unspecified-status-code-action!:ignore|prevent|detect@ errors-variable-name error-variable-name
  status-code* code!:status action!:ignore|prevent|detect@
wait (ibo) for:all|any@ >policies
xml-to-json (ioe) kind!:javascript-friendly|direct@ apply!:always|content-type-xml@ consider-accept-header:bool@ preserve-whitespace-nodes:bool@ empty-values trim-values:bool@ always-array-child-elements:bool@
xsl-transform (io) >any
"""  # noqa: E501 - a row of a table stays in one line

_CHILD = re.compile(r"(?P<policy>=?)(?P<name>[\w-]+)(?P<often>[?*+]?)")
_OFTEN: Mapping[str, tuple[int, int | None]] = {"?": (0, 1), "*": (0, None), "+": (1, None), "": (1, 1)}


@dataclass(frozen=True)
class Attribute:
    """`kind` is empty for any text, a word of `policy_rules.VALUES`, or the values with `|` between them."""

    required: bool
    kind: str
    takes_expression: bool


@dataclass(frozen=True)
class Rule:
    """An element: attributes by name, children by name with how often each may stand (None: any number). The
    rule of a child that is a policy is None: it is the policy's own.
    """

    content: Content
    attributes: Mapping[str, Attribute]
    sections: frozenset[str] = frozenset()
    children: dict[str, tuple[Rule | None, int, int | None]] = field(default_factory=dict)


def _read(table: str) -> dict[str, Rule]:
    policies: dict[str, Rule] = {}
    above: list[Rule] = []
    for line in filter(None, table.splitlines()):
        depth, words = (len(line) - len(line.lstrip())) // 2, line.split()
        rule = _rule(words[1:])
        del above[depth:]
        if depth == 0:
            policies[words[0]] = rule
        else:
            child = _CHILD.fullmatch(words[0])
            assert child is not None, line
            meant = None if child["policy"] else rule
            above[-1].children[child["name"]] = (meant, *_OFTEN[child["often"]])
        above.append(rule)
    return policies


def _rule(words: list[str]) -> Rule:
    found = dict(_attribute(word) for word in words if word[0] not in "(>")
    content: Content = "none"
    for word in words:
        if word[0] == ">":
            content = word[1:]  # type: ignore[assignment]  # the table has no other
    letters = next((word[1:-1] for word in words if word[0] == "("), "")
    sections = {"i": "inbound", "b": "backend", "o": "outbound", "e": "on-error"}
    return Rule(content, found, frozenset(sections[letter] for letter in letters))


def _attribute(word: str) -> tuple[str, Attribute]:
    name, _, kind = word.partition(":")
    takes = kind.endswith("@") or kind in ("", "name")
    return name.rstrip("!"), Attribute(name.endswith("!"), kind.rstrip("@"), takes)


POLICIES: Mapping[str, Rule] = _read(TABLE)
