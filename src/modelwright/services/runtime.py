"""SageMaker Runtime: invocations of real-time endpoints."""

from __future__ import annotations

from typing import Any

from modelwright.arns import Arn
from modelwright.errors import AwsError
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, refused
from modelwright.serving.router import (
    Answer,
    Broken,
    Late,
    NoContainer,
    NoEndpoint,
    NoReplica,
    NoVariant,
    Router,
    StreamedAnswer,
)

BODY_LIMIT = 25 << 20
"""Bytes of a request that real-time endpoints take (page "Inference options")."""
MESSAGE_LIMIT = 2048
"""Characters of a container's error that are passed on."""

MEMBERS: Table = {
    "EndpointName": HONOURED,
    "Body": HONOURED,
    "ContentType": HONOURED,
    "Accept": HONOURED,
    "CustomAttributes": HONOURED,
    "TargetModel": refused("Multi-model endpoints are not supported: leave it out."),
    "TargetVariant": HONOURED,
    "TargetContainerHostname": HONOURED,
    "InferenceId": HONOURED,
    "EnableExplanations": refused("Explanations by Clarify are not supported: leave it out."),
    "InferenceComponentName": refused("Inference components are not supported: leave it out."),
    "SessionId": refused("Stateful sessions are not supported: leave it out."),
    "PrefixAwareId": refused("Requests go to the instance with the fewest outstanding ones: leave it out."),
}


STREAM_MEMBERS: Table = {
    name: rule for name, rule in MEMBERS.items() if name not in ("TargetModel", "EnableExplanations")
}


class Runtime:
    """InvokeEndpoint, whole and streamed."""

    def __init__(self, router: Router) -> None:
        self._router = router

    @operation("InvokeEndpoint", members=MEMBERS)
    async def invoke(self, context: Context, parameters: dict[str, Any]) -> Document:
        """The model's answer. Raises ValidationError, ServiceUnavailable, and ModelError for the container's own."""
        try:
            answer = await self._router.invoke(
                *_asked(parameters), inference=parameters.get("InferenceId", ""), began=context.received
            )
        except _FAILURES as error:
            raise _failure(context, parameters, error) from None
        if not 200 <= answer.status < 300:
            raise _refusal(context, parameters, answer)
        return {"Body": answer.body, **_told(answer)}

    @operation("InvokeEndpointWithResponseStream", members=STREAM_MEMBERS)
    async def invoke_with_response_stream(self, context: Context, parameters: dict[str, Any]) -> Document:
        """The model's answer as it comes. Errors before its beginning are those of InvokeEndpoint."""
        try:
            answer = await self._router.stream(
                *_asked(parameters), inference=parameters.get("InferenceId", ""), began=context.received
            )
        except _FAILURES as error:
            raise _failure(context, parameters, error) from None
        if isinstance(answer, StreamedAnswer):
            return {"Body": _Events(answer), **_told(answer)}
        raise _refusal(context, parameters, answer)


class _Events:
    """A streamed answer as the operation's events."""

    def __init__(self, answer: StreamedAnswer) -> None:
        self._answer = answer
        self._ended = False

    def __aiter__(self) -> _Events:
        return self

    async def __anext__(self) -> Document:
        if self._ended:
            raise StopAsyncIteration
        try:
            return {"PayloadPart": {"Bytes": await anext(self._answer)}}
        except TimeoutError:
            return self._error("ModelInvocationTimeExceeded", "The model did not finish its answer in time.")
        except Broken as error:
            return self._error("StreamBroken", f"The connection to the model was lost: {error}")

    def _error(self, code: str, message: str) -> Document:
        self._ended = True
        return {"ModelStreamError": {"ErrorCode": code, "Message": message}}

    async def aclose(self) -> None:
        await self._answer.aclose()


def _asked(parameters: Document) -> tuple[str, str | None, dict[str, str], bytes, str | None]:
    """What the router wants to know. A body that is too large is refused before it gets there."""
    if len(parameters["Body"]) > BODY_LIMIT:  # AWS's front says it: the code is the status
        raise AwsError(f"HTTP content length exceeded {BODY_LIMIT} bytes.", code="413", status=413)
    return (
        parameters["EndpointName"],
        parameters.get("TargetVariant"),
        _headers(parameters),
        parameters["Body"],
        parameters.get("TargetContainerHostname"),
    )


_FAILURES = (NoEndpoint, NoVariant, NoContainer, NoReplica, TimeoutError, Broken)


def _failure(context: Context, parameters: Document, error: Exception) -> AwsError:
    """The router's error as AWS's."""
    name = parameters["EndpointName"]
    match error:
        case NoEndpoint():
            return AwsError(f"Endpoint {name} of account {context.account} not found.", code="ValidationError")
        case NoVariant():
            text = f"Variant {parameters['TargetVariant']} not found for endpoint {name}; it has {error}."
            return AwsError(text, code="ValidationError")
        case NoContainer():
            return AwsError(f"Endpoint {name}: {error}.", code="ValidationError")
        case NoReplica():
            text = (
                f"No instance of endpoint {name} takes requests at this moment; its log group "
                f"/aws/sagemaker/Endpoints/{name} says why."
            )
            return AwsError(text, code="ServiceUnavailable", status=503)
        case Broken():
            text = f"The container gave no proper answer: {error}"
            return _model_error(context, name, 0, text, error.container)
    container = error.container if isinstance(error, Late) else "primary"
    text = (
        f"Your invocation timed out while waiting for a response from container {container}. Review the latency "
        "of the container, resolve the issue, and try again."
    )
    return _model_error(context, name, 0, text, container)


def _refusal(context: Context, parameters: Document, answer: Answer) -> AwsError:
    """The error for an answer that says no."""
    text = answer.body.decode("utf-8", "replace")[:MESSAGE_LIMIT]
    return _model_error(context, parameters["EndpointName"], answer.status, text, answer.container)


def _headers(parameters: Document) -> dict[str, str]:
    headers = {"Content-Type": parameters.get("ContentType", "application/octet-stream")}
    for member, name in (("Accept", "Accept"), ("CustomAttributes", "X-Amzn-SageMaker-Custom-Attributes")):
        if member in parameters:
            headers[name] = parameters[member]
    return headers


def _told(answer: Answer | StreamedAnswer) -> Document:
    result: Document = {"InvokedProductionVariant": answer.variant}
    for member, name in (("ContentType", "content-type"), ("CustomAttributes", "x-amzn-sagemaker-custom-attributes")):
        if name in answer.headers:
            result[member] = answer.headers[name]
    return result


def _model_error(context: Context, endpoint: str, status: int, text: str, container: str) -> AwsError:
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    whose = "client" if 400 <= status < 500 else "server"
    return AwsError(
        f'Received {whose} error ({status}) from {container} with message "{text}". '
        f"See the log group {group} in account {context.account} for more information.",
        code="ModelError",
        status=424,
        members={
            "OriginalStatusCode": status,
            "OriginalMessage": text,
            "LogStreamArn": str(Arn("logs", context.region, context.account, f"log-group:{group}")),
        },
    )
