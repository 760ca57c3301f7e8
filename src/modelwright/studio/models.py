"""The model registry: groups, versions, a version with where it serves, what it was made from, and its approval."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from starlette.responses import Response

from modelwright.errors import AwsError
from modelwright.services.dispatch import Document
from modelwright.studio import plots, reports, whereabouts
from modelwright.studio.executions import live_address
from modelwright.studio.origins import Origin, origin
from modelwright.studio.runs import who
from modelwright.studio.version_changes import Section, compared
from modelwright.studio.view import Route, View
from modelwright.studio.whereabouts import Whereabouts

PER_PAGE = 25
APPROVALS = ("Approved", "Rejected", "PendingManualApproval")
_CHOICES = 50
_HISTORY = 50


def routes() -> list[Route]:
    return [
        ("/models", ("GET",), groups),
        ("/models/{group}", ("GET",), versions),
        ("/models/{group}/{version}", ("GET", "POST"), version),
    ]


async def groups(view: View) -> Response:
    search = view.argument("search").strip()
    found = await view.call(
        "ListModelPackageGroups",
        NameContains=search or None,
        SortBy="CreationTime",
        SortOrder="Descending",
        MaxResults=PER_PAGE,
        NextToken=view.argument("page") or None,
    )
    rows = []
    for group in found["ModelPackageGroupSummaryList"]:
        latest = await view.call(
            "ListModelPackages", ModelPackageGroupName=group["ModelPackageGroupName"], MaxResults=1,
            SortOrder="Descending",
        )  # fmt: skip
        rows.append({**group, "latest": next(iter(latest["ModelPackageSummaryList"]), None)})
    return view.page("models.html", groups=rows, next=found.get("NextToken"), search=search)


async def versions(view: View) -> Response:
    group = await view.call("DescribeModelPackageGroup", ModelPackageGroupName=view.argument("group"))
    status = view.argument("status")
    status = status if status in APPROVALS else ""
    found = await view.call(
        "ListModelPackages",
        ModelPackageGroupName=group["ModelPackageGroupName"],
        ModelApprovalStatus=status or None,
        SortOrder="Descending",
        MaxResults=PER_PAGE,
        NextToken=view.argument("page") or None,
    )
    places = await whereabouts.of_packages(view)
    return view.page(
        "group.html",
        group=group,
        stages=_stages(places),
        versions=found["ModelPackageSummaryList"],
        next=found.get("NextToken"),
        status=status,
        approvals=APPROVALS,
        who=who,
    )


async def version(view: View) -> Response:
    """A version; the form that was sent changes its approval."""
    group = await view.call("DescribeModelPackageGroup", ModelPackageGroupName=view.argument("group"))
    package = await _package(view, group, view.argument("version"))
    problem = ""
    if view.request.method == "POST":
        comment = view.field("comment").strip()
        try:
            await view.call(
                "UpdateModelPackage",
                ModelPackageArn=package["ModelPackageArn"],
                ModelApprovalStatus=view.field("status"),
                ApprovalDescription=comment or None,
            )
        except AwsError as error:
            problem = error.message
        else:
            return view.go("models", group["ModelPackageGroupName"], str(package["ModelPackageVersion"]))
    places = await whereabouts.of_packages(view)
    this = await _made(view, package)
    arn = package["ModelPackageArn"].lower()
    return view.page(
        "version.html",
        http_status=400 if problem else 200,
        package=package,
        group=group,
        places=[place for place in places if place.package == arn],
        reports=this.reports,
        containers=this.containers,
        origin=this.origin,
        comparison=await _comparison(view, group, this, places),
        history=await _history(view, package),
        approvals=APPROVALS,
        problem=problem,
        who=who,
        live=live_address(["resource/ModelPackage/", "resource/Endpoint", "endpoint/", "codepipeline/"]),
    )


async def _package(view: View, group: Document, number: str) -> Document:
    prefix = group["ModelPackageGroupArn"].replace(":model-package-group/", ":model-package/")
    return await view.call("DescribeModelPackage", ModelPackageName=f"{prefix}/{number}")


def _stages(places: list[Whereabouts]) -> dict[str, list[Whereabouts]]:
    """Package -> where it serves."""
    found: dict[str, list[Whereabouts]] = {}
    for place in places:
        found.setdefault(place.package, []).append(place)
    return found


@dataclass(frozen=True)
class _Made:
    """A version with everything that is known of it."""

    package: Document
    origin: Origin
    reports: list[Document]

    @property
    def containers(self) -> list[Document]:
        found: list[Document] = self.package.get("InferenceSpecification", {}).get("Containers", [])
        return found

    @property
    def metrics(self) -> dict[str, Any]:
        """By name; where two reports use a name, the first one's. Without a report, what the job measured."""
        found: dict[str, Any] = {}
        for report in self.reports:
            found = {**{name: value for name, (value, _) in report["metrics"].items()}, **found}
        return found or dict(self.origin.metrics)

    @property
    def served(self) -> dict[str, str]:
        """What its containers run."""
        found = {}
        for position, container in enumerate(self.containers, 1):
            number = f" {position}" if len(self.containers) > 1 else ""
            for member in ("Image", "ImageDigest", "ModelDataUrl"):
                if member in container:
                    found[f"{member}{number}"] = str(container[member])
            environment = container.get("Environment", {})
            found |= {f"{key}{number}": str(value) for key, value in environment.items()}
        return found


