"""The ways round an approval, each of them closed for all but administrators."""

import pytest

from modelwright.errors import AwsError
from modelwright.services.dispatch import Context, Principal
from modelwright.services.guard import Guard
from modelwright.services.production import Production, deployed, is_gated
from modelwright.store.database import Database
from modelwright.store.resources import insert_resource

ACCOUNT = "111122223333"
PACKAGE = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:model-package/poses/1"
CHANGES = f"arn:aws:cloudformation:eu-west-1:{ACCOUNT}:changeSet/x/1-2"


def action(name, category, provider, order=1, **configuration):
    kind = {"category": category, "owner": "AWS", "provider": provider, "version": "1"}
    return {"name": name, "actionTypeId": kind, "runOrder": order, "configuration": configuration}


def deploy(stack, order=1):
    return action(f"Deploy-{stack}", "Deploy", "CloudFormation", order, StackName=stack, ActionMode="CREATE_UPDATE")


def pipeline(name, *stages):
    return {"name": name, "stages": [{"name": f"S{i}", "actions": list(actions)} for i, actions in enumerate(stages)]}


APPROVAL = action("ApproveDeployment", "Approval", "Manual", 2)
GATED = pipeline("pose-deploy", [deploy("staging"), APPROVAL], [deploy("prod")])
BUILD = pipeline("pose-build", [action("Build", "Build", "CodeBuild")])


@pytest.fixture
def rule(tmp_path):
    database = Database(f"sqlite:///{tmp_path / 'metadata.db'}")
    with database.write() as transaction:
        for each in (GATED, BUILD):
            insert_resource(transaction, "CodePipeline", each["name"], {"pipeline": each}, created=1.0)
        held = [{"ResourceType": "AWS::SageMaker::Endpoint", "PhysicalResourceId": f"arn:aws:x:endpoint/{'Pose-Prod'}"}]
        insert_resource(transaction, "Stack", "prod", {"_Resources": held}, created=1.0)
        insert_resource(transaction, "ChangeSet", "1/x", {"StackName": "prod"}, created=1.0, arn=CHANGES)
        held = [{"ResourceType": "AWS::CodePipeline::Pipeline", "PhysicalResourceId": "pose-deploy"}]
        insert_resource(transaction, "Stack", f"SC-{ACCOUNT}-pp-1", {"_Resources": held}, created=1.0)
        arn = f"arn:aws:sagemaker:eu-west-1:{ACCOUNT}:project/pose"
        product = {"ProvisionedProductId": "pp-1"}
        project = {"ProjectArn": arn, "ProjectId": "p-1", "ServiceCatalogProvisionedProductDetails": product}
        insert_resource(transaction, "Project", "pose", project, created=1.0)
        approved = {"ModelApprovalStatus": "Approved"}
        insert_resource(transaction, "ModelPackage", "poses/1", approved, created=1.0, arn=PACKAGE)
    yield Production(database)
    database.close()


def test_what_is_gated():
    assert is_gated(GATED)
    assert not is_gated(BUILD)
    assert list(deployed(GATED)) == [("staging", False), ("prod", True)]


ROUND = [
    ("codepipeline", "UpdatePipeline", {"pipeline": {**GATED, "stages": GATED["stages"][1:]}}),
    ("codepipeline", "DeletePipeline", {"name": "pose-deploy"}),
    ("codepipeline", "EnableStageTransition", {"pipelineName": "pose-deploy", "stageName": "S1"}),
    ("codepipeline", "RollbackStage", {"pipelineName": "pose-deploy", "stageName": "S1"}),
    ("codepipeline", "CreatePipeline", {"pipeline": pipeline("mine", [deploy("prod")])}),
    ("codepipeline", "UpdatePipeline", {"pipeline": pipeline("pose-build", [deploy("prod")])}),
    ("cloudformation", "UpdateStack", {"StackName": "prod"}),
    ("cloudformation", "DeleteStack", {"StackName": f"arn:aws:cloudformation:eu-west-1:{ACCOUNT}:stack/prod/1-2"}),
    ("cloudformation", "ExecuteChangeSet", {"StackName": "prod", "ChangeSetName": "x"}),
    ("cloudformation", "ExecuteChangeSet", {"ChangeSetName": CHANGES}),
    ("cloudformation", "CancelUpdateStack", {"StackName": "prod"}),
    ("cloudformation", "ContinueUpdateRollback", {"StackName": "prod"}),
    ("cloudformation", "RollbackStack", {"StackName": "prod"}),
    ("cloudformation", "UpdateTerminationProtection", {"StackName": "prod", "EnableTerminationProtection": False}),
    ("cloudformation", "DeleteStack", {"StackName": f"SC-{ACCOUNT}-pp-1"}),
    ("sagemaker", "UpdateEndpoint", {"EndpointName": "pose-prod"}),
    ("sagemaker", "DeleteEndpoint", {"EndpointName": "Pose-Prod"}),
    ("sagemaker", "UpdateEndpointWeightsAndCapacities", {"EndpointName": "pose-prod"}),
    ("sagemaker", "DeleteProject", {"ProjectName": "pose"}),
    ("sagemaker", "UpdateModelPackage", {"ModelPackageArn": PACKAGE, "InferenceSpecification": {}}),
]


@pytest.mark.parametrize(("service", "operation", "parameters"), ROUND)
def test_a_developer_gets_round_nothing(rule, service, operation, parameters):
    def context(role):
        return Context(ACCOUNT, "eu-west-1", Principal(f"arn:aws:sts::{ACCOUNT}:assumed-role/R/x", "U", role=role))

    guard = Guard(lambda _: "", [rule])
    with pytest.raises(AwsError, match=r"not authorized to perform: .* An admin may\."):
        guard.check(context("developer"), service, operation, parameters)
    guard.check(context("admin"), service, operation, parameters)


@pytest.mark.parametrize(
    ("service", "operation", "parameters"),
    [
        ("codepipeline", "UpdatePipeline", {"pipeline": BUILD}),
        ("codepipeline", "StartPipelineExecution", {"name": "pose-deploy"}),
        ("codepipeline", "DisableStageTransition", {"pipelineName": "pose-deploy"}),
        ("codepipeline", "CreatePipeline", {"pipeline": pipeline("mine", [deploy("my-stack")])}),
        ("cloudformation", "UpdateStack", {"StackName": "staging"}),
        ("cloudformation", "DeleteStack", {"StackName": "nothing"}),
        ("sagemaker", "UpdateEndpoint", {"EndpointName": "pose-staging"}),
        ("sagemaker", "DeleteProject", {"ProjectName": "nothing"}),
        ("sagemaker", "UpdateModelPackage", {"ModelPackageArn": PACKAGE, "CustomerMetadataProperties": {}}),
    ],
)
def test_and_does_their_work(rule, service, operation, parameters):
    assert rule(service, operation, parameters, "developer") is None


def test_the_platform_deploys_what_was_approved(rule):
    for service, operation, parameters in ROUND:
        why = rule(service, operation, parameters, "service")
        assert (why is None) == (parameters.get("pipeline", {}).get("name") not in ("mine", "pose-build"))
