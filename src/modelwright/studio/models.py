"""The model registry: groups, versions, a version with what it was made from, and its approval."""

from __future__ import annotations

from starlette.responses import Response

from modelwright.errors import AwsError
from modelwright.services.dispatch import Document
from modelwright.studio import joblogs, reports
from modelwright.studio.joblogs import KINDS
from modelwright.studio.runs import identity, who
from modelwright.studio.view import Route, View, link

PER_PAGE = 25
APPROVALS = ("Approved", "Rejected", "PendingManualApproval")


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
    return view.page(
        "group.html",
        group=group,
        versions=found["ModelPackageSummaryList"],
        next=found.get("NextToken"),
        status=status,
        approvals=APPROVALS,
        who=who,
    )


async def version(view: View) -> Response:
    """A version; the form that was sent changes its approval."""
    group = await view.call("DescribeModelPackageGroup", ModelPackageGroupName=view.argument("group"))
    prefix = group["ModelPackageGroupArn"].replace(":model-package-group/", ":model-package/")
    arn = f"{prefix}/{view.argument('version')}"
    package = await view.call("DescribeModelPackage", ModelPackageName=arn)
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
    return view.page(
        "version.html",
        http_status=400 if problem else 200,
        package=package,
        group=group,
        reports=await _reports(view, package),
        containers=package.get("InferenceSpecification", {}).get("Containers", []),
        origin=await _origin(view, package),
        approvals=APPROVALS,
        problem=problem,
        who=who,
    )


async def _reports(view: View, package: Document) -> list[Document]:
    """The evaluation reports that the version names, each flattened to (name, value)."""
    found = []
    for area, parts in package.get("ModelMetrics", {}).items():
        for part, source in parts.items():
            if isinstance(source, dict) and "S3Uri" in source:
                document, problem = await reports.read(view, source["S3Uri"])
                rows = reports.rows(document)
                found.append({"title": f"{area} / {part}", "uri": source["S3Uri"], "rows": rows, "problem": problem})
    return found


async def _origin(view: View, package: Document) -> Document:
    """What the version was made from: the execution, the job that trained it, its data and its image."""
    origin: Document = {"execution": None, "job": None, "inputs": [], "image": ""}
    generated = package.get("MetadataProperties", {}).get("GeneratedBy", "")
    if "/execution/" in generated:
        execution = await view.find("DescribePipelineExecution", PipelineExecutionArn=generated)
        if execution is not None:
            origin["execution"] = {
                "title": execution["PipelineExecutionDisplayName"],
                "status": execution["PipelineExecutionStatus"],
                "address": link("executions", identity(generated), arn=generated),
            }
            origin |= await _training(view, generated)
    if origin["job"] is None:
        for container in package.get("InferenceSpecification", {}).get("Containers", []):
            expression = {
                "Filters": [
                    {
                        "Name": "ModelArtifacts.S3ModelArtifacts",
                        "Operator": "Equals",
                        "Value": container.get("ModelDataUrl", "-"),
                    }
                ]
            }
            jobs = (await view.call("Search", Resource="TrainingJob", SearchExpression=expression))["Results"]
            if jobs:
                origin |= _described(jobs[0]["TrainingJob"])
    return origin


async def _training(view: View, execution: str) -> Document:
    """The first training of the execution: what comes later repacks what that made."""
    found = await view.call("ListPipelineExecutionSteps", PipelineExecutionArn=execution, SortOrder="Ascending",
                            MaxResults=100)  # fmt: skip
    for step in found["PipelineExecutionSteps"]:
        arn = step.get("Metadata", {}).get("TrainingJob", {}).get("Arn")
        if arn:
            job = await joblogs.of_arn(view, KINDS["training"], arn)
            if job is not None:
                return _described(job)
    return {}


def _described(job: Document) -> Document:
    return {
        "job": {
            "name": job["TrainingJobName"],
            "status": job["TrainingJobStatus"],
            "address": link("jobs", KINDS["training"].path, job["TrainingJobName"]),
        },
        "inputs": [
            (channel["ChannelName"], channel["DataSource"]["S3DataSource"]["S3Uri"])
            for channel in job.get("InputDataConfig", [])
            if "S3DataSource" in channel.get("DataSource", {})
        ],
        "image": job["AlgorithmSpecification"].get("TrainingImage", ""),
    }
