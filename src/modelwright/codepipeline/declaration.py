"""A pipeline's declaration: what AWS checks when a pipeline is created or updated.

`check` finds every problem, not just the first, and raises one error that names them all: its code is that of the
first. Types, lengths and patterns were checked against AWS's model before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from modelwright.codepipeline import triggers, variables
from modelwright.codepipeline.providers import KNOWN_ELSEWHERE, ActionType, find
from modelwright.errors import AwsError, UnsupportedOperation

Document = Mapping[str, Any]
Problem = tuple[str, str]
"""(code, text)."""

STRUCTURE = "InvalidStructureException"
STAGE = "InvalidStageDeclarationException"
ACTION = "InvalidActionDeclarationException"
UNSUPPORTED = UnsupportedOperation.default_code

MOST_STAGES, MOST_ACTIONS = 50, 50
LONGEST_APPROVAL = 86400

_TYPES = ("PLAINTEXT", "PARAMETER_STORE", "SECRETS_MANAGER")


def check(pipeline: Document, region: str) -> None:
    """Raises AwsError whose text has a line a problem."""
    problems = [*_structure(pipeline), *_stages(pipeline, region), *_variables(pipeline), *_triggers(pipeline)]
    if problems:
        code = problems[0][0]
        raise AwsError("; ".join(dict.fromkeys(text for _, text in problems)), code=code)


def actions_of(pipeline: Document) -> Iterator[tuple[Document, Document]]:
    """(stage, action) in the order in which they run."""
    for stage in pipeline["stages"]:
        for action in sorted(stage["actions"], key=run_order):
            yield stage, action


def run_order(action: Document) -> int:
    """Actions with the same one run in parallel."""
    return int(action.get("runOrder", 1))


def find_action(pipeline: Document, stage: str, action: str) -> Document | None:
    return next((a for s, a in actions_of(pipeline) if s["name"] == stage and a["name"] == action), None)


def store_of(pipeline: Document) -> str:
    """The artifacts' bucket."""
    store = pipeline.get("artifactStore") or next(iter(pipeline["artifactStores"].values()))
    return str(store["location"])


# The whole


def _structure(pipeline: Document) -> Iterator[Problem]:
    stages, kind = pipeline["stages"], pipeline.get("pipelineType", "V1")
    if len(stages) < 2:
        yield (
            STRUCTURE,
            f"Pipeline has only {len(stages)} stage(s). There should be a minimum of 2 stages in a pipeline",
        )
    if len(stages) > MOST_STAGES:
        yield STRUCTURE, f"Pipeline has {len(stages)} stages. There may be at most {MOST_STAGES} stages in a pipeline"
    for name in _twice([stage["name"] for stage in stages]):
        yield STRUCTURE, f"Stage names must be unique: more than one stage is called '{name}'"
    if ("artifactStore" in pipeline) == ("artifactStores" in pipeline):
        yield STRUCTURE, "Pipeline must have either an artifactStore or artifactStores, and not both"
    if len(pipeline.get("artifactStores", {})) > 1:
        regions = ", ".join(sorted(pipeline["artifactStores"]))
        yield UNSUPPORTED, f"Modelwright does not support artifactStores of several regions ({regions}). Give one."
    if kind == "V1":
        for member, text in (("variables", "Pipeline variables"), ("triggers", "Triggers")):
            if pipeline.get(member):
                yield STRUCTURE, f"{text} are only available for pipelines of type V2, and pipelineType is V1"
        if pipeline.get("executionMode", "SUPERSEDED") != "SUPERSEDED":
            yield (
                STRUCTURE,
                f"The execution mode {pipeline['executionMode']} is only available for pipelines of type V2, and "
                "pipelineType is V1",
            )
    if stages and stages[0]["actions"] and any(_category(action) != "Source" for action in stages[0]["actions"]):
        yield STRUCTURE, "Pipeline should start with a stage that only contains source actions"
    for stage in stages[1:]:
        for action in stage["actions"]:
            if _category(action) == "Source":
                yield (
                    STRUCTURE,
                    f"Source action '{action['name']}' in stage '{stage['name']}': only the first stage of a pipeline "
                    "may contain source actions",
                )
    if stages and all(_category(action) == "Source" for stage in stages for action in stage["actions"]):
        yield STRUCTURE, "At least one stage must contain an action that is not a source action"


