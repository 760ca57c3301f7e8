"""The furnished home: what Studio shows a team, typical, empty and at its worst; and where its pages are.

Pictures and the tests of every page use it. A new page is one more line of `PAGES`.
"""

import json

from support.codepipelines import action, stage
from support.doors import ACCOUNT
from support.played import BUCKET, NOW, REGION, ROLE, Furnished

IMAGE = f"{ACCOUNT}.dkr.ecr.{REGION}.amazonaws.com/pose-yolov8:1"
LONG = "a-name-as-long-as-people-make-them-when-they-put-the-date-and-the-branch-and-everything-into-it"
METRICS = [
    {"Name": "train:loss", "Regex": "loss=([0-9.]+)"},
    {"Name": "validation:pose_mAP50", "Regex": "pose_mAP50=([0-9.]+)"},
]
FAILURE = (
    "AlgorithmError: the container ended with exit code 1: ValueError: train/labels/000113.txt has 55 columns, not 56"
)


def _train(name="PoseTrain", after=()):
    arguments = {
        "AlgorithmSpecification": {"TrainingImage": IMAGE, "TrainingInputMode": "File", "MetricDefinitions": METRICS},
        "RoleArn": ROLE,
        "HyperParameters": {"epochs": {"Get": "Parameters.Epochs"}, "imgsz": "160", "batch": "16"},
        "InputDataConfig": [
            {
                "ChannelName": channel,
                "DataSource": {"S3DataSource": {"S3DataType": "S3Prefix", "S3Uri": f"s3://{BUCKET}/pose/{channel}"}},
            }
            for channel in ("train", "val")
        ],
        "OutputDataConfig": {"S3OutputPath": f"s3://{BUCKET}/models"},
        "ResourceConfig": {"InstanceCount": 1, "InstanceType": "ml.m5.xlarge", "VolumeSizeInGB": 30},
        "StoppingCondition": {"MaxRuntimeInSeconds": 3600},
    }
    return {"Name": name, "Type": "Training", "Arguments": arguments, **({"DependsOn": list(after)} if after else {})}


def _process(name, source, after=()):
    arguments = {
        "AppSpecification": {"ImageUri": IMAGE},
        "RoleArn": ROLE,
        "ProcessingResources": {
            "ClusterConfig": {"InstanceType": "ml.m5.large", "InstanceCount": 1, "VolumeSizeInGB": 30}
        },
        "ProcessingInputs": [
            {
                "InputName": "data",
                "S3Input": {
                    "S3Uri": source, "LocalPath": "/opt/ml/processing/data", "S3DataType": "S3Prefix",
                    "S3InputMode": "File",
                },
            }
        ],
        "ProcessingOutputConfig": {
            "Outputs": [
                {
                    "OutputName": "result",
                    "S3Output": {
                        "S3Uri": f"s3://{BUCKET}/{name.lower()}", "LocalPath": "/opt/ml/processing/out",
                        "S3UploadMode": "EndOfJob",
                    },
                }
            ]
        },
    }  # fmt: skip
    return {"Name": name, "Type": "Processing", "Arguments": arguments, **({"DependsOn": list(after)} if after else {})}


def _pose_steps():
    container = {"Image": IMAGE, "ModelDataUrl": {"Get": "Steps.PoseTrain.ModelArtifacts.S3ModelArtifacts"}}
    register = {
        "Name": "PoseModel-RegisterModel", "Type": "RegisterModel",
        "Arguments": {
            "ModelPackageGroupName": "PoseYOLOv8", "ModelApprovalStatus": "PendingManualApproval",
            "InferenceSpecification": {
                "Containers": [container], "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
            },
        },
    }  # fmt: skip
    good = {"Type": "GreaterThanOrEqualTo", "LeftValue": 1, "RightValue": {"Get": "Parameters.Threshold"}}
    weak = {"Name": "NotGoodEnough", "Type": "Fail", "Arguments": {"ErrorMessage": "mAP50 is below the threshold."}}
    gate = {
        "Name": "PoseMAPCondition", "Type": "Condition", "DependsOn": ["PoseEval"],
        "Arguments": {
            "Conditions": [good],
            "IfSteps": [_train("PoseModel-RepackModel-0"), {**register, "DependsOn": ["PoseModel-RepackModel-0"]}],
            "ElseSteps": [weak],
        },
    }  # fmt: skip
    return [
        _process("PosePrepare", f"s3://{BUCKET}/raw"),
        _train("PoseTrain", ["PosePrepare"]),
        _process("PoseEval", f"s3://{BUCKET}/pose/test", ["PoseTrain"]),
        gate,
    ]


