"""Endpoints: the list, an endpoint with its variants, metrics and logs, and what it answers to a file."""

from __future__ import annotations

import base64
import json
import mimetypes
import time
from typing import Any

from starlette.datastructures import UploadFile
from starlette.responses import Response

from modelwright.errors import AwsError
from modelwright.services.dispatch import Document
from modelwright.studio import endpoint_metrics, endpointlogs, predictions
from modelwright.studio.executions import live_address
from modelwright.studio.live import METRICS
from modelwright.studio.view import Route, View, link

PER_PAGE = 25
STATUSES = ("Creating", "InService", "Updating", "Failed", "Deleting")
TABS = ("variants", "invoke", "metrics", "logs", "settings")
CONTENT_TYPES = (
    "image/jpeg", "image/png", "application/x-image", "application/json", "text/csv", "application/x-npy",
    "application/octet-stream",
)  # fmt: skip
_SHOWN_TEXT = 200_000


def routes() -> list[Route]:
    return [
        ("/endpoints", ("GET",), all_of_them),
        ("/endpoints/{name}", ("GET", "POST"), one),
        ("/endpoints/{name}/weights", ("POST",), weights),
        ("/endpoints/{name}/delete", ("POST",), delete),
    ]


async def all_of_them(view: View) -> Response:
    search, status = view.argument("search").strip(), view.argument("status")
    status = status if status in STATUSES else ""
    found = await view.call(
        "ListEndpoints",
        NameContains=search or None,
        StatusEquals=status or None,
        SortBy={"name": "Name", "status": "Status"}.get(view.argument("sort"), "CreationTime"),
        SortOrder="Ascending" if view.argument("order") == "up" else "Descending",
        MaxResults=PER_PAGE,
        NextToken=view.argument("page") or None,
    )
    rows = [await view.find("DescribeEndpoint", EndpointName=each["EndpointName"]) for each in found["Endpoints"]]
    return view.page(
        "endpoints.html",
        endpoints=[row for row in rows if row is not None],
        next=found.get("NextToken"),
        search=search,
        status=status,
        statuses=STATUSES,
        live=live_address(["endpoint/"]),
    )


async def one(view: View) -> Response:
    """An endpoint; the form that was sent is an invocation, and the page that comes back has its answer."""
    endpoint = await view.call("DescribeEndpoint", EndpointName=view.argument("name"))
    invoked = view.request.method == "POST"
    answer = await _invoked(view, endpoint["EndpointName"]) if invoked else None
    return _page(view, endpoint, "invoke" if invoked else view.argument("tab"), await _details(view, endpoint), answer)


def _page(
    view: View, endpoint: Document, tab: str, details: Document, answer: Document | None = None, problem: str = ""
) -> Response:
    return view.page(
        "endpoint.html",
        http_status=400 if problem or (answer and answer["problem"]) else 200,
        endpoint=endpoint,
        name=endpoint["EndpointName"],
        tab=tab if tab in TABS else "variants",
        content_types=CONTENT_TYPES,
        answer=answer,
        problem=problem,
        # A page that shows an answer stays as it is: it can't be asked for again.
        live="" if answer else _live(endpoint["EndpointName"], tab, details["chosen"]),
        ranges=endpoint_metrics.RANGES,
        **details,
    )


def _live(name: str, tab: str, stream: str) -> str:
    """What the page connects to: the endpoint itself, and its metrics or an instance's log where they are shown."""
    watched = [f"endpoint/{name}/"]
    if tab == "metrics":
        watched.append(f"{METRICS}{name}/")
    if tab == "logs" and stream:
        return link("live", watch=" ".join(watched), endpoint=name, stream=stream)
    return live_address(watched)


async def _details(view: View, endpoint: Document) -> Document:
    config = await view.find("DescribeEndpointConfig", EndpointConfigName=endpoint["EndpointConfigName"])
    variants = {each["VariantName"]: each for each in (config or {}).get("ProductionVariants", [])}
    name, tab = endpoint["EndpointName"], view.argument("tab")
    details: Document = {
        "config": config,
        "configured": variants,
        "streams": [],
        "log": None,
        "chosen": "",
        "containers": [],
    }
    if tab == "logs":
        details["streams"] = await endpointlogs.streams(view, name)
        wanted = view.argument("stream")
        details["chosen"] = wanted if wanted in details["streams"] else next(iter(details["streams"]), "")
        if details["chosen"]:
            details["log"] = await endpointlogs.tail(view, name, details["chosen"])
    if tab == "invoke" or view.request.method == "POST":
        details["containers"] = await _directly_invoked(view, variants)
    if tab == "metrics":
        present = [variant["VariantName"] for variant in endpoint.get("ProductionVariants", [])]
        details["range"] = endpoint_metrics.chosen(view)
        details["charts"] = await endpoint_metrics.charts(view, name, present, details["range"])
    return details


