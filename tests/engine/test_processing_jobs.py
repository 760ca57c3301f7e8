"""Processing jobs on the real runtime."""

import io
import json
import tarfile

from support.platform import processing

GROUP = "/aws/sagemaker/ProcessingJobs"


def keys(platform, prefix=""):
    return [info.key for info in platform.objects.list("bucket", prefix)]


def lines(platform, job):
    return platform.log(GROUP, job)


def test_it_works(platform):
    platform.objects.put_bytes("bucket", "in/data.csv", b"1,2\n")
    platform.objects.put_bytes("bucket", "code/prep.sh", b"tr , ';' < $1/data.csv > $2/sub/out.csv; echo done")
    platform.process(
        "one",
        "cd /opt/ml/processing; mkdir out/sub; sh input/code/prep.sh in out",
        inputs=[
            ("data", "s3://bucket/in", "/opt/ml/processing/in"),
            ("code", "s3://bucket/code/prep.sh", "/opt/ml/processing/input/code/"),
        ],
        outputs=[("out", "s3://bucket/result", "/opt/ml/processing/out")],
    )
    job = platform.processed("one")
    assert job["ProcessingJobStatus"] == "Completed", job
    assert platform.objects.read("bucket", "result/sub/out.csv") == b"1;2\n"
    assert lines(platform, "one") == ["done"]
    assert job["ProcessingStartTime"] <= job["ProcessingEndTime"]
    assert "FailureReason" not in job


def test_the_container_finds_what_sagemaker_promises(platform):
    command = (
        "cat /opt/ml/config/processingjobconfig.json; echo; cat /opt/ml/config/resourceconfig.json; echo; "
        "echo $PROCESSING_JOB_ARN $AWS_REGION"
    )
    platform.process("one", command, outputs=[("out", "s3://bucket/o", "/opt/ml/processing/out")])
    job = platform.processed("one")
    config, resources, environment = lines(platform, "one")
    config = json.loads(config)
    assert (config["ProcessingJobName"], config["ProcessingJobArn"]) == ("one", job["ProcessingJobArn"])
    assert config["ProcessingOutputConfig"] == job["ProcessingOutputConfig"]
    assert json.loads(resources) == {"current_host": "algo-1", "hosts": ["algo-1"]}
    assert environment == f"{job['ProcessingJobArn']} eu-west-1"


def test_an_image_runs_its_own_command_unless_told_otherwise(platform):
    platform.call("CreateProcessingJob", ProcessingJobName="a", **processing(image="shell"))
    assert platform.processed("a")["ProcessingJobStatus"] == "Completed"
    assert lines(platform, "a") == ["echo the command of the image".removeprefix("echo ")]
    application = {"ImageUri": "shell", "ContainerArguments": ["echo mine"]}
    platform.call("CreateProcessingJob", ProcessingJobName="b", **processing(AppSpecification=application))
    platform.processed("b")
    assert lines(platform, "b") == ["mine"]


def test_code_may_be_unpacked_into_its_own_input(platform):
    """What SDK v2's runproc.sh does with sourcedir.tar.gz."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        member = tarfile.TarInfo("prep.sh")
        member.size = 8
        archive.addfile(member, io.BytesIO(b"echo ran"))
    platform.objects.put_bytes("bucket", "code/sourcedir.tar.gz", buffer.getvalue())
    command = "cd /opt/ml/processing/input/code; tar xzf sourcedir.tar.gz; sh prep.sh"
    for name in ("one", "two"):
        platform.process(
            name,
            f"ls /opt/ml/processing/input/code; {command}",
            inputs=[("code", "s3://bucket/code/sourcedir.tar.gz", "/opt/ml/processing/input/code/")],
        )
        assert platform.processed(name)["ProcessingJobStatus"] == "Completed"
        assert lines(platform, name) == ["sourcedir.tar.gz", "ran"], "the second job sees nothing of the first"


def test_an_input_inside_another(platform):
    platform.objects.put_bytes("bucket", "data/a", b"a")
    platform.objects.put_bytes("bucket", "code/b", b"b")
    platform.process(
        "one",
        "cd /opt/ml/processing/input; find . -type f | sort; echo new > new",
        inputs=[
            ("code", "s3://bucket/code", "/opt/ml/processing/input/code"),
            ("input", "s3://bucket/data", "/opt/ml/processing/input"),
        ],
    )
    assert platform.processed("one")["ProcessingJobStatus"] == "Completed"
    assert lines(platform, "one") == ["./a", "./code/b"]


def test_an_output_inside_an_input(platform):
    platform.objects.put_bytes("bucket", "data/a", b"a")
    platform.process(
        "one",
        "cd /opt/ml/processing/input; cp a out/b",
        inputs=[("input", "s3://bucket/data", "/opt/ml/processing/input")],
        outputs=[("../odd name", "s3://bucket/o", "/opt/ml/processing/input/out")],
    )
    assert platform.processed("one")["ProcessingJobStatus"] == "Completed"
    assert keys(platform, "o/") == ["o/b"]


def test_continuous_outputs_are_uploaded_while_it_runs(platform):
    command = (
        "cd /opt/ml/processing/out; echo 1 > a; while [ ! -e go ]; do sleep 0.02; done; echo 2 > b; echo 3 > a; exit 1"
    )
    platform.process("one", command, outputs=[("out", "s3://bucket/o", "/opt/ml/processing/out", "Continuous")])
    platform.until(lambda: keys(platform, "o/") == ["o/a"])
    assert platform.processing("one")["ProcessingJobStatus"] == "InProgress"
    [folder] = platform.settings.jobs.glob("*.work")
    (folder / "outputs/out/go").touch()
    assert platform.processed("one")["ProcessingJobStatus"] == "Failed"
    assert keys(platform, "o/") == ["o/a", "o/b", "o/go"]
    assert platform.objects.read("bucket", "o/a") == b"3\n"


def test_a_failed_job_uploads_nothing_and_says_why(platform):
    command = "echo x > /opt/ml/processing/out/x; echo bye > /opt/ml/output/message; echo broken; exit 4"
    platform.process("one", command, outputs=[("out", "s3://bucket/o", "/opt/ml/processing/out")])
    job = platform.processed("one")
    assert job["ProcessingJobStatus"] == "Failed"
    assert job["FailureReason"] == "AlgorithmError: broken, exit code: 4"
    assert job["ExitMessage"] == "bye\n"
    assert keys(platform) == []


def test_stop(platform):
    platform.process("one", "echo ready; sleep 100")
    platform.until(lambda: lines(platform, "one"))
    platform.call("StopProcessingJob", ProcessingJobName="one")
    assert platform.processed("one")["ProcessingJobStatus"] == "Stopped"


def test_the_time_limit_stops_it(platform):
    platform.process("one", "sleep 100", StoppingCondition={"MaxRuntimeInSeconds": 1})
    job = platform.processed("one")
    assert job["ProcessingJobStatus"] == "Stopped"
    assert "MaxRuntimeInSeconds" in job["FailureReason"]