PARAMETERS = [
    {"Name": "Epochs", "Type": "Integer", "DefaultValue": 20},
    {"Name": "Threshold", "Type": "Float", "DefaultValue": 0.5},
    {"Name": "Model", "Type": "String", "DefaultValue": "yolov8n-pose", "EnumValues": ["yolov8n-pose", "yolov8s-pose"]},
]
GOOD = {
    "PosePrepare": 21, "PoseTrain": 186, "PoseEval": 24, "PoseMAPCondition": True, "PoseModel-RepackModel-0": 9,
    "PoseModel-RegisterModel": 1,
}  # fmt: skip


def furnish(settings):
    """Everything. `finish` adds what only a running server can."""
    home = Furnished(settings)
    home.pipeline("PoseYOLOv8", _pose_steps(), PARAMETERS)
    runs = [
        home.run("PoseYOLOv8", "baseline", GOOD),
        home.run("PoseYOLOv8", "new-labels", {**GOOD, "PoseTrain": (31, FAILURE)}),
        home.run("PoseYOLOv8", "new-labels-2", {**GOOD, "PoseTrain": 201}, Epochs=30),
        home.run("PoseYOLOv8", "larger-images", {**GOOD, "PoseTrain": "running"}, stop=True, Epochs=60),
        home.run("PoseYOLOv8", "march-data", {**GOOD, "PoseTrain": 214}, Epochs=30),
    ]
    _models(home, [runs[0], runs[2], runs[4]])
    home.pipeline("HandTracking", [_train("Train")], PARAMETERS)
    home.run("HandTracking", "nightly-0301", {"Train": 95})
    home.run("HandTracking", "nightly-0302", {"Train": (12, FAILURE)})
    home.pipeline("Empty", [_train("Train")], PARAMETERS)
    _extreme(home)
    _deployments(home)
    home.clock.time = NOW - 300
    home.run("PoseYOLOv8", "april-data", {**GOOD, "PoseEval": "running"}, Epochs=30)
    home.clock.time = NOW
    home.close()


def _models(home, executions):
    home.door(
        "CreateModelPackageGroup",
        ModelPackageGroupName="PoseYOLOv8",
        ModelPackageGroupDescription="Key points of people, for the gym's cameras",
    )
    home.door("CreateModelPackageGroup", ModelPackageGroupName="HandTracking")
    for number, arn in enumerate(executions):
        report = "poseeval/plots.json" if number == 0 else "poseeval/evaluation.json"
        source = {"ContentType": "application/json", "S3Uri": f"s3://{BUCKET}/{report}"}
        job = f"pipelines-{arn[-12:]}-PoseTrain"
        container = {"Image": IMAGE, "ModelDataUrl": f"s3://{BUCKET}/models/{job}/output/model.tar.gz"}
        package = home.door(
            "CreateModelPackage",
            ModelPackageGroupName="PoseYOLOv8",
            ModelPackageDescription=("The first one", "Labels mended by hand", "With the photos of March")[number],
            ModelApprovalStatus="PendingManualApproval",
            ModelMetrics={"ModelQuality": {"Statistics": source}},
            MetadataProperties={"GeneratedBy": arn},
            InferenceSpecification={
                "Containers": [container],
                "SupportedContentTypes": ["image/jpeg"],
                "SupportedResponseMIMETypes": ["application/json"],
                "SupportedRealtimeInferenceInstanceTypes": ["ml.m5.large"],
            },
        )["ModelPackageArn"]
        home.clock.advance(600)
        if number < 2:
            status = ("Approved", "Rejected")[number]
            home.door(
                "UpdateModelPackage",
                ModelPackageArn=package,
                ModelApprovalStatus=status,
                ApprovalDescription=("Good on the test photos", "Worse on children")[number],
            )


def _extreme(home):
    """Long names, the most steps that there may be, and everything failed."""
    steps, plays = [], {}
    for number in range(50):
        name = f"Step-{number:02d}-{LONG[:50]}" if number % 7 == 0 else f"Step-{number:02d}"
        after = [
            steps[each]["Name"] for each in sorted({number - 6, number - 6 + number % 3 - 1}) if 0 <= each < number
        ]
        steps.append(_train(name[:64], after))
        plays[name[:64]] = 30 + number * 7 % 40
    home.pipeline("Wide", steps, PARAMETERS)
    home.run("Wide", "fifty-steps", plays)
    reason = "AlgorithmError: " + " ".join(["/opt/ml/input/data/train/" + "x" * 120] * 3)
    home.run("Wide", LONG[:80], dict.fromkeys(plays, (3, reason)))
    home.pipeline(
        LONG,
        [_train("Train-" + LONG[:50])],
        [*PARAMETERS, {"Name": LONG.replace("-", ""), "Type": "String", "DefaultValue": LONG * 5}],
    )
    home.run(LONG, LONG[:79] + "0", {"Train-" + LONG[:50]: (2, reason)})
    home.door("CreateModelPackageGroup", ModelPackageGroupName=LONG[:63])


