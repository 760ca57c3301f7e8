"""Which operation of which service a request means: `route(request) -> Route`.

In this order, because what comes first is the least ambiguous:

1. `X-Amz-Target: Prefix.Operation`: the JSON protocols.
2. `smithy-protocol: rpc-v2-cbor` with `/service/Prefix/operation/Name`.
3. The service that the signature's scope names, else the one that the host name names: `Action=` for the query
   protocol, method and path for the REST ones (one signing name may stand for several services).
4. `Action=` with a `Version=` that a service has, where neither scope nor host helps.
5. Everything else is S3: path style, or the bucket in the host name.

Every operation of botocore's models is routed, supported or not: the Dispatcher refuses what Modelwright doesn't have.
What no model knows raises UnsupportedOperation naming it. For the errors of requests that could not be routed,
`hint(request)` says in whose manner to answer.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache, lru_cache
from urllib.parse import unquote

from botocore.model import OperationModel

from modelwright.errors import OPERATIONS_PAGE, AwsError, UnsupportedOperation
from modelwright.protocol import spec
from modelwright.protocol.messages import Request

S3 = "s3"
CBOR = "smithy-rpc-v2-cbor"
_SUPPORTED = f"Supported operations: {OPERATIONS_PAGE}"


@dataclass(frozen=True)
class Route:
    """Where a request goes. `operation` is '' in a hint; `labels` are the decoded parameters of the path."""

    service: str
    operation: str
    protocol: str
    labels: Mapping[str, str] = field(default_factory=dict)
    json_version: str = "1.1"


def route(request: Request) -> Route:
    """The operation that the request means. Raises AwsError (UnsupportedOperation, mostly) when there is none."""
    target = request.headers.get("x-amz-target")
    if target is not None:
        return _by_target(target, _signed_for(request), _json_version(request))
    if request.headers.get("smithy-protocol") == "rpc-v2-cbor":
        return _by_rpc_path(request.path)
    candidates = _candidates(request)
    action = _action(request)
    if action and (not candidates or any("query" in head.protocols for head in candidates)):
        return _by_action(action, candidates)
    if candidates and not any(head.name == S3 for head in candidates):
        return _by_path(request, candidates)
    return _s3(request)


def hint(request: Request) -> Route:
    """In whose manner to answer a request that `route` or the signature check refused; never raises."""
    try:
        target = request.headers.get("x-amz-target")
        if target is not None:
            heads = spec.by_target_prefix(target.rpartition(".")[0])
            return Route(heads[0].name if heads else "sagemaker", "", "json", json_version=_json_version(request))
        candidates = _candidates(request)
        if candidates:
            head = candidates[0]
            protocol = "query" if _action(request) and "query" in head.protocols else head.protocols[0]
            return Route(head.name, "", protocol)
        if _action(request):
            return Route("sts", "", "query")
    except AwsError:
        pass
    return Route(S3, "", "rest-xml")


def region(request: Request) -> str | None:
    """The region that the request was signed for, else the one in its host name."""
    if request.credential is not None:
        return request.credential.region
    found = _AWS_HOST.match(request.host)
    return found["region"] if found else None


# --- by target ---------------------------------------------------------------------------------------------------


def _json_version(request: Request) -> str:
    return "1.0" if "x-amz-json-1.0" in request.headers.get("content-type", "") else "1.1"


def _signed_for(request: Request) -> str:
    return request.credential.service if request.credential else ""


@lru_cache(maxsize=4096)
def _by_target(target: str, signed_for: str, json_version: str) -> Route:
    prefix, _, name = target.rpartition(".")
    heads = spec.by_target_prefix(prefix) if prefix else ()
    for head in sorted(heads, key=lambda head: head.signing_name != signed_for):
        if name in spec.operation_names(head.name):
            return Route(head.name, name, "json", json_version=json_version)
    if heads:
        raise UnsupportedOperation.operation(heads[0].name, name)
    raise UnsupportedOperation(f"Modelwright knows no service for X-Amz-Target '{target}'. {_SUPPORTED}")


_RPC_PATH = re.compile(r"/service/(?P<prefix>[^/]+)/operation/(?P<name>[^/]+)/?\Z")


def _by_rpc_path(path: str) -> Route:
    found = _RPC_PATH.search(path)
    heads = spec.by_target_prefix(found["prefix"]) if found else ()
    for head in heads:
        if found and CBOR in head.protocols:
            if found["name"] in spec.operation_names(head.name):
                return Route(head.name, found["name"], CBOR)
            raise UnsupportedOperation.operation(head.name, found["name"])
    raise UnsupportedOperation(f"Modelwright knows no service for the path '{path}'. {_SUPPORTED}")


# --- by scope or host --------------------------------------------------------------------------------------------

_REGION = r"[a-z]{2,}(?:-[a-z]+)+-\d+"
_AWS_HOST = re.compile(rf"(?P<prefix>.+?)(?:\.(?P<region>{_REGION}))?\.amazonaws\.com(?:\.cn)?\Z")


def _candidates(request: Request) -> tuple[spec.Head, ...]:
    if request.credential is not None:
        heads = spec.by_signing_name(request.credential.service)
        if heads:
            return heads
    if s3_host(request.host) is not None:
        return (spec.head(S3),)
    found = _AWS_HOST.match(request.host)
    return spec.by_endpoint_prefix(found["prefix"]) if found else ()


def _action(request: Request) -> str:
    if "Action=" in request.query:
        return next((value for name, value in request.query_pairs if name == "Action"), "")
    if request.headers.get("content-type", "").startswith("application/x-www-form-urlencoded"):
        return request.form.get("Action", "")
    return ""


def _version(request: Request) -> str:
    pairs = dict(request.query_pairs)
    return pairs.get("Version") or request.form.get("Version", "")


def _by_action(action: str, candidates: Sequence[spec.Head]) -> Route:
    for head in candidates or _query_services():
        if "query" in head.protocols and action in spec.operation_names(head.name):
            return Route(head.name, action, "query")
    if candidates:
        raise UnsupportedOperation.operation(candidates[0].name, action)
    raise UnsupportedOperation(f"Modelwright knows no service for the action '{action}'. {_SUPPORTED}")


@cache
def _query_services() -> tuple[spec.Head, ...]:
    return tuple(head for head in map(spec.head, spec.FREQUENT) if "query" in head.protocols)


# --- by path -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Rule:
    """When a request means this operation: everything named here must be there."""

    operation: str
    method: str
    path: re.Pattern[str]
    labels: tuple[str, ...]
    literals: tuple[tuple[str, str], ...]
    """Parameters that stand in the model's URI: ('uploads', ''), ('list-type', '2')."""
    query: tuple[str, ...]
    headers: tuple[str, ...]
    rank: tuple[int, ...]
    """The most specific rule has the highest."""

    def matches(self, method: str, query: Mapping[str, str], headers: Mapping[str, str]) -> bool:
        return (
            method == self.method
            and all(name in query and (not value or query[name] == value) for name, value in self.literals)
            and all(name in query for name in self.query)
            and all(name in headers for name in self.headers)
        )


