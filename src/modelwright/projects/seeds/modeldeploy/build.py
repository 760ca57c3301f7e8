"""Which version is deployed, and with which parameters: writes what the pipeline's CloudFormation actions read.

{staging,prod}-config-export.json   template parameters and tags of the stack
images.txt, registry.txt            the images that serve the model, and where they come from
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import boto3

STAGES = ("staging", "prod")


def main() -> None:
    group = os.environ["SOURCE_MODEL_PACKAGE_GROUP_NAME"]
    client = boto3.client("sagemaker")
    package = newest_approved(client, group)
    print(f"deploying {package['ModelPackageArn']}, approved: {package.get('ApprovalDescription', 'no comment')}")

    images = [container["Image"] for container in package["InferenceSpecification"]["Containers"]]
    Path("images.txt").write_text("".join(f"{image}\n" for image in images))
    Path("registry.txt").write_text(images[0].partition("/")[0])
    for stage in STAGES:
        config = json.loads(Path(f"{stage}-config.json").read_text())
        Path(f"{stage}-config-export.json").write_text(json.dumps(extended(config, package), indent=2))


def newest_approved(client: Any, group: str) -> dict[str, Any]:
    try:
        found = client.list_model_packages(
            ModelPackageGroupName=group,
            ModelApprovalStatus="Approved",
            SortBy="CreationTime",
            SortOrder="Descending",
            MaxResults=1,
        )["ModelPackageSummaryList"]
    except client.exceptions.ClientError as error:
        if "does not exist" not in str(error):
            raise
        sys.exit(f"There is no model package group {group} yet: register a version in it and approve it.")
    if not found:
        sys.exit(f"There is no approved version of {group} yet: approve one, and this pipeline starts by itself.")
    return client.describe_model_package(ModelPackageName=found[0]["ModelPackageArn"])


def extended(config: dict[str, Any], package: dict[str, Any]) -> dict[str, Any]:
    """The stage's own parameters and tags, and what is the same in every stage."""
    return {
        **config,
        "Parameters": {
            **config["Parameters"],
            "SageMakerProjectName": os.environ["SAGEMAKER_PROJECT_NAME"],
            "ModelExecutionRoleArn": os.environ["MODEL_EXECUTION_ROLE_ARN"],
            "ModelPackageName": package["ModelPackageArn"],
        },
        "Tags": {
            **config.get("Tags", {}),
            "sagemaker:project-name": os.environ["SAGEMAKER_PROJECT_NAME"],
            "sagemaker:project-id": os.environ["SAGEMAKER_PROJECT_ID"],
            "sagemaker:deployment-stage": config["Parameters"]["StageName"],
        },
    }


if __name__ == "__main__":
    main()
