"""Training jobs on the real runtime: the container's contract, the outputs, the ends."""

import io
import json
import tarfile
import threading

from modelwright.runtimes.base import Running
from support.platform import REGION, Images, running, training

GROUP = "/aws/sagemaker/TrainingJobs"


def names(platform, key, bucket="bucket"):
    with tarfile.open(fileobj=io.BytesIO(platform.objects.read(bucket, key))) as archive:
        return sorted(archive.getnames())


def keys(platform, prefix="", bucket="bucket"):
    return [info.key for info in platform.objects.list(bucket, prefix)]


def lines(platform, job):
    return platform.log(GROUP, job)


def secondary(job):
    return [transition["Status"] for transition in job["SecondaryStatusTransitions"]]


def test_it_works(platform):
    platform.objects.put_bytes("bucket", "data/train/a.csv", b"1,2\n")
    command = """
        cat /opt/ml/input/data/train/a.csv
        echo "loss=0.5;"; echo "loss=0.25;"
        echo weights > /opt/ml/model/weights; mkdir /opt/ml/model/code; echo x > /opt/ml/model/code/inference.py
        echo plot > /opt/ml/output/data/plot
    """
    metrics = [{"Name": "loss", "Regex": "loss=(.*?);"}]
    platform.train(
        "one",
        command,
        channels={"train": "s3://bucket/data/train"},
        AlgorithmSpecification={"MetricDefinitions": metrics},
    )
    job = platform.trained("one")
    assert job["TrainingJobStatus"] == "Completed", job
    assert secondary(job) == ["Starting", "Downloading", "Training", "Uploading", "Completed"]
    assert job["ModelArtifacts"] == {"S3ModelArtifacts": "s3://bucket/out/one/output/model.tar.gz"}
    assert names(platform, "out/one/output/model.tar.gz") == ["code", "code/inference.py", "weights"]
    assert names(platform, "out/one/output/output.tar.gz") == ["plot"]
    assert [(m["MetricName"], m["Value"]) for m in job["FinalMetricDataList"]] == [("loss", 0.25)]
    assert abs(job["FinalMetricDataList"][0]["Timestamp"] - job["TrainingEndTime"]) < 60
    assert lines(platform, "one") == ["1,2", "loss=0.5;", "loss=0.25;"]
    assert job["TrainingStartTime"] <= job["TrainingEndTime"]


def test_the_container_finds_what_sagemaker_promises(platform):
    platform.objects.put_bytes("bucket", "v.csv", b"v")
    platform.objects.put_bytes("bucket", "train/x", b"x")
    command = """
        cd /opt/ml/input/config; cat hyperparameters.json inputdataconfig.json resourceconfig.json | tr -d '\\n'; echo
        env | sort | grep -v ^PWD | grep =; getent hosts algo-1 > /dev/null && echo found
        ls /opt/ml/input/data/train /opt/ml/input/data/validation; touch /opt/ml/input/data/train/new /opt/ml/input/z
    """
    platform.train(
        "one",
        command,
        channels={"train": "s3://bucket/train/", "validation": "s3://bucket/v.csv"},
        HyperParameters={"lr": "0.1", "sagemaker_program": '"train.py"'},
        Environment={"MINE": "yes", "AWS_ENDPOINT_URL": "http://mine"},
    )
    job = platform.trained("one")
    config, *rest = lines(platform, "one")
    decoder, configs = json.JSONDecoder(), []
    while config:
        value, end = decoder.raw_decode(config)
        configs.append(value)
        config = config[end:]
    channel = {"TrainingInputMode": "File", "S3DistributionType": "FullyReplicated", "RecordWrapperType": "None"}
    assert configs[0] == {"lr": "0.1", "sagemaker_program": '"train.py"'}
    assert configs[1] == {"train": channel, "validation": channel}
    assert configs[2] | {"network_interface_name": "lo"} == {
        "current_host": "algo-1",
        "current_instance_type": "ml.m5.large",
        "current_group_name": "homogeneousCluster",
        "hosts": ["algo-1"],
        "instance_groups": [
            {"instance_group_name": "homogeneousCluster", "instance_type": "ml.m5.large", "hosts": ["algo-1"]}
        ],
        "network_interface_name": "lo",
    }
    environment = dict(line.split("=", 1) for line in rest if "=" in line)
    assert environment["TRAINING_JOB_NAME"] == "one"
    assert environment["TRAINING_JOB_ARN"] == job["TrainingJobArn"]
    assert environment["AWS_REGION"] == REGION
    assert environment["MINE"] == "yes"
    assert environment["AWS_ENDPOINT_URL"] == "http://mine", "the job's own environment wins"
    assert {"x", "v.csv", "found"} <= set(rest)
    assert job["TrainingJobStatus"] == "Completed", "inputs are writable"
    assert keys(platform, "train/") == ["train/x"], "and the stored objects don't change"