def _by_path(request: Request, candidates: Iterable[spec.Head]) -> Route:
    candidates = tuple(candidates)
    if not request.query:
        known = _by_bare_path(request.method, request.path, candidates)
        if known is not None:
            return known
    query = dict(request.query_pairs)
    for head in candidates:
        protocol = next((protocol for protocol in head.protocols if protocol in spec.REST), None)
        if protocol is None:
            continue
        for rule in _rules(head.name):
            found = rule.path.match(request.path)
            if found and rule.matches(request.method, query, request.headers):
                labels = {name: unquote(found[index + 1]) for index, name in enumerate(rule.labels)}
                return Route(head.name, rule.operation, protocol, labels)
    names = ", ".join(head.name for head in candidates)
    raise UnsupportedOperation(
        f"Modelwright knows no operation {request.method} {request.path} of the service {names}. {_SUPPORTED}"
    )


@lru_cache(maxsize=1024)
def _by_bare_path(method: str, path: str, candidates: tuple[spec.Head, ...]) -> Route | None:
    """The route of a request that has no query, where no header can tell operations apart."""
    rules = [(head, rule) for head in candidates for rule in _rules(head.name)]
    if any(rule.headers for _, rule in rules):
        return None
    for head, rule in rules:
        protocol = next((protocol for protocol in head.protocols if protocol in spec.REST), None)
        found = rule.path.match(path) if protocol is not None else None
        if protocol is not None and found and rule.matches(method, {}, {}):
            labels = {name: unquote(found[index + 1]) for index, name in enumerate(rule.labels)}
            return Route(head.name, rule.operation, protocol, labels)
    return None


@cache
def _rules(service: str) -> tuple[_Rule, ...]:
    model = spec.service(service)
    rules = [_rule(model.operation_model(name)) for name in model.operation_names]
    return tuple(sorted(rules, key=lambda rule: rule.rank, reverse=True))


_LABEL = re.compile(r"\{(?P<name>[^}+]+)(?P<greedy>\+?)\}")


def _rule(operation: OperationModel) -> _Rule:
    path, _, parameters = operation.http["requestUri"].partition("?")
    literals = tuple(
        (name, value) for name, _, value in (part.partition("=") for part in parameters.split("&")) if name
    )
    query, headers = _required(operation)
    pattern, labels = _pattern(path)
    return _Rule(
        operation=operation.name,
        method=operation.http["method"],
        path=pattern,
        labels=labels,
        literals=literals,
        query=query,
        headers=headers,
        rank=(
            len(_LABEL.sub("", path)),
            -len(labels),
            len(literals) + len(query),
            len(headers),
            not operation.deprecated,
            -len(operation.name),
        ),
    )


def _pattern(path: str) -> tuple[re.Pattern[str], tuple[str, ...]]:
    text, position, labels = "", 0, []
    for found in _LABEL.finditer(path):
        text += re.escape(path[position : found.start()]) + ("(.+)" if found["greedy"] else "([^/]+)")
        labels.append(found["name"])
        position = found.end()
    text += re.escape(path[position:].rstrip("/"))
    return re.compile(text + r"/?\Z", re.DOTALL), tuple(labels)