def _deployments(home):
    question = "PoseYOLOv8 version 1 has passed the tests of staging. Deploy it to production?"
    built = {"inputs": ["SourceArtifact"], "outputs": ["BuildArtifact"]}
    stages = [
        stage("Source", action("ModelDeployInfraCode", "Source", outputs=["SourceArtifact"])),
        stage("Build", action("BuildDeploymentTemplates", "Build", **built)),
        stage(
            "DeployStaging",
            action("DeployResourcesStaging", "Deploy", 1),
            action("TestStaging", "Test", 2, inputs=["SourceArtifact"], outputs=["TestArtifact"]),
            action(
                "ApproveDeployment", "Approval", 3,
                configuration={"CustomData": question},
            ),
        ),
        stage("DeployProd", action("DeployResourcesProd", "Deploy", 1)),
    ]  # fmt: skip
    revision = {
        "id": "9f2c41d7a0b35e8c6d14f7a29b0e83c5d6a1f402",
        "change": "9f2c41d7",
        "created": home.clock.time,
        "summary": "A smaller instance for staging",
    }
    endings = {
        "ModelDeployInfraCode": (3, {"revision": revision}),
        "BuildDeploymentTemplates": (41, {"external_id": "build:1"}),
        "DeployResourcesStaging": (74, {"external_id": "stack"}),
        "TestStaging": (22, {"external_id": "build:2"}),
    }
    home.deployment(
        "pose-deploy",
        stages,
        {**endings, "ApproveDeployment": "Looks right on the photos of the hall", "DeployResourcesProd": (81, {})},
    )
    home.clock.time = NOW - 1500
    home.deployments("StartPipelineExecution", name="pose-deploy", clientRequestToken="release")
    home.release("pose-deploy", endings)
    broken = {
        "code": "StackRollback",
        "message": "Endpoint hand-staging: the instance type ml.m5.4xlarge can't be had here. "
        "Use ml.m5.large, ml.m5.xlarge or ml.c5.xlarge.",
    }
    home.deployment("hand-deploy", stages, {**endings, "DeployResourcesStaging": (12, {"error": broken}, "Failed")})


PLOTS = {
    "multiclass_classification_metrics": {
        "confusion_matrix": {
            "standing": {"standing": 91, "sitting": 6, "lying": 0},
            "sitting": {"standing": 4, "sitting": 83, "lying": 2},
            "lying": {"standing": 0, "sitting": 3, "lying": 40},
        },
        "accuracy": {"value": 0.9345, "standard_deviation": 0.0121},
    },
    "binary_classification_metrics": {
        "receiver_operating_characteristic_curve": {
            "false_positive_rates": [0.0, 0.02, 0.05, 0.1, 0.2, 0.4, 1.0],
            "true_positive_rates": [0.0, 0.61, 0.78, 0.88, 0.94, 0.98, 1.0],
        },
        "precision_recall_curve": {
            "precisions": [1.0, 0.98, 0.95, 0.91, 0.82, 0.6],
            "recalls": [0.0, 0.5, 0.72, 0.84, 0.93, 1.0],
        },
    },
}


def finish(server):
    """Objects, a second user: what a running server is asked for."""
    s3 = server.client("s3")
    s3.create_bucket(Bucket=BUCKET)
    report = {
        "metrics": {
            "mAP50": {"value": 0.8714},
            "mAP50-95": {"value": 0.6122},
            "precision": {"value": 0.9021},
            "recall": {"value": 0.8466},
            "inference_ms": {"value": 38.4},
        }
    }
    s3.put_object(
        Bucket=BUCKET, Key="poseeval/evaluation.json", Body=json.dumps(report).encode(), ContentType="application/json"
    )
    s3.put_object(
        Bucket=BUCKET, Key="poseeval/plots.json", Body=json.dumps(PLOTS).encode(), ContentType="application/json"
    )
    s3.put_object(Bucket=BUCKET, Key="pose/train/labels.csv", Body=b"file,people\n000001.jpg,2\n000002.jpg,1\n")
    s3.put_object(Bucket=BUCKET, Key=f"{LONG}/{LONG}/{LONG}.txt", Body=b"a line\n" * 50)
    s3.put_object(Bucket=BUCKET, Key="raw/readme.txt", Body="사진은 체육관에서 찍었습니다.\n".encode())
    s3.create_bucket(Bucket="empty-bucket")
    server.client("iam").create_user(UserName="dana")


