"""Projects' pages over the real services: nobody drives them here, so a project stays in progress."""

import asyncio
import re

import pytest

from modelwright.studio import project_parts
from modelwright.studio.project_form import remarks
from modelwright.studio.projects import reason


def product(user, words="model-build"):
    found = user.call("SearchProducts", "servicecatalog")["ProductViewSummaries"]
    return next(each for each in found if each["Name"] == words)["ProductId"]


def names(user):
    return [each["ProjectName"] for each in user.call("ListProjects")["ProjectSummaryList"]]


def fields(user, identity):
    found = user.call("DescribeProvisioningParameters", "servicecatalog", ProductId=identity)
    return {
        f"parameter.{each['ParameterKey']}": each.get("DefaultValue", "")
        for each in found["ProvisioningArtifactParameters"]
    }


def test_a_project_is_made_from_a_template(user):
    identity = product(user)
    assert f"/studio/templates/{identity}" in user.get("/projects").text
    page = user.get(f"/templates/{identity}").text
    assert 'name="name"' in page
    answer = user.post(f"/templates/{identity}", name="churn", description="who <leaves>", **fields(user, identity))
    assert answer.headers["location"] == "/studio/projects/churn"
    for path in ("/projects", "/projects/churn"):
        page = user.get(path).text
        assert "churn" in page
        assert "who &lt;leaves&gt;" in page
    again = user.post(f"/templates/{identity}", name="churn", **fields(user, identity))
    assert again.status_code == 400
    assert "There is a project of this name." in again.text
    assert 'value="churn"' in again.text
    assert names(user) == ["churn"]


def test_every_template_has_a_form(user):
    for each in user.call("SearchProducts", "servicecatalog")["ProductViewSummaries"]:
        page = user.get(f"/templates/{each['ProductId']}").text
        assert all(f'name="{name}"' in page for name in fields(user, each["ProductId"]))


@pytest.mark.parametrize("name", ["", "no name", "x" * 33])
def test_what_is_no_name_is_told(user, name):
    identity = product(user)
    answer = user.post(f"/templates/{identity}", name=name, **fields(user, identity))
    assert answer.status_code == 400
    assert 'role="alert"' in answer.text
    assert names(user) == []


def test_forms_need_their_token_and_things_that_are_there(user):
    identity = product(user)
    assert user.post(f"/templates/{identity}", form_token="forged", name="churn").status_code == 403
    assert names(user) == []
    assert user.get("/templates/prod-none").status_code == 404
    assert user.post("/projects/none/delete").status_code in (400, 404)


def test_deleting_asks_the_project_to_go(user):
    identity = product(user)
    user.post(f"/templates/{identity}", name="churn", **fields(user, identity))
    assert "/studio/projects/churn/delete" in user.get("/projects").text
    refused = user.post("/projects/churn/delete")  # it is being created
    assert refused.status_code == 400
    assert names(user) == ["churn"]


def test_what_failed_says_why():
    product = {"ServiceCatalogProvisionedProductDetails": {"ProvisionedProductStatusMessage": "no role"}}
    own = {"TemplateProviderDetails": [{"CfnTemplateProviderDetail": {"StackDetail": {"StatusMessage": "no bucket"}}}]}
    assert reason({"ProjectStatus": "CreateFailed", **product}) == "no role"
    assert reason({"ProjectStatus": "DeleteFailed", **own}) == "no bucket"
    assert reason({"ProjectStatus": "CreateCompleted", **product}) == ""


def test_the_form_is_checked_while_one_types(user):
    identity = product(user, "model-deploy")
    given = {"name": "-x-", "parameter.SourceModelPackageGroupName": "Unknown"}
    asked = user.post(f"/templates/{identity}", check="1", **given)
    assert asked.status_code == 200
    page = asked.text
    assert "Letters, digits and hyphens" in page
    assert "There is no model group of this name yet" in page
    assert 'value="-x-"' in page
    assert re.findall(r"aria-invalid=true", page) == ["aria-invalid=true"], "the group is a warning"
    assert names(user) == []
    user.call("CreateModelPackageGroup", ModelPackageGroupName="Unknown")
    assert "There is no model group" not in user.post(f"/templates/{identity}", check="1", **given).text
    assert user.post(f"/templates/{identity}", check="1", name="good", **fields(user, identity)).status_code == 200
    assert names(user) == []


def test_a_group_that_is_not_there_yet_keeps_nobody_from_making_the_project(user):
    given = {"name": "deploy", "parameter.SourceModelPackageGroupName": "Later"}
    assert user.post(f"/templates/{product(user, 'model-deploy')}", **given).status_code == 303
    page = user.get("/projects/deploy").text
    assert "Later" in page
    assert "model-deploy" in page