def _variables(pipeline: Document) -> Iterator[Problem]:
    for name in _twice([variable["name"] for variable in pipeline.get("variables", [])]):
        yield STRUCTURE, f"Variable names must be unique: more than one variable is called '{name}'"


def _triggers(pipeline: Document) -> Iterator[Problem]:
    return ((STRUCTURE, text) for text in triggers.problems(pipeline))


# Stages and actions


def _stages(pipeline: Document, region: str) -> Iterator[Problem]:
    made: dict[str, str] = {}
    namespaces: dict[str, str] = {}
    for stage in pipeline["stages"]:
        name, actions = stage["name"], stage["actions"]
        if not actions:
            yield STAGE, f"Stage '{name}' has no actions. There should be a minimum of 1 action in a stage"
        if len(actions) > MOST_ACTIONS:
            yield STAGE, f"Stage '{name}' has {len(actions)} actions. There may be at most {MOST_ACTIONS} in a stage"
        for action in _twice([action["name"] for action in actions]):
            yield STAGE, f"Action names must be unique within a stage: stage '{name}' has more than one '{action}'"
        for order in sorted({run_order(action) for action in actions}):
            group = [action for action in actions if run_order(action) == order]
            for action in group:
                yield from _action(pipeline, stage, action, region, made, namespaces)
            for action in group:
                yield from _artifacts(action, made)
                if "namespace" in action:
                    if action["namespace"] in namespaces:
                        other = namespaces[action["namespace"]]
                        yield (
                            ACTION,
                            f"Namespaces must be unique: actions '{other}' and '{action['name']}' both have "
                            f"'{action['namespace']}'",
                        )
                    namespaces[action["namespace"]] = action["name"]


def _artifacts(action: Document, made: dict[str, str]) -> Iterator[Problem]:
    for artifact in action.get("outputArtifacts", []):
        name = artifact["name"]
        if name in made:
            yield (
                STRUCTURE,
                f"Output artifact names must be unique within a pipeline: '{name}' is made by '{made[name]}' and by "
                f"'{action['name']}'",
            )
        made.setdefault(name, action["name"])


def _action(
    pipeline: Document,
    stage: Document,
    action: Document,
    region: str,
    made: Mapping[str, str],
    namespaces: Mapping[str, str],
) -> Iterator[Problem]:
    name, identity = action["name"], action["actionTypeId"]
    row = find(identity)
    if row is None:
        yield _no_type(name, identity, region)
        return
    for member, text in (
        ("commands", "commands"),
        ("outputVariables", "outputVariables"),
        ("environmentVariables", "environmentVariables"),
    ):
        if action.get(member):
            yield ACTION, f"Action '{name}': {text} are only available for the Commands action of category Compute"
    if "timeoutInMinutes" in action and row.provider != "Manual":
        yield ACTION, f"Action '{name}': timeoutInMinutes is only available for manual approvals"
    if action.get("region", region) != region:
        yield (
            UNSUPPORTED,
            f"Modelwright does not support actions in another region: action '{name}' is in {action['region']}, its "
            f"pipeline in {region}",
        )
    if action.get("namespace") in (variables.PIPELINE, variables.DECLARED):
        yield ACTION, f"Action '{name}': the namespace '{action['namespace']}' is reserved"
    yield from _count(name, "input", action.get("inputArtifacts", []), row.inputs)
    yield from _count(name, "output", action.get("outputArtifacts", []), row.outputs)
    for artifact in action.get("outputArtifacts", []):
        if artifact.get("files"):
            yield ACTION, f"Action '{name}': files of output artifacts are only available for the Commands action"
    for artifact in action.get("inputArtifacts", []):
        if artifact["name"] not in made:
            yield (
                STRUCTURE,
                f"Input artifact '{artifact['name']}' of action '{name}' in stage '{stage['name']}' is not an output "
                "artifact of an action that runs before it",
            )
    yield from _configuration(pipeline, action, row, namespaces)