def test_an_image_runs_with_train_unless_told_otherwise(platform):
    algorithm = {"TrainingImage": "shell", "TrainingInputMode": "File"}
    platform.call("CreateTrainingJob", TrainingJobName="a", **training(AlgorithmSpecification=algorithm))
    assert platform.trained("a")["TrainingJobStatus"] == "Failed"
    assert "train: not found" in lines(platform, "a")[0]
    algorithm = {**algorithm, "ContainerArguments": ["echo by arguments"]}
    platform.call("CreateTrainingJob", TrainingJobName="b", **training(AlgorithmSpecification=algorithm))
    assert platform.trained("b")["TrainingJobStatus"] == "Completed"
    assert lines(platform, "b") == ["by arguments"]


def test_a_failure_has_the_exit_code_and_the_last_lines(platform):
    platform.train(
        "one", "echo fine; echo boom >&2; echo part > /opt/ml/output/data/part; echo m > /opt/ml/model/m; exit 3"
    )
    job = platform.trained("one")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Failed", "Failed")
    assert job["FailureReason"] == "AlgorithmError: fine\nboom, exit code: 3"
    assert keys(platform, "out/") == ["out/one/output/output.tar.gz"]
    assert "ModelArtifacts" not in job


def test_a_failure_file_says_why(platform):
    platform.train("one", "echo noise; printf 'ValueError: bad data' > /opt/ml/output/failure; exit 1")
    assert platform.trained("one")["FailureReason"] == "AlgorithmError: ValueError: bad data, exit code: 1"


def test_a_killed_container_has_the_signals_code(platform):
    platform.train("one", "kill -9 $$")
    assert platform.trained("one")["FailureReason"] == "AlgorithmError: , exit code: 137"


def test_missing_data_is_the_clients_error(platform):
    platform.train("one", "true", channels={"train": "s3://bucket/nothing"})
    platform.train("two", "true", channels={"train": "s3://no-such-bucket/x"})
    assert 'No S3 objects found under S3 URL "s3://bucket/nothing"' in platform.trained("one")["FailureReason"]
    assert platform.trained("one")["FailureReason"].startswith("ClientError: Data download failed:")
    assert "NoSuchBucket" in platform.trained("two")["FailureReason"]


def test_an_output_bucket_that_is_not_there_is_the_clients_error(platform):
    platform.train("one", "true", OutputDataConfig={"S3OutputPath": "s3://no-such-bucket/x"})
    assert platform.trained("one")["FailureReason"].startswith("ClientError: Failed to upload")


def test_a_manifest_lists_the_files(platform):
    for key in ("a", "b/c", "b/d"):
        platform.objects.put_bytes("bucket", f"data/{key}", key.encode())
    manifest = [{"prefix": "s3://bucket/data/"}, "a", "b/c"]
    platform.objects.put_bytes("bucket", "m.json", json.dumps(manifest).encode())
    source = {"S3DataType": "ManifestFile", "S3Uri": "s3://bucket/m.json"}
    channel = {"ChannelName": "train", "DataSource": {"S3DataSource": source}}
    platform.train("one", "cd /opt/ml/input/data/train; find . -type f | sort; echo x >> a", InputDataConfig=[channel])
    assert platform.trained("one")["TrainingJobStatus"] == "Completed"
    assert lines(platform, "one") == ["./a", "./b/c"]
    assert platform.objects.read("bucket", "data/a") == b"a"


def test_a_manifest_that_leads_out_is_refused(platform):
    platform.objects.put_bytes("bucket", "m.json", json.dumps([{"prefix": "s3://bucket/"}, "../../x"]).encode())
    source = {"S3DataType": "ManifestFile", "S3Uri": "s3://bucket/m.json"}
    platform.train("one", "true", InputDataConfig=[{"ChannelName": "t", "DataSource": {"S3DataSource": source}}])
    assert "can't be a file's path" in platform.trained("one")["FailureReason"]


def test_an_uncompressed_model_is_uploaded_as_files(platform):
    output = {"S3OutputPath": "s3://bucket/out", "CompressionType": "NONE"}
    platform.train("one", "mkdir /opt/ml/model/a; echo b > /opt/ml/model/a/b", OutputDataConfig=output)
    job = platform.trained("one")
    assert job["ModelArtifacts"] == {"S3ModelArtifacts": "s3://bucket/out/one/output/model/"}
    assert keys(platform, "out/") == ["out/one/output/model/a/b"]


