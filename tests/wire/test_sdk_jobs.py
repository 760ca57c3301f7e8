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
say(again.training_job_analytics.dataframe()[["metric_name", "value"]].values.tolist())

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
        "[['mAP50', 0.75]]",
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


def test_v3_reads_what_is_answered(server):
    """v3 checks every answer against classes of its own: what is absent must be absent."""
    lines = python(server, "sdk3", """
import time
from sagemaker.core import shapes
from sagemaker.core.helper.session_helper import Session, get_execution_role
from sagemaker.core.resources import Model, ModelPackage, ModelPackageGroup, ProcessingJob, TrainingJob
session = Session()
role = get_execution_role()
bucket = session.default_bucket()
""" + f'image = "{IMAGE}"' + """
data = session.upload_string_as_file_body("content", bucket, "v3-jobs/data/a.txt")
resources = {"instance_type": "ml.m5.large", "instance_count": 1, "volume_size_in_gb": 1}
job = TrainingJob.create(
    training_job_name="v3-job", role_arn=role,
    algorithm_specification=shapes.AlgorithmSpecification(training_image=image, training_input_mode="File"),
    input_data_config=[shapes.Channel(channel_name="training", data_source=shapes.DataSource(
        s3_data_source=shapes.S3DataSource(s3_data_type="S3Prefix", s3_uri=f"s3://{bucket}/v3-jobs/data")))],
    output_data_config=shapes.OutputDataConfig(s3_output_path=f"s3://{bucket}/v3-jobs/out"),
    resource_config=shapes.ResourceConfig(**resources),
    stopping_condition=shapes.StoppingCondition(max_runtime_in_seconds=60),
)
while job.refresh().training_job_status == "InProgress":
    time.sleep(0.05)
say(job.training_job_status, job.model_artifacts.s3_model_artifacts.rpartition("/")[2])
say([each.training_job_name for each in TrainingJob.get_all(name_contains="v3-job")])
processing = ProcessingJob.create(
    processing_job_name="v3-processing", role_arn=role, app_specification=shapes.AppSpecification(image_uri=image),
    processing_resources=shapes.ProcessingResources(cluster_config=shapes.ProcessingClusterConfig(**resources)),
    processing_inputs=[shapes.ProcessingInput(input_name="in", s3_input=shapes.ProcessingS3Input(
        s3_uri=f"s3://{bucket}/v3-jobs/data", s3_data_type="S3Prefix", s3_input_mode="File",
        local_path="/opt/ml/processing/input"))],
    processing_output_config=shapes.ProcessingOutputConfig(outputs=[shapes.ProcessingOutput(
        output_name="report", s3_output=shapes.ProcessingS3Output(s3_uri=f"s3://{bucket}/v3-jobs/report",
        s3_upload_mode="EndOfJob", local_path="/opt/ml/processing/report"))]),
)
while processing.refresh().processing_job_status == "InProgress":
    time.sleep(0.05)
say(processing.processing_job_status)
group = ModelPackageGroup.create(model_package_group_name="V3Group", model_package_group_description="d")
say(group.model_package_group_status)
arn = session.sagemaker_client.create_model_package(
    ModelPackageGroupName="V3Group", ModelApprovalStatus="PendingManualApproval", InferenceSpecification={
        "Containers": [{"Image": image, "ModelDataUrl": job.model_artifacts.s3_model_artifacts}],
        "SupportedContentTypes": ["image/jpeg"], "SupportedResponseMIMETypes": ["application/json"]},
)["ModelPackageArn"]  # ModelPackage.create reads a member that no answer has, AWS's neither
package = ModelPackage.get(arn)
say(package.model_package_version, package.model_package_status, package.model_approval_status)
package.update(model_approval_status="Approved", approval_description="good")
say(package.refresh().model_approval_status, package.approval_description)
model = Model.create(
    model_name="v3-jobs-model", execution_role_arn=role,
    primary_container=shapes.ContainerDefinition(
        image=image, model_data_url=job.model_artifacts.s3_model_artifacts),
)
say(Model.get("v3-jobs-model").model_name, [each.model_name for each in Model.get_all(name_contains="v3-jobs-model")])
model.delete()
package.delete()
group.delete()
""")  # fmt: skip
    assert lines == [
        "Completed model.tar.gz",
        "['v3-job']",
        "Completed",
        "Completed",
        "1 Completed PendingManualApproval",
        "Approved good",
        "v3-jobs-model ['v3-jobs-model']",
    ]
