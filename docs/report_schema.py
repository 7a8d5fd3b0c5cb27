"""Write `docs/report.schema.json`, the JSON Schema of a report: `python -m docs.report_schema`."""

from __future__ import annotations

import json
from pathlib import Path

from coreserver.reports.schema.report import json_schema

FILE = Path(__file__).parent / "report.schema.json"


def text() -> str:
    """Return the current JSON Schema as the text of the file."""
    return json.dumps(json_schema(), indent=2) + "\n"


if __name__ == "__main__":
    FILE.write_text(text())
    print(FILE)
