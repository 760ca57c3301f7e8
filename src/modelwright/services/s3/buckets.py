"""S3's buckets. One account owns them all, none has versions, a policy, an ACL or a lifecycle."""

from __future__ import annotations

import base64
import binascii
from typing import Any, NoReturn

from modelwright.errors import AwsError, UnsupportedOperation
from modelwright.objects import errors
from modelwright.objects.directory import DirectoryStore
from modelwright.services.dispatch import Context, Document, operation
from modelwright.services.s3.parameters import begin, check_tags, owner, seconds

_ABSENT = {
    "Encryption": (
        "ServerSideEncryptionConfigurationNotFoundError",
        "The server side encryption configuration was not found",
    ),
    "Policy": ("NoSuchBucketPolicy", "The bucket policy does not exist"),
    "Cors": ("NoSuchCORSConfiguration", "The CORS configuration does not exist"),
    "Lifecycle": ("NoSuchLifecycleConfiguration", "The lifecycle configuration does not exist"),
    "Website": ("NoSuchWebsiteConfiguration", "The specified bucket does not have a website configuration"),
    "Replication": ("ReplicationConfigurationNotFoundError", "The replication configuration was not found"),
    "ObjectLock": ("ObjectLockConfigurationNotFoundError", "Object Lock configuration does not exist for this bucket"),
}


