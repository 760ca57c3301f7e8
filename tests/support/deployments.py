"""A deployment project that is cheap: `model-deploy` for a model that only answers, through AWS's own calls."""

import io
import json
import os
import tarfile
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path

from modelwright.images.library import LocalImages
from support.hosting import SERVE
from support.waiting import until

URI = "111122223333.dkr.ecr.us-east-1.amazonaws.com/deployable:1"
DOCKERFILE = 'FROM python:3.11\nCOPY serve /opt/program/serve\nENV PATH="/opt/program:$PATH"\n'
OVER = ("Succeeded", "Failed", "Stopped", "Superseded", "Cancelled")
PATIENCE = 240
GATE = ("DeployStaging", "ApproveDeployment")


def make_image(server, program=SERVE):
    """The image that serves; a second time it is there. Another program makes another image of the same name."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Dockerfile").write_text(DOCKERFILE)
        serve = Path(folder, "serve")
        serve.write_text(program.format(python="/usr/bin/env python3"))
        serve.chmod(0o755)
        os.utime(serve, (0, 0))
        LocalImages(server.settings).build(Path(folder), URI, lambda line: None)


def archive(text):
    """A model.tar.gz."""
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w:gz") as tar:
        member = tarfile.TarInfo("weights")
        member.size = len(text)
        tar.addfile(member, io.BytesIO(text))
    return made.getvalue()


class Deployment:
    """One project, its model package group and the short words of a user's."""

    def __init__(self, server, name=None, key=None):
        self.server, self.key = server, key
        self.name = name or f"dep-{uuid.uuid4().hex[:6]}"
        self.id, self.part = "", "modeldeploy"

    def client(self, service):
        return self.server.client(service, key=self.key)

    def of(self, key):
        """The same project, to somebody else."""
        other = Deployment(self.server, self.name, key)
        other.id = self.id
        return other

    @property
    def pipeline(self):
        """The name of the pipeline, and of the repository."""
        return f"sagemaker-{self.name}-{self.id}-{self.part}"

    def uses(self, part):
        """Speak of another pipeline of the project from now on; its name."""
        self.part = part
        return self.pipeline

    # What is made

    def make(self, template="model-deploy", wait=True):
        make_image(self.server)
        self.client("s3").create_bucket(Bucket=self.name)
        self.client("sagemaker").create_model_package_group(ModelPackageGroupName=self.name)
        self.create(template, SourceModelPackageGroupName=self.name)
        if wait:
            assert self.settled()["ProjectStatus"] == "CreateCompleted", self.describe()
        return self

    def create(self, template, **parameters):
        product = self.client("servicecatalog").describe_product(Name=template)["ProductViewSummary"]["ProductId"]
        given = [{"Key": key, "Value": value} for key, value in parameters.items()]
        made = self.client("sagemaker").create_project(
            ProjectName=self.name,
            ServiceCatalogProvisioningDetails={"ProductId": product, "ProvisioningParameters": given},
        )
        self.id = made["ProjectId"]

    def version(self, name, status="PendingManualApproval"):
        """A model package whose server says `name`; its ARN."""
        key = f"models/{name}/model.tar.gz"
        self.client("s3").put_object(Bucket=self.name, Key=key, Body=archive(name.encode()))
        container = {"Image": URI, "ModelDataUrl": f"s3://{self.name}/{key}", "Environment": {"NAME": name}}
        return self.client("sagemaker").create_model_package(
            ModelPackageGroupName=self.name,
            ModelApprovalStatus=status,
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["application/json"],
                "SupportedResponseMIMETypes": ["application/json"],
                "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large", "ml.c5.xlarge"],
                "SupportedTransformInstanceTypes": ["ml.m5.large"],
            },
        )["ModelPackageArn"]

    def versions(self):
        found = self.client("sagemaker").list_model_packages(ModelPackageGroupName=self.name)
        return [each["ModelPackageArn"] for each in found["ModelPackageSummaryList"]]

    def approve_version(self, arn, status="Approved"):
        self.client("sagemaker").update_model_package(
            ModelPackageArn=arn, ModelApprovalStatus=status, ApprovalDescription="fine"
        )

    def put(self, message, files, repository=None):
        codecommit, repository = self.client("codecommit"), repository or self.pipeline
        tip = codecommit.get_branch(repositoryName=repository, branchName="main")["branch"]["commitId"]
        return codecommit.create_commit(
            repositoryName=repository,
            branchName="main",
            parentCommitId=tip,
            commitMessage=message,
            putFiles=[{"filePath": path, "fileContent": content} for path, content in files.items()],
        )["commitId"]

    def file(self, path, repository=None):
        found = self.client("codecommit").get_file(repositoryName=repository or self.pipeline, filePath=path)
        return found["fileContent"]

    # What becomes of it

    def describe(self):
        return self.client("sagemaker").describe_project(ProjectName=self.name)

    def settled(self):
        until(lambda: not self.describe()["ProjectStatus"].endswith("InProgress"), PATIENCE)
        return self.describe()

    def gone(self):
        """Waits until the project has been deleted."""
        until(lambda: self.name not in self.names(), PATIENCE)

    def names(self):
        listed = self.client("sagemaker").list_projects(MaxResults=100, NameContains=self.name)
        return [each["ProjectName"] for each in listed["ProjectSummaryList"]]

    def executions(self):
        """The newest first."""
        return self.client("codepipeline").list_pipeline_executions(pipelineName=self.pipeline)[
            "pipelineExecutionSummaries"
        ]

    def newer(self, before):
        """The id of the newest execution, once it is none of `before`."""

        def look():
            newest = self.executions()[0]["pipelineExecutionId"]
            return newest not in before and newest

        return until(look, PATIENCE)

    def ids(self):
        return {each["pipelineExecutionId"] for each in self.executions()}

    def status(self, execution):
        return next(each for each in self.executions() if each["pipelineExecutionId"] == execution)["status"]

    def ended(self, execution):
        def look():
            status = self.status(execution)
            return status in OVER and status

        return until(look, PATIENCE)

    def first_over(self):
        """A pipeline runs once when it is made: wait for its end (there is no approved version yet)."""
        (first,) = self.executions()
        assert self.ended(first["pipelineExecutionId"]) == "Failed"
        return first["pipelineExecutionId"]

    def actions(self, execution):
        """Name -> what ListActionExecutions says of it; each may have run once."""
        found = self.client("codepipeline").list_action_executions(
            pipelineName=self.pipeline, filter={"pipelineExecutionId": execution}
        )["actionExecutionDetails"]
        names = [each["actionName"] for each in found]
        assert len(set(names)) == len(names), names
        return {each["actionName"]: each for each in found}

    def reaches(self, execution, action):
        """Waits until it has begun an action; fails when it ends before."""

        def look():
            status = self.status(execution)
            begun = action in self.actions(execution)
            assert begun or status not in OVER, (status, self.problems())
            return begun

        until(look, PATIENCE)

    def problem(self, execution, action):
        return self.actions(execution)[action]["output"]["executionResult"]["errorDetails"]["message"]

    def token(self, execution):
        """Of the approval, once it waits; fails when the execution ends instead."""

        def look():
            status = self.status(execution)
            assert status not in OVER, (status, self.problems())
            asked = self.actions(execution).get("ApproveDeployment")
            return (
                asked and asked["status"] == "InProgress" and asked["output"]["executionResult"]["externalExecutionId"]
            )

        return until(look, PATIENCE)

    def answer(self, token, status="Approved", summary="looks right"):
        self.client("codepipeline").put_approval_result(
            pipelineName=self.pipeline,
            stageName=GATE[0],
            actionName=GATE[1],
            token=token,
            result={"summary": summary, "status": status},
        )

    def log(self, execution, action):
        """What a build said."""
        identity = self.actions(execution)[action]["output"]["executionResult"]["externalExecutionId"]
        (build,) = self.client("codebuild").batch_get_builds(ids=[identity])["builds"]
        place = {"logGroupName": build["logs"]["groupName"], "logStreamName": build["logs"]["streamName"]}
        return "".join(event["message"] for event in self.client("logs").get_log_events(**place)["events"])

    def builds(self, execution):
        """How many builds its actions have begun, as CodeBuild counts them."""
        begun = self.actions(execution)["ModelDeployInfraCode"]["startTime"]
        client = self.client("codebuild")
        ids = [each for each in client.list_builds()["ids"] if self.id in each]
        return len([each for each in client.batch_get_builds(ids=ids)["builds"] if each["startTime"] > begun])

    def revision(self, execution):
        """The commit that it began with."""
        found = self.client("codepipeline").get_pipeline_execution(
            pipelineName=self.pipeline, pipelineExecutionId=execution
        )["pipelineExecution"]
        return found["artifactRevisions"][0]["revisionId"]

    def stacks(self, stage):
        """The statuses of all stacks that ever were of a stage."""
        name = f"sagemaker-{self.name}-{self.id}-deploy-{stage}"
        found = self.client("cloudformation").describe_stacks()["Stacks"]
        return [each["StackStatus"] for each in found if each["StackName"] == name]

    def made_once(self, stage):
        """Whether each resource of a stage's stack was begun once."""
        name = f"sagemaker-{self.name}-{self.id}-deploy-{stage}"
        events = self.client("cloudformation").describe_stack_events(StackName=name)["StackEvents"]
        begun = [each["LogicalResourceId"] for each in events if each["ResourceStatus"] == "CREATE_IN_PROGRESS"]
        return sorted(set(begun)) == sorted(begun) and {"Model", "EndpointConfig", "Endpoint"} <= set(begun)

    def everything(self):
        """Service -> the names of what is there."""
        sagemaker = self.client("sagemaker")
        return {
            "codecommit": [
                each["repositoryName"] for each in self.client("codecommit").list_repositories()["repositories"]
            ],
            "codebuild": self.client("codebuild").list_projects()["projects"],
            "codepipeline": [each["name"] for each in self.client("codepipeline").list_pipelines()["pipelines"]],
            "events": [each["Name"] for each in self.client("events").list_rules()["Rules"]],
            "cloudformation": [each["StackName"] for each in self.client("cloudformation").describe_stacks()["Stacks"]],
            "models": [each["ModelName"] for each in sagemaker.list_models(MaxResults=100)["Models"]],
            "configs": [
                each["EndpointConfigName"]
                for each in sagemaker.list_endpoint_configs(MaxResults=100)["EndpointConfigs"]
            ],
            "s3": [each["Name"] for each in self.client("s3").list_buckets()["Buckets"]],
        }

    def buckets(self):
        return [name for name in self.everything()["s3"] if name.startswith(f"{self.name}-")]

    def retention(self):
        (group,) = self.client("logs").describe_log_groups(logGroupNamePrefix=f"/projects/{self.name}")["logGroups"]
        return group.get("retentionInDays")

    def delete(self):
        self.client("sagemaker").delete_project(ProjectName=self.name)

    def problems(self):
        state = self.client("codepipeline").get_pipeline_state(name=self.pipeline)
        latest = [
            action.get("latestExecution", {}) for stage in state["stageStates"] for action in stage["actionStates"]
        ]
        return [each["errorDetails"]["message"] for each in latest if "errorDetails" in each]

    def newest_problem(self, stage):
        """What went wrong at last in a stage."""
        state = self.client("codepipeline").get_pipeline_state(name=self.pipeline)["stageStates"]
        (found,) = [each for each in state if each["stageName"] == stage]
        return found["actionStates"][0]["latestExecution"]["errorDetails"]["message"]

    def retry(self, execution, stage):
        self.client("codepipeline").retry_stage_execution(
            pipelineName=self.pipeline,
            stageName=stage,
            pipelineExecutionId=execution,
            retryMode="FAILED_ACTIONS",
        )

    def artifact(self, execution, action):
        """(bucket, key) of what an action has made."""
        (made,) = self.actions(execution)[action]["output"]["outputArtifacts"]
        return made["s3location"]["bucket"], made["s3location"]["key"]

    @contextmanager
    def swapped(self, bucket, key, content):
        """An object is another one meanwhile."""
        s3 = self.client("s3")
        before = s3.get_object(Bucket=bucket, Key=key)["Body"].read()
        s3.put_object(Bucket=bucket, Key=key, Body=content)
        yield
        s3.put_object(Bucket=bucket, Key=key, Body=before)

    def endpoints(self):
        listed = self.client("sagemaker").list_endpoints(NameContains=self.name)["Endpoints"]
        return {each["EndpointName"]: each["EndpointStatus"] for each in listed}

    def serves(self, stage):
        """The name of the version that answers at `staging` or `prod`."""
        answer = self.client("sagemaker-runtime").invoke_endpoint(EndpointName=f"{self.name}-{stage}", Body=b"who")
        return json.loads(answer["Body"].read())[0]

    def clean(self):
        """Instances outlive the server: a test that fails must not leave any."""
        for name in self.endpoints():
            self.client("sagemaker").delete_endpoint(EndpointName=name)
        until(lambda: not self.endpoints(), PATIENCE)
