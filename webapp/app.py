"""The ASGI application: routes, static files, middleware and error responses."""

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
from webapp.http.api_responses import problem_response, to_problem
from webapp.http.guard import LOOPBACK_NAMES, Guard
from webapp.http.head_requests import HeadAsGet
from webapp.lab.lab import Lab
from webapp.live.fragments import LiveFragments
from webapp.live.streams import Streams
from webapp.pages.base import ErrorPage
from webapp.problems import Problem
from webapp.prometheus import Metrics
from webapp.routes import api_charts, api_runs, api_servers, compare, files, live, pages, run_list_page, system
from webapp.routes.live import FragmentRequests
from webapp.schemas.resources import ProblemDocument
from webapp.settings import Settings
from webapp.version import lab_version

DESCRIPTION = """\
Start concurrent TCP servers of different designs, run clients against them, and read the results.

Bodies are strict JSON: unknown fields, numbers as text, NaN and repeated names are refused, naming the field.
Errors are `application/problem+json`. Every field name carries its unit; lists have a `next_cursor`.
"""


class LabApp(FastAPI):
    """The application inside its guard, including the responses to internal errors."""

    def build_middleware_stack(self) -> ASGIApp:
        """Wrap Starlette's stack. `add_middleware` would place the guard inside the error handler."""
        settings: Settings = self.state.settings
        host = f"[{settings.host}]" if ":" in settings.host else settings.host
        names = LOOPBACK_NAMES | {host}
        stack = super().build_middleware_stack()
        guarded = Guard(
            FragmentRequests(stack, self.state.fragments),
            settings.max_body_bytes,
            settings.max_import_bytes,
            names,
            cacheable=frozenset({BUNDLE_PATH}),
        )
        return HeadAsGet(self.state.metrics.count_requests(guarded))

    def openapi(self) -> dict[str, Any]:
        """Return the OpenAPI description, including the schema of problem documents."""
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
    app.state.streams, app.state.fragments = Streams(settings.max_streams), LiveFragments(lab)
    app.state.metrics = Metrics(lab, app.state.streams, lab_version())
    for routes in (system, api_servers, files, api_runs, compare, run_list_page, api_charts, live, pages):
        app.include_router(routes.router)
    app.include_router(files.pages)
    app.mount("/static/swagger", StaticFiles(packages=[("fastapi_offline", "static")]), name="swagger")
    app.mount("/static", StaticFiles(directory=asset_dir("static")), name="static")
    for kind in (Problem, RequestValidationError, HTTPException, Exception):
        app.add_exception_handler(kind, _answer)
    return app


async def _answer(request: Request, error: Exception) -> Response:
    """Respond with a page if the client accepts HTML and the path is one of a page; otherwise with JSON."""
    problem = to_problem(error)
    accept = request.headers.get("accept", "")
    if request.scope["path"].startswith(("/api/", "/static/")) or "text/html" not in accept:
        return problem_response(problem)
    page = ErrorPage(status=problem.status, heading=problem.title, detail=problem.detail)
    return HTMLResponse(page.html(), status_code=problem.status, headers=problem.headers)
