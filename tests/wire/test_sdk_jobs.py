"""Jobs, their logs and the registry by SDK v2, as notebooks use them."""

import pytest

from modelwright.images.library import LocalImages
from support.sdk import python

IMAGE = "111122223333.dkr.ecr.eu-west-1.amazonaws.com/sdk-jobs:1"
DOCKERFILE = 'FROM scratch\nCOPY train /opt/program/train\nENTRYPOINT ["/bin/sh", "/opt/program/train"]\n'
TRAIN = """
echo "starting with $*"
echo "mAP50=0.75"
if [ -d /opt/ml/processing/report ]; then cp -r /opt/ml/processing/input/. /opt/ml/processing/report; exit; fi
cp /opt/ml/input/data/training/* /opt/ml/model/
"""

START = f"""
import sagemaker, time
from sagemaker.estimator import Estimator
session = sagemaker.Session()
role = sagemaker.get_execution_role()
image = "{IMAGE}"

def until(describe, member):
    while True:
        found = describe()
        if found[member] not in ("InProgress", "Stopping"):
            return found
        time.sleep(0.05)
"""


@pytest.fixture(scope="module", autouse=True)
def image(server, tmp_path_factory):
    folder = tmp_path_factory.mktemp("image")
    (folder / "Dockerfile").write_text(DOCKERFILE)
    (folder / "train").write_text(TRAIN)
    LocalImages(server.settings).build(folder, IMAGE, lambda line: None)


def test_fit_attach_logs_and_register(server):
    lines = python(server, "sdk2", START + """
data = session.upload_string_as_file_body("content", session.default_bucket(), "sdk-jobs/data/a.txt")
estimator = Estimator(
    image, role, 1, "ml.m5.large", sagemaker_session=session, hyperparameters={"epochs": 2},
    metric_definitions=[{"Name": "mAP50", "Regex": "mAP50=([0-9.]+)"}], base_job_name="sdk",
    tags=[{"Key": "by", "Value": "sdk"}],
)
estimator.fit({"training": data.rpartition("/")[0]}, wait=False)
job = estimator.latest_training_job
done = until(job.describe, "TrainingJobStatus")
say(done["TrainingJobStatus"])
say([(each["MetricName"], each["Value"]) for each in done["FinalMetricDataList"]])
again = Estimator.attach(job.name, sagemaker_session=session)
say(again.model_data == done["ModelArtifacts"]["S3ModelArtifacts"], again.hyperparameters()["epochs"])
session.logs_for_job(job.name)

model = estimator.create_model(name="sdk-model")
package = model.register(
    content_types=["image/jpeg"], response_types=["application/json"], inference_instances=["ml.m5.large"],
    transform_instances=["ml.m5.large"], model_package_group_name="SdkGroup", approval_status="PendingManualApproval",
    customer_metadata_properties={"job": job.name},
)
say(package.model_package_arn)
package.update_approval_status("Approved", approval_description="good")
found = session.sagemaker_client.describe_model_package(ModelPackageName=package.model_package_arn)
say(found["ModelApprovalStatus"], found["ApprovalDescription"], found["CustomerMetadataProperties"]["job"] == job.name)
""")  # fmt: skip
    assert lines == [
        "Completed",
        "[('mAP50', 0.75)]",
        "True 2",
        "arn:aws:sagemaker:eu-west-1:111122223333:model-package/sdkgroup/1",
        "Approved good True",
    ]


def test_processing_and_its_logs(server):
    lines = python(server, "sdk2", START + """
from sagemaker.processing import Processor, ProcessingInput, ProcessingOutput
data = session.upload_string_as_file_body("content", session.default_bucket(), "sdk-jobs/in/a.txt")
processor = Processor(role, image, 1, "ml.m5.large", sagemaker_session=session, env={"A": "b"})
processor.run(
    inputs=[ProcessingInput(source=data.rpartition("/")[0], destination="/opt/ml/processing/input", input_name="in")],
    outputs=[ProcessingOutput(source="/opt/ml/processing/report", output_name="report")],
    arguments=["--fast"], wait=False, logs=False,
)
done = until(processor.latest_job.describe, "ProcessingJobStatus")
say(done["ProcessingJobStatus"])
uri = processor.latest_job.outputs[0].destination
say(sagemaker.s3.S3Downloader.read_file(uri + "/a.txt", session))
session.logs_for_processing_job(processor.latest_job.job_name)
from sagemaker.processing import ProcessingJob
again = ProcessingJob.from_processing_name(session, processor.latest_job.job_name)
say(again.inputs[0].input_name, again.outputs[0].output_name)
""")  # fmt: skip
    assert lines == ["Completed", "content", "in report"]
