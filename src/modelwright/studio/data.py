"""Data: buckets, folders, previews; upload of files and folders, download, delete."""

from __future__ import annotations

import csv
import io
import json
import mimetypes
from collections.abc import AsyncGenerator, AsyncIterator
from typing import Any

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, Response, StreamingResponse

from modelwright.errors import AwsError
from modelwright.services.dispatch import Document
from modelwright.studio.live import folder_stream
from modelwright.studio.view import Route, View, link

PER_PAGE = 200
_PREVIEW_BYTES = 256 << 10
_PREVIEW_ROWS = 100
_PIECE = 1 << 20
_IMAGES = {"image/png", "image/jpeg", "image/gif", "image/webp", "image/bmp", "image/svg+xml"}
_ALONE = "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; sandbox"
"""The policy of what users have uploaded: whatever it is, it runs nothing and knows nobody."""


def routes() -> list[Route]:
    return [
        ("/data", ("GET", "POST"), buckets),
        ("/data/{bucket}", ("GET", "POST"), folder),
        ("/data/{bucket}/object", ("GET",), one),
        ("/data/{bucket}/raw", ("GET",), raw),
        ("/data/{bucket}/upload", ("PUT",), upload),
        ("/data/{bucket}/delete", ("POST",), delete),
        ("/s3", ("GET",), by_uri),
    ]


def split_uri(uri: str) -> tuple[str, str] | None:
    """(bucket, key) of `s3://bucket/key`."""
    if not uri.startswith("s3://"):
        return None
    bucket, _, key = uri.removeprefix("s3://").partition("/")
    return bucket, key


async def pieces(body: bytes | AsyncIterator[bytes]) -> AsyncGenerator[bytes, None]:
    """An object's bytes: a small object's come at once."""
    if isinstance(body, bytes):
        yield body
        return
    try:
        async for piece in body:
            yield piece
    finally:
        close = getattr(body, "aclose", None)  # it holds a file
        if close is not None:
            await close()


async def by_uri(view: View) -> Response:
    """The page of an S3 address: an object's, else the folder's."""
    place = split_uri(view.argument("uri"))
    if place is None:
        raise HTTPException(404)
    bucket, key = place
    if key and not key.endswith("/"):
        if await view.find("HeadObject", "s3", Bucket=bucket, Key=key) is not None:
            return view.go("data", bucket, "object", key=key)
        key += "/"
    return view.go("data", bucket, **({"prefix": key} if key else {}))


async def buckets(view: View) -> Response:
    """All buckets; the form makes one more."""
    name = view.field("name").strip()
    problem = ""
    if view.request.method == "POST":
        region = view.place.region
        configuration = None if region == "us-east-1" else {"LocationConstraint": region}
        try:
            await view.call("CreateBucket", "s3", Bucket=name, CreateBucketConfiguration=configuration)
        except AwsError as error:
            problem = error.message
        else:
            return view.go("data", name)
    found = await view.call("ListBuckets", "s3")
    return view.page(
        "buckets.html", http_status=400 if problem else 200, buckets=found["Buckets"], name=name, problem=problem
    )


async def folder(view: View) -> Response:
    """One level of a bucket; the form uploads into it (for browsers without script)."""
    bucket, prefix = view.argument("bucket"), view.argument("prefix")
    if view.request.method == "POST":
        prefix = view.field("prefix")
        for file in view.form.getlist("files"):
            if isinstance(file, UploadFile) and file.filename:
                await _put(view, bucket, prefix + file.filename, _read(file), file.size, file.content_type)
        return view.go("data", bucket, **({"prefix": prefix} if prefix else {}))
    search = view.argument("search").strip()
    found = await view.call(
        "ListObjectsV2",
        "s3",
        Bucket=bucket,
        Prefix=prefix + search,
        Delimiter="/",
        MaxKeys=PER_PAGE,
        ContinuationToken=view.argument("page") or None,
    )
    return view.page(
        "bucket.html",
        bucket=bucket,
        prefix=prefix,
        crumbs=crumbs(bucket, prefix),
        folders=[each["Prefix"] for each in found.get("CommonPrefixes", [])],
        objects=[each for each in found.get("Contents", []) if each["Key"] != prefix],
        next=found.get("NextContinuationToken"),
        search=search,
        live=link("live", watch=folder_stream(bucket, prefix)),
    )


def crumbs(bucket: str, prefix: str) -> list[tuple[str, str]]:
    """(name, address) of every folder on the way."""
    found, path = [(bucket, link("data", bucket))], ""
    for part in prefix.split("/"):
        if part:
            path += f"{part}/"
            found.append((part, link("data", bucket, prefix=path)))
    return found