def test_links_and_specials_stay_inside(platform):
    command = """
        cd /opt/ml/model; echo real > real; ln -s real inside; ln -s /etc/hostname outside; mkfifo pipe; ln -s ../.. up
    """
    platform.train("one", command)
    assert platform.trained("one")["TrainingJobStatus"] == "Completed"
    assert names(platform, "out/one/output/model.tar.gz") == ["inside", "real"]
    told = "\n".join(lines(platform, "one"))
    assert "outside was left out" in told
    assert "pipe was left out" in told


def test_checkpoints_are_restored_and_mirrored(platform):
    platform.objects.put_bytes("bucket", "cp/epoch-1", b"one")
    command = """
        cat /opt/ml/checkpoints/epoch-1; echo
        echo two > /opt/ml/checkpoints/epoch-2
        while [ ! -e /opt/ml/checkpoints/go ]; do sleep 0.02; done
        echo three > /opt/ml/checkpoints/epoch-3; exit 1
    """
    platform.train("one", command, CheckpointConfig={"S3Uri": "s3://bucket/cp"})
    platform.until(lambda: "cp/epoch-2" in keys(platform, "cp/"))
    assert platform.training("one")["TrainingJobStatus"] == "InProgress"
    [folder] = (platform.settings.jobs).glob("*.work")
    (folder / "ml/checkpoints/go").touch()
    assert platform.trained("one")["TrainingJobStatus"] == "Failed"
    assert lines(platform, "one") == ["one"]
    assert platform.objects.read("bucket", "cp/epoch-3") == b"three\n"


def test_stop_lets_the_job_save_its_model(platform):
    command = "trap 'echo saved > /opt/ml/model/m; exit 0' TERM; echo ready; while :; do sleep 0.05; done"
    platform.train("one", command)
    platform.until(lambda: lines(platform, "one"))
    platform.call("StopTrainingJob", TrainingJobName="one")
    assert platform.training("one")["TrainingJobStatus"] in ("Stopping", "Stopped")
    job = platform.trained("one")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "Stopped")
    assert secondary(job) == ["Starting", "Training", "Stopping", "Uploading", "Stopped"]
    assert names(platform, "out/one/output/model.tar.gz") == ["m"]
    assert "FailureReason" not in job


def test_a_job_that_ignores_the_stop_is_killed_after_its_grace(tmp_path):
    with running(tmp_path / "home", grace=0.2) as platform:
        platform.bucket()
        platform.train("one", "trap '' TERM; echo ready; while :; do sleep 0.05; done")
        platform.until(lambda: lines(platform, "one"))
        platform.call("StopTrainingJob", TrainingJobName="one")
        assert platform.trained("one")["TrainingJobStatus"] == "Stopped"


def test_the_time_limit_stops_it(platform):
    platform.train("one", "sleep 100", StoppingCondition={"MaxRuntimeInSeconds": 1})
    job = platform.trained("one")
    assert (job["TrainingJobStatus"], job["SecondaryStatus"]) == ("Stopped", "MaxRuntimeExceeded")
    assert "MaxRuntimeInSeconds" in lines(platform, "one")[0]


def test_jobs_that_do_not_fit_wait_and_say_what_for(tmp_path):
    with running(tmp_path / "home", cpus=2, grace=5) as platform:
        platform.bucket()
        platform.train("first", "while [ ! -e /opt/ml/model/go ]; do sleep 0.02; done")
        platform.until(lambda: platform.training("first")["SecondaryStatus"] == "Training")
        platform.train("second", "true")
        platform.train("third", "true")
        waiting = platform.until(lambda: (j := platform.training("second"))["SecondaryStatus"] == "Pending" and j)
        message = waiting["SecondaryStatusTransitions"][-1]["StatusMessage"]
        assert "2 of 2 vCPU" in message
        assert "training-job/first" in message
        platform.until(lambda: platform.training("third")["SecondaryStatus"] == "Pending")
        platform.call("StopTrainingJob", TrainingJobName="third")
        assert secondary(platform.trained("third")) == ["Starting", "Pending", "Stopping", "Stopped"]
        [folder] = platform.settings.jobs.glob("training-job.first.*.work")
        (folder / "ml/model/go").touch()
        assert secondary(platform.trained("second")) == ["Starting", "Pending", "Training", "Uploading", "Completed"]


def test_a_larger_instance_than_this_machine_runs_with_what_there_is(platform):
    resources = {"InstanceType": "ml.p4d.24xlarge", "InstanceCount": 1, "VolumeSizeInGB": 1}
    platform.train("one", "true", ResourceConfig=resources)
    assert platform.trained("one")["TrainingJobStatus"] == "Completed"
    told = lines(platform, "one")
    assert "ml.p4d.24xlarge has 96 vCPU and 1152.0 GiB; this machine gives the job 8 vCPU and 64.0 GiB." in told