def _required(operation: OperationModel) -> tuple[tuple[str, ...], tuple[str, ...]]:
    shape = operation.input_shape
    query: list[str] = []
    headers: list[str] = []
    if shape is None:
        return (), ()
    for name in shape.required_members:
        serialization = shape.members[name].serialization
        if serialization.get("location") == "querystring":
            query.append(serialization["name"])
        elif serialization.get("name") == "x-amz-copy-source":  # no other header tells two operations apart
            headers.append(serialization["name"])
    return tuple(query), tuple(headers)


# --- S3 ----------------------------------------------------------------------------------------------------------

_S3_HOST = re.compile(
    rf"(?:(?P<bucket>.+)\.)?s3(?:-accelerate)?(?:-fips)?(?:\.dualstack)?(?:[.-]{_REGION})?\.amazonaws\.com(?:\.cn)?\Z"
)
_LOCAL_HOST = re.compile(r"(?P<bucket>.+?)(?:\.s3)?\.(?:localhost|127\.0\.0\.1)\Z")


@lru_cache(maxsize=1024)
def s3_host(host: str) -> str | None:
    """The bucket that an S3 host name carries: '' for path style; None where the host is none of S3's."""
    found = _S3_HOST.match(host)
    if found is not None:
        return found["bucket"] or ""
    found = _LOCAL_HOST.match(host)
    if found is not None:
        return "" if found["bucket"] == "s3" else found["bucket"]
    return None


def s3_address(request: Request) -> tuple[str, str]:
    """Bucket and key, still percent-encoded, from host and path; '' for what is not there."""
    bucket = s3_host(request.host)
    path = request.path.removeprefix("/")
    if bucket:
        return bucket, path
    bucket, _, key = path.partition("/")
    return bucket, key


def _decoded(text: str) -> str:
    """Two keys that are no UTF-8 must not become the same one. Raises AwsError."""
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise AwsError(f"Couldn't parse the specified URI: {text} is not UTF-8.", code="InvalidURI") from None


def _s3(request: Request) -> Route:
    if request.path == "/WriteGetObjectResponse" and request.method == "POST":  # Object Lambda's; no bucket's name
        return Route(S3, "WriteGetObjectResponse", "rest-xml")
    bucket, key = s3_address(request)
    level = 2 if key else 1 if bucket else 0
    query = dict(request.query_pairs)
    labels = {"Bucket": _decoded(bucket), "Key": _decoded(key)}
    for rule in _s3_rules().get((request.method, level, bool(query)), ()):
        if rule.matches(request.method, query, request.headers):
            _refuse_strangers(rule.operation, query)
            return Route(S3, rule.operation, "rest-xml", {name: labels[name] for name in rule.labels})
    raise AwsError(
        f"Modelwright knows no operation {request.method} of S3 on {('the service', 'a bucket', 'an object')[level]}. "
        + _SUPPORTED,
        code="MethodNotAllowed",
        status=405,
    )


@cache
def _s3_rules() -> Mapping[tuple[str, int, bool], list[_Rule]]:
    """S3's rules by method, level and whether there is a query string; the bucket may stand in the host name."""
    rules: dict[tuple[str, int, bool], list[_Rule]] = {}
    for rule in _rules(S3):
        if rule.operation != "WriteGetObjectResponse":
            rules.setdefault((rule.method, len(rule.labels), True), []).append(rule)
            if not rule.literals and not rule.query:
                rules.setdefault((rule.method, len(rule.labels), False), []).append(rule)
    for some in rules.values():
        some.sort(key=lambda rule: (len(rule.literals) + len(rule.query), rule.rank), reverse=True)
    return rules


def _refuse_strangers(operation: str, query: Mapping[str, str]) -> None:
    """A sub-resource that the operation doesn't have would change its meaning: `DELETE /b/k?retention-of-2030`.

    AWS adds such parameters, always without a value; ignoring one would do something else than was asked for.
    """
    known, selectors = _s3_parameters()
    for name, value in query.items():
        if name not in known[operation] and (name in selectors or not value) and not name.lower().startswith("x-"):
            raise UnsupportedOperation(
                f"Modelwright does not support the parameter '{name}' in S3's {operation}. {_SUPPORTED}"
            )


@cache
def _s3_parameters() -> tuple[Mapping[str, frozenset[str]], frozenset[str]]:
    """The query parameters of each operation, and those that choose an operation."""
    known, selectors = {}, {"uploadId", "partNumber"}
    for rule in _rules(S3):
        literals = {name for name, _ in rule.literals}
        shape = spec.operation(S3, rule.operation).input_shape
        members = shape.members.values() if shape is not None else ()
        own = {
            member.serialization["name"] for member in members if member.serialization.get("location") == "querystring"
        }
        known[rule.operation] = frozenset(literals | own)
        selectors |= literals
    return known, frozenset(selectors)
