"""Paths in the documents exist in the repository."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "benchmarks" / "README.md", *sorted((ROOT / "docs").glob("*.md")))
FOLDERS = ("benchmarks", "coreserver", "docs", "static", "templates", "tests", "webapp")
CREATED_BY_PAGE = re.compile(r"`([^`\s]+)`:\n\n```")  # a path that introduces the contents of the file
FILE_NAME = re.compile(r"[\w-]+\.(?:py|c|js|css|html|md|toml)")
DOWNLOADS = {"report.html"}  # a file of a run, not of the repository


def repository_paths(text: str) -> list[str]:
    """Return the paths of the repository in backticks and links, without files that `text` creates."""
    quoted = re.findall(r"`([^`\s]+)`", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S))
    created = set(CREATED_BY_PAGE.findall(text))
    return [path for path in quoted if _is_path(path) and path not in created]


def _is_path(text: str) -> bool:
    return text.startswith(tuple(f"{folder}/" for folder in FOLDERS)) or bool(FILE_NAME.fullmatch(text))


def exists(path: str) -> bool:
    """Return whether `path` exists; a bare file name may be in any folder."""
    if "/" in path:
        return any(ROOT.glob(path.rstrip("/").removesuffix("/…")))
    return path in DOWNLOADS or any((ROOT / path).exists() or any((ROOT / folder).rglob(path)) for folder in FOLDERS)


@pytest.mark.parametrize("document", PAGES, ids=lambda document: document.relative_to(ROOT).as_posix())
def test_paths_in_page_exist(document: Path) -> None:
    assert [path for path in repository_paths(document.read_text()) if not exists(path)] == []


@pytest.mark.parametrize("document", PAGES, ids=lambda document: document.relative_to(ROOT).as_posix())
def test_links_in_page_lead_to_files(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", document.read_text())
    assert [name for name in targets if "://" not in name and not (document.parent / name).exists()] == []


def test_moved_file_is_found() -> None:
    text = "see `coreserver/protocol.py`, `docs/` and `gone.py`, not `--data-dir` or `/metrics`"
    assert [path for path in repository_paths(text) if not exists(path)] == ["coreserver/protocol.py", "gone.py"]


def test_created_file_need_not_exist() -> None:
    assert repository_paths("`webapp/new.py`:\n\n```python\n```\n") == []


def test_buttons_in_documents_exist() -> None:
    texts = [(ROOT / "README.md").read_text(), (ROOT / "docs" / "tour.md").read_text()]
    buttons = {name for text in texts for name in re.findall(r"[Pp]ress(?:\s+\w+)*?\s+\*([^*]+)\*", text)}
    sources = [path for folder in ("templates", "webapp", "static") for path in (ROOT / folder).rglob("*.*")]
    shown = "\n".join(path.read_text() for path in sources if path.suffix in {".html", ".json", ".js", ".py"})
    assert len(buttons) >= 5
    assert [name for name in buttons if not re.search(re.sub(r"\d+", ".{1,40}", re.escape(name)), shown)] == []
