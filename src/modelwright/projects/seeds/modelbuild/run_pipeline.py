"""Creates or updates the pipeline of a module, starts it and waits: `run_pipeline.py pipelines.diabetes.pipeline`.

`execution.json` says afterwards what was run.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path

import sagemaker
from sagemaker.workflow.pipeline_context import PipelineSession


def main(module: str) -> None:
    bucket, role = os.environ["ARTIFACT_BUCKET"], os.environ["SAGEMAKER_PIPELINE_ROLE_ARN"]
    pipeline = importlib.import_module(module).get_pipeline(
        name=os.environ["SAGEMAKER_PIPELINE_NAME"],
        role=role,
        model_package_group=os.environ["MODEL_PACKAGE_GROUP_NAME"],
        session=PipelineSession(default_bucket=bucket),
    )
    tags = [
        {"Key": "sagemaker:project-name", "Value": os.environ["SAGEMAKER_PROJECT_NAME"]},
        {"Key": "sagemaker:project-id", "Value": os.environ["SAGEMAKER_PROJECT_ID"]},
    ]
    pipeline.sagemaker_session = sagemaker.Session(default_bucket=bucket)
    print(pipeline.upsert(role_arn=role, tags=tags)["PipelineArn"])
    execution = pipeline.start()
    print(execution.arn)
    Path("execution.json").write_text(json.dumps({"PipelineExecutionArn": execution.arn}))
    execution.wait(delay=5, max_attempts=5000)
    for step in reversed(execution.list_steps()):
        print(f"{step['StepName']:40}{step['StepStatus']}")


if __name__ == "__main__":
    main(sys.argv[1])
