"""Pipeline executions on real jobs."""

import json
import threading

from support.platform import ROLE, Images, processing, running, training


def step(name, kind, arguments, **more):
    return {"Name": name, "Type": kind, "Arguments": arguments, **more}


def train(name, command="true", after=(), image="bare", channels=None, **more):
    return step(name, "Training", training(command, image, channels=channels), DependsOn=list(after), **more)


def process(name, command, *, outputs=(), inputs=(), after=(), **more):
    return step(name, "Processing", processing(command, inputs, outputs), DependsOn=list(after), **more)


def condition(name, left, right, then=(), otherwise=(), after=()):
    test = {"Type": "GreaterThanOrEqualTo", "LeftValue": left, "RightValue": right}
    arguments = {"Conditions": [test], "IfSteps": list(then), "ElseSteps": list(otherwise)}
    return step(name, "Condition", arguments, DependsOn=list(after))


def statuses(steps):
    return {name: found["StepStatus"] for name, found in steps.items()}


def get(path):
    return {"Get": path}


def package(group="poses", **more):
    container = {"Image": "bare", "ModelDataUrl": get("Steps.Train.ModelArtifacts.S3ModelArtifacts")}
    return {
        "ModelPackageGroupName": group,
        "ModelApprovalStatus": "PendingManualApproval",
        "InferenceSpecification": {
            "Containers": [container],
            "SupportedContentTypes": ["image/jpeg"],
            "SupportedResponseMIMETypes": ["application/json"],
        },
        **more,
    }


def workshop(threshold):
    """The workshop's shape: train, evaluate, gate by a metric in a property file, create and register the model."""
    evaluate = process(
        "Eval",
        'printf \'{"metrics": {"map": 0.75}}\' > /opt/ml/processing/out/evaluation.json; ls /opt/ml/processing/model',
        inputs=[("model", get("Steps.Train.ModelArtifacts.S3ModelArtifacts"), "/opt/ml/processing/model")],
        outputs=[
            (
                "evaluation",
                {"Std:Join": {"On": "/", "Values": ["s3://bucket", get("Execution.PipelineExecutionId"), "eval"]}},
                "/opt/ml/processing/out",
            )
        ],
        PropertyFiles=[{"PropertyFileName": "Report", "OutputName": "evaluation", "FilePath": "evaluation.json"}],
    )
    found = {"Std:JsonGet": {"PropertyFile": get("Steps.Eval.PropertyFiles.Report"), "Path": "metrics.map"}}
    model = {
        "ExecutionRoleArn": ROLE,
        "PrimaryContainer": {
            "Image": "bare",
            "ModelDataUrl": get("Steps.Train.ModelArtifacts.S3ModelArtifacts"),
            "Environment": {},
        },
    }
    then = [step("Create", "Model", model), step("Register", "RegisterModel", package())]
    no = {"ErrorMessage": {"Std:Join": {"On": " ", "Values": ["mAP below", get("Parameters.Threshold")]}}}
    return (
        [
            train("Train", "echo $SM_X; echo weights > /opt/ml/model/w"),
            evaluate,
            condition("Gate", found, get("Parameters.Threshold"), then, [step("No", "Fail", no)]),
        ],
        [{"Name": "Threshold", "Type": "Float", "DefaultValue": threshold}],
    )


def test_the_workshop_registers_a_model(platform):
    steps, parameters = workshop(0.5)
    arn = platform.run_pipeline("pose", *steps, parameters=parameters)
    execution = platform.executed(arn)
    found = platform.steps(arn)
    assert execution["PipelineExecutionStatus"] == "Succeeded", found["Register"]["FailureReason"]
    assert statuses(found) == dict.fromkeys(("Train", "Eval", "Gate", "Create", "Register"), "Succeeded")
    assert found["Gate"]["Metadata"] == {"Condition": {"Outcome": "True"}}
    registered = platform.call(
        "DescribeModelPackage", ModelPackageName=found["Register"]["Metadata"]["RegisterModel"]["Arn"]
    )
    [container] = registered["InferenceSpecification"]["Containers"]
    job = found["Train"]["Metadata"]["TrainingJob"]["Arn"]
    assert container["ModelDataUrl"].lower() == f"s3://bucket/out/{job.partition('/')[2]}/output/model.tar.gz"
    assert registered["ModelApprovalStatus"] == "PendingManualApproval"
    assert registered["MetadataProperties"]["GeneratedBy"] == arn
    assert found["Create"]["Metadata"]["Model"]["Arn"].startswith("arn:aws:sagemaker:eu-west-1:111122223333:model/")
    for each in found.values():
        assert each["StartTime"] <= each["EndTime"]
    assert execution["LastModifiedTime"] >= found["Register"]["EndTime"]


