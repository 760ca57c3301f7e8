"""How each resource type of a stack is made, changed and deleted: a row a type, calls of AWS's own operations."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from modelwright.engine.stack_tags import retag, tags_of
from modelwright.errors import AwsError, ValidationException
from modelwright.protocol import spec
from modelwright.templates.parameters import as_text

Act = Callable[[str, str, Mapping[str, Any]], dict[str, Any]]
"""(service, operation, parameters) -> result."""

Read = Callable[[str, str], bytes]
"""(bucket, key) -> content."""

GONE = (
    *("Could not find", "does not exist", "DoesNotExist", "NoSuch", "NotFound", "cannot be found", "not be found"),
    "failed to satisfy constraint",  # what can't be a name is nobody's
)
EXISTS = ("already exist", "AlreadyExist", "NameExists", "already own", "AlreadyOwned")


class Unchangeable(ValidationException):
    """A property can't be changed in place, in no direction: nothing was done, so nothing is to be taken back."""


class Custom(Protocol):
    """A type that takes more than one call of AWS's. Every method may be repeated."""

    def create(self, act: Act, name: str, properties: Mapping[str, Any], read: Read, region: str = "") -> None: ...

    def describe(self, act: Act, name: str) -> dict[str, Any]:
        """Raises AwsError, NotFound, where there is none."""

    def update(self, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """All but the tags."""

    def delete(self, act: Act, name: str, properties: Mapping[str, Any]) -> None: ...


@dataclass(frozen=True)
class Waits:
    """`status` is the member of Describe's answer that says how far it is."""

    status: str
    good: tuple[str, ...]
    bad: tuple[str, ...]
    deleting: tuple[str, ...]
    undeletable: tuple[str, ...] = ()
    """In these it can't be deleted yet."""
    compared: tuple[str, ...] = ()
    """Properties that Describe tells too: an update that was rolled back is seen by them."""
    reason: Callable[[Mapping[str, Any]], str] = lambda found: str(found.get("FailureReason", ""))


@dataclass(frozen=True)
class Row:
    """One type. `values` are Ref and the attributes, each a path in Describe's answer or a text with {name}."""

    service: str
    create: str
    describe: str
    delete: str
    name: str
    """The member that names it in every operation."""
    values: Mapping[str, str] = field(default_factory=dict)
    update: str = ""
    inside: str = ""
    """The member of Describe's answer that has it all."""
    lower: bool = False
    """Whether the operations' members begin in lower case."""
    mutable: tuple[str, ...] = ()
    """Properties that Update takes."""
    only_update: tuple[str, ...] = ()
    """Of these, the ones that say how an update is made: Create does not take them."""
    waits: Waits | None = None
    """For what is made, changed or deleted some time after it was asked for."""
    arn: str = ""
    """Where Describe's answer has what the service's tagging wants; empty where that is the name."""
    tagged: bool = True
    """Whether tags are changed by calls of their own."""
    custom: Custom | None = None
    """For a type that takes more than one call."""


ROWS: Mapping[str, Row] = {
    "AWS::SageMaker::Model": Row(
        *("sagemaker", "CreateModel", "DescribeModel", "DeleteModel", "ModelName"),
        values={"Ref": "ModelArn", "ModelName": "ModelName"},
        arn="ModelArn",
    ),
    "AWS::SageMaker::EndpointConfig": Row(
        *("sagemaker", "CreateEndpointConfig", "DescribeEndpointConfig", "DeleteEndpointConfig", "EndpointConfigName"),
        values={"Ref": "EndpointConfigArn", "EndpointConfigName": "EndpointConfigName"},
        arn="EndpointConfigArn",
    ),
    "AWS::SageMaker::Endpoint": Row(
        *("sagemaker", "CreateEndpoint", "DescribeEndpoint", "DeleteEndpoint", "EndpointName"),
        values={"Ref": "EndpointArn", "EndpointName": "EndpointName"},
        update="UpdateEndpoint",
        mutable=(
            *("EndpointConfigName", "DeploymentConfig", "RetainAllVariantProperties"),
            "ExcludeRetainedVariantProperties",
        ),
        only_update=("RetainAllVariantProperties", "ExcludeRetainedVariantProperties"),
        waits=Waits(
            *("EndpointStatus", ("InService",), ("Failed", "UpdateRollbackFailed"), ("Deleting",)),
            compared=("EndpointConfigName",),
        ),
        arn="EndpointArn",
    ),
}


def exists(row: Row, act: Act, name: str) -> bool:
    """Whether there is one of that name."""
    try:
        describe(row, act, name)
    except AwsError as error:
        if matches(error, GONE):
            return False
        raise
    return True


def create(row: Row, act: Act, name: str, properties: Mapping[str, Any], region: str, read: Read) -> None:
    """Make it, or find that it was made. Raises AwsError."""
    if row.custom is not None:
        row.custom.create(act, name, properties, read, region)
        return
    given = {key: value for key, value in properties.items() if key not in row.only_update}
    adopting(act, row.service, row.create, {**_parameters(row, row.create, given), row.name: name})


def adopting(act: Act, service: str, operation: str, parameters: Mapping[str, Any]) -> None:
    """Make something, or find that it was made: the name was free when it was fixed."""
    try:
        act(service, operation, parameters)
    except AwsError as error:
        if not matches(error, EXISTS):
            raise


def only(properties: Mapping[str, Any], *known: str) -> None:
    """Raises ValidationException naming a property that is not known."""
    for key in properties:
        if key not in known:
            raise ValidationException(f"Encountered unsupported property {key}")


def update(row: Row, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    """Bring it from the one to the other. Raises ValidationException for a property that can't be changed."""
    if row.tagged:
        _retag(row, act, name, old, new)
        old, new = ({key: value for key, value in each.items() if key != "Tags"} for each in (old, new))
    if row.custom is not None:
        if old != new:
            row.custom.update(act, name, old, new)
        return
    changed = sorted(key for key in {*old, *new} if old.get(key) != new.get(key))
    for key in changed:
        if key not in row.mutable:
            raise Unchangeable(f"Modelwright can't change the property {key} of this type in place yet.")
    if any(key not in row.only_update for key in changed):
        given = {key: new[key] for key in row.mutable if key in new}
        act(row.service, row.update, {**_parameters(row, row.update, given), row.name: name})


def _retag(row: Row, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    before, after = tags_of(old), tags_of(new)
    if before != after:
        where = str(describe(row, act, name)[row.arn]) if row.arn else name
        retag(row.service, act, where, before, after)


def delete(row: Row, act: Act, name: str, properties: Mapping[str, Any]) -> None:
    """What is gone already is fine."""
    try:
        if row.custom is not None:
            row.custom.delete(act, name, properties)
        else:
            act(row.service, row.delete, {row.name: name})
    except AwsError as error:
        if not matches(error, GONE):
            raise


def describe(row: Row, act: Act, name: str) -> dict[str, Any]:
    if row.custom is not None:
        return row.custom.describe(act, name)
    answer = act(row.service, row.describe, {row.name: name})
    return dict(answer.get(row.inside, {})) if row.inside else answer


def values(row: Row, described: Mapping[str, Any], name: str, region: str, account: str) -> dict[str, Any]:
    """Ref and attributes."""
    place = {"name": name, "region": region, "account": account}
    found = {key: described.get(path, path.format(**place)) for key, path in row.values.items()}
    return {key: value if isinstance(value, list) else as_text(value) for key, value in found.items()}


def matches(error: AwsError, texts: tuple[str, ...]) -> bool:
    return any(text in error.code or text in error.message for text in texts) or (error.status == 404 and texts is GONE)


def _parameters(row: Row, operation: str, properties: Mapping[str, Any]) -> dict[str, Any]:
    shape = spec.operation(row.service, operation).input_shape
    found = {}
    for key, value in properties.items():
        if key == row.name:
            continue
        member = _member(shape, key, row.lower)
        if shape is None or member not in shape.members:
            raise ValidationException(f"Encountered unsupported property {key}")
        found[member] = coerced(value, shape.members[member], key, row.lower)
    return found


def parameters_of(service: str, operation: str, given: Mapping[str, Any], *, lower: bool = False) -> dict[str, Any]:
    """The properties as the operation's members."""
    shape = spec.operation(service, operation).input_shape
    made: dict[str, Any] = coerced(given, shape, "", lower)
    return made


def _member(shape: Any, key: str, lower: bool) -> str:
    """The operation's word for a property: CodeBuild's BuildSpec is buildspec."""
    if not lower or shape is None:
        return key
    return next((member for member in shape.members if member.lower() == key.lower()), key)


def _inside(path: str, key: str) -> str:
    return f"{path}.{key}" if path else key


def coerced(value: Any, shape: Any, path: str, lower: bool) -> Any:
    """The value in the type that the operation wants: templates have strings for numbers, and the reverse."""
    kind = shape.type_name
    if kind == "structure" and isinstance(value, Mapping):
        found = {}
        for key, item in value.items():
            member = _member(shape, key, lower)
            if member not in shape.members:
                raise ValidationException(f"Encountered unsupported property {_inside(path, key)}")
            found[member] = coerced(item, shape.members[member], _inside(path, key), lower)
        return found
    if kind == "map" and path == "Tags" and isinstance(value, list):
        return {tag["Key"]: str(tag["Value"]) for tag in value}
    if kind == "map" and isinstance(value, Mapping):
        return {str(key): coerced(item, shape.value, f"{path}.{key}", lower) for key, item in value.items()}
    if kind == "list" and isinstance(value, list):
        return [coerced(item, shape.member, path, lower) for item in value]
    try:
        if kind in ("integer", "long") and isinstance(value, str):
            return int(value)
        if kind in ("float", "double") and isinstance(value, str):
            return float(value)
    except ValueError:
        raise ValidationException(f"Value of property {path} must be of type Number, not '{value}'") from None
    if kind == "boolean" and isinstance(value, str) and value.lower() in ("true", "false"):
        return value.lower() == "true"
    if kind == "string" and isinstance(value, int | float):
        return str(value).lower() if isinstance(value, bool) else str(value)
    return value
