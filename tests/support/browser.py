"""A client of Studio over a platform that is not served, without a browser."""

import asyncio
import json
import re
import uuid
from http.cookies import SimpleCookie

import httpx

from modelwright.services.dispatch import Context

ROLE = "arn:aws:iam::111122223333:role/ModelwrightExecutionRole"
PARAMETERS = [
    {"Name": "Epochs", "Type": "Integer", "DefaultValue": 3},
    {"Name": "Mode", "Type": "String", "DefaultValue": "fast", "EnumValues": ["fast", "good"]},
]
STEPS = [
    {
        "Name": "Check",
        "Type": "Condition",
        "Arguments": {
            "Conditions": [{"Type": "Equals", "LeftValue": {"Get": "Parameters.Mode"}, "RightValue": "good"}],
            "IfSteps": [],
            "ElseSteps": [{"Name": "Weak", "Type": "Fail", "Arguments": {"ErrorMessage": "<script>alert(1)</script>"}}],
        },
    }
]


class Browser:
    """A client of one platform: keeps cookies, follows nothing."""

    def __init__(self, platform):
        self.platform = platform
        self.cookies = {}

    def __call__(self, method, path, **options):
        async def ask():
            transport = httpx.ASGITransport(app=self.platform.application)
            async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1:7070") as client:
                headers = {
                    "cookie": "; ".join(f"{k}={v}" for k, v in self.cookies.items()),
                    **options.pop("headers", {}),
                }
                answer = await client.request(method, path, headers=headers, **options)
                for line in answer.headers.get_list("set-cookie"):
                    self.cookies |= {name: cookie.value for name, cookie in SimpleCookie(line).items()}
                return answer

        return asyncio.run(ask())

    def get(self, path, **options):
        return self("GET", f"/studio{path}", **options)

    def post(self, path, form_token=None, **fields):
        data = {"form-token": self.token if form_token is None else form_token, **fields}
        return self("POST", f"/studio{path}", data=data)

    @property
    def token(self):
        return re.search(r'name="form-token" value="([^"]+)"', self.get("/settings").text)[1]

    def sign_in(self):
        key = self.platform.keys.admin
        answer = self("POST", "/studio/sign-in", data={"key": key.id, "secret": key.secret})
        assert answer.status_code == 200, answer.text
        return self

    def call(self, operation, service="sagemaker", **parameters):
        context = Context("111122223333", "us-east-1", self.platform.keys.admin.principal)
        return asyncio.run(self.platform.dispatcher.acall(context, service, operation, parameters))

    def pipeline(self, name="Pose", parameters=PARAMETERS, steps=STEPS):
        definition = {"Version": "2020-12-01", "Metadata": {}, "Parameters": parameters, "Steps": steps}
        self.call(
            "CreatePipeline", PipelineName=name, PipelineDefinition=json.dumps(definition), RoleArn=ROLE,
            ClientRequestToken=uuid.uuid4().hex,
        )  # fmt: skip

    def executions(self, name="Pose"):
        found = self.call("ListPipelineExecutions", PipelineName=name, MaxResults=100)
        return found["PipelineExecutionSummaries"]

    def version(self):
        self.call("CreateModelPackageGroup", ModelPackageGroupName="Group")
        self.call("CreateBucket", "s3", Bucket="reports")
        report = json.dumps({"metrics": {"mAP50": {"value": 0.8125}}}).encode()
        self.call("PutObject", "s3", Bucket="reports", Key="evaluation.json", Body=report)
        source = {"ContentType": "application/json", "S3Uri": "s3://reports/evaluation.json"}
        self.call(
            "CreateModelPackage",
            ModelPackageGroupName="Group",
            ModelApprovalStatus="PendingManualApproval",
            ModelMetrics={"ModelQuality": {"Statistics": source}},
        )