def _no_type(name: str, identity: Mapping[str, str], region: str) -> Problem:
    category, provider = identity["category"], identity["provider"]
    if identity["owner"] != "AWS" or (category, provider) in KNOWN_ELSEWHERE:
        return (
            UNSUPPORTED,
            f"Modelwright does not support the action type {category}/{provider} of owner {identity['owner']} (action "
            f"'{name}'). A CodeBuild action can run any command instead",
        )
    return (
        ACTION,
        f"ActionType (Category: '{category}', Provider: '{provider}', Owner: '{identity['owner']}', Version: "
        f"'{identity['version']}') in action '{name}' is not available in region {region}",
    )


def _count(name: str, kind: str, artifacts: Sequence[Document], allowed: tuple[int, int]) -> Iterator[Problem]:
    least, most = allowed
    if len(artifacts) < least:
        yield (
            ACTION,
            f"Action {name} declares {len(artifacts)} {kind} artifacts which is less than the minimum count ({least})",
        )
    if len(artifacts) > most:
        yield (
            ACTION,
            f"Action {name} declares {len(artifacts)} {kind} artifacts which is more than the maximum count ({most})",
        )
    for twice in _twice([artifact["name"] for artifact in artifacts]):
        yield ACTION, f"Action {name} declares the {kind} artifact '{twice}' more than once"


def _configuration(
    pipeline: Document, action: Document, row: ActionType, namespaces: Mapping[str, str]
) -> Iterator[Problem]:
    name, configuration = action["name"], action.get("configuration", {})
    required = {key for key, rule in row.keys.items() if rule.required}
    required |= set(row.modes.get(configuration.get("ActionMode", ""), ()))
    for key in sorted(required - set(configuration)):
        yield ACTION, f"Action configuration for action '{name}' is missing required configuration '{key}'"
    for key, value in configuration.items():
        rule = row.keys.get(key)
        if rule is None:
            known = ", ".join(row.keys)
            yield (
                ACTION,
                f"Action configuration for action '{name}' contains unknown configuration '{key}' (known: {known})",
            )
        elif rule.refused and value not in rule.values:
            yield (
                UNSUPPORTED,
                f"Modelwright does not support {key} = '{value}' in the configuration of action '{name}'. "
                f"{rule.refused}",
            )
        elif rule.values and value not in rule.values:
            yield (
                ACTION,
                f"Action configuration for action '{name}': {key} = '{value}' must be one of " + ", ".join(rule.values),
            )
    for key, value in configuration.items():
        yield from _references(pipeline, name, key, value, namespaces)
    special = _SPECIAL.get(row.provider)
    if special is not None:
        yield from special(name, configuration, action)


def _references(
    pipeline: Document, name: str, key: str, value: str, namespaces: Mapping[str, str]
) -> Iterator[Problem]:
    declared = {variable["name"] for variable in pipeline.get("variables", [])}
    for namespace, member in variables.references(value):
        where = f"Action configuration for action '{name}': {key}"
        if not member:
            yield (
                ACTION,
                f"{where} has the reference '#{{{namespace}}}', which is no namespace and key separated by a period",
            )
        elif namespace == variables.PIPELINE:
            if member != variables.EXECUTION_ID:
                yield ACTION, f"{where} refers to '#{{{namespace}.{member}}}'; there is only {variables.EXECUTION_ID}"
        elif namespace == variables.DECLARED:
            if member not in declared:
                yield ACTION, f"{where} refers to the variable '{member}', which the pipeline does not declare"
        elif namespace not in namespaces:
            yield (
                ACTION,
                f"{where} refers to the namespace '{namespace}', which is not the namespace of an action that runs "
                "before it",
            )


# What belongs to one provider


