"""Answers in the API's shapes: problems, and bodies that are read strictly."""

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
    """A problem as RFC 9457 wants it."""

    media_type = PROBLEM_JSON


def problem_response(problem: Problem) -> ProblemResponse:
    """The answer to a request that was refused."""
    return ProblemResponse(problem.document(), status_code=problem.status, headers=problem.headers)


def documented(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The `responses` of a route that may answer these problems, beside those that any route may."""
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
    """A request whose JSON is read by `parse_json`."""

    async def json(self) -> Any:
        """The body's value, or Invalid."""
        if not hasattr(self, "_strict"):
            self._strict = parse_json(await self.body())
        return self._strict


class StrictRoute(APIRoute):
    """A route whose body is strict JSON; what does not fit is a problem that names the field."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """FastAPI's handler with the reading of the body put before it.

        FastAPI would turn any error of the reader into a 400 of its own.
        """
        handle = super().get_route_handler()

        async def strict(request: Request) -> Response:
            request = StrictRequest(request.scope, request.receive)
            if self.body_field is not None and await request.body():
                await request.json()
            return await handle(request)

        return strict


# --- what went wrong, as a problem -----------------------------------------------------------------------------------


def as_problem(error: Exception) -> Problem:
    """Whatever a route or the framework raised, as a problem that gives nothing away."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, RequestValidationError):
        return request_problem(error.errors(), error.body)
    if isinstance(error, HTTPException):
        return _from_http(error)
    return Problem("something went wrong here; the lab's own log says what")


def _from_http(error: HTTPException) -> Problem:
    if error.status_code == 404:
        return NotFound("there is nothing at this address")
    if error.status_code == 405:
        return MethodNotAllowed("this address does not take that method", headers=error.headers)
    return BadRequest("the request could not be read")