async def one(view: View) -> Response:
    """An object: what is known of it, and a preview."""
    bucket, key = view.argument("bucket"), view.argument("key")
    head = await view.call("HeadObject", "s3", Bucket=bucket, Key=key)
    preview = await _preview(view, bucket, key, head)
    folder_of = key.rpartition("/")[0]
    return view.page(
        "object.html",
        bucket=bucket,
        key=key,
        title=key.rpartition("/")[2],
        crumbs=crumbs(bucket, f"{folder_of}/" if folder_of else ""),
        head=head,
        prefix=f"{folder_of}/" if folder_of else "",
        **preview,
    )


async def _preview(view: View, bucket: str, key: str, head: Document) -> Document:
    """`kind` says how it can be shown: image, table, json, text or none."""
    nothing: Document = {"kind": "none", "text": "", "rows": [], "cut": False}
    media = _media(key, head)
    if media in _IMAGES:
        return {**nothing, "kind": "image"}
    if not head["ContentLength"]:
        return {**nothing, "kind": "text"}
    end = min(_PREVIEW_BYTES, head["ContentLength"]) - 1
    found = await view.call("GetObject", "s3", Bucket=bucket, Key=key, Range=f"bytes=0-{end}")
    content = b"".join([piece async for piece in pieces(found["Body"])])
    cut = head["ContentLength"] > len(content)
    if b"\0" in content:
        return nothing
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        if not cut or error.start < len(content) - 4:
            return nothing
        text = content[: error.start].decode()
    if (media == "application/json" or key.endswith((".json", ".ipynb"))) and not cut:
        try:
            return {**nothing, "kind": "json", "text": json.dumps(json.loads(text), indent=2, ensure_ascii=False)}
        except ValueError:
            pass
    if media in ("text/csv", "text/tab-separated-values"):
        delimiter = "\t" if media != "text/csv" else ","
        rows = list(csv.reader(io.StringIO(text), delimiter=delimiter))[: _PREVIEW_ROWS + 1]
        return {**nothing, "kind": "table", "rows": rows, "cut": cut or len(rows) > _PREVIEW_ROWS}
    return {**nothing, "kind": "text", "text": text, "cut": cut}


def _media(key: str, head: Document) -> str:
    """Its name says it better than the type that most clients send."""
    guessed = mimetypes.guess_type(key)[0]
    return guessed or str(head.get("ContentType", "")).partition(";")[0]


async def raw(view: View) -> Response:
    """The bytes: shown when they are an image, else downloaded."""
    bucket, key = view.argument("bucket"), view.argument("key")
    found = await view.call("GetObject", "s3", Bucket=bucket, Key=key)
    media = _media(key, found)
    headers = {"Content-Length": str(found["ContentLength"]), "Content-Security-Policy": _ALONE}
    if view.argument("download") or media not in _IMAGES:
        media = "application/octet-stream"
        name = key.rpartition("/")[2].encode("ascii", "replace").decode().replace('"', "'").replace("\\", "_")
        headers["Content-Disposition"] = f'attachment; filename="{"".join(c for c in name if c.isprintable())}"'
    return StreamingResponse(pieces(found["Body"]), media_type=media, headers=headers)


async def upload(view: View) -> Response:
    """One file, streamed: what the page's script sends for each file of a folder."""
    length = view.request.headers.get("content-length", "")
    try:
        await _put(
            view,
            view.argument("bucket"),
            view.argument("key"),
            view.request.stream(),
            int(length) if length.isdigit() else None,
            view.request.headers.get("content-type"),
        )
    except AwsError as error:
        return JSONResponse({"message": error.message}, error.status)
    return JSONResponse({})


async def _put(
    view: View, bucket: str, key: str, body: AsyncIterator[bytes], length: int | None, media: str | None
) -> None:
    guessed = mimetypes.guess_type(key)[0] or media or None
    await view.call("PutObject", "s3", Bucket=bucket, Key=key, Body=body, ContentLength=length, ContentType=guessed)


async def _read(file: UploadFile) -> AsyncIterator[bytes]:
    while piece := await file.read(_PIECE):
        yield piece


async def delete(view: View) -> Response:
    """Objects, and folders with all that is in them."""
    bucket, prefix = view.argument("bucket"), view.field("prefix")
    keys = [str(key) for key in view.form.getlist("key")]
    for each in view.form.getlist("folder"):
        keys += [key async for key in _all_keys(view, bucket, str(each))]
    for start in range(0, len(keys), 1000):
        objects: list[dict[str, Any]] = [{"Key": key} for key in keys[start : start + 1000]]
        await view.call("DeleteObjects", "s3", Bucket=bucket, Delete={"Objects": objects, "Quiet": True})
    return view.go("data", bucket, **({"prefix": prefix} if prefix else {}))


async def _all_keys(view: View, bucket: str, prefix: str) -> AsyncIterator[str]:
    token = None
    while True:
        found = await view.call("ListObjectsV2", "s3", Bucket=bucket, Prefix=prefix, ContinuationToken=token)
        for each in found.get("Contents", []):
            yield each["Key"]
        token = found.get("NextContinuationToken")
        if token is None:
            return
