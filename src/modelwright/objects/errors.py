"""S3's errors, by its own codes, texts and statuses; each names the value that is wrong.

The texts are those that S3 sends (clients match on some of them); what helps further stands in `members`, which S3
sends as elements beside `Code` and `Message`.
"""

from __future__ import annotations

from typing import Any

from modelwright.errors import AwsError


def no_such_bucket(bucket: str) -> AwsError:
    return _error("NoSuchBucket", "The specified bucket does not exist", 404, BucketName=bucket)


def no_such_key(key: str) -> AwsError:
    return _error("NoSuchKey", "The specified key does not exist.", 404, Key=key)


def no_such_upload(upload: str) -> AwsError:
    text = (
        "The specified upload does not exist. The upload ID may be invalid, or the upload may have been aborted or "
        "completed."
    )
    return _error("NoSuchUpload", text, 404, UploadId=upload)


def bucket_already_owned(bucket: str) -> AwsError:
    text = "Your previous request to create the named bucket succeeded and you already own it."
    return _error("BucketAlreadyOwnedByYou", text, 409, BucketName=bucket)


def bucket_not_empty(bucket: str) -> AwsError:
    return _error("BucketNotEmpty", "The bucket you tried to delete is not empty", 409, BucketName=bucket)


def invalid_bucket_name(bucket: str) -> AwsError:
    return _error("InvalidBucketName", "The specified bucket is not valid.", 400, BucketName=bucket)


def key_too_long(size: int) -> AwsError:
    return _error("KeyTooLongError", "Your key is too long", 400, Size=str(size), MaxSizeAllowed="1024")


def precondition_failed(condition: str) -> AwsError:
    text = "At least one of the pre-conditions you specified did not hold"
    return _error("PreconditionFailed", text, 412, Condition=condition)


def not_modified(headers: dict[str, str]) -> AwsError:
    return AwsError("Not Modified", code="NotModified", status=304, members={"_headers": headers})


def invalid_range(asked: str, size: int) -> AwsError:
    text = "The requested range is not satisfiable"
    return _error("InvalidRange", text, 416, RangeRequested=asked, ActualObjectSize=str(size))


def invalid_part_number(asked: int, parts: int) -> AwsError:
    text = "The requested partnumber is not satisfiable"
    return _error("InvalidPartNumber", text, 416, PartNumberRequested=str(asked), ActualPartCount=str(parts))


def bad_digest(name: str, expected: str, computed: str) -> AwsError:
    if name == "Content-MD5":
        text = "The Content-MD5 you specified did not match what we received."
    else:
        text = f"The {name} you specified did not match the calculated checksum."
    return _error("BadDigest", text, 400, ExpectedDigest=expected, CalculatedDigest=computed)


def invalid_digest(name: str, value: str) -> AwsError:
    if name == "Content-MD5":
        return _error("InvalidDigest", "The Content-MD5 you specified was invalid.", 400, **{"Content-MD5": value})
    return _error("InvalidRequest", f"Value for {name} header is invalid.", 400, Value=value)


def sha256_mismatch(expected: str, computed: str) -> AwsError:
    text = "The provided 'x-amz-content-sha256' header does not match what was computed."
    members = {"ClientComputedContentSHA256": expected, "S3ComputedContentSHA256": computed}
    return _error("XAmzContentSHA256Mismatch", text, 400, **members)


def incomplete_body(expected: int, received: int) -> AwsError:
    text = "You did not provide the number of bytes specified by the Content-Length HTTP header"
    return _error("IncompleteBody", text, 400, NumberBytesExpected=str(expected), NumberBytesProvided=str(received))


def entity_too_large(size: int, limit: int) -> AwsError:
    text = "Your proposed upload exceeds the maximum allowed size"
    return _error("EntityTooLarge", text, 400, ProposedSize=str(size), MaxSizeAllowed=str(limit))


def entity_too_small(number: int, size: int, limit: int, etag: str) -> AwsError:
    text = "Your proposed upload is smaller than the minimum allowed size"
    members = {"ProposedSize": str(size), "MinSizeAllowed": str(limit), "PartNumber": str(number), "ETag": etag}
    return _error("EntityTooSmall", text, 400, **members)


def invalid_part(upload: str, number: int, etag: str) -> AwsError:
    text = (
        "One or more of the specified parts could not be found.  The part may not have been uploaded, or the specified "
        "entity tag may not match the part's entity tag."
    )
    return _error("InvalidPart", text, 400, UploadId=upload, PartNumber=str(number), ETag=etag)


def invalid_part_order(upload: str) -> AwsError:
    text = "The list of parts was not in ascending order. The parts list must be specified in order by part number."
    return _error("InvalidPartOrder", text, 400, UploadId=upload)


def disk_full(folder: str) -> AwsError:
    text = f"The disk that holds {folder} is full: delete objects, or free some space, and try again."
    return _error("InsufficientStorage", text, 507)


def invalid_request(text: str) -> AwsError:
    return _error("InvalidRequest", text, 400)


def invalid_argument(text: str, name: str, value: str) -> AwsError:
    return _error("InvalidArgument", text, 400, ArgumentName=name, ArgumentValue=value)


def malformed_xml() -> AwsError:
    text = "The XML you provided was not well-formed or did not validate against our published schema"
    return _error("MalformedXML", text, 400)


def _error(code: str, text: str, status: int, **members: Any) -> AwsError:
    return AwsError(text, code=code, status=status, members=members)
