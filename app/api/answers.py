"""Successful answers: plain dictionaries, straight to JSON."""

from collections.abc import Mapping
from typing import Any, Final

from starlette.responses import Response

from app.services.public import dump

MEDIA_TYPE: Final = "application/json"


class SecretResponse(Response):
    """An answer that shows a secret this once: it is never kept for a replay."""


def etag(version: object) -> str:
    """The entity tag of an object's version."""
    return f'"{version}"'


def answer(
    value: Mapping[str, Any],
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    tagged: bool = True,
) -> Response:
    """`value` as JSON, with its version as the ETag where it has one."""
    version = value.get("version") if tagged else None
    extra = dict(headers or {})
    if version is not None:
        extra["ETag"] = etag(version)
    return Response(dump(value), status, extra, MEDIA_TYPE)


def secret_answer(value: Mapping[str, Any], status: int) -> Response:
    """`value`, which holds a secret, as JSON."""
    return SecretResponse(dump(value), status, None, MEDIA_TYPE)
