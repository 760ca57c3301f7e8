"""SageMaker projects: a CloudFormation stack with its repositories, pipelines and rules, made from a template.

The template is a Service Catalog product (`services/servicecatalog.py` lists them) or a CloudFormation template of your
own in S3. What is made, and how it goes again, is the engine's (`engine.projects`).
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from modelwright.arns import execution_id, sagemaker_arn
from modelwright.errors import ValidationException
from modelwright.projects.catalog import OWN_PARAMETERS, Catalog, Template
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.services.sagemaker.base import (
    LEASE_SECONDS,
    SageMakerService,
    answer,
    is_short,
    list_query,
    pick,
    taken,
    user_context,
)
from modelwright.services.sagemaker.checks import ROLE, check_unique
from modelwright.store.database import Database, Transaction
from modelwright.store.event_bus import EventBus
from modelwright.store.history import Event, History
from modelwright.store.resources import find_resource, insert_resource, list_resources, put_tags, replace_resource

KIND = "Project"

_PATH = "There are no portfolios here: a product has one launch path."
_PROVIDER: Table = {
    "CfnTemplateProvider": {
        "TemplateName": HONOURED,
        "TemplateURL": HONOURED,
        "RoleARN": recorded(ROLE),
        "Parameters": {"Key": HONOURED, "Value": HONOURED},
    }
}

CREATE_MEMBERS: Table = {
    "ProjectName": HONOURED,
    "ProjectDescription": HONOURED,
    "ServiceCatalogProvisioningDetails": {
        "ProductId": HONOURED,
        "ProvisioningArtifactId": HONOURED,
        "PathId": recorded(_PATH),
        "ProvisioningParameters": {"Key": HONOURED, "Value": HONOURED},
    },
    "Tags": HONOURED,
    "TemplateProviders": _PROVIDER,
}

UPDATE_MEMBERS: Table = {
    "ProjectName": HONOURED,
    "ProjectDescription": HONOURED,
    "ServiceCatalogProvisioningUpdateDetails": {
        "ProvisioningArtifactId": HONOURED,
        "ProvisioningParameters": {"Key": HONOURED, "Value": HONOURED},
    },
    "Tags": refused("Use AddTags and DeleteTags: the tags of the project's stack stay what they were."),
    "TemplateProvidersToUpdate": _PROVIDER,
}


class Projects(SageMakerService):
    """CreateProject and what belongs to it."""

    def __init__(
        self,
        *,
        database: Database,
        history: History,
        events: EventBus,
        now: Callable[[], float],
        catalog: Catalog,
    ) -> None:
        super().__init__(database=database, history=history, events=events, now=now)
        self._catalog = catalog

    @operation("CreateProject", members=CREATE_MEMBERS)
    def create(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ValidationException when the name is used, or the template can't be made of what is given."""
        name, now = parameters["ProjectName"], self.now()
        arn = sagemaker_arn(context.region, context.account, "project", name)
        identity = "p-" + execution_id(secrets.token_bytes(16))
        product = f"pp-{execution_id(identity.encode())}"
        details, providers = (parameters.get(key) for key in ("ServiceCatalogProvisioningDetails", "TemplateProviders"))
        if bool(details) == bool(providers):
            raise ValidationException(
                "Give either ServiceCatalogProvisioningDetails (a product of Service Catalog's SearchProducts) or "
                "TemplateProviders (a CloudFormation template in S3)."
            )
        document = {
            **pick(parameters, "ProjectName", "ProjectDescription"),
            "ProjectArn": arn,
            "ProjectId": identity,
            "ProjectStatus": "CreateInProgress",
            "CreatedBy": user_context(context),
            "CreationTime": now,
            "LastModifiedTime": now,
        }
        if details:
            template = self._product(details["ProductId"], details.get("ProvisioningArtifactId"))
            details = {**details, "ProductId": template.product_id, "ProvisioningArtifactId": template.artifact_id}
            plan = _plan_of_product(template, details.get("ProvisioningParameters", []))
            document["ServiceCatalogProvisioningDetails"] = details
            document["ServiceCatalogProvisionedProductDetails"] = {"ProvisionedProductId": product}
            stack = f"SC-{context.account}-{product}"
        else:
            provider = _provider(parameters["TemplateProviders"])
            plan = _plan_of_provider(provider)
            document["TemplateProviderDetails"] = [{"CfnTemplateProviderDetail": provider}]
            stack = f"sagemaker-{name}-{identity}"
        own_tags = [
            {"Key": "sagemaker:project-name", "Value": name},
            {"Key": "sagemaker:project-id", "Value": identity},
        ]
        plan["Parameters"] = {
            **plan["Parameters"],
            **{key: value for key, value in zip(OWN_PARAMETERS, (name, identity), strict=True) if plan["Own"][key]},
        }
        plan["Tags"] = [*own_tags, *parameters.get("Tags", [])]
        data = {"Name": name, "Id": identity, "Region": context.region, "StackName": stack, "Plan": plan}
        with self.database.write() as transaction:
            if taken(transaction, KIND, name, arn):
                raise ValidationException(f"Project already exists: {arn}")
            document["_Stream"] = f"project/{identity}"
            document["_Plan"] = plan
            insert_resource(transaction, KIND, name, document, created=now, arn=arn, status="CreateInProgress")
            put_tags(transaction, arn, plan["Tags"])
            created = Event("Created", data, now)
            self.history.open(transaction, document["_Stream"], KIND, [created], lease_until=now + LEASE_SECONDS)
        return {"ProjectArn": arn, "ProjectId": identity}

    @operation("DescribeProject", quick=True)
    def describe(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            return _find(transaction, parameters["ProjectName"])

    @operation("ListProjects", quick=is_short)
    def list(self, _: Context, parameters: dict[str, Any]) -> Document:
        with self.database.read() as transaction:
            page = list_resources(transaction, list_query(KIND, parameters))
        members = (
            "ProjectName",
            "ProjectDescription",
            "ProjectArn",
            "ProjectId",
            "CreationTime",
            "ProjectStatus",
        )
        return answer("ProjectSummaryList", page, lambda project: pick(project, *members))

    @operation("UpdateProject", members=UPDATE_MEMBERS)
    def update(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Change the description; or make the stack anew from the template as it is now, with other parameters."""
        update, providers = (
            parameters.get(key) for key in ("ServiceCatalogProvisioningUpdateDetails", "TemplateProvidersToUpdate")
        )
        with self.database.write() as transaction:
            project = _settled(transaction, parameters["ProjectName"], "updated")
            project = {**project, **pick(parameters, "ProjectDescription"), "LastModifiedBy": user_context(context)}
            plan: Document | None = None
            if update is not None:
                plan, project = self._updated_product(project, update)
            elif providers is not None:
                provider = _provider(providers)
                plan = _plan_of_provider(provider)
                project["TemplateProviderDetails"] = [{"CfnTemplateProviderDetail": provider}]
            if plan is None:
                self._replace(transaction, project)
                return {"ProjectArn": project["ProjectArn"]}
            plan["Parameters"] = {**_own(project["_Plan"]), **plan["Parameters"]}
            plan["Tags"] = project["_Plan"]["Tags"]
            if project["ProjectStatus"] == "CreateFailed":
                raise ValidationException(
                    f"Project '{project['ProjectName']}' was never made: delete it and create it again."
                )
            project["_Plan"] = plan
            self._request(transaction, project, "UpdateRequested", {"Plan": plan}, "UpdateInProgress")
        return {"ProjectArn": project["ProjectArn"]}

    @operation("DeleteProject")
    def delete(self, _: Context, parameters: dict[str, Any]) -> Document:
        """Delete all that the project made: endpoints that it deployed, pipelines, repositories, buckets."""
        with self.database.write() as transaction:
            project = _settled(transaction, parameters["ProjectName"], "deleted")
            self._request(transaction, project, "DeleteRequested", {}, "DeleteInProgress")
        return {}

    def _product(self, product: str, artifact: str | None) -> Template:
        template = self._catalog.find(product)
        if artifact not in (None, template.artifact_id):
            raise ValidationException(
                f"Product {template.product_id} ({template.name}) has no provisioning artifact '{artifact}'. "
                f"It has {template.artifact_id}."
            )
        return template

    def _updated_product(self, project: Document, update: Mapping[str, Any]) -> tuple[Document, Document]:
        details = project.get("ServiceCatalogProvisioningDetails")
        if details is None:
            raise ValidationException("This project was made from a template provider: use TemplateProvidersToUpdate.")
        template = self._product(details["ProductId"], update.get("ProvisioningArtifactId"))
        given = update.get("ProvisioningParameters", details.get("ProvisioningParameters", []))
        changed = {**details, "ProvisioningArtifactId": template.artifact_id, "ProvisioningParameters": given}
        return _plan_of_product(template, given), {**project, "ServiceCatalogProvisioningDetails": changed}

    def _request(
        self, transaction: Transaction, project: Document, kind: str, data: Mapping[str, Any], status: str
    ) -> None:
        now = self.now()
        self._replace(transaction, {**project, "ProjectStatus": status}, status)
        self.history.reopen(transaction, project["_Stream"], [Event(kind, data, now)], lease_until=now + LEASE_SECONDS)

    def _replace(self, transaction: Transaction, project: Document, status: str | None = None) -> None:
        now = self.now()
        name = project["ProjectName"]
        replace_resource(transaction, KIND, name, {**project, "LastModifiedTime": now}, modified=now, status=status)


def _find(transaction: Transaction, name: str, *, lock: bool = False) -> Document:
    project = find_resource(transaction, KIND, name, lock=lock)
    if project is None:
        raise ValidationException(f"Project {name} does not exist.")
    return project


def _settled(transaction: Transaction, name: str, what: str) -> Document:
    project = _find(transaction, name, lock=True)
    if project["ProjectStatus"].endswith("InProgress"):
        raise ValidationException(
            f"Project {name} can't be {what}: it is {project['ProjectStatus']}. Wait until that has ended."
        )
    return project


def _plan_of_product(template: Template, given: Sequence[Mapping[str, str]]) -> Document:
    """What the engine makes the stack from. Raises ValidationException for parameters that the template has not."""
    check_unique([each["Key"] for each in given], "ProvisioningParameters", "Key")
    values = {each["Key"]: each.get("Value", "") for each in given}
    wanted = template.parameters
    for key in values:
        if key not in wanted:
            has = f"It has {', '.join(wanted)}." if wanted else "It has none."
            raise ValidationException(f"The project template '{template.name}' has no parameter '{key}'. {has}")
    missing = [key for key, rules in wanted.items() if key not in values and "Default" not in rules]
    if missing:
        raise ValidationException(
            f"The project template '{template.name}' needs a value for: {', '.join(missing)}. "
            "Give it in ProvisioningParameters."
        )
    return {
        "Template": template.name,
        "TemplateBody": template.body,
        "Seeds": template.seeds(),
        "Parameters": values,
        "Own": {key: key in template.declared for key in OWN_PARAMETERS},
    }


def _plan_of_provider(provider: Mapping[str, Any]) -> Document:
    given = provider.get("Parameters", [])
    check_unique([each["Key"] for each in given], "TemplateProviders.Parameters", "Key")
    return {
        "Template": provider["TemplateName"],
        "TemplateURL": provider["TemplateURL"],
        "Parameters": {each["Key"]: each.get("Value", "") for each in given},
        "Own": dict.fromkeys(OWN_PARAMETERS, True),
    }


def _provider(providers: Sequence[Mapping[str, Any]]) -> Document:
    provider = providers[0].get("CfnTemplateProvider")
    if provider is None:
        raise ValidationException("TemplateProviders[0] has no CfnTemplateProvider.")
    return dict(provider)


def _own(plan: Mapping[str, Any]) -> dict[str, str]:
    return {key: value for key, value in plan["Parameters"].items() if key in OWN_PARAMETERS}
