"""Predicts how diabetes progresses: prepare → train → evaluate → good enough? → register."""

from __future__ import annotations

from pathlib import Path

from sagemaker.inputs import TrainingInput
from sagemaker.model_metrics import MetricsSource, ModelMetrics
from sagemaker.processing import ProcessingInput, ProcessingOutput
from sagemaker.sklearn import SKLearn, SKLearnModel
from sagemaker.sklearn.processing import SKLearnProcessor
from sagemaker.workflow.condition_step import ConditionStep
from sagemaker.workflow.conditions import ConditionLessThanOrEqualTo
from sagemaker.workflow.functions import Join, JsonGet
from sagemaker.workflow.model_step import ModelStep
from sagemaker.workflow.parameters import ParameterFloat, ParameterString
from sagemaker.workflow.pipeline import Pipeline
from sagemaker.workflow.pipeline_context import PipelineSession
from sagemaker.workflow.properties import PropertyFile
from sagemaker.workflow.steps import ProcessingStep, TrainingStep

HERE = Path(__file__).parent
VERSION = "1.2-1"


def get_pipeline(*, name: str, role: str, model_package_group: str, session: PipelineSession) -> Pipeline:
    instance_type = ParameterString("InstanceType", default_value="ml.m5.large")
    alpha = ParameterFloat("Alpha", default_value=0.1)
    error_limit = ParameterFloat("ErrorLimit", default_value=4000.0)
    approval_status = ParameterString("ModelApprovalStatus", default_value="PendingManualApproval")

    processor = SKLearnProcessor(
        framework_version=VERSION,
        role=role,
        instance_type=instance_type,
        instance_count=1,
        base_job_name="prepare",
        sagemaker_session=session,
    )
    prepare = ProcessingStep(
        name="PrepareData",
        step_args=processor.run(
            code=str(HERE / "prepare.py"),
            outputs=[
                ProcessingOutput(output_name=part, source=f"/opt/ml/processing/{part}") for part in ("train", "test")
            ],
        ),
    )
    outputs = prepare.properties.ProcessingOutputConfig.Outputs

    estimator = SKLearn(
        entry_point="train.py",
        source_dir=str(HERE),
        framework_version=VERSION,
        role=role,
        instance_type=instance_type,
        instance_count=1,
        base_job_name="train",
        hyperparameters={"alpha": alpha},
        metric_definitions=[{"Name": "train:mse", "Regex": r"train:mse=([0-9.]+)"}],
        sagemaker_session=session,
    )
    train = TrainingStep(
        name="TrainModel",
        step_args=estimator.fit({"train": TrainingInput(outputs["train"].S3Output.S3Uri)}),
    )

    report = PropertyFile(name="Report", output_name="evaluation", path="evaluation.json")
    evaluate = ProcessingStep(
        name="EvaluateModel",
        step_args=processor.run(
            code=str(HERE / "evaluate.py"),
            inputs=[
                ProcessingInput(train.properties.ModelArtifacts.S3ModelArtifacts, "/opt/ml/processing/model"),
                ProcessingInput(outputs["test"].S3Output.S3Uri, "/opt/ml/processing/test"),
            ],
            outputs=[ProcessingOutput(output_name="evaluation", source="/opt/ml/processing/evaluation")],
        ),
        property_files=[report],
    )

    model = SKLearnModel(
        model_data=train.properties.ModelArtifacts.S3ModelArtifacts,
        entry_point="train.py",
        source_dir=str(HERE),
        framework_version=VERSION,
        role=role,
        sagemaker_session=session,
    )
    evaluation = evaluate.properties.ProcessingOutputConfig.Outputs["evaluation"].S3Output.S3Uri
    statistics = MetricsSource(
        s3_uri=Join(on="/", values=[evaluation, "evaluation.json"]), content_type="application/json"
    )
    register = ModelStep(
        name="RegisterModel",
        step_args=model.register(
            content_types=["text/csv"],
            response_types=["text/csv"],
            inference_instances=["ml.m5.large", "ml.c5.xlarge"],
            transform_instances=["ml.m5.large"],
            model_package_group_name=model_package_group,
            approval_status=approval_status,
            model_metrics=ModelMetrics(model_statistics=statistics),
        ),
    )

    good_enough = ConditionStep(
        name="CheckError",
        conditions=[
            ConditionLessThanOrEqualTo(
                left=JsonGet(step_name=evaluate.name, property_file=report, json_path="regression_metrics.mse.value"),
                right=error_limit,
            )
        ],
        if_steps=[register],
        else_steps=[],
    )
    return Pipeline(
        name=name,
        parameters=[instance_type, alpha, error_limit, approval_status],
        steps=[prepare, train, evaluate, good_enough],
        sagemaker_session=session,
    )
