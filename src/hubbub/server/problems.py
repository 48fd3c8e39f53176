"""Every error of the HTTP API as ``application/problem+json`` (RFC 9457)."""

from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from hubbub import ErrorCode, HubbubError

MEDIA_TYPE = "application/problem+json"

STATUS: Mapping[ErrorCode, HTTPStatus] = {
    ErrorCode.BAD_REQUEST: HTTPStatus.BAD_REQUEST,
    ErrorCode.UNKNOWN_TYPE: HTTPStatus.BAD_REQUEST,
    ErrorCode.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    ErrorCode.FORBIDDEN: HTTPStatus.FORBIDDEN,
    ErrorCode.UNKNOWN_CHANNEL: HTTPStatus.NOT_FOUND,
    ErrorCode.NOT_SUBSCRIBED: HTTPStatus.FORBIDDEN,
    ErrorCode.NOT_AVAILABLE: HTTPStatus.CONFLICT,
    ErrorCode.NOT_FOUND: HTTPStatus.NOT_FOUND,
    ErrorCode.CONFLICT: HTTPStatus.CONFLICT,
    ErrorCode.INVALID_PARAMS: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.UNKNOWN_EVENT: HTTPStatus.UNPROCESSABLE_ENTITY,
    ErrorCode.TOO_LARGE: HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
    ErrorCode.LIMIT_EXCEEDED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.RATE_LIMITED: HTTPStatus.TOO_MANY_REQUESTS,
    ErrorCode.TIMEOUT: HTTPStatus.GATEWAY_TIMEOUT,
    ErrorCode.UNAVAILABLE: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.UNCERTAIN: HTTPStatus.SERVICE_UNAVAILABLE,
    ErrorCode.INTERNAL: HTTPStatus.INTERNAL_SERVER_ERROR,
}

RETRY_AFTER = {HTTPStatus.SERVICE_UNAVAILABLE: "1", HTTPStatus.TOO_MANY_REQUESTS: "1"}


class FieldProblem(BaseModel):
    """One field that is wrong."""

    field: str
    message: str


class Problem(BaseModel):
    """What went wrong (RFC 9457)."""

    type: str = "about:blank"
    title: str
    status: int
    detail: str
    errors: list[FieldProblem] | None = None


RESPONSES: dict[int | str, dict[str, Any]] = {
    "default": {
        "description": "Refused, or failed",
        "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
    }
}
"""How the API document describes errors."""

_SCHEMA = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
PROBLEM_SCHEMAS = {**_SCHEMA.pop("$defs"), "Problem": _SCHEMA}


def add_problems(app: FastAPI) -> None:
    """Answer every error of an application with a problem document."""
    app.add_exception_handler(HTTPException, of_http)
    app.add_exception_handler(RequestValidationError, of_validation)
    app.add_exception_handler(HubbubError, of_hubbub)
    app.add_exception_handler(Exception, of_fault)
    document = app.openapi

    def openapi() -> dict[str, Any]:
        schemas = document().setdefault("components", {}).setdefault("schemas", {})
        schemas.update(PROBLEM_SCHEMAS)
        return document()

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's documented way to extend it


def problem(
    status: int,
    detail: str,
    *,
    kind: str = "about:blank",
    title: str | None = None,
    errors: Sequence[FieldProblem] | None = None,
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Write a problem document."""
    document = Problem(
        type=kind,
        title=title or HTTPStatus(status).phrase,
        status=status,
        detail=detail,
        errors=None if errors is None else list(errors),
    )
    return JSONResponse(
        document.model_dump(exclude_none=True), status, headers=headers, media_type=MEDIA_TYPE
    )


def of_http(request: Request, error: Exception) -> Response:
    """Answer for Starlette and FastAPI: no such path, no such method, not signed in."""
    assert isinstance(error, HTTPException)  # noqa: S101 (what it is registered for)
    detail = error.detail
    if error.status_code in {404, 405} and detail == HTTPStatus(error.status_code).phrase:
        detail = (
            f"There is nothing at {request.url.path}; /docs lists what there is."
            if error.status_code == 404
            else f"{request.url.path} does not take {request.method}."
        )
    return problem(error.status_code, str(detail), headers=error.headers)


def of_validation(request: Request, error: Exception) -> Response:
    """Answer for a request that is not what the route expects."""
    assert isinstance(error, RequestValidationError)  # noqa: S101 (what it is registered for)
    wrong = [
        FieldProblem(field=_name(details["loc"]), message=_message(details)) for details in error.errors()
    ]
    detail = "; ".join(f"{one.field}: {one.message}" for one in wrong)
    return problem(422, detail, errors=wrong)


def of_hubbub(request: Request, error: Exception) -> Response:
    """Answer for a refusal of the hub, or for a publication that the broker did not take."""
    document = described(error)
    status = HTTPStatus(document.status)
    headers = {"Retry-After": RETRY_AFTER[status]} if status in RETRY_AFTER else None
    return problem(status, document.detail, kind=document.type, title=document.title, headers=headers)


def described(error: Exception) -> Problem:
    """Describe an error of the hub; one that is none of its client's, nor of the broker's, is raised."""
    code = getattr(error, "code", ErrorCode.INTERNAL)
    status = STATUS[code]
    if status == HTTPStatus.INTERNAL_SERVER_ERROR:
        raise error
    return Problem(
        type=f"urn:hubbub:error:{code.value}", title=_title(code), status=status, detail=str(error)
    )


def of_fault(request: Request, error: Exception) -> Response:
    """Answer for a fault of the server: what it was stands in its log, where uvicorn writes it."""
    return problem(500, "Something went wrong on the server; its log says what.")


def _title(code: ErrorCode) -> str:
    return str(code.value).replace("_", " ").capitalize()


def _message(details: Mapping[str, Any]) -> str:
    if details["type"] == "json_invalid":
        return f"not JSON: {details['ctx']['error']}, at character {details['loc'][-1]}"
    return str(details["msg"]).removeprefix("Value error, ")


def _name(place: Sequence[str | int]) -> str:
    """Name a field as its sender knows it: without the `body` around it, which stands for a body as a whole."""
    where, *inside = [str(part) for part in place]
    # What is not JSON has no fields: a number here is the character at which it is wrong.
    return ".".join(inside) if inside and not inside[0].isdecimal() else where