def _build(name: str, configuration: Mapping[str, str], action: Document) -> Iterator[Problem]:
    inputs = [artifact["name"] for artifact in action.get("inputArtifacts", [])]
    primary = configuration.get("PrimarySource")
    if len(inputs) > 1 and primary is None:
        yield (
            ACTION,
            f"Action '{name}' has {len(inputs)} input artifacts: its configuration must say which is the PrimarySource",
        )
    if primary is not None and primary not in inputs and "#{" not in primary:
        yield (
            ACTION,
            f"Action '{name}': the PrimarySource '{primary}' is none of its input artifacts "
            f"({', '.join(inputs) or 'it has none'})",
        )
    yield from (
        (ACTION, f"Action '{name}': {text}") for text in check_environment(configuration.get("EnvironmentVariables"))
    )


def check_environment(text: str | None) -> Iterator[str]:
    """What is wrong with a build action's EnvironmentVariables."""
    if text is None:
        return
    try:
        entries = json.loads(text)
    except ValueError as error:
        yield f"EnvironmentVariables is not JSON: {error}"
        return
    if not isinstance(entries, list):
        yield "EnvironmentVariables must be a JSON array of objects with name, value and type"
        return
    for i, entry in enumerate(entries):
        if not isinstance(entry, dict) or not all(isinstance(value, str) for value in entry.values()):
            yield f"EnvironmentVariables[{i}] must be an object with the texts name, value and type"
            continue
        if missing := [member for member in ("name", "value") if member not in entry]:
            yield f"EnvironmentVariables[{i}] has no {' and no '.join(missing)}"
        if unknown := sorted(set(entry) - {"name", "value", "type"}):
            yield f"EnvironmentVariables[{i}] has the unknown member {', '.join(unknown)}"
        if entry.get("type", "PLAINTEXT") not in _TYPES:
            yield f"EnvironmentVariables[{i}]: type = '{entry['type']}' must be one of {', '.join(_TYPES)}"


def _stack(name: str, configuration: Mapping[str, str], action: Document) -> Iterator[Problem]:
    inputs = {artifact["name"] for artifact in action.get("inputArtifacts", [])}
    for key in ("TemplatePath", "TemplateConfiguration"):
        value = configuration.get(key)
        if value is None or value.startswith(("https://", "#{")):
            continue
        artifact, separator, file = value.partition("::")
        if not separator or not file:
            yield ACTION, f"Action '{name}': {key} = '{value}' must be ARTIFACT::FILE"
        elif artifact not in inputs:
            yield ACTION, f"Action '{name}': {key} names the artifact '{artifact}', which is none of its inputs"
    overrides = configuration.get("ParameterOverrides")
    if overrides is not None:
        try:
            parsed = json.loads(overrides)
        except ValueError as error:
            yield ACTION, f"Action '{name}': ParameterOverrides is not JSON: {error}"
        else:
            if not isinstance(parsed, dict):
                yield ACTION, f"Action '{name}': ParameterOverrides must be a JSON object"
    if "OutputFileName" in configuration and not action.get("outputArtifacts"):
        yield ACTION, f"Action '{name}' has an OutputFileName and no output artifact that would hold the file"
    if action.get("outputArtifacts") and "OutputFileName" not in configuration:
        yield ACTION, f"Action '{name}' has an output artifact and no OutputFileName"


def _approval(name: str, _: Mapping[str, str], action: Document) -> Iterator[Problem]:
    minutes = action.get("timeoutInMinutes", 5)
    if not 5 <= minutes <= LONGEST_APPROVAL:
        yield ACTION, f"Action '{name}': timeoutInMinutes = {minutes} must be between 5 and {LONGEST_APPROVAL}"


_SPECIAL = {"CodeBuild": _build, "CloudFormation": _stack, "Manual": _approval}


def _category(action: Document) -> str:
    return str(action["actionTypeId"]["category"])


def _twice(names: Sequence[str]) -> list[str]:
    return sorted({name for name in names if names.count(name) > 1})
