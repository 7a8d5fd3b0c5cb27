"""Problem responses, and routes whose bodies are strict JSON."""

from __future__ import annotations

import logging
from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException

from webapp.parsing import parse_json, request_problem
from webapp.problems import PROBLEM_JSON, BadRequest, MethodNotAllowed, NotFound, Problem
from webapp.schemas.resources import ProblemDocument

log = logging.getLogger(__name__)


class ProblemResponse(JSONResponse):
    """Response with a problem document of RFC 9457."""

    media_type = PROBLEM_JSON


def problem_response(problem: Problem) -> ProblemResponse:
    """Return the response for a problem."""
    return ProblemResponse(problem.document(), status_code=problem.status, headers=problem.headers)


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the OpenAPI `responses` of a route for these statuses and for those of every route."""
    titles = {problem.status: problem.title for problem in _all_problems(Problem)}
    return {
        status: {
            "description": titles[status],
            "content": {PROBLEM_JSON: {"schema": {"$ref": f"#/components/schemas/{ProblemDocument.__name__}"}}},
        }
        for status in sorted({400, 403, 422, 503, *statuses})
    }


def _all_problems(base: type[Problem]) -> list[type[Problem]]:
    return [base, *(deeper for child in base.__subclasses__() for deeper in _all_problems(child))]


class StrictRequest(Request):
    """Request whose JSON is parsed by `parse_json`."""

    async def json(self) -> Any:
        """Return the value of the body, or raise Invalid."""
        if not hasattr(self, "_strict"):
            self._strict = parse_json(await self.body())
        return self._strict


class StrictRoute(APIRoute):
    """Route whose body is strict JSON; errors are problems that name the field."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler, preceded by parsing the body: FastAPI would turn a parse error into its own 400."""
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            request = StrictRequest(request.scope, request.receive)
            if self.body_field is not None and await request.body():
                await request.json()
            return await handle(request)

        return strict


# --- exceptions as problems ------------------------------------------------------------------------------------------


def to_problem(error: Exception) -> Problem:
    """Convert any exception of a route or of the framework to a problem without internal details."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return request_problem(error.errors(), error.body)
    if isinstance(error, HTTPException):
        return _from_http(error)
    return Problem("internal error; see the log of the lab")


def _from_http(error: HTTPException) -> Problem:
    if error.status_code == 404:
        return NotFound("there is nothing at this address")
    if error.status_code == 405:
        return MethodNotAllowed("this address does not support the method", headers=error.headers)
    return BadRequest("the request could not be read")
