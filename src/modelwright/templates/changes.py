"""What a new plan changes: the `Changes` of a change set. Pure.

A property whose new value takes something from a resource that is itself replaced can't be known before: its change is
`Dynamic`, and whether its own resource must be replaced is `Conditional` where a replacement of it would mean that.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from modelwright.templates.problems import TemplateError
from modelwright.templates.references import attribute, in_sub, walk
from modelwright.templates.types import TYPES

Plan = Mapping[str, Any]
Document = dict[str, Any]

_ABOUT = {"Metadata": "Metadata", "DeletionPolicy": "DeletionPolicy", "UpdateReplacePolicy": "UpdateReplacePolicy"}


def is_changed(before: Plan, after: Plan) -> bool:
    """Whether an update has anything to do."""
    empty: Mapping[str, Any] = {"Tags": []}
    return any({**empty, **before}.get(key) != after[key] for key in ("Resources", "Outputs", "Tags"))


def check_types_kept(before: Plan, after: Plan) -> None:
    """Raises TemplateError when a resource would become one of another type."""
    old, new = before["Resources"], after["Resources"]
    other = sorted(name for name in new if name in old and old[name]["Type"] != new[name]["Type"])
    if other:
        raise TemplateError(
            "Update of resource type is not permitted. The new template modifies resource type of the following "
            f"resources: [{', '.join(other)}]"
        )


def changes(before: Plan, after: Plan, physical: Mapping[str, str]) -> list[Document]:
    """A change a resource: what is added and modified in the order in which it is made, then what is removed.

    `physical` are the ids of the resources that there are. Raises TemplateError as `check_types_kept`.
    """
    check_types_kept(before, after)
    old, new = before.get("Resources", {}), after["Resources"]
    found: list[Document] = []
    replaced: dict[str, str] = {}
    """Those that are, or may be, replaced."""
    for name in _in_order(new):
        if name not in old:
            found.append(_change({"Action": "Add", "LogicalResourceId": name, "ResourceType": new[name]["Type"]}))
            continue
        details, scope = _details(old[name], new[name], before, after, replaced)
        if not scope:
            continue
        needs = {detail["Target"].get("RequiresRecreation") for detail in details}
        replacement = "True" if "Always" in needs else "Conditional" if "Conditionally" in needs else "False"
        if replacement != "False":
            replaced[name] = replacement
        about = {"Action": "Modify", "LogicalResourceId": name, "PhysicalResourceId": physical.get(name, "")}
        found.append(
            _change(
                {
                    **{key: value for key, value in about.items() if value},
                    **{"ResourceType": new[name]["Type"], "Replacement": replacement},
                    **{"Scope": scope, "Details": details},
                }
            )
        )
    for name in reversed(_in_order(old)):
        if name not in new:
            kept = old[name]["DeletionPolicy"] in ("Retain", "RetainExceptOnCreate")
            about = {"Action": "Remove", "LogicalResourceId": name, "PhysicalResourceId": physical.get(name, "")}
            about |= {"ResourceType": old[name]["Type"], "PolicyAction": "Retain" if kept else "Delete"}
            found.append(_change({key: value for key, value in about.items() if value}))
    return found


def _change(resource: Document) -> Document:
    return {"Type": "Resource", "ResourceChange": resource}


def _in_order(resources: Mapping[str, Any]) -> list[str]:
    """Each after those that it needs."""
    order: list[str] = []
    left = list(resources)
    while left:
        ready = [name for name in left if all(each not in left for each in resources[name]["After"])]
        order += ready
        left = [name for name in left if name not in ready]
    return order


def _details(
    old: Mapping[str, Any], new: Mapping[str, Any], before: Plan, after: Plan, replaced: Mapping[str, str]
) -> tuple[list[Document], list[str]]:
    rules, details, scope = TYPES[new["Type"]], list[Document](), list[str]()
    was, now = _with_tags(old, before), _with_tags(new, after)
    for name in sorted({*was, *now}):
        target = {"Attribute": "Tags"} if name == "Tags" else {"Attribute": "Properties", "Name": name}
        direct = was.get(name) != now.get(name)
        if direct:
            needs = "Always" if name in rules.fixed else "Never"
            detail = {"Target": {**target, "RequiresRecreation": needs}, "Evaluation": "Static"}
            details.append({**detail, "ChangeSource": "DirectModification"})
        for source, cause in _causes(now.get(name), replaced):
            needs = "Conditionally" if name in rules.fixed else "Never"
            detail = {"Target": {**target, "RequiresRecreation": needs}, "Evaluation": "Dynamic"}
            details.append({**detail, "ChangeSource": source, "CausingEntity": cause})
        if details and (attribute := str(details[-1]["Target"]["Attribute"])) not in scope:
            scope.append(attribute)
    for key, name in _ABOUT.items():
        if old.get(key) != new.get(key):
            detail = {"Target": {"Attribute": name, "RequiresRecreation": "Never"}, "Evaluation": "Static"}
            details.append({**detail, "ChangeSource": "DirectModification"})
            scope.append(name)
    return details, scope


def _with_tags(resource: Mapping[str, Any], plan: Plan) -> dict[str, Any]:
    """The properties, with the tags that the resource gets."""
    properties = dict(resource["Properties"])
    given = with_stack_tags(resource["Type"], properties, plan.get("Tags", []))
    return dict(given)


def with_stack_tags(kind: str, properties: Mapping[str, Any], tags: Any) -> Mapping[str, Any]:
    """The properties with the stack's tags among the resource's own, which win."""
    own = properties.get("Tags", [])
    if not tags or not TYPES[kind].tags or not isinstance(own, list):
        return properties
    keys = {tag.get("Key") for tag in own if isinstance(tag, Mapping)}
    return {**properties, "Tags": [*own, *(tag for tag in tags if tag["Key"] not in keys)]}


def _causes(value: Any, replaced: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """(source, cause) of each thing in it that comes of a resource which is replaced."""
    for function, argument in walk(value):
        if function == "Ref" and argument in replaced:
            yield "ResourceReference", argument
        elif function == "Fn::GetAtt" and attribute(argument)[0] in replaced:
            yield "ResourceAttribute", ".".join(attribute(argument))
        elif function == "Fn::Sub":
            for name in in_sub(argument):
                if name.partition(".")[0] in replaced:
                    yield "ResourceAttribute" if "." in name else "ResourceReference", name
