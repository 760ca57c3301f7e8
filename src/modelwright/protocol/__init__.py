"""The AWS wire: bytes -> operation and parameters -> bytes. Pure: no socket, clock, thread or event loop.

A request goes through in this order; each module's head says what it promises:

    request = Request(method, path, query, headers, body)       messages
    route = router.route(request)                               router      -> Route(service, operation, ...)
    verified = sigv4.verify(request, keys=..., now=...)         sigv4       -> who signed, and how the body is protected
    parameters = parser.parse(route, request)                   parser      -> AWS-shaped dict
    validation.validate(service, operation, parameters)         validation  (the Dispatcher calls it)
    response = serializer.serialize(route, result, request_id)  serializer  -> Response(status, headers, body)

All of them are driven by botocore's service models, which `spec` loads and indexes.
"""
