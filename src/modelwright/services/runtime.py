"""SageMaker Runtime: invocations of real-time endpoints."""

from __future__ import annotations

from typing import Any

from modelwright.arns import Arn
from modelwright.errors import AwsError
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.members import HONOURED, Table, recorded, refused
from modelwright.serving.router import Answer, Broken, NoEndpoint, NoReplica, NoVariant, Router

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
    "TargetContainerHostname": refused("Endpoints have one container here: leave it out."),
    "InferenceId": recorded("It would be written beside captured data, and nothing is captured."),
    "EnableExplanations": refused("Explanations by Clarify are not supported: leave it out."),
    "InferenceComponentName": refused("Inference components are not supported: leave it out."),
    "SessionId": refused("Stateful sessions are not supported: leave it out."),
    "PrefixAwareId": refused("Requests go to the instance with the fewest outstanding ones: leave it out."),
}


class Runtime:
    """InvokeEndpoint."""

    def __init__(self, router: Router) -> None:
        self._router = router

    @operation("InvokeEndpoint", members=MEMBERS)
    async def invoke(self, context: Context, parameters: dict[str, Any]) -> Document:
        """The model's answer. Raises ValidationError, ServiceUnavailable, and ModelError for the container's own."""
        name = parameters["EndpointName"]
        try:
            answer = await self._router.invoke(
                name, parameters.get("TargetVariant"), _headers(parameters), parameters["Body"]
            )
        except NoEndpoint:
            raise AwsError(f"Endpoint {name} of account {context.account} not found.", code="ValidationError") from None
        except NoVariant as error:
            raise AwsError(
                f"Variant {parameters['TargetVariant']} not found for endpoint {name}; it has {error}.",
                code="ValidationError",
            ) from None
        except NoReplica:
            raise AwsError(
                f"No instance of endpoint {name} takes requests at this moment; its log group "
                f"/aws/sagemaker/Endpoints/{name} says why.",
                code="ServiceUnavailable",
                status=503,
            ) from None
        except TimeoutError:
            text = (
                "Your invocation timed out while waiting for a response from container primary. Review the latency "
                "of the container, resolve the issue, and try again."
            )
            raise _model_error(context, name, 0, text) from None
        except Broken as error:
            raise _model_error(context, name, 0, f"The container gave no proper answer: {error}") from None
        if not 200 <= answer.status < 300:
            text = answer.body.decode("utf-8", "replace")[:MESSAGE_LIMIT]
            raise _model_error(context, name, answer.status, text)
        return _result(answer)


def _headers(parameters: Document) -> dict[str, str]:
    headers = {"Content-Type": parameters.get("ContentType", "application/octet-stream")}
    for member, name in (("Accept", "Accept"), ("CustomAttributes", "X-Amzn-SageMaker-Custom-Attributes")):
        if member in parameters:
            headers[name] = parameters[member]
    return headers


def _result(answer: Answer) -> Document:
    result: Document = {"Body": answer.body, "InvokedProductionVariant": answer.variant}
    for member, name in (("ContentType", "Content-Type"), ("CustomAttributes", "X-Amzn-SageMaker-Custom-Attributes")):
        if name in answer.headers:
            result[member] = answer.headers[name]
    return result


def _model_error(context: Context, endpoint: str, status: int, text: str) -> AwsError:
    group = f"/aws/sagemaker/Endpoints/{endpoint}"
    whose = "client" if 400 <= status < 500 else "server"
    return AwsError(
        f'Received {whose} error ({status}) from primary with message "{text}". '
        f"See the log group {group} in account {context.account} for more information.",
        code="ModelError",
        status=424,
        members={
            "OriginalStatusCode": status,
            "OriginalMessage": text,
            "LogStreamArn": str(Arn("logs", context.region, context.account, f"log-group:{group}")),
        },
    )