class Buckets:
    """Buckets and what there is to say of them."""

    def __init__(self, store: DirectoryStore) -> None:
        self._store = store

    @operation("CreateBucket")
    def create_bucket(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises InvalidBucketName, BucketAlreadyOwnedByYou (not in us-east-1), IllegalLocationConstraintException."""
        name = begin(context, "CreateBucket", parameters)
        if parameters.get("ObjectLockEnabledForBucket"):
            raise UnsupportedOperation.member(
                "CreateBucket", "ObjectLockEnabledForBucket", "Objects can't be locked: leave it out."
            )
        for member, value in (("ObjectOwnership", "BucketOwnerEnforced"), ("BucketNamespace", "global")):
            if parameters.get(member, value) != value:
                raise UnsupportedOperation.member("CreateBucket", member, f"It can only be {value}: leave it out.")
        configuration = parameters.get("CreateBucketConfiguration") or {}
        for member in ("Location", "Bucket"):
            if member in configuration:
                raise UnsupportedOperation.member(
                    "CreateBucket",
                    f"CreateBucketConfiguration.{member}",
                    "It is for directory buckets, which are not supported: leave it out.",
                )
        region = _location(context, configuration.get("LocationConstraint"))
        tags = check_tags(configuration.get("Tags") or [], limit=50)
        if not self._store.buckets.create(name, region, tags) and (
            context.region != "us-east-1" or self._store.buckets.find(name).region != "us-east-1"
        ):
            raise errors.bucket_already_owned(name)
        return {"Location": f"/{name}"}

    @operation("HeadBucket", quick=True)
    def head_bucket(self, context: Context, parameters: dict[str, Any]) -> Document:
        bucket = self._store.buckets.find(begin(context, "HeadBucket", parameters))
        return {"BucketRegion": bucket.region, "AccessPointAlias": False}

    @operation("ListBuckets")
    def list_buckets(self, context: Context, parameters: dict[str, Any]) -> Document:
        """By name; `ContinuationToken` is the base64 of the last one."""
        prefix = parameters.get("Prefix") or ""
        limit = parameters.get("MaxBuckets", 10_000)
        after = _bucket_of(parameters.get("ContinuationToken"))
        buckets = [
            bucket
            for bucket in self._store.buckets.all()
            if bucket.name.startswith(prefix)
            and bucket.name > after
            and parameters.get("BucketRegion") in (None, bucket.region)
        ]
        result: Document = {
            "Buckets": [
                {"Name": bucket.name, "CreationDate": seconds(bucket.created), "BucketRegion": bucket.region}
                for bucket in buckets[:limit]
            ],
            "Owner": owner(context),
        }
        if prefix:
            result["Prefix"] = prefix
        if len(buckets) > limit:
            result["ContinuationToken"] = base64.urlsafe_b64encode(buckets[limit - 1].name.encode()).decode()
        return result

    @operation("DeleteBucket")
    def delete_bucket(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises BucketNotEmpty."""
        self._store.buckets.delete(begin(context, "DeleteBucket", parameters))
        return {}

    @operation("GetBucketLocation", quick=True)
    def get_bucket_location(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Absent for us-east-1, as on AWS."""
        region = self._store.buckets.find(begin(context, "GetBucketLocation", parameters)).region
        return {} if region == "us-east-1" else {"LocationConstraint": region}

    # Tags

    @operation("GetBucketTagging", quick=True)
    def get_bucket_tagging(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises NoSuchTagSet."""
        name = begin(context, "GetBucketTagging", parameters)
        tags = self._store.buckets.find(name).tags
        if not tags:
            _absent(name, "NoSuchTagSet", "The TagSet does not exist")
        return {"TagSet": [{"Key": key, "Value": value} for key, value in tags.items()]}

    @operation("PutBucketTagging")
    def put_bucket_tagging(self, context: Context, parameters: dict[str, Any]) -> Document:
        name = begin(context, "PutBucketTagging", parameters)
        self._store.buckets.tag(name, check_tags(parameters["Tagging"]["TagSet"], limit=50))
        return {}

    @operation("DeleteBucketTagging")
    def delete_bucket_tagging(self, context: Context, parameters: dict[str, Any]) -> Document:
        self._store.buckets.tag(begin(context, "DeleteBucketTagging", parameters), {})
        return {}

    # What is the same for every bucket

    @operation("GetBucketVersioning", quick=True)
    def get_bucket_versioning(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Empty: versioning was never enabled."""
        return self._same(context, "GetBucketVersioning", parameters)

    @operation("GetBucketLogging", quick=True)
    def get_bucket_logging(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Empty: accesses are not logged."""
        return self._same(context, "GetBucketLogging", parameters)

    @operation("GetBucketAccelerateConfiguration", quick=True)
    def get_bucket_accelerate_configuration(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Empty: never enabled."""
        return self._same(context, "GetBucketAccelerateConfiguration", parameters)

    @operation("GetBucketRequestPayment", quick=True)
    def get_bucket_request_payment(self, context: Context, parameters: dict[str, Any]) -> Document:
        return {**self._same(context, "GetBucketRequestPayment", parameters), "Payer": "BucketOwner"}

    @operation("GetBucketAcl", quick=True)
    def get_bucket_acl(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Everything to the owner."""
        return {**self._same(context, "GetBucketAcl", parameters), **full_control(context)}

    @operation("GetBucketOwnershipControls", quick=True)
    def get_bucket_ownership_controls(self, context: Context, parameters: dict[str, Any]) -> Document:
        self._same(context, "GetBucketOwnershipControls", parameters)
        return {"OwnershipControls": {"Rules": [{"ObjectOwnership": "BucketOwnerEnforced"}]}}

    @operation("GetPublicAccessBlock", quick=True)
    def get_public_access_block(self, context: Context, parameters: dict[str, Any]) -> Document:
        """All blocked: every request must be signed."""
        self._same(context, "GetPublicAccessBlock", parameters)
        settings = ("BlockPublicAcls", "IgnorePublicAcls", "BlockPublicPolicy", "RestrictPublicBuckets")
        return {"PublicAccessBlockConfiguration": dict.fromkeys(settings, True)}

    @operation("GetBucketEncryption", quick=True)
    def get_bucket_encryption(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ServerSideEncryptionConfigurationNotFoundError: objects lie on the disk as they are."""
        self._none(context, "GetBucketEncryption", parameters, "Encryption")

    @operation("GetBucketPolicy", quick=True)
    def get_bucket_policy(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises NoSuchBucketPolicy."""
        self._none(context, "GetBucketPolicy", parameters, "Policy")

    @operation("GetBucketPolicyStatus", quick=True)
    def get_bucket_policy_status(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises NoSuchBucketPolicy."""
        self._none(context, "GetBucketPolicyStatus", parameters, "Policy")

    @operation("GetBucketCors", quick=True)
    def get_bucket_cors(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises NoSuchCORSConfiguration."""
        self._none(context, "GetBucketCors", parameters, "Cors")

    @operation("GetBucketLifecycleConfiguration", quick=True)
    def get_bucket_lifecycle_configuration(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises NoSuchLifecycleConfiguration."""
        self._none(context, "GetBucketLifecycleConfiguration", parameters, "Lifecycle")

    @operation("GetBucketWebsite", quick=True)
    def get_bucket_website(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises NoSuchWebsiteConfiguration."""
        self._none(context, "GetBucketWebsite", parameters, "Website")

    @operation("GetBucketReplication", quick=True)
    def get_bucket_replication(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ReplicationConfigurationNotFoundError."""
        self._none(context, "GetBucketReplication", parameters, "Replication")

    @operation("GetObjectLockConfiguration", quick=True)
    def get_object_lock_configuration(self, context: Context, parameters: dict[str, Any]) -> Document:
        """Raises ObjectLockConfigurationNotFoundError."""
        self._none(context, "GetObjectLockConfiguration", parameters, "ObjectLock")

    def _same(self, context: Context, name: str, parameters: dict[str, Any]) -> Document:
        self._store.buckets.find(begin(context, name, parameters))
        return {}

    def _none(self, context: Context, name: str, parameters: dict[str, Any], what: str) -> NoReturn:
        bucket = self._store.buckets.find(begin(context, name, parameters)).name
        _absent(bucket, *_ABSENT[what])


def full_control(context: Context) -> Document:
    """An ACL that gives everything to the owner and nothing to anybody else."""
    grantee = {**owner(context), "Type": "CanonicalUser"}
    return {"Owner": owner(context), "Grants": [{"Grantee": grantee, "Permission": "FULL_CONTROL"}]}


def _absent(bucket: str, code: str, text: str) -> NoReturn:
    raise AwsError(text, code=code, status=404, members={"BucketName": bucket})


def _location(context: Context, constraint: str | None) -> str:
    """The bucket's region. Raises IllegalLocationConstraintException."""
    asked = {"EU": "eu-west-1"}.get(constraint or "", constraint)
    if context.region == "us-east-1":
        return asked or "us-east-1"
    if asked != context.region:
        raise AwsError(
            f"The {constraint or 'unspecified'} location constraint is incompatible for the region specific endpoint "
            "this request was sent to.",
            code="IllegalLocationConstraintException",
        )
    return asked


def _bucket_of(token: str | None) -> str:
    if not token:
        return ""
    try:
        return base64.b64decode(token, altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        raise errors.invalid_argument(
            "The continuation token provided is incorrect", "continuation-token", token
        ) from None
