"""Events sent by HTTP: API destinations with their connections' credentials and their rate.

Like AWS: five seconds for an answer, 2xx is success, 401, 407, 409, 429, 5xx and no answer at all are tried again (a
Retry-After is kept to), everything else is not. Unlike AWS, a destination may be plain HTTP on one's own machine.
"""

from __future__ import annotations

import base64
import json
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Mapping
from http.client import HTTPException
from typing import Any

from modelwright.arns import Arn
from modelwright.errors import AwsError
from modelwright.events.paths import MISSING, parse_path
from modelwright.lifecycles.delivery import Delivery
from modelwright.store.database import Database
from modelwright.store.event_bus import API_DESTINATION, CONNECTION
from modelwright.store.resources import find_by_arn, find_resource

TIMEOUT = 5.0
RETRYABLE = frozenset((401, 407, 409, 429))
DEFAULT_RATE = 300
"""Requests a second."""
SHOWN = 512
"""Characters of an answer that are told."""


class DeliveryFailed(AwsError):
    """The destination did not take the event."""

    def __init__(self, code: str, message: str, *, retryable: bool, after: float = 0.0) -> None:
        super().__init__(message, code=code)
        self.retryable = retryable
        self.after = after


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    """A redirect is an answer like others: credentials are not carried elsewhere."""

    def redirect_request(self, *_: Any) -> None:
        return None


class ApiDestinations:
    """Sends to them."""

    def __init__(self, *, database: Database, now: Callable[[], float]) -> None:
        self._database = database
        self._now = now
        self._opener = urllib.request.build_opener(_NoRedirects())
        self._lock = threading.Lock()
        self._free: dict[str, float] = {}
        """When a destination may be called next."""
        self._slots: dict[str, float] = {}
        """The time that was given to a delivery."""

    def deliver(self, delivery: Delivery, arn: Arn, text: str) -> float | None:
        """Send it. Returns the time at which to try, when the destination's rate does not allow it yet."""
        destination, connection = self._find(str(arn))
        wait = self._turn(delivery.stream, destination)
        if wait is not None:
            return wait
        request = make_request(destination, connection, delivery, text)
        try:
            with self._opener.open(request, timeout=TIMEOUT) as response:
                response.read(SHOWN)
        except urllib.error.HTTPError as error:
            with error:
                raise self._refusal(error) from None
        except TimeoutError:
            raise DeliveryFailed(
                "TIMEOUT", f"{request.host} gave no answer in {TIMEOUT:g} s.", retryable=True
            ) from None
        except (OSError, HTTPException) as error:
            reason = getattr(error, "reason", error)
            raise DeliveryFailed(
                "CONNECTION_FAILURE", f"{request.host} can't be reached: {reason}", retryable=True
            ) from None
        return None

    def _find(self, arn: str) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        with self._database.read() as transaction:
            found = find_by_arn(transaction, arn)
            if found is None or found[0] != API_DESTINATION:
                raise DeliveryFailed("NO_RESOURCE", f"There is no API destination {arn}.", retryable=False)
            destination = found[2]
            name = Arn.parse(destination["ConnectionArn"]).name.split("/")[0]
            connection = find_resource(transaction, CONNECTION, name)
        if connection is None or connection["ConnectionState"] != "AUTHORIZED":
            raise DeliveryFailed(
                "NO_PERMISSIONS", f"The connection {name} of {arn} is not there or not authorized.", retryable=False
            )
        return destination, connection

    def _turn(self, stream: str, destination: Mapping[str, Any]) -> float | None:
        now, arn = self._now(), destination["ApiDestinationArn"]
        with self._lock:
            slot = self._slots.get(stream)
            if slot is None:
                slot = max(now, self._free.get(arn, 0.0))
                self._free[arn] = slot + 1 / destination.get("InvocationRateLimitPerSecond", DEFAULT_RATE)
            if slot > now:
                self._slots[stream] = slot
                return slot
            self._slots.pop(stream, None)
        return None

    def _refusal(self, error: urllib.error.HTTPError) -> DeliveryFailed:
        text = error.read(SHOWN).decode("utf-8", "replace").strip()
        retryable = error.code in RETRYABLE or error.code >= 500
        after = error.headers.get("Retry-After", "")
        return DeliveryFailed(
            "ERROR_FROM_TARGET",
            f"HTTP status {error.code}" + (f": {text}" if text else ""),
            retryable=retryable,
            after=float(after) if after.isdecimal() else 0.0,
        )


def make_request(
    destination: Mapping[str, Any], connection: Mapping[str, Any], delivery: Delivery, text: str
) -> urllib.request.Request:
    """The whole request, with its credentials."""
    extra = connection["_Secret"].get("InvocationHttpParameters", {})
    own = delivery.target.get("HttpParameters", {})
    headers = {
        "Content-Type": "application/json; charset=utf-8",
        "User-Agent": "Amazon/EventBridge/ApiDestinations",
        **{name: looked_up(value, delivery) for name, value in own.get("HeaderParameters", {}).items()},
        **{each["Key"]: each["Value"] for each in extra.get("HeaderParameters", [])},
        **_authorization(connection),
    }
    url = destination["InvocationEndpoint"]
    for value in own.get("PathParameterValues", []):
        url = url.replace("*", urllib.parse.quote(looked_up(value, delivery), safe=""), 1)
    query = {name: looked_up(value, delivery) for name, value in own.get("QueryStringParameters", {}).items()}
    query |= {each["Key"]: each["Value"] for each in extra.get("QueryStringParameters", [])}
    if query:
        url += ("&" if "?" in url else "?") + urllib.parse.urlencode(query)
    body = _with_body(text, extra.get("BodyParameters", []))
    method = destination["HttpMethod"]
    data = None if method in ("GET", "HEAD", "OPTIONS") else body.encode()
    return urllib.request.Request(url, data=data, headers=headers, method=method)  # noqa: S310 - http(s) alone is stored


def _authorization(connection: Mapping[str, Any]) -> dict[str, str]:
    secret = connection["_Secret"]
    if connection["AuthorizationType"] == "API_KEY":
        key = secret["ApiKeyAuthParameters"]
        return {key["ApiKeyName"]: key["ApiKeyValue"]}
    basic = secret["BasicAuthParameters"]
    pair = f"{basic['Username']}:{basic['Password']}".encode()
    return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}


def _with_body(text: str, parameters: list[Mapping[str, Any]]) -> str:
    if not parameters:
        return text
    body = json.loads(text)
    if not isinstance(body, dict):
        raise DeliveryFailed("INVALID_JSON", "The connection's body parameters need a JSON object.", retryable=False)
    return json.dumps({**body, **{each["Key"]: each["Value"] for each in parameters}}, ensure_ascii=False)


def looked_up(value: str, delivery: Delivery) -> str:
    """A value that is a JSON path is looked up in the event."""
    if not value.startswith("$."):
        return value
    try:
        found = parse_path(value).find(delivery.event)
    except ValueError:
        return value
    if found is MISSING:
        raise DeliveryFailed("INVALID_PARAMETER", f"The event has nothing at {value}.", retryable=False)
    return found if isinstance(found, str) else json.dumps(found)
