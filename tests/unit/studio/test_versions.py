"""A model version's page: where it serves, what it was made from, how it differs from production, who did what."""

import asyncio
import json
import re

import pytest

from modelwright.errors import AwsError
from modelwright.services.dispatch import Context
from modelwright.studio import plots, reports, whereabouts
from modelwright.studio.executions import _links
from modelwright.studio.version_changes import compared
from support.browser import ROLE

IMAGE = "111122223333.dkr.ecr.us-east-1.amazonaws.com/pose:1"
BINARY = {
    "version": 0.0,
    "binary_classification_metrics": {
        "confusion_matrix": {"0": {"0": 8, "1": 2}, "1": {"0": 1, "1": 9}},
        "auc": {"value": 0.75, "standard_deviation": "NaN"},
        "receiver_operating_characteristic_curve": {
            "false_positive_rates": [0.0, 0.5, 1.0],
            "true_positive_rates": [0.0, 1.0, 1.0],
        },
        "precision_recall_curve": {"precisions": [0.5, 1.0], "recalls": [1.0, 0.0]},
    },
}


def register(user, number, report):
    key = f"evaluation-{number}.json"
    user.call("PutObject", "s3", Bucket="reports", Key=key, Body=json.dumps(report).encode())
    source = {"ContentType": "application/json", "S3Uri": f"s3://reports/{key}"}
    container = {"Image": IMAGE, "ModelDataUrl": f"s3://reports/{number}/model.tar.gz"}
    return user.call(
        "CreateModelPackage",
        ModelPackageGroupName="Pose",
        ModelApprovalStatus="PendingManualApproval",
        ModelPackageDescription=f"the {number}.",
        InferenceSpecification={
            "Containers": [container],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        MetadataProperties={"CommitId": f"c0ffee{number}", "Repository": "https://git.example/pose"},
        ModelMetrics={"ModelQuality": {"Statistics": source}},
    )["ModelPackageArn"]


@pytest.fixture
def versions(user):
    user.call("CreateBucket", "s3", Bucket="reports")
    user.call("CreateModelPackageGroup", ModelPackageGroupName="Pose")
    return [register(user, 1, {"metrics": {"mAP50": {"value": 0.5}}}), register(user, 2, BINARY)]


def serve(user, package, name="pose-prod"):
    user.call("UpdateModelPackage", ModelPackageArn=package, ModelApprovalStatus="Approved", ApprovalDescription="good")
    user.call("CreateModel", ModelName=name, Containers=[{"ModelPackageName": package}], ExecutionRoleArn=ROLE)
    variant = {
        "VariantName": "AllTraffic", "ModelName": name, "InitialInstanceCount": 1, "InstanceType": "ml.m5.large",
    }  # fmt: skip
    user.call("CreateEndpointConfig", EndpointConfigName=name, ProductionVariants=[variant])
    user.call("CreateEndpoint", EndpointName=name, EndpointConfigName=name)


def test_it_says_where_it_serves(user, versions):
    assert "No endpoint serves this version." in user.get("/models/Pose/1").text
    serve(user, versions[0])
    page = user.get("/models/Pose/1").text
    assert '/studio/endpoints/pose-prod"' in page
    assert "No endpoint serves this version." in user.get("/models/Pose/2").text
    assert '/studio/endpoints/pose-prod"' in user.get("/models/Pose").text


def test_who_did_what_with_which_comment(user, versions):
    user.post("/models/Pose/1", status="Rejected", comment="too <weak>")
    user.post("/models/Pose/1", status="Approved", comment="well then")
    page = user.get("/models/Pose/1").text
    history = page[page.index('id="history"') :].partition("</section>")[0]
    assert re.findall("well then|too &lt;weak&gt;|Registered", history) == [
        "well then", "too &lt;weak&gt;", "Registered",
    ]  # fmt: skip
    assert "admin" in history


def test_two_versions_side_by_side(user, versions):
    page = user.get("/models/Pose/2?against=1").text
    assert "No version of this group is in production" in page
    difference = page[page.index('id="difference"') :]
    for expected in ("mAP50", "auc", "c0ffee1", "c0ffee2", "s3://reports/1/model.tar.gz"):
        assert expected in difference
    for bad in ("?against=99", "?against=2", "?against=x"):
        assert user.get(f"/models/Pose/2{bad}").status_code in (200, 404)


def test_a_report_of_aws_s_schema_is_drawn(user, versions):
    page = user.get("/models/Pose/2").text
    assert '<td class="heat-8 right-class">8<span class="faint">80 %</span></td>' in page
    assert page.count("<polyline") == 2
    assert "ROC curve: True positive rate over False positive rate, area 0.75" in page
    assert "<polyline" not in user.get("/models/Pose/1").text


def test_plots_of_odd_reports():
    assert not plots.of_report(["no", "report"])
    assert not plots.of_report({"metrics": {"confusion_matrix": {"0": 3}}})
    assert plots.matrix({"a": {"a": 1}}) is None
    assert plots.matrix({"a": {"a": -1, "b": 2}}) is None
    assert plots.matrix({"a": {"a": "1", "b": 2}}) is None
    squares = plots.matrix([[3, 1], [0, 0]])
    assert squares.classes == ("0", "1")
    assert [cell.strength for cell in squares.rows[1][1]] == [0, 0]
    assert plots.curve("c", "x", [0, 1], "y", [0]) is None
    assert plots.curve("c", "x", [0, 2], "y", [0, 1]) is None
    assert plots.curve("c", "x", [0, float("nan")], "y", [0, 1]) is None
    falling = plots.curve("c", "x", [1.0, 0.5, 0.0], "y", [0.0, 1.0, 1.0])
    assert falling.area == pytest.approx(0.75)
    assert falling.line.startswith("0.0,0.0")


def test_what_differs():
    (metrics,) = compared(
        {"Metrics": ({"mAP": 0.75, "n": 3, "kept": 1}, {"mAP": 0.5, "kept": 1, "gone": "x"}), "D": ({}, {})}
    )
    by_name = {row.name: row for row in metrics.rows}
    assert (by_name["mAP"].change, by_name["mAP"].share) == (0.25, 50.0)
    assert [row.name for row in metrics.different] == ["mAP", "n", "gone"]
    assert [row.name for row in metrics.same] == ["kept"]
    (zero,) = compared({"M": ({"a": 1}, {"a": 0})})
    assert zero.rows[0].share is None


APPROVAL = {
    "name": "Approve",
    "actionTypeId": {"category": "Approval", "owner": "AWS", "provider": "Manual", "version": "1"},
}


def deploy(stack):
    kind = {"category": "Deploy", "owner": "AWS", "provider": "CloudFormation", "version": "1"}
    return {"name": f"Deploy-{stack}", "actionTypeId": kind, "configuration": {"StackName": stack}}


class FakeView:
    """Answers as the services do that a deployment has gone through."""

    def __init__(self, stages):
        self.stages = stages

    async def call(self, operation, service="sagemaker", **parameters):
        runs = [
            run("e2", "Prod", deploy("prod-stack"), "InProgress"),
            run("e1", "Prod", deploy("prod-stack"), "Succeeded"),
            {**run("e1", "Staging", APPROVAL, "Succeeded"), "updatedBy": "arn:aws:sts::1:assumed-role/Role/mina"},
            run("e1", "Staging", deploy("staging-stack"), "Succeeded"),
        ]
        endpoints = {"staging-stack": "Pose-Staging", "prod-stack": "pose-prod"}
        if operation == "DescribeEndpoint" and parameters["EndpointName"] == "gone":
            raise AwsError("Could not find endpoint")
        return {
            "ListEndpoints": {"Endpoints": [{"EndpointName": n} for n in ("pose-staging", "pose-prod", "own", "gone")]},
            "DescribeEndpoint": {
                "EndpointStatus": "InService",
                "EndpointConfigName": parameters.get("EndpointName"),
            },
            "DescribeEndpointConfig": {"ProductionVariants": [{"VariantName": "All", "ModelName": "m"}]},
            "DescribeModel": {"Containers": [{"ModelPackageName": "arn:aws:sagemaker:x:1:model-package/Pose/1"}]},
            "ListPipelines": {"pipelines": [{"name": "deploy"}]},
            "GetPipeline": {"pipeline": {"name": "deploy", "stages": self.stages}},
            "ListActionExecutions": {"actionExecutionDetails": runs},
            "DescribeStackResources": {
                "StackResources": [
                    {"ResourceType": "AWS::SageMaker::Model", "PhysicalResourceId": "m"},
                    {
                        "ResourceType": "AWS::SageMaker::Endpoint",
                        "PhysicalResourceId": f"arn:x/{endpoints.get(parameters.get('StackName'))}",
                    },
                ]
            },
        }[operation]

    async def find(self, *arguments, **parameters):
        try:
            return await self.call(*arguments, **parameters)
        except AwsError:
            return None


def run(execution, stage, action, status):
    given = {"actionTypeId": action["actionTypeId"], "configuration": action.get("configuration", {})}
    return {
        "pipelineExecutionId": execution, "actionExecutionId": f"{execution}-{stage}", "stageName": stage,
        "status": status, "input": given,
    }  # fmt: skip


def test_production_is_what_was_deployed_after_an_approval():
    stages = [
        {"name": "Staging", "actions": [deploy("staging-stack"), {**APPROVAL, "runOrder": 2}]},
        {"name": "Prod", "actions": [deploy("prod-stack")]},
    ]
    found = asyncio.run(whereabouts.of_packages(FakeView(stages)))
    assert [(each.endpoint, each.stage) for each in found] == [
        ("pose-prod", "Production"), ("pose-staging", "Staging"), ("own", ""),
    ]  # fmt: skip
    by = found[0].deployer
    assert (by.run["pipelineExecutionId"], by.approved_by, by.stage) == ("e1", "mina", "Prod")
    assert {each.package for each in found} == {"arn:aws:sagemaker:x:1:model-package/pose/1"}
    ungated = asyncio.run(whereabouts.of_packages(FakeView([{"name": "Prod", "actions": [deploy("prod-stack")]}])))
    assert {each.stage for each in ungated} == {""}


def test_metrics_are_told_without_what_is_drawn():
    found = reports.measured(BINARY)
    assert found == {"version": (0.0, None), "auc": (0.75, None)}
    report = {"regression_metrics": {"mae": {"value": 0.5, "standard_deviation": 0.25}}}
    assert reports.measured(report) == {"mae": (0.5, 0.25)}
    assert reports.measured(["x"]) == {"": ('["x"]', None)}
    assert reports.measured(None) == {}


def test_a_step_links_to_the_version_by_its_group_s_own_name(user, versions):
    """ARNs have names in small letters only."""
    assert ":model-package/pose/" in versions[0]
    context = Context("111122223333", "us-east-1", user.platform.keys.admin.principal)

    class Asker:
        async def find(self, operation, **parameters):
            return await user.platform.dispatcher.acall(context, "sagemaker", operation, parameters)

    found = asyncio.run(_links(Asker(), {"Metadata": {"RegisterModel": {"Arn": versions[0]}}}))
    assert found == [("Pose/1", "/studio/models/Pose/1")]
    assert asyncio.run(_links(Asker(), {"Metadata": {"TrainingJob": {"Arn": "x"}}})) == []