def test_an_image_is_built_first_and_says_so(tmp_path):
    go = threading.Event()
    with running(tmp_path / "home", images=Images(go)) as platform:
        platform.bucket()
        platform.train("one", "echo done", image="slow")
        job = platform.until(
            lambda: (
                "building" in (j := platform.training("one"))["SecondaryStatusTransitions"][-1]["StatusMessage"] and j
            )
        )
        assert job["SecondaryStatus"] == "Starting"
        platform.train("other", "true")
        assert platform.trained("other")["TrainingJobStatus"] == "Completed", "it does not stand in others' way"
        go.set()
        assert platform.trained("one")["TrainingJobStatus"] == "Completed"
        assert lines(platform, "one") == ["building: step 1", "done"]


def test_an_image_is_made_once_for_all_who_wait_for_it(tmp_path):
    go, images = threading.Event(), Images(threading.Event())
    images.building = go
    resolve, made = images.resolve, []
    images.resolve = lambda uri, progress: (made.append(uri), resolve(uri, progress))[1]
    with running(tmp_path / "home", images=images) as platform:
        platform.bucket()
        for name in ("a", "b", "c"):
            platform.train(name, "true", image="slow")
        messages = platform.until(
            lambda: (
                len(
                    found := [
                        m
                        for n in "abc"
                        if "image" in (m := platform.training(n)["SecondaryStatusTransitions"][-1]["StatusMessage"])
                    ]
                )
                == 3
                and found
            )
        )
        assert sum("another job" in message for message in messages) == 2
        go.set()
        assert [platform.trained(name)["TrainingJobStatus"] for name in "abc"] == ["Completed"] * 3
    assert made == ["slow"]


def test_large_outputs_are_seen_being_uploaded(platform):
    platform.train("one", "head -c 9000000 /dev/urandom > /opt/ml/model/m; echo x > /opt/ml/output/data/x")
    job = platform.trained("one")
    assert secondary(job) == ["Starting", "Training", "Uploading", "Completed"]
    uploading = job["SecondaryStatusTransitions"][2]
    assert uploading["EndTime"] > uploading["StartTime"]
    assert platform.objects.head("bucket", "out/one/output/model.tar.gz").size > 8_900_000


def test_a_stop_while_the_image_is_built_does_not_wait_for_it(tmp_path):
    go = threading.Event()
    with running(tmp_path / "home", images=Images(go)) as platform:
        platform.bucket()
        platform.train("one", "touch /opt/ml/model/ran", image="slow")
        platform.until(lambda: lines(platform, "one"))
        platform.call("StopTrainingJob", TrainingJobName="one")
        assert platform.trained("one")["TrainingJobStatus"] == "Stopped"
        go.set()
        platform.until(lambda: "slow" in platform.images.built)
        assert keys(platform) == []


def test_what_a_job_has_left_is_tidied_up(platform):
    platform.train("one", "echo hello")
    platform.trained("one")
    platform.until(lambda: not list(platform.settings.jobs.glob("*.work")))
    assert platform.document("JobLog", "training-job/one") is None


def test_a_namesake_of_a_deleted_job_runs_again(platform):
    platform.train("one", "exit 1")
    assert platform.trained("one")["TrainingJobStatus"] == "Failed"
    platform.call("DeleteTrainingJob", TrainingJobName="one")
    platform.train("one", "exit 0")
    assert platform.trained("one")["TrainingJobStatus"] == "Completed"


def test_a_defect_after_the_start_leaves_no_container_behind(platform, monkeypatch, caplog):
    start = platform.runtime.start
    handles = []

    def starting(spec):
        handles.append(start(spec))
        raise RuntimeError("just after it was started")

    monkeypatch.setattr(platform.runtime, "start", starting)
    platform.train("one", "exec sleep 100")
    assert "just after it was started" in platform.trained("one")["FailureReason"]
    platform.until(lambda: not isinstance(platform.runtime.poll(handles[0]), Running))


def test_a_defect_fails_the_job_and_says_what_happened(platform, caplog):
    platform.images.ready = lambda uri: 1 / 0
    with platform.database.write():
        pass
    algorithm = {"TrainingImage": "bare", "TrainingInputMode": "File"}
    platform.dispatcher._handlers["sagemaker", "CreateTrainingJob"].__self__._check_image = lambda uri: None
    platform.call("CreateTrainingJob", TrainingJobName="one", **training(AlgorithmSpecification=algorithm))
    job = platform.trained("one")
    assert job["FailureReason"] == "InternalServerError: prepare failed: ZeroDivisionError: division by zero"
    assert "Traceback" in caplog.text
