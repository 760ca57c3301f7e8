"""botocore writes, we read; we write, botocore reads: over the operations of many services and all protocols."""

import io

import pytest
from botocore.parsers import create_parser
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from modelwright.protocol import parser, router, serializer, spec
from modelwright.protocol.router import Route
from support.wire_clients import serialized
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
MANY = settings(
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


def operations(service):
    model = spec.service(service)
    models = [model.operation_model(name) for name in model.operation_names]
    return st.sampled_from(
        [
            operation
            for operation in models
            if not operation.has_event_stream_input
            and not operation.has_event_stream_output
            and not (service == "s3" and operation.deprecated)  # another operation has taken its place
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
    @MANY
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
        assert same(parsed, parameters, exact=protocol in EXACT)

    check()


@pytest.mark.parametrize(("service", "protocol"), SERVICES)
def test_what_we_write_is_what_botocore_reads(service, protocol):
    @MANY
    @given(st.data())
    def check(data):
        operation = data.draw(operations(service))
        result = data.draw(output_of(operation, protocol))
        if service == "s3" and operation.name.startswith("List"):
            result.pop("EncodingType", None)  # botocore's client decodes keys, its parser alone does not
        response = serializer.serialize(Route(service, operation.name, protocol), result, "id", strict=True)
        parsed = read_by_botocore(response, operation, protocol)
        exact = protocol in EXACT and not operation.has_streaming_output
        assert same(from_botocore(operation.output_shape, parsed), result, exact=exact)

    check()


def read_by_botocore(response, operation, protocol):
    body = response.body
    shape = operation.output_shape
    if operation.has_streaming_output:
        body = io.BytesIO(body)
    answer = {"status_code": response.status, "headers": Headers(response.headers), "body": body}
    parsed = create_parser(protocol).parse(answer, shape)
    if operation.has_streaming_output:
        member = shape.serialization["payload"]
        parsed[member] = parsed[member].read()
    assert parsed.pop("ResponseMetadata")["HTTPStatusCode"] == response.status
    return parsed


class Headers(dict):
    """Header names in lower case, as botocore's own has them."""

    def __init__(self, pairs):
        super().__init__((name.lower(), value) for name, value in pairs)

    def get(self, name, default=None):
        return super().get(name.lower(), default)

    def __contains__(self, name):
        return super().__contains__(name.lower())

    def __getitem__(self, name):
        return super().__getitem__(name.lower())
