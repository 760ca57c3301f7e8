"""A version that a deployment pipeline has really brought to production, in a real browser."""

import json

import pytest

from modelwright.images.library import LocalImages
from support.codepipelines import action, archive, pipeline, stage
from support.doors import ROLE
from support.waiting import until

SERVE = """
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

ThreadingHTTPServer(("127.0.0.1", int(os.environ["SAGEMAKER_BIND_TO_PORT"])), Handler).serve_forever()
"""
IMAGE, NAME, GROUP = "studio-versions:latest", "versions-deploy", "VersionsOfPose"
TEMPLATE = {
    "Parameters": {"Stage": {"Type": "String"}, "Package": {"Type": "String"}},
    "Resources": {
        "Model": {
            "Type": "AWS::SageMaker::Model",
            "Properties": {"Containers": [{"ModelPackageName": {"Ref": "Package"}}], "ExecutionRoleArn": ROLE},
        },
        "Config": {
            "Type": "AWS::SageMaker::EndpointConfig",
            "Properties": {
                "ProductionVariants": [
                    {
                        "VariantName": "AllTraffic",
                        "ModelName": {"Fn::GetAtt": ["Model", "ModelName"]},
                        "InitialInstanceCount": 1,
                        "InitialVariantWeight": 1,
                        "InstanceType": "ml.m5.large",
                    }
                ]
            },
        },
        "Endpoint": {
            "Type": "AWS::SageMaker::Endpoint",
            "Properties": {
                "EndpointName": {"Fn::Sub": "versions-${Stage}"},
                "EndpointConfigName": {"Fn::GetAtt": ["Config", "EndpointConfigName"]},
            },
        },
    },
}


def register(server, number, accuracy):
    report = {"binary_classification_metrics": {"accuracy": {"value": accuracy, "standard_deviation": 0.01}}}
    key = f"{number}/evaluation.json"
    server.client("s3").put_object(Bucket=NAME, Key=key, Body=json.dumps(report).encode())
    return server.client("sagemaker").create_model_package(
        ModelPackageGroupName=GROUP,
        ModelApprovalStatus="PendingManualApproval",
        InferenceSpecification={
            "Containers": [{"Image": IMAGE}],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
            "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
        },
        ModelMetrics={
            "ModelQuality": {"Statistics": {"ContentType": "application/json", "S3Uri": f"s3://{NAME}/{key}"}}
        },
    )["ModelPackageArn"]


def deploy_action(where, package):
    overrides = json.dumps({"Stage": where, "Package": package})
    configuration = {
        "ActionMode": "CREATE_UPDATE", "StackName": f"{NAME}-{where}", "TemplatePath": "Code::template.json",
        "ParameterOverrides": overrides, "RoleArn": ROLE,
    }  # fmt: skip
    return action(f"Put-{where}", inputs=["Code"], configuration=configuration)


@pytest.fixture
def versions(server, tmp_path):
    (tmp_path / "serve.py").write_text(SERVE)
    (tmp_path / "Dockerfile").write_text(
        'FROM python:3.11-slim\nCOPY serve.py /opt/serve.py\nENTRYPOINT ["python", "/opt/serve.py"]\n'
    )
    LocalImages(server.settings).build(tmp_path, IMAGE, lambda line: None)
    s3, sagemaker = server.client("s3"), server.client("sagemaker")
    s3.create_bucket(Bucket=NAME)
    s3.put_object(Bucket=NAME, Key="source.zip", Body=archive(**{"template.json": json.dumps(TEMPLATE)}))
    sagemaker.create_model_package_group(ModelPackageGroupName=GROUP)
    found = [register(server, 1, 0.5), register(server, 2, 0.625)]
    sagemaker.update_model_package(
        ModelPackageArn=found[0], ModelApprovalStatus="Approved", ApprovalDescription="the first good one"
    )
    configuration = {"S3Bucket": NAME, "S3ObjectKey": "source.zip", "PollForSourceChanges": "false"}
    made = pipeline(
        stage("Source", action("Get", "Source", outputs=["Code"], configuration=configuration)),
        stage("Staging", deploy_action("staging", found[0]), action("Ask", "Approval", 2)),
        stage("Prod", deploy_action("prod", found[0])),
        name=NAME,
    )
    made["artifactStore"] = {"type": "S3", "location": NAME}
    server.client("codepipeline").create_pipeline(pipeline=made)
    yield found
    for where in ("staging", "prod"):
        server.client("cloudformation").delete_stack(StackName=f"{NAME}-{where}")
    until(lambda: not sagemaker.list_endpoints(NameContains="versions-")["Endpoints"], 120)


def test_where_a_version_serves_and_how_the_next_one_differs(page, server, versions):
    page.set_default_timeout(120_000)
    page.goto(f"{server.url}/studio/models/{GROUP}/1")
    page.locator("#history").get_by_text("the first good one").wait_for()
    page.locator("#places").get_by_text("Staging", exact=True).last.wait_for()  # it comes by itself
    page.goto(f"{server.url}/studio/deployments/{NAME}")
    page.get_by_text("Review", exact=True).click()
    page.get_by_role("button", name="Approve").click()
    page.locator("#executions").get_by_text("Succeeded").wait_for()
    page.goto(f"{server.url}/studio/models/{GROUP}/1")
    places = page.locator("#places")
    places.locator(".mark", has_text="Production").wait_for()
    places.get_by_text("approved by admin").wait_for()
    page.get_by_text("This is the version in production.").wait_for()
    page.get_by_role("link", name="versions-prod").wait_for()
    page.goto(f"{server.url}/studio/models/{GROUP}/2")
    page.get_by_role("heading", name="Difference from the version in production").wait_for()
    row = page.locator("#difference tr", has_text="accuracy")
    assert row.inner_text().split() == ["accuracy", "0.625", "0.5", "+0.125", "(+25.0", "%)"]
    page.goto(f"{server.url}/studio/models/{GROUP}")
    page.get_by_role("link", name="versions-prod").wait_for()
