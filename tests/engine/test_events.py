import json
import time
from datetime import datetime

from modelwright.events import schedules
from support.builds import CodeBuild, spec
from support.platform import ACCOUNT, REGION, ROLE, Platform, running

PACKAGE = {
    "ModelPackageGroupName": "poses",
    "ModelApprovalStatus": "PendingManualApproval",
    "InferenceSpecification": {
        "Containers": [{"Image": "bare", "ModelDataUrl": "s3://bucket/model.tar.gz"}],
        "SupportedContentTypes": ["image/jpeg"],
        "SupportedResponseMIMETypes": ["application/json"],
    },
}
APPROVED = {
    "source": ["aws.sagemaker"],
    "detail-type": ["SageMaker Model Package State Change"],
    "detail": {"ModelPackageGroupName": ["poses"], "ModelApprovalStatus": ["Approved"]},
}
GROUP = f"arn:aws:logs:{REGION}:{ACCOUNT}:log-group:/aws/events/poses"


def watch(platform, pattern=APPROVED, name="watch", **target):
    platform.of("events", "PutRule", Name=name, EventPattern=json.dumps(pattern))
    target = {"Id": "1", "Arn": GROUP, **target}
    platform.of("events", "PutTargets", Rule=name, Targets=[target])


def lines(platform, group="/aws/events/poses"):
    found = platform.of("logs", "FilterLogEvents", logGroupName=group)["events"]
    return [json.loads(line["message"]) for line in found]


def approve(platform):
    platform.call("CreateModelPackageGroup", ModelPackageGroupName="poses")
    arn = platform.call("CreateModelPackage", **PACKAGE)["ModelPackageArn"]
    platform.call("UpdateModelPackage", ModelPackageArn=arn, ModelApprovalStatus="Approved", ApprovalDescription="ok")
    return arn


def open_streams(platform, *kinds):
    with platform.database.write() as transaction:
        heads = platform.history.claim(transaction, now=0, until=0, force=True)
    return [head.name for head in heads if head.kind in kinds]


def open_deliveries(platform):
    return open_streams(platform, "Delivery")


def test_an_approval_reaches_a_log_group(tmp_path):
    with running(tmp_path / "home") as platform:
        platform.of("logs", "CreateLogGroup", logGroupName="/aws/events/poses")
        watch(platform)
        arn = approve(platform)
        (event,) = platform.until(lambda: lines(platform))
        platform.until(lambda: not open_deliveries(platform))
    assert event["detail-type"] == "SageMaker Model Package State Change"
    assert event["resources"] == [arn]
    assert event["region"] == REGION
    detail = event["detail"]
    assert detail["ModelApprovalStatus"] == "Approved"
    assert detail["ModelPackageArn"] == arn
    assert detail["ModelPackageVersion"] == 1
    assert detail["UpdatedModelPackageFields"] == ["ModelApprovalStatus", "ApprovalDescription"]
    assert detail["CreationTime"].endswith("Z")
    assert not [name for name in detail if name.startswith("_")]


def test_what_a_killed_server_left_is_delivered_once(tmp_path):
    before = Platform(tmp_path / "home")  # it has no engine: it dies between the change and the delivery
    before.of("logs", "CreateLogGroup", logGroupName="/aws/events/poses")
    watch(before)
    approve(before)
    (stream,) = open_deliveries(before)
    before.close()
    with running(tmp_path / "home") as platform:
        platform.until(lambda: not open_deliveries(platform))
        assert len(lines(platform)) == 1
        # Killed after the deed and before the fact: the same delivery again does nothing.
        data = {
            "Target": {"Id": "1", "Arn": GROUP},
            "RuleName": "r",
            "RuleArn": "arn:aws:events:r:1:rule/r",
            "Event": {},
        }
        from modelwright.store.history import Event

        with platform.database.write() as transaction:
            created = [Event("Created", data, platform.now())]
            platform.history.open(transaction, stream, "Delivery", created, lease_until=0)
        platform.until(lambda: not open_deliveries(platform))
        assert len(lines(platform)) == 1