async def _made(view: View, package: Document) -> _Made:
    return _Made(package, await origin(view, package), await _reports(view, package))


async def _reports(view: View, package: Document) -> list[Document]:
    """The evaluation reports that the version names, each with its metrics and plots."""
    found = []
    for area, parts in package.get("ModelMetrics", {}).items():
        for part, source in parts.items():
            if isinstance(source, dict) and "S3Uri" in source:
                document, problem = await reports.read(view, source["S3Uri"])
                found.append(
                    {
                        "title": f"{area} / {part}",
                        "uri": source["S3Uri"],
                        "metrics": reports.measured(document),
                        "plots": plots.of_report(document),
                        "problem": problem,
                    }
                )
    return found


async def _comparison(view: View, group: Document, this: _Made, places: list[Whereabouts]) -> Document:
    """How it differs from the version in production, or from the one that the address names."""
    mine = this.package["ModelPackageArn"].lower()
    family = mine.rpartition("/")[0] + "/"
    in_production = next(
        (one.package for one in places if one.stage == "Production" and one.package.startswith(family)), ""
    )
    found = await view.call(
        "ListModelPackages", ModelPackageGroupName=group["ModelPackageGroupName"], SortOrder="Descending",
        MaxResults=_CHOICES,
    )  # fmt: skip
    numbers = [str(each["ModelPackageVersion"]) for each in found["ModelPackageSummaryList"]]
    own, production = str(this.package["ModelPackageVersion"]), in_production.rpartition("/")[2]
    chosen = view.argument("against")
    chosen = chosen if chosen.isdecimal() else "" if production == own else production
    sections: list[Section] = []
    if chosen and chosen != own:
        other = await _made(view, await _package(view, group, chosen))
        sections = _sections(view, this, other)
    return {
        "production": production,
        "is_production": production == own,
        "choices": [number for number in numbers if number != own],
        "against": chosen if sections else "",
        "sections": sections,
    }


def _sections(view: View, mine: _Made, other: _Made) -> list[Section]:
    t = view.texts
    code = [{t(label): value for label, value in made.origin.code.items()} for made in (mine, other)]
    return compared(
        {
            t("Metrics"): (mine.metrics, other.metrics),
            t("Parameters"): (mine.origin.parameters, other.origin.parameters),
            t("Hyperparameters"): (mine.origin.hyperparameters, other.origin.hyperparameters),
            t("Data"): (mine.origin.inputs, other.origin.inputs),
            t("Training image"): ({t("Image"): mine.origin.image}, {t("Image"): other.origin.image}),
            t("Code"): (code[0], code[1]),
            t("Containers"): (mine.served, other.served),
        }
    )


async def _history(view: View, package: Document) -> list[Document]:
    """Who did what to the version, the newest first: the audit log's, and its registration."""
    wanted = [{"AttributeKey": "ResourceName", "AttributeValue": package["ModelPackageArn"]}]
    found = await view.call("LookupEvents", "cloudtrail", LookupAttributes=wanted, MaxResults=_HISTORY)
    rows = []
    for event in found["Events"]:
        record = json.loads(event["CloudTrailEvent"])
        given = record.get("requestParameters") or {}
        rows.append(
            {
                "time": event["EventTime"],
                "who": event["Username"],
                "what": event["EventName"],
                "status": str(given.get("modelApprovalStatus", "")),
                "comment": str(given.get("approvalDescription", "")),
                "problem": str(record.get("errorMessage", record.get("errorCode", ""))),
            }
        )
    made: Document = {"status": "", "comment": "", "problem": ""}
    rows.append({**made, "time": package["CreationTime"], "who": who(package), "what": "CreateModelPackage"})
    return rows