def test_a_threshold_out_of_reach_takes_the_other_branch(platform):
    steps, parameters = workshop(0.5)
    arn = platform.run_pipeline("pose", *steps, parameters=parameters, values={"Threshold": "0.99"})
    execution, found = platform.executed(arn), platform.steps(arn)
    assert execution["PipelineExecutionStatus"] == "Failed"
    assert execution["FailureReason"] == "Step failure: One or multiple steps failed."
    assert found["No"]["FailureReason"] == "mAP below 0.99"
    assert found["No"]["Metadata"] == {"Fail": {"ErrorMessage": "mAP below 0.99"}}
    assert found["Gate"]["Metadata"] == {"Condition": {"Outcome": "False"}}
    assert "Register" not in found


def test_a_failed_step_puts_out_what_depends_on_it(platform):
    arn = platform.run_pipeline(
        "p", train("A", "echo no; exit 2"), train("B", after=["A"]), train("C"), train("D", after=["C"])
    )
    assert platform.executed(arn)["PipelineExecutionStatus"] == "Failed"
    found = platform.steps(arn)
    assert statuses(found) == {"A": "Failed", "C": "Succeeded", "D": "Succeeded"}
    assert found["A"]["FailureReason"] == "AlgorithmError: no, exit code: 2"


def test_a_create_call_that_is_refused_fails_the_step(platform):
    arguments = training("true")
    arguments["ResourceConfig"] = {"InstanceType": "ml.nothing.large", "InstanceCount": 1, "VolumeSizeInGB": 1}
    arn = platform.run_pipeline("p", step("A", "Training", arguments))
    assert platform.executed(arn)["PipelineExecutionStatus"] == "Failed"
    reason = platform.steps(arn)["A"]["FailureReason"]
    assert reason.startswith("ClientError: Failed to invoke sagemaker:CreateTrainingJob. Error Details: ")
    assert "ml.nothing.large" in reason


def test_a_reference_without_a_value_fails_the_step(platform):
    source = get("Steps.A.ModelArtifacts.Nothing")
    arn = platform.run_pipeline("p", train("A"), train("B", channels={"x": source}))
    platform.executed(arn)
    found = platform.steps(arn)
    assert statuses(found) == {"A": "Succeeded", "B": "Failed"}
    assert "Steps.A.ModelArtifacts.Nothing" in found["B"]["FailureReason"]


def test_a_step_type_that_does_not_run_yet_fails_with_its_name(platform):
    arn = platform.run_pipeline("p", step("A", "Transform", {"ModelName": "m"}))
    platform.executed(arn)
    assert "Transform" in platform.steps(arn)["A"]["FailureReason"]


def test_stop_stops_the_running_jobs(platform):
    arn = platform.run_pipeline("p", train("A", "echo ready; sleep 100"), train("B", after=["A"]))
    platform.until(lambda: platform.steps(arn).get("A", {}).get("StepStatus") == "Executing")
    platform.call("StopPipelineExecution", PipelineExecutionArn=arn, ClientRequestToken="s" * 32)
    assert platform.execution(arn)["PipelineExecutionStatus"] in ("Stopping", "Stopped")
    assert platform.executed(arn)["PipelineExecutionStatus"] == "Stopped"
    found = platform.steps(arn)
    assert statuses(found) == {"A": "Stopped"}
    [job] = platform.call("ListTrainingJobs")["TrainingJobSummaries"]
    assert job["TrainingJobStatus"] == "Stopped"


def test_a_stop_while_a_job_waits_for_its_image(tmp_path):
    go = threading.Event()
    with running(tmp_path / "home", images=Images(go)) as platform:
        platform.bucket()
        arn = platform.run_pipeline("p", train("A", image="slow"))
        platform.until(lambda: platform.steps(arn).get("A", {}).get("StepStatus") == "Executing")
        platform.call("StopPipelineExecution", PipelineExecutionArn=arn, ClientRequestToken="s" * 32)
        assert platform.executed(arn)["PipelineExecutionStatus"] == "Stopped"
        go.set()