def test_a_target_that_is_not_there_is_told_in_the_log_of_the_bus(tmp_path):
    with running(tmp_path / "home") as platform:
        watch(platform)
        approve(platform)
        platform.until(lambda: not open_deliveries(platform))
        (line,) = lines(platform, "/aws/vendedlogs/events/event-bus/default")
    assert line["ERROR_CODE"] == "NO_RESOURCE"
    assert line["TARGET_ARN"] == GROUP
    assert line["RETRY_ATTEMPTS"] == "0"
    assert line["event"]["detail"]["ModelApprovalStatus"] == "Approved"


def test_a_pipeline_starts_once_with_parameters_of_the_event_and_tells_its_states(tmp_path):
    with running(tmp_path / "home") as platform:
        platform.of("logs", "CreateLogGroup", logGroupName="/aws/events/poses")
        watch(platform, {"source": ["aws.sagemaker"], "detail-type": [{"wildcard": "*Building Pipeline*"}]}, "states")
        definition = {
            "Version": "2020-12-01",
            "Metadata": {},
            "Parameters": [{"Name": "Package", "Type": "String"}],
            "Steps": [{"Name": "Stop", "Type": "Fail", "Arguments": {"ErrorMessage": {"Get": "Parameters.Package"}}}],
        }
        role = f"arn:aws:iam::{ACCOUNT}:role/R"
        pipeline = platform.call(
            "CreatePipeline",
            PipelineName="Check",
            PipelineDefinition=json.dumps(definition),
            ClientRequestToken="c" * 32,
            RoleArn=role,
        )["PipelineArn"]
        parameters = {"PipelineParameterList": [{"Name": "Package", "Value": "$.detail.ModelPackageArn"}]}
        watch(platform, name="start", Arn=pipeline, RoleArn=role, SageMakerPipelineParameters=parameters)
        arn = approve(platform)
        executions = platform.until(
            lambda: platform.call("ListPipelineExecutions", PipelineName="Check")["PipelineExecutionSummaries"]
        )
        assert len(executions) == 1
        execution = executions[0]["PipelineExecutionArn"]
        assert platform.executed(execution)["PipelineExecutionStatus"] == "Failed"
        platform.until(lambda: not open_deliveries(platform))
        told = lines(platform)
    steps = [each["detail"] for each in told if "Step Status" in each["detail-type"]]
    whole = [each["detail"] for each in told if "Step Status" not in each["detail-type"]]
    assert {(d.get("previousPipelineExecutionStatus"), d["currentPipelineExecutionStatus"]) for d in whole} == {
        (None, "Executing"),
        ("Executing", "Failed"),
    }
    (failed,) = [d for d in steps if d["currentStepStatus"] == "Failed"]
    assert failed["failureReason"] == arn
    assert (failed["stepName"], failed["stepType"], failed["previousStepStatus"]) == ("Stop", "Fail", "Starting")
    assert failed["pipelineExecutionArn"] == execution
    assert failed["pipelineArn"] == pipeline


def test_jobs_tell_their_states(tmp_path):
    with running(tmp_path / "home") as platform:
        platform.of("logs", "CreateLogGroup", logGroupName="/aws/events/poses")
        watch(platform, {"detail-type": [{"suffix": "Job State Change"}]})
        platform.bucket()
        platform.train("t", "echo model > /opt/ml/model/m")
        platform.process("p", "exit 3")
        platform.trained("t")
        platform.processed("p")
        platform.until(lambda: not open_deliveries(platform))
        told = [each["detail"] for each in lines(platform)]
    trained = [d for d in told if "TrainingJobName" in d]
    assert {d["TrainingJobStatus"] for d in trained} == {"InProgress", "Completed"}
    (completed,) = [d for d in trained if d["TrainingJobStatus"] == "Completed"]
    assert completed["SecondaryStatus"] == "Completed"
    assert completed["TrainingEndTime"] > 1e12  # milliseconds
    (failed,) = [d for d in told if d.get("ProcessingJobStatus") == "Failed"]
    assert "exit code: 3" in failed["FailureReason"]