def known(server):
    """Ids of executions, for the addresses of `PAGES`."""
    client, found = server.client("sagemaker"), {}
    for key, name, title in (
        ("good", "PoseYOLOv8", "march-data"), ("bad", "PoseYOLOv8", "new-labels"),
        ("running", "PoseYOLOv8", "april-data"),
        ("stopped", "PoseYOLOv8", "larger-images"), ("wide", "Wide", "fifty-steps"), ("worst", "Wide", LONG[:80]),
    ):  # fmt: skip
        for each in client.list_pipeline_executions(PipelineName=name)["PipelineExecutionSummaries"]:
            if each["PipelineExecutionDisplayName"] == title:
                found[key] = each["PipelineExecutionArn"].rpartition("/")[2]
    run = server.client("codepipeline").list_action_executions(pipelineName="pose-deploy")["actionExecutionDetails"][-1]
    product = server.client("servicecatalog").describe_product(Name="model-deploy")["ProductViewSummary"]
    found["action"] = f"{run['pipelineExecutionId']}/{run['actionExecutionId']}"
    return {**found, "product": product["ProductId"]}


PAGES = {
    "home": "/",
    "pipelines": "/pipelines",
    "pipeline": "/pipelines/PoseYOLOv8?column=Epochs",
    "pipeline-empty": "/pipelines/Empty",
    "pipeline-nothing-found": "/pipelines/PoseYOLOv8?search=nothing",
    "pipeline-long": f"/pipelines/{LONG}",
    "pipeline-graph": "/pipelines/PoseYOLOv8?tab=graph",
    "pipeline-parameters": "/pipelines/PoseYOLOv8?tab=parameters",
    "pipeline-long-parameters": f"/pipelines/{LONG}?tab=parameters",
    "pipeline-versions": "/pipelines/PoseYOLOv8?tab=versions",
    "pipeline-settings": "/pipelines/PoseYOLOv8?tab=settings",
    "start": "/pipelines/PoseYOLOv8/start",
    "execution-graph": "/pipelines/PoseYOLOv8/executions/{good}",
    "execution-logs": "/pipelines/PoseYOLOv8/executions/{good}?step=PoseTrain",
    "execution-output": "/pipelines/PoseYOLOv8/executions/{good}?step=PoseTrain&panel=output",
    "execution-input": "/pipelines/PoseYOLOv8/executions/{good}?step=PoseTrain&panel=input",
    "execution-information": "/pipelines/PoseYOLOv8/executions/{good}?step=PoseTrain&panel=information",
    "execution-failed": "/pipelines/PoseYOLOv8/executions/{bad}?step=PoseTrain",
    "execution-running": "/pipelines/PoseYOLOv8/executions/{running}",
    "execution-stopped": "/pipelines/PoseYOLOv8/executions/{stopped}",
    "execution-wide": "/pipelines/Wide/executions/{wide}",
    "execution-worst": "/pipelines/Wide/executions/{worst}",
    "execution-timeline": "/pipelines/PoseYOLOv8/executions/{good}?tab=timeline",
    "execution-wide-timeline": "/pipelines/Wide/executions/{wide}?tab=timeline",
    "execution-parameters": "/pipelines/PoseYOLOv8/executions/{good}?tab=parameters",
    "execution-settings": "/pipelines/PoseYOLOv8/executions/{good}?tab=settings",
    "compare": "/pipelines/PoseYOLOv8/compare?execution={good}&execution={bad}",
    "models": "/models",
    "group": "/models/PoseYOLOv8",
    "group-empty": "/models/HandTracking",
    "version": "/models/PoseYOLOv8/1",
    "jobs": "/jobs/training",
    "jobs-processing": "/jobs/processing?status=Failed",
    "job": "/jobs/training/pipelines-{good}-PoseTrain",
    "job-metrics": "/jobs/training/pipelines-{good}-PoseTrain?tab=metrics",
    "job-failed": "/jobs/training/pipelines-{bad}-PoseTrain",
    "data": "/data",
    "bucket": f"/data/{BUCKET}",
    "bucket-empty": "/data/empty-bucket",
    "bucket-long": f"/data/{BUCKET}?prefix={LONG}/{LONG}/",
    "object": f"/data/{BUCKET}/object?key=poseeval/evaluation.json",
    "deployments": "/deployments",
    "deployment-failed": "/deployments/hand-deploy",
    "deployed": "/deployments/pose-deploy/executions/{action}",
    "projects": "/projects",
    "template": "/templates/{product}",
    "endpoints": "/endpoints",
    "images": "/images",
    "notebooks": "/notebooks",
    "settings": "/settings",
    "users": "/settings/users",
    "audit": "/audit",
    "sign-in": "/sign-in",
    "not-found": "/models/none",
}
"""Studio's pages on this home, as they are, empty, and at their worst; `{...}` are ids of executions."""
