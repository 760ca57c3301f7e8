"""Search: SageMaker's query over one kind of resource, by any property.

A property is a path into the document (`ModelArtifacts.S3ModelArtifacts`); a path that meets a list means any of its
items, and in nested filters one and the same item for all of them. `Tags.KEY`, `HyperParameters.NAME` and
`Metrics.NAME` have a meaning of their own. Documents are read and judged one page after the other: a Search looks at
every resource of its kind, except where a condition, or all of it (`search_queries`), can be handed to the database.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from modelwright.errors import UnsupportedOperation, ValidationException
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, refused
from modelwright.services.sagemaker.base import SageMakerService
from modelwright.services.sagemaker.search_queries import as_query
from modelwright.store.database import Transaction
from modelwright.store.resources import Query, get_tags, list_resources

MEMBERS: Table = {
    "Resource": HONOURED,
    "SearchExpression": HONOURED,
    "SortBy": HONOURED,
    "SortOrder": HONOURED,
    "NextToken": HONOURED,
    "MaxResults": HONOURED,
    "CrossAccountFilterOption": refused("There is one account here.", "SameAccount"),
    "VisibilityConditions": refused("Leave it out: everything is visible to the account's roles."),
}

ARNS: Mapping[str, str] = {
    "TrainingJob": "TrainingJobArn",
    "ModelPackage": "ModelPackageArn",
    "ModelPackageGroup": "ModelPackageGroupArn",
    "Pipeline": "PipelineArn",
    "PipelineExecution": "PipelineExecutionArn",
}
"""What can be searched for, and the member that holds its ARN."""

_UNTOLD = frozenset(
    {
        "InfraCheckConfig",
        "ProfilingStatus",
        "RemoteDebugConfig",
        "PipelineVersionAliases",
        "PipelineVersionDescription",
        "ManagedConfiguration",
        "ManagedStorageType",
    }
)
"""Members that Describe answers and Search does not."""

_UNTAGGED = ("PipelineExecution",)

DEFAULT_PAGE = 100
MOST_CONDITIONS = 50
_COMPARISONS = ("GreaterThan", "GreaterThanOrEqualTo", "LessThan", "LessThanOrEqualTo")
_BATCH = 500


class Search(SageMakerService):
    """The Search operation."""

    @operation("Search", members=MEMBERS)
    def search(self, _: Context, parameters: dict[str, Any]) -> Document:
        """A page of the resources that satisfy the expression; latest modified first unless sorted otherwise."""
        kind = parameters["Resource"]
        if kind not in ARNS:
            raise UnsupportedOperation.member(
                "Search", f"Resource = {kind!r}", f"It finds {', '.join(sorted(ARNS))} here."
            )
        expression = parameters.get("SearchExpression", {})
        _check(expression)
        with self.database.read() as transaction:
            query = as_query(transaction, kind, parameters, DEFAULT_PAGE)
            if query is not None:
                page = list_resources(transaction, query)
                documents, token = page.documents, page.next_token
            else:
                found = [each for each in _candidates(transaction, kind, expression) if _satisfies(each, expression)]
                documents, token = _page(kind, found, parameters)
            results = [{kind: _public(_tagged(transaction, kind, document))} for document in documents]
        return {"Results": results} if token is None else {"Results": results, "NextToken": token}


def _candidates(transaction: Transaction, kind: str, expression: Document) -> Iterator[Document]:
    """The documents of the kind, fewer where the expression's names narrow them down."""
    with_tags = any(each["Name"].startswith("Tags") for each in _filters_of(expression))
    name = _name(kind, expression)
    token = None
    while True:
        page = list_resources(transaction, Query(kind, limit=_BATCH, name_contains=name, token=token))
        for document in page.documents:
            yield _tagged(transaction, kind, document) if with_tags else document
        token = page.next_token
        if token is None:
            return


def _tagged(transaction: Transaction, kind: str, document: Document) -> Document:
    tags = [] if kind in _UNTAGGED else get_tags(transaction, document[ARNS[kind]])
    return {**document, "Tags": tags} if tags else document


def _name(kind: str, expression: Document) -> str | None:
    """A part of the name that every result must have, so that the database can leave out the rest."""
    if expression.get("Operator", "And") == "And":
        for each in expression.get("Filters", []):
            if each.get("Operator", "Equals") not in ("Equals", "Contains"):
                continue
            value = str(each.get("Value", ""))
            if each["Name"] == f"{kind}Name":
                return value or None
            if each["Name"] == ARNS[kind] and "/" in value:  # what follows the last slash of an ARN is of the name
                return value.rpartition("/")[2] or None
    return None


def _page(kind: str, found: list[Document], parameters: Document) -> tuple[list[Document], str | None]:
    """One page in order, and the token of the next."""
    property_name = parameters.get("SortBy", "LastModifiedTime")
    descending = parameters.get("SortOrder", "Descending") == "Descending"
    arn = ARNS[kind]
    keyed = sorted(((*_sort_key(document, property_name), document[arn]), i) for i, document in enumerate(found))
    if descending:
        keyed.reverse()
    token = _open_token(parameters)
    if token is not None:
        keyed = [each for each in keyed if (each[0] < token if descending else each[0] > token)]
    limit = parameters.get("MaxResults", DEFAULT_PAGE)
    documents = [found[i] for _, i in keyed[:limit]]
    if len(keyed) <= limit:
        return documents, None
    return documents, base64.urlsafe_b64encode(json.dumps(keyed[limit - 1][0]).encode()).decode()


