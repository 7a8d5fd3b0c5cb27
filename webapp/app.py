"""The application: routes, static files, the life of the lab, and what becomes of errors; nothing else."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import HTMLResponse
from starlette.exceptions import HTTPException
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from webapp.assets import asset_dir
from webapp.charts.rendering.renderer import ChartRenderer
from webapp.charts.rendering.vega_version import BUNDLE_PATH
from webapp.http.api_responses import as_problem, problem_response
from webapp.http.guard import LOOPBACK_NAMES, Guard
from webapp.http.head_requests import HeadAsGet
from webapp.lab.lab import Lab
from webapp.live.events import Streams
from webapp.pages.dashboard import ErrorPage
from webapp.problems import Problem
from webapp.prometheus import Metrics
from webapp.routes import api_charts, api_runs, api_servers, compare, files, pages, run_list_page, system
from webapp.schemas.resources import ProblemDocument
from webapp.settings import Settings
from webapp.version import lab_version

DESCRIPTION = """\
Start concurrent TCP servers of different designs, send real clients at them, and read what happened.

Bodies are JSON, strictly: unknown fields, numbers as text, NaN and repeated names are refused with the field's name.
Errors are `application/problem+json`. Every field name carries its unit; lists have a `next_cursor`.
"""


class LabApp(FastAPI):
    """The application with its guard around everything, the answer to an internal error included."""

    def build_middleware_stack(self) -> ASGIApp:
        """The usual stack inside the guard, a HEAD as a GET; `add_middleware` would put them in the error handler."""
        settings: Settings = self.state.settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        names = LOOPBACK_NAMES | {host}
        stack = super().build_middleware_stack()
        guarded = Guard(
            stack, settings.max_body_bytes, settings.max_import_bytes, names, cacheable=frozenset({BUNDLE_PATH})
        )
        return HeadAsGet(self.state.metrics.counted(guarded))

    def openapi(self) -> dict[str, Any]:
        """The API's description, with the problem's schema that the error answers refer to."""
        if self.openapi_schema is None:
            schema = get_openapi(title=self.title, version=self.version, description=DESCRIPTION, routes=self.routes)
            problem = ProblemDocument.model_json_schema(ref_template="#/components/schemas/{model}")
            shared = schema["components"]["schemas"]
            shared.update(problem.pop("$defs"))
            shared[ProblemDocument.__name__] = problem
            for unused in ("HTTPValidationError", "ValidationError"):
                shared.pop(unused, None)
            self.openapi_schema = schema
        return self.openapi_schema


def create_app(settings: Settings, lab: Lab, charts: ChartRenderer) -> FastAPI:
    """Build the application on top of `lab` and `charts`. The caller closes both."""
    app = LabApp(title="Serverlab", version=lab_version(), docs_url=None, redoc_url=None)
    app.state.settings, app.state.lab, app.state.charts = settings, lab, charts
    app.state.streams = Streams(settings.max_streams)
    app.state.metrics = Metrics(lab, app.state.streams, lab_version())
    for routes in (system, api_servers, files, api_runs, compare, run_list_page, api_charts, pages):
        app.include_router(routes.router)
    app.include_router(files.pages)
    app.mount("/static/swagger", StaticFiles(packages=[("fastapi_offline", "static")]), name="swagger")
    app.mount("/static", StaticFiles(directory=asset_dir("static")), name="static")
    for kind in (Problem, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer)
    return app


async def _answer(request: Request, error: Exception) -> Response:
    """A script gets the problem as JSON, a person gets a page."""
    problem = as_problem(error)
    accept = request.headers.get("accept", "")
    if request.scope["path"].startswith(("/api/", "/static/")) or "text/html" not in accept:
        return problem_response(problem)
    page = ErrorPage(status=problem.status, heading=problem.title, detail=problem.detail)
    return HTMLResponse(page.html(), status_code=problem.status, headers=problem.headers)