def test_what_is_said_about_fields():
    rules = {"AllowedValues": ["a", "b"]}
    parameters = [
        {"ParameterKey": "Choice", "ParameterConstraints": rules, "DefaultValue": "a"},
        {
            "ParameterKey": "Number",
            "ParameterType": "Number",
            "ParameterConstraints": {"MinValue": "2", "MaxValue": "3"},
        },
        {"ParameterKey": "Text", "ParameterConstraints": {"AllowedPattern": "[a-z]+", "MaxLength": "3"}},
        {"ParameterKey": "Broken", "ParameterConstraints": {"AllowedPattern": "[", "MinLength": "many"}},
        {"ParameterKey": "Slow", "ParameterConstraints": {"AllowedPattern": "(a|aa)+"}, "DefaultValue": "a"},
    ]

    def told(**given):
        fields = {f"parameter.{key}": value for key, value in given.items()}
        found = remarks(parameters, {"name": "fine", **fields}, taken=False, groups={})
        return {key.removeprefix("parameter."): (each.text, each.fill) for key, each in found.items()}

    assert told(Choice="", Number="2", Text="abc", Broken="x", Slow="a" * 80 + "!") == {}
    wrong = told(Choice="c", Number="x", Text="abcd")
    assert wrong["Choice"] == ("Choose one of: {what}", "a, b")
    assert wrong["Number"] == ("Enter a number.", "")
    assert wrong["Text"] == ("At most {what} characters.", "3")
    assert wrong["Broken"] == ("A value is needed.", "")
    assert told(Number="4", Text="ABC")["Number"] == ("At most {what}.", "3")
    assert told(Number="1", Text="ABC")["Text"] == ("It must match {what}", "[a-z]+")


class FakeView:
    """A project whose stack stands, as the services tell it."""

    async def call(self, operation, service="sagemaker", **parameters):
        def resource(kind, identity):
            return {"ResourceType": kind, "PhysicalResourceId": identity, "ResourceStatus": "CREATE_COMPLETE"}

        return {
            "DescribeProduct": {"ProductViewSummary": {"Name": "model-build"}},
            "DescribeStacks": {"Stacks": [{"StackStatus": "CREATE_COMPLETE"}]},
            "DescribeStackResources": {
                "StackResources": [
                    resource("AWS::CodeCommit::Repository", "repo-id"),
                    resource("AWS::CodePipeline::Pipeline", "deploy"),
                    resource("AWS::SageMaker::ModelPackageGroup", "arn:x/Pose"),
                    resource("AWS::S3::Bucket", "bucket"),
                    {"ResourceType": "AWS::Events::Rule", "ResourceStatus": "CREATE_IN_PROGRESS"},
                ]
            },
            "ListRepositories": {
                "repositories": [
                    {"repositoryId": "repo-id", "repositoryName": "mine"},
                    {"repositoryId": "other", "repositoryName": "theirs"},
                ]
            },
            "GetRepository": {"repositoryMetadata": {"repositoryName": "mine", "defaultBranch": "main"}},
            "GetBranch": {"branch": {"commitId": "c0ffee"}},
            "GetCommit": {"commit": {"message": "first"}},
            "GetPipelineState": {
                "pipelineName": "deploy",
                "stageStates": [
                    {"stageName": "Source", "latestExecution": {"status": "Succeeded"}, "actionStates": []},
                    {
                        "stageName": "Approve",
                        "latestExecution": {"status": "InProgress"},
                        "actionStates": [
                            {"actionName": "ask", "latestExecution": {"token": "t", "lastStatusChange": 1.0}}
                        ],
                    },
                    {"stageName": "Prod", "actionStates": []},
                ],
            },
            "ListPipelineExecutions": {"pipelineExecutionSummaries": [], "PipelineExecutionSummaries": []},
            "DescribeModelPackageGroup": {"ModelPackageGroupName": parameters.get("ModelPackageGroupName")},
            "ListModelPackages": {"ModelPackageSummaryList": []},
            "Search": {"Results": [{"Pipeline": {"PipelineName": "sagemaker-churn"}}]},
            "GetPipeline": {"pipeline": {"name": "deploy", "stages": []}},
        }[operation]

    find = call


def test_what_a_project_has_made_is_found():
    document = {
        "ProjectName": "churn", "ProjectId": "p-1", "ProjectArn": "arn:aws:sagemaker:us-east-1:1:project/churn",
        "ServiceCatalogProvisioningDetails": {
            "ProductId": "prod-1", "ProvisioningParameters": [{"Key": "SourceModelPackageGroupName", "Value": "Given"}],
        },
        "ServiceCatalogProvisionedProductDetails": {"ProvisionedProductId": "pp-1"},
    }  # fmt: skip
    found = asyncio.run(project_parts.of(FakeView(), document))
    assert (found.template, found.stack, found.stack_status) == ("model-build", "SC-1-pp-1", "CREATE_COMPLETE")
    assert [(each["repositoryName"], each["head"]["message"]) for each in found.repositories] == [("mine", "first")]
    (deployment,) = found.deployments
    assert [each["status"] for each in deployment["stages"]] == ["Succeeded", "PendingManualApproval", ""]
    assert [each["ModelPackageGroupName"] for each in found.groups] == ["Pose", "Given"]
    assert [each["PipelineName"] for each in found.pipelines] == ["sagemaker-churn"]
    assert [each["PhysicalResourceId"] for each in found.others] == ["bucket"]
