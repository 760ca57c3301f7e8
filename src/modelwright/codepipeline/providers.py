"""THE TABLE of action types: what each needs and knows, as AWS's "Action structure reference" has it.

What an action does is the engine's (`engine.actions`); here is what a declaration may say about it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Key:
    """A configuration key of an action type."""

    required: bool = False
    values: tuple[str, ...] = ()
    """What it may be; empty: anything."""
    refused: str = ""
    """Why it can't be honoured, and what to do instead; a value among `values` is fine all the same."""
    primary: bool = False
    """AWS's `key`: together they name what the action is about."""


@dataclass(frozen=True)
class ActionType:
    """A row. `inputs` and `outputs` are how many artifacts there may be, at least and at most."""

    category: str
    provider: str
    keys: Mapping[str, Key]
    inputs: tuple[int, int] = (0, 0)
    outputs: tuple[int, int] = (0, 0)
    owner: str = "AWS"
    version: str = "1"
    modes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Of CloudFormation: the keys that an ActionMode requires."""


_REQUIRED = Key(required=True)
_PRIMARY = Key(required=True, primary=True)
_OPTIONAL = Key()
_SWITCH = Key(values=("true", "false"))
_ZIP = Key(
    values=("CODE_ZIP",),
    refused="Use CODE_ZIP: a build can clone the repository by its URL where it needs its history.",
)
_BUILD = {
    "ProjectName": _PRIMARY,
    "PrimarySource": _OPTIONAL,
    "EnvironmentVariables": _OPTIONAL,
    "BatchEnabled": Key(values=("false",), refused="Batch builds are not supported: use several actions."),
    "CombineArtifacts": Key(values=("false",), refused="Batch builds are not supported: use several actions."),
}

ACTION_TYPES: tuple[ActionType, ...] = (
    ActionType(
        "Source",
        "CodeCommit",
        {
            "RepositoryName": _PRIMARY,
            "BranchName": _PRIMARY,
            "PollForSourceChanges": _SWITCH,
            "OutputArtifactFormat": _ZIP,
        },
        outputs=(1, 1),
    ),
    ActionType(
        "Source",
        "S3",
        {
            "S3Bucket": _PRIMARY,
            "S3ObjectKey": _PRIMARY,
            "PollForSourceChanges": _SWITCH,
            "AllowOverrideForS3ObjectKey": _SWITCH,
        },
        outputs=(1, 1),
    ),
    ActionType(
        "Source",
        "CodeStarSourceConnection",
        {
            "ConnectionArn": _REQUIRED,
            "FullRepositoryId": _PRIMARY,
            "BranchName": _PRIMARY,
            "OutputArtifactFormat": _ZIP,
            "DetectChanges": _SWITCH,
        },
        outputs=(1, 1),
    ),
    ActionType("Build", "CodeBuild", _BUILD, inputs=(1, 5), outputs=(0, 5)),
    ActionType("Test", "CodeBuild", _BUILD, inputs=(1, 5), outputs=(0, 5)),
    ActionType(
        "Deploy",
        "CloudFormation",
        {
            "ActionMode": Key(
                required=True,
                values=(
                    "CREATE_UPDATE",
                    "REPLACE_ON_FAILURE",
                    "CHANGE_SET_REPLACE",
                    "CHANGE_SET_EXECUTE",
                    "DELETE_ONLY",
                ),
            ),
            "StackName": _PRIMARY,
            "ChangeSetName": _OPTIONAL,
            "Capabilities": _OPTIONAL,
            "OutputFileName": _OPTIONAL,
            "ParameterOverrides": _OPTIONAL,
            "RoleArn": _OPTIONAL,
            "TemplatePath": _OPTIONAL,
            "TemplateConfiguration": _OPTIONAL,
        },
        inputs=(0, 10),
        outputs=(0, 1),
        modes={
            "CREATE_UPDATE": ("TemplatePath",),
            "REPLACE_ON_FAILURE": ("TemplatePath",),
            "CHANGE_SET_REPLACE": ("TemplatePath", "ChangeSetName"),
            "CHANGE_SET_EXECUTE": ("ChangeSetName",),
            "DELETE_ONLY": (),
        },
    ),
    ActionType(
        "Approval",
        "Manual",
        {
            "CustomData": _OPTIONAL,
            "ExternalEntityLink": _OPTIONAL,
            "NotificationArn": Key(
                refused="There are no SNS topics here. Leave it out, and make an EventBridge rule for 'CodePipeline "
                "Action Execution State Change' where somebody is to be told."
            ),
        },
    ),
)

KNOWN_ELSEWHERE: frozenset[tuple[str, str]] = frozenset(
    {
        ("Source", "ECR"),
        ("Source", "GitHub"),
        ("Source", "CodeStarSourceConnectionV2"),
        ("Build", "ECRBuildAndPublish"),
        ("Build", "Jenkins"),
        ("Compute", "Commands"),
        ("Test", "DeviceFarm"),
        ("Test", "Jenkins"),
        ("Deploy", "S3"),
        ("Deploy", "CloudFormationStackSet"),
        ("Deploy", "CloudFormationStackInstances"),
        ("Deploy", "CodeDeploy"),
        ("Deploy", "CodeDeployToECS"),
        ("Deploy", "ECS"),
        ("Deploy", "EC2"),
        ("Deploy", "EKS"),
        ("Deploy", "ElasticBeanstalk"),
        ("Deploy", "OpsWorks"),
        ("Deploy", "ServiceCatalog"),
        ("Deploy", "AppConfig"),
        ("Deploy", "AlexaSkillsKit"),
        ("Invoke", "Lambda"),
        ("Invoke", "StepFunctions"),
        ("Invoke", "CodePipeline"),
        ("Invoke", "InspectorScan"),
    }
)
"""Action types that AWS has and Modelwright has not."""

_BY_ID = {(row.category, row.owner, row.provider, row.version): row for row in ACTION_TYPES}


def find(identity: Mapping[str, str]) -> ActionType | None:
    """The row of an `actionTypeId`."""
    return _BY_ID.get((identity["category"], identity["owner"], identity["provider"], identity["version"]))
