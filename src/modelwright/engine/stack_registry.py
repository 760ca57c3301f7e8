"""SageMaker's types that take more than one call, or time: package groups, code repositories, projects."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from modelwright.engine.stack_types import Act, Read, Unchangeable, adopting, only, parameters_of
from modelwright.errors import AwsError, ValidationException


class ModelPackageGroup:
    """AWS::SageMaker::ModelPackageGroup, whose policy has operations of its own."""

    def create(self, act: Act, name: str, properties: Mapping[str, Any], _: Read, region: str = "") -> None:
        given = {key: value for key, value in properties.items() if key != "ModelPackageGroupPolicy"}
        made = parameters_of("sagemaker", "CreateModelPackageGroup", {**given, "ModelPackageGroupName": name})
        adopting(act, "sagemaker", "CreateModelPackageGroup", made)
        if "ModelPackageGroupPolicy" in properties:
            self.update(act, name, {}, properties)

    def describe(self, act: Act, name: str) -> dict[str, Any]:
        return act("sagemaker", "DescribeModelPackageGroup", {"ModelPackageGroupName": name})

    def update(self, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        policy = new.get("ModelPackageGroupPolicy")
        if policy is not None:
            text = policy if isinstance(policy, str) else json.dumps(policy)
            given = {"ModelPackageGroupName": name, "ResourcePolicy": text}
            act("sagemaker", "PutModelPackageGroupPolicy", given)
        elif "ModelPackageGroupPolicy" in old:
            try:
                act("sagemaker", "DeleteModelPackageGroupPolicy", {"ModelPackageGroupName": name})
            except AwsError as error:
                if "no resource policy" not in error.message:
                    raise

    def delete(self, act: Act, name: str, _: Mapping[str, Any]) -> None:
        act("sagemaker", "DeleteModelPackageGroup", {"ModelPackageGroupName": name})


class CodeRepository:
    """AWS::SageMaker::CodeRepository."""

    def create(self, act: Act, name: str, properties: Mapping[str, Any], _: Read, region: str = "") -> None:
        given = parameters_of("sagemaker", "CreateCodeRepository", {**properties, "CodeRepositoryName": name})
        adopting(act, "sagemaker", "CreateCodeRepository", given)

    def describe(self, act: Act, name: str) -> dict[str, Any]:
        return act("sagemaker", "DescribeCodeRepository", {"CodeRepositoryName": name})

    def update(self, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        was, now = old["GitConfig"], new["GitConfig"]
        for key in sorted({*was, *now} - {"SecretArn"}):
            if was.get(key) != now.get(key):
                raise Unchangeable(f"GitConfig.{key} of a code repository can't be changed: give it a new name.")
        if "SecretArn" in now:
            given = {"CodeRepositoryName": name, "GitConfig": {"SecretArn": now["SecretArn"]}}
            act("sagemaker", "UpdateCodeRepository", given)

    def delete(self, act: Act, name: str, _: Mapping[str, Any]) -> None:
        act("sagemaker", "DeleteCodeRepository", {"CodeRepositoryName": name})


class Project:
    """AWS::SageMaker::Project: made, and gone again, some time after it was asked for."""

    def create(self, act: Act, name: str, properties: Mapping[str, Any], _: Read, region: str = "") -> None:
        given = {key: value for key, value in properties.items() if key != "TemplateProviderDetails"}
        if "ServiceCatalogProvisionedProductDetails" in given:
            raise ValidationException("Encountered unsupported property ServiceCatalogProvisionedProductDetails")
        providers = properties.get("TemplateProviderDetails", [])
        if providers:
            given["TemplateProviders"] = [_provider(each) for each in providers]
        adopting(act, "sagemaker", "CreateProject", parameters_of("sagemaker", "CreateProject", given))

    def describe(self, act: Act, name: str) -> dict[str, Any]:
        return act("sagemaker", "DescribeProject", {"ProjectName": name})

    def update(self, act: Act, name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
        """Nothing but the tags can be changed in place."""

    def delete(self, act: Act, name: str, _: Mapping[str, Any]) -> None:
        act("sagemaker", "DeleteProject", {"ProjectName": name})


def _provider(given: Mapping[str, Any]) -> dict[str, Any]:
    only(given, "CfnTemplateProviderDetail")
    detail = given.get("CfnTemplateProviderDetail", {})
    only(detail, "TemplateName", "TemplateURL", "RoleARN", "Parameters")
    return {"CfnTemplateProvider": detail}


def why_project_failed(found: Mapping[str, Any]) -> str:
    if "TemplateProviderDetails" in found:
        detail = found["TemplateProviderDetails"][0]["CfnTemplateProviderDetail"]
        return str(detail.get("StackDetail", {}).get("StatusMessage", ""))
    return str(found.get("ServiceCatalogProvisionedProductDetails", {}).get("ProvisionedProductStatusMessage", ""))