async def _directly_invoked(view: View, variants: Document) -> list[str]:
    """The names of containers that a request must choose from."""
    names: dict[str, None] = {}
    for model_name in {variant.get("ModelName") for variant in variants.values()} - {None}:
        model = await view.find("DescribeModel", ModelName=model_name) or {}
        if model.get("InferenceExecutionConfig", {}).get("Mode") == "Direct":
            names |= dict.fromkeys(each["ContainerHostname"] for each in model["Containers"])
    return list(names)


async def _invoked(view: View, name: str) -> Document:
    """Send the form's file, else its text; what came back, as it can be shown."""
    file = view.form.get("file")
    typed, content_type = view.field("text"), view.field("type").strip()
    if isinstance(file, UploadFile) and file.filename:
        body, file_name = await file.read(), file.filename
        content_type = content_type or mimetypes.guess_type(file_name)[0] or "application/octet-stream"
    else:
        body, file_name = typed.encode(), ""
        content_type = content_type or "application/json"
    shown: Document = {
        "kind": "none", "text": "", "cut": False, "drawing": None, "image": "", "problem": "", "type": content_type,
        "typed": typed, "file": file_name, "accept": view.field("accept"), "variant": view.field("variant"),
        "container": view.field("container"),
        "seconds": 0.0, "answered_by": "", "answer_type": "", "is_image": content_type.startswith("image/"),
    }  # fmt: skip
    began = time.monotonic()
    try:
        answer = await view.call(
            "InvokeEndpoint", "sagemaker-runtime", EndpointName=name, Body=body, ContentType=content_type,
            Accept=shown["accept"].strip() or None, TargetVariant=shown["variant"] or None,
            TargetContainerHostname=shown["container"] or None,
        )  # fmt: skip
    except AwsError as error:
        return {**shown, "problem": error.message}
    content = bytes(answer["Body"])
    media = str(answer.get("ContentType", ""))
    told = {
        "seconds": time.monotonic() - began,
        "answered_by": answer.get("InvokedProductionVariant", ""),
        "answer_type": media,
        "size": len(content),
    }
    return {**shown, **told, **presented(content, media)}


def presented(content: bytes, media: str) -> Document:
    """How an answer can be shown: `image`, `json`, `text` or `none`."""
    if media.startswith("image/"):
        return {"kind": "image", "image": base64.b64encode(content).decode()}
    try:
        text = content.decode()
    except UnicodeDecodeError:
        return {"kind": "none"}
    if "\0" in text:
        return {"kind": "none"}
    try:
        document: Any = json.loads(text)
    except ValueError:
        return {"kind": "text", "text": text[:_SHOWN_TEXT], "cut": len(text) > _SHOWN_TEXT}
    pretty = json.dumps(document, indent=2, ensure_ascii=False)
    return {
        "kind": "json",
        "text": pretty[:_SHOWN_TEXT],
        "cut": len(pretty) > _SHOWN_TEXT,
        "drawing": predictions.drawing(document),
    }


async def weights(view: View) -> Response:
    """Other weights and numbers of instances, as the form says."""
    endpoint = await view.call("DescribeEndpoint", EndpointName=view.argument("name"))
    wanted = []
    problem = ""
    for variant in endpoint.get("ProductionVariants", []):
        name = variant["VariantName"]
        try:
            weight, count = float(view.field(f"weight.{name}")), int(view.field(f"count.{name}"))
        except ValueError:
            problem = view.texts("Enter numbers: a weight of at least 0, and whole instances.")
            break
        wanted.append({"VariantName": name, "DesiredWeight": weight, "DesiredInstanceCount": count})
    if not problem:
        try:
            await view.call(
                "UpdateEndpointWeightsAndCapacities", EndpointName=endpoint["EndpointName"],
                DesiredWeightsAndCapacities=wanted,
            )  # fmt: skip
        except AwsError as error:
            problem = error.message
    if problem:
        return _page(view, endpoint, "variants", await _details(view, endpoint), problem=problem)
    return view.go("endpoints", endpoint["EndpointName"])


async def delete(view: View) -> Response:
    await view.call("DeleteEndpoint", EndpointName=view.argument("name"))
    response = view.go()
    response.headers["location"] = link("endpoints")
    return response
