"""What can be taken away of a run as a file, and brought back."""

from __future__ import annotations

import json
from functools import cache

from fastapi import APIRouter, Response

from coreserver.reports.schema import json_schema
from webapp.answers import StrictRoute, documented

router = APIRouter(prefix="/api/v1", tags=["files"], route_class=StrictRoute)

SCHEMA_JSON = "application/schema+json"


@router.get(
    "/report.schema.json",
    response_class=Response,
    responses=documented()
    | {200: {"description": "draft 2020-12", "content": {SCHEMA_JSON: {"schema": {"type": "object"}}}}},
)
def get_report_schema() -> Response:
    """The JSON Schema of every report: each field with its unit and what it means, closed to unknown ones."""
    return Response(_schema_text(), media_type=SCHEMA_JSON)


@cache
def _schema_text() -> str:
    return json.dumps(json_schema(), indent=2)
