"""botocore writes, we read; we write, botocore reads: over the operations of many services and all protocols."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelwright.protocol import parser, router, serializer, spec
from modelwright.protocol.router import Route
from support.wire_clients import read_by_botocore, serialized
from support.wire_shapes import for_botocore, from_botocore, input_of, output_of, same

SERVICES = [
    ("sagemaker", "json"),
    ("s3", "rest-xml"),
    ("sts", "query"),
    ("iam", "query"),
    ("logs", "json"),
    ("ecr", "json"),
    ("sagemaker-runtime", "rest-json"),
    ("sagemaker-metrics", "rest-json"),
    ("scheduler", "rest-json"),
    ("lambda", "rest-json"),
    ("events", "json"),
    ("cloudformation", "query"),
    ("codepipeline", "json"),
    ("codebuild", "json"),
    ("codecommit", "json"),
    ("sqs", "json"),
    ("cloudwatch", "smithy-rpc-v2-cbor"),
    ("cloudwatch", "json"),
    ("cloudwatch", "query"),
    ("route53", "rest-xml"),
    ("cloudfront", "rest-xml"),
    ("s3control", "rest-xml"),
    ("apigateway", "rest-json"),
    ("dynamodb", "json"),
    ("rds", "query"),
    ("sns", "query"),
]
EXACT = ("json", "rest-json", "smithy-rpc-v2-cbor")
OURS = {"sagemaker", "s3", "sts", "iam", "logs", "ecr", "sagemaker-runtime"}


def many(service):
    """Settings: more examples of the services that Modelwright has."""
    return settings(
        max_examples=100 if service in OURS else 30,
        deadline=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


ODD = {
    "GetBucketLocation",  # botocore reads it beside its parser; test_serializer has it
    "ListDirectoryBuckets",  # told apart by s3express's host name
}


def operations(service):
    model = spec.service(service)
    models = [model.operation_model(name) for name in model.operation_names]
    return st.sampled_from(
        [
            operation
            for operation in models
            if not operation.has_event_stream_input
            and not operation.has_event_stream_output
            and not (service == "s3" and (operation.deprecated or operation.name in ODD))
        ]
    )


def route_to(operation, protocol, request):
    service = operation.service_model.service_name
    if protocol not in spec.REST:
        return Route(service, operation.name, protocol)
    if service == "s3":
        return router.route(request)
    return router._by_path(request, [spec.head(service)])


@pytest.mark.parametrize(("service", "protocol"), SERVICES)
def test_what_botocore_writes_is_what_we_read(service, protocol):
    @many(service)
    @given(st.data())
    def check(data):
        operation = data.draw(operations(service))
        parameters = data.draw(input_of(operation, protocol))
        request = serialized(service, operation.name, for_botocore(operation.input_shape, parameters), protocol)
        route = route_to(operation, protocol, request)
        assert route.operation == operation.name
        parsed = parser.parse(route, request)
        payload = operation.input_shape.serialization.get("payload") if operation.input_shape is not None else None
        if payload is not None:  # an empty body may be an empty blob or none
            parsed, parameters = (
                {k: v for k, v in one.items() if (k, v) != (payload, b"")} for one in (parsed, parameters)
            )
        if service == "s3":
            parsed.pop("ContentLength", None)  # which HTTP itself says too
            parameters.pop("ContentLength", None)
        assert same(parsed, parameters, exact=protocol in EXACT)

    check()


@pytest.mark.parametrize(("service", "protocol"), SERVICES)
def test_what_we_write_is_what_botocore_reads(service, protocol):
    @many(service)
    @given(st.data())
    def check(data):
        operation = data.draw(operations(service))
        result = data.draw(output_of(operation, protocol))
        if service == "s3" and operation.name.startswith("List"):
            result.pop("EncodingType", None)  # botocore's client decodes keys, its parser alone does not
        response = serializer.serialize(Route(service, operation.name, protocol), result, "id")
        parsed = read_by_botocore(response, operation, protocol)
        for name, member in operation.output_shape.members.items() if operation.output_shape is not None else ():
            if member.serialization.get("location") == "statusCode" and name not in result:
                parsed.pop(name)  # there always is a status
        exact = protocol in EXACT and not operation.has_streaming_output
        assert same(from_botocore(operation.output_shape, parsed), result, exact=exact)

    check()
