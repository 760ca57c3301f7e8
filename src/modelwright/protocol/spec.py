"""botocore's service models, loaded when first asked for, once each, and indexed by what a request shows of them.

Rule: models come from the installed botocore alone (never from `~/.aws/models`), so that every installation speaks
the same AWS. The index needs only the head of a model file (its `metadata`), which is read without parsing the rest:
the services that SDKs use most are indexed first, all of botocore's only when a request matches none of those.
"""

from __future__ import annotations

import gzip
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path
from typing import Any

import botocore
from botocore.loaders import Loader
from botocore.model import OperationModel, ServiceModel

from modelwright.errors import UnsupportedOperation

DATA = Path(botocore.__file__).parent / "data"

FREQUENT = (
    "sagemaker", "s3", "sts", "iam", "logs", "ecr", "sagemaker-runtime", "sagemaker-metrics", "cloudwatch", "events",
    "scheduler", "codepipeline", "codebuild", "codecommit", "cloudformation", "lambda", "sqs",
    "sagemaker-featurestore-runtime", "codestar-connections", "codeconnections", "cloudtrail",
)  # fmt: skip

REST = frozenset({"rest-json", "rest-xml"})


@dataclass(frozen=True)
class Head:
    """What a request can show of a service, from the model's metadata."""

    name: str
    """botocore's name of the service."""
    protocols: tuple[str, ...]
    """All that the model lists, the preferred one first."""
    target_prefix: str
    signing_name: str
    endpoint_prefix: str
    api_version: str


@cache
def service(name: str) -> ServiceModel:
    """The model of a service by botocore's name. Raises UnsupportedOperation for a name that botocore doesn't know."""
    if name not in FREQUENT and name not in names():
        raise UnsupportedOperation(f"'{name}' is not a service of AWS that Modelwright knows.")
    return ServiceModel(_loader().load_service_model(name, "service-2"), service_name=name)


@cache
def operation(service_name: str, operation_name: str) -> OperationModel:
    """The model of an operation. Raises UnsupportedOperation when the service has none of that name."""
    model = service(service_name)
    if operation_name not in operation_names(service_name):
        raise UnsupportedOperation.operation(service_name, operation_name)
    return model.operation_model(operation_name)


@cache
def operation_names(service_name: str) -> frozenset[str]:
    return frozenset(service(service_name).operation_names)


@cache
def names() -> frozenset[str]:
    """All services that the installed botocore has."""
    return frozenset(path.name for path in DATA.iterdir() if path.is_dir() and any(path.glob("*/service-2.json*")))


@cache
def head(name: str) -> Head:
    """The head of a service's model, read without parsing the rest of it."""
    metadata = _metadata(name)
    preferred = metadata.get("protocol", "")
    protocols = metadata.get("protocols") or [preferred]
    endpoint_prefix = metadata.get("endpointPrefix", "")
    return Head(
        name=name,
        protocols=tuple(sorted(protocols, key=lambda protocol: protocol != preferred)),
        target_prefix=metadata.get("targetPrefix", ""),
        signing_name=metadata.get("signingName", endpoint_prefix),
        endpoint_prefix=endpoint_prefix,
        api_version=metadata.get("apiVersion", ""),
    )


@lru_cache(maxsize=1024)  # clients choose the argument
def by_target_prefix(prefix: str) -> tuple[Head, ...]:
    """The services whose `X-Amz-Target` begins with `prefix.`"""
    return _find(lambda head: head.target_prefix == prefix) if prefix else ()


@lru_cache(maxsize=1024)  # clients choose the argument
def by_signing_name(name: str) -> tuple[Head, ...]:
    """The services that sign with this name; SageMaker's is shared by five."""
    return _find(lambda head: head.signing_name == name)


@lru_cache(maxsize=1024)  # clients choose the argument
def by_endpoint_prefix(prefix: str) -> tuple[Head, ...]:
    """The services whose host name begins with `prefix.`"""
    return _find(lambda head: head.endpoint_prefix == prefix)


def _find(matches: Callable[[Head], bool]) -> tuple[Head, ...]:
    """Matches among the frequent services, else among all."""
    for some in (FREQUENT, sorted(names())):
        if found := tuple(head for head in _heads(some) if matches(head)):
            return found
    return ()


def _heads(some: tuple[str, ...] | list[str]) -> Iterator[Head]:
    return (head(name) for name in some)


@cache
def _loader() -> Loader:
    return Loader(extra_search_paths=[str(DATA)], include_default_search_paths=False)


_METADATA = re.compile(r'"metadata"\s*:\s*(\{)')


def _metadata(name: str) -> dict[str, Any]:
    """`metadata` stands before anything long in every model file; read 8 KiB, or all if it should not be there."""
    version = max(path.name for path in (DATA / name).iterdir() if any(path.glob("service-2.json*")))
    path = next((DATA / name / version).glob("service-2.json*"))
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt", encoding="utf-8") as file:
        text = file.read(8192)
        found = _METADATA.search(text)
        if found is not None:
            try:
                early: dict[str, Any] = json.JSONDecoder().raw_decode(text, found.start(1))[0]
                return early
            except json.JSONDecodeError:
                pass
        metadata: dict[str, Any] = json.loads(text + file.read())["metadata"]
        return metadata