def test_retry_goes_on_from_what_failed(platform):
    flag = {"x": "s3://bucket/flag"}
    arn = platform.run_pipeline("p", train("A"), train("B", after=["A"], channels=flag), train("C", after=["B"]))
    assert platform.executed(arn)["PipelineExecutionStatus"] == "Failed"
    before = platform.steps(arn)
    assert statuses(before) == {"A": "Succeeded", "B": "Failed"}
    platform.objects.put_bytes("bucket", "flag", b"")
    platform.call("RetryPipelineExecution", PipelineExecutionArn=arn, ClientRequestToken="r" * 32)
    platform.until(lambda: platform.execution(arn)["PipelineExecutionStatus"] == "Succeeded")
    after = platform.steps(arn)
    assert statuses(after) == dict.fromkeys("ABC", "Succeeded")
    assert after["A"] == before["A"]
    assert after["B"]["Metadata"] != before["B"]["Metadata"]
    assert "FailureReason" not in platform.execution(arn)


def test_parallelism_is_kept(platform):
    arn = platform.run_pipeline(
        "p",
        *(train(f"S{i}", "sleep 0.2") for i in range(4)),
        ParallelismConfiguration={"MaxParallelExecutionSteps": 2},
    )
    platform.executed(arn)
    times = sorted((each["StartTime"], each["EndTime"]) for each in platform.steps(arn).values())
    assert times[2][0] >= min(end for _, end in times[:2])


def test_an_equal_step_is_taken_from_the_cache(platform):
    cached = {"CacheConfig": {"Enabled": True, "ExpireAfter": "PT1H"}}
    steps = [
        train("A", "echo ran", **cached),
        train("B", channels={"x": get("Steps.A.ModelArtifacts.S3ModelArtifacts")}),
    ]
    first = platform.run_pipeline("p", *steps)
    assert platform.executed(first)["PipelineExecutionStatus"] == "Succeeded", platform.steps(first)
    second = platform.execute("p")
    assert platform.executed(second)["PipelineExecutionStatus"] == "Succeeded"
    found = platform.steps(second)
    assert found["A"]["CacheHitResult"] == {"SourcePipelineExecutionArn": first}
    assert found["A"]["Metadata"] == platform.steps(first)["A"]["Metadata"]
    assert "CacheHitResult" not in found["B"]
    changed = json.dumps(
        {"Version": "2020-12-01", "Metadata": {}, "Parameters": [], "Steps": [train("A", "echo changed", **cached)]}
    )
    platform.call("UpdatePipeline", PipelineName="p", PipelineDefinition=changed)
    third = platform.execute("p")
    platform.executed(third)
    assert "CacheHitResult" not in platform.steps(third)["A"]


def test_a_retry_policy_tries_again(platform):
    policy = {"ExceptionType": ["SageMaker.JOB_INTERNAL_ERROR"], "IntervalSeconds": 1, "MaxAttempts": 2}
    resolve = platform.images.ready
    failures = iter([1])

    def ready(uri):
        if threading.current_thread().name.startswith("engine") and next(failures, None):
            raise RuntimeError("once")
        return resolve(uri)

    platform.dispatcher._handlers["sagemaker", "CreateTrainingJob"].__self__._check_image = resolve
    platform.images.ready = ready
    arn = platform.run_pipeline("p", train("A", RetryPolicies=[policy]))
    assert platform.executed(arn)["PipelineExecutionStatus"] == "Succeeded", platform.steps(arn)
    assert platform.steps(arn)["A"]["AttemptCount"] == 2
    jobs = platform.call("ListTrainingJobs")["TrainingJobSummaries"]
    assert sorted(job["TrainingJobStatus"] for job in jobs) == ["Completed", "Failed"]


def test_a_name_of_the_definition_is_what_the_jobs_name_begins_with(platform):
    arguments = {**training("true"), "TrainingJobName": "my-own-prefix"}
    arn = platform.run_pipeline("p", step("A", "Training", arguments))
    platform.executed(arn)
    [job] = platform.call("ListTrainingJobs")["TrainingJobSummaries"]
    assert job["TrainingJobName"].startswith(f"my-own-prefix-{arn.rpartition('/')[2]}-")


def test_a_selective_execution_takes_the_other_steps_results(platform):
    source = {"x": get("Steps.A.ModelArtifacts.S3ModelArtifacts")}
    first = platform.run_pipeline("p", train("A", "echo w > /opt/ml/model/w"), train("B", channels=source))
    assert platform.executed(first)["PipelineExecutionStatus"] == "Succeeded"
    chosen = {"SourcePipelineExecutionArn": first, "SelectedSteps": [{"StepName": "B"}]}
    second = platform.execute("p", SelectiveExecutionConfig=chosen)
    assert platform.executed(second)["PipelineExecutionStatus"] == "Succeeded", platform.steps(second)
    found = platform.steps(second)
    assert found["A"]["SelectiveExecutionResult"] == {"SourcePipelineExecutionArn": first}
    assert len(platform.call("ListTrainingJobs")["TrainingJobSummaries"]) == 3