def test_a_rule_starts_a_build_once(tmp_path):
    """With what the target's input transformer makes of the event."""
    with running(tmp_path / "home") as platform:
        codebuild = CodeBuild(platform)
        project = codebuild.project("by-rule", spec("echo word $WORD by $CODEBUILD_INITIATOR"))
        transformer = {
            "InputPathsMap": {"group": "$.detail.ModelPackageGroupName"},
            "InputTemplate": '{"environmentVariablesOverride": [{"name": "WORD", "value": <group>}]}',
        }
        watch(platform, Arn=project["arn"], RoleArn=ROLE, InputTransformer=transformer)
        approve(platform)
        (identity,) = platform.until(lambda: codebuild("ListBuilds")["ids"])
        build = codebuild.built(identity)
        platform.until(lambda: not open_deliveries(platform))
        assert codebuild.said(build) == ["word poses by rule/watch"]
        assert build["initiator"] == "rule/watch"
        assert codebuild("ListBuilds")["ids"] == [identity]


def test_a_build_that_can_t_be_started_is_given_up_and_told(tmp_path):
    with running(tmp_path / "home") as platform:
        queue = platform.of("sqs", "CreateQueue", QueueName="dead")["QueueUrl"]
        arn = f"arn:aws:codebuild:{REGION}:{ACCOUNT}:project/not-there"
        dead = {"Arn": f"arn:aws:sqs:{REGION}:{ACCOUNT}:dead"}
        watch(platform, Arn=arn, RoleArn=ROLE, DeadLetterConfig=dead)
        approve(platform)
        received = {"QueueUrl": queue, "MessageAttributeNames": ["All"]}
        (letter,) = platform.until(lambda: platform.of("sqs", "ReceiveMessage", **received).get("Messages"))
    assert "not-there" in letter["MessageAttributes"]["ERROR_MESSAGE"]["StringValue"]


def test_a_rule_by_the_clock(tmp_path, monkeypatch):
    """Its targets get AWS's Scheduled Event each time; what was missed while no server ran comes once."""
    monkeypatch.setitem(schedules._SECONDS, "minute", 0.5)
    home = tmp_path / "home"
    away = Platform(home)
    away.of("logs", "CreateLogGroup", logGroupName="/aws/events/poses")
    rule = away.of("events", "PutRule", Name="often", ScheduleExpression="rate(1 minute)")["RuleArn"]
    away.of("events", "PutTargets", Rule="often", Targets=[{"Id": "1", "Arn": GROUP}])
    began = time.time()
    away.close()
    late = Platform(home)
    late.until(lambda: time.time() > began + 2)
    late.close()
    again = time.time()
    with running(home) as platform:
        platform.until(lambda: len(lines(platform)) >= 3)
        due = [datetime.fromisoformat(event["time"]).timestamp() for event in lines(platform)]
        assert len([each for each in due if each < again - 1]) == 1, "what was missed comes once"
        platform.of("events", "DisableRule", Name="often")
        platform.until(lambda: not open_streams(platform, "ScheduleTick", "Delivery"))
        count = len(lines(platform))
        platform.of("events", "EnableRule", Name="often")
        platform.until(lambda: len(lines(platform)) > count)
        platform.of("events", "RemoveTargets", Rule="often", Ids=["1"])
        platform.of("events", "DeleteRule", Name="often")
        platform.until(lambda: not open_streams(platform, "ScheduleTick"))
        found = lines(platform)
    for event in found:
        assert (event["source"], event["detail-type"], event["detail"]) == ("aws.events", "Scheduled Event", {})
        assert event["resources"] == [rule]
    assert len({event["id"] for event in found}) == len(found)