def _sort_key(document: Document, name: str) -> tuple[int, float, str]:
    """Documents without the property come first, numbers before texts."""
    values = list(_values(document, name))
    if not values and name == "LastModifiedTime":
        values = list(_values(document, "CreationTime"))
    if not values:
        return (0, 0.0, "")
    value = values[0]
    if isinstance(value, int | float):
        return (1, float(value), "")
    return (2, 0.0, str(value))


def _open_token(parameters: Document) -> tuple[int, float, str, str] | None:
    token = parameters.get("NextToken")
    if token is None:
        return None
    try:
        rank, number, text, arn = json.loads(base64.urlsafe_b64decode(token))
        return int(rank), float(number), str(text), str(arn)
    except (ValueError, TypeError, binascii.Error):
        raise ValidationException(
            "NextToken is not valid for this request: pass on the token of its previous page."
        ) from None


def _public(document: Document) -> Document:
    return {key: value for key, value in document.items() if not key.startswith("_") and key not in _UNTOLD}


def _check(expression: Document) -> None:
    """Raises ValidationException for what AWS's shapes let through."""
    filters = list(_filters_of(expression))
    if len(filters) > MOST_CONDITIONS:
        raise ValidationException(
            f"The SearchExpression has {len(filters)} conditions; the limit is {MOST_CONDITIONS}."
        )
    for each in filters:
        name, operator, value = each["Name"], each.get("Operator", "Equals"), each.get("Value")
        if operator not in ("Exists", "NotExists") and value is None:
            raise ValidationException(f"The filter on {name} with operator {operator} has no Value.")
    if sum(each.get("Operator") == "Contains" for each in filters) > 1:
        raise ValidationException("'CONTAINS' operator usage limit of 1 exceeded.")


def _filters_of(expression: Document) -> Iterator[Document]:
    yield from expression.get("Filters", [])
    for nested in expression.get("NestedFilters", []):
        yield from nested["Filters"]
    for sub in expression.get("SubExpressions", []):
        yield from _filters_of(sub)


def _satisfies(document: Document, expression: Document) -> bool:
    judgements = [
        *(_holds(document, each) for each in expression.get("Filters", [])),
        *(_nested_holds(document, nested) for nested in expression.get("NestedFilters", [])),
        *(_satisfies(document, sub) for sub in expression.get("SubExpressions", [])),
    ]
    if not judgements:
        return True
    return any(judgements) if expression.get("Operator", "And") == "Or" else all(judgements)


def _nested_holds(document: Document, nested: Document) -> bool:
    """One object of the list must satisfy all the filters."""
    path = nested["NestedPropertyName"]
    return any(
        all(_holds(item, {**each, "Name": each["Name"].removeprefix(f"{path}.")}) for each in nested["Filters"])
        for item in _values(document, path)
        if isinstance(item, Mapping)
    )


def _holds(document: Mapping[str, Any], each: Document) -> bool:
    operator, wanted = each.get("Operator", "Equals"), each.get("Value", "")
    values = list(_values(document, each["Name"]))
    if operator == "Exists":
        return bool(values)
    if operator == "NotExists":
        return not values
    if operator == "NotEquals":
        return not any(_equal(value, wanted) for value in values)
    if operator == "Equals":
        return any(_equal(value, wanted) for value in values)
    if operator == "Contains":
        return any(wanted.lower() in str(value).lower() for value in values)
    if operator == "In":
        return any(_equal(value, option.strip()) for value in values for option in wanted.split(","))
    return any(_compares(operator, value, wanted, each["Name"]) for value in values)


def _equal(value: Any, wanted: str) -> bool:
    if isinstance(value, bool):
        return str(value).lower() == wanted.lower()
    if isinstance(value, int | float):
        number = _number(wanted)
        return number is not None and float(value) == number
    return str(value) == wanted


def _compares(operator: str, value: Any, wanted: str, name: str) -> bool:
    number = _number(wanted)
    if number is None:
        raise ValidationException(
            f"The filter on {name} with operator {operator} needs a number or a time (YYYY-mm-ddTHH:MM:SS), not "
            f"'{wanted}'."
        )
    if isinstance(value, str):
        value = _number(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return {
        "GreaterThan": value > number,
        "GreaterThanOrEqualTo": value >= number,
        "LessThan": value < number,
        "LessThanOrEqualTo": value <= number,
    }[operator]


def _number(text: str) -> float | None:
    """A number, or a time as epoch seconds."""
    try:
        return float(text)
    except ValueError:
        pass
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return (time if time.tzinfo else time.replace(tzinfo=UTC)).timestamp()


def _values(document: Mapping[str, Any], name: str) -> Iterator[Any]:
    """All values that the property has in this document."""
    head, _, rest = name.partition(".")
    if head == "Tags" and rest:
        yield from (tag["Value"] for tag in document.get("Tags", []) if tag["Key"] == rest)
    elif head == "Metrics" and rest:
        yield from (each["Value"] for each in document.get("FinalMetricDataList", []) if each["MetricName"] == rest)
    elif head == "HyperParameters" and rest:
        parameters = document.get("HyperParameters", {})
        if rest in parameters:
            yield parameters[rest]
    else:
        yield from _follow(document, name)


def _follow(value: Any, path: str) -> Iterator[Any]:
    if isinstance(value, list):
        for item in value:
            yield from _follow(item, path)
    elif not path:
        yield value
    elif isinstance(value, Mapping):
        if path in value:
            yield from _follow(value[path], "")
            return
        head, _, rest = path.partition(".")
        if head in value:
            yield from _follow(value[head], rest)
