"""docs/verdicts.md lists exactly the reasons that a verdict can have."""

import re
from pathlib import Path
from typing import get_args

from coreserver.records.run_result import FailureCode

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "coreserver" / "reports" / "verdict"


def test_page_lists_every_reason() -> None:
    code = "".join(path.read_text() for path in SOURCES.glob("*.py"))
    given = set(re.findall(r'reason\("(\w+)"', code)) | set(get_args(FailureCode))
    page = (ROOT / "docs" / "verdicts.md").read_text()
    rows = [line.split("|")[1] for line in page.splitlines() if line.startswith("| `")]
    assert {word for row in rows for word in re.findall(r"`(\w+)`", row)} == given
