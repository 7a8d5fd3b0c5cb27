"""The packages of the project, their layers, and a reader of their imports.

`tests/test_layers.py` checks the imports against `LAYERS`, and `python -m docs.package_drawing` draws them. Imports
inside functions and under `TYPE_CHECKING` count like any other, because a reader has to follow them as well.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
TREES = ("coreserver", "webapp")

# Bottom to top. A package imports itself and packages of lower layers; packages of one layer do not import each other.
# A name in PLANNED has its place here before the package exists.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("coreserver.errors", "coreserver.clock"),
    ("coreserver.protocols", "coreserver.timerfd", "coreserver.child_process"),
    ("coreserver.config",),
    ("coreserver.records",),
    ("coreserver.telemetry", "coreserver.reports"),
    ("coreserver.models.shared", "coreserver.clients"),
    ("coreserver.models", "coreserver.clients.worker"),
    ("coreserver.hosting",),
    ("coreserver.runs", "coreserver.conformance", "coreserver.experiments"),
    ("webapp.assets", "webapp.formatting", "webapp.problems", "webapp.settings", "webapp.version"),
    ("webapp.schemas", "webapp.parsing"),
    ("webapp.recipes", "webapp.timeline", "webapp.charts", "webapp.storage"),
    ("webapp.charts.rendering", "webapp.forms", "webapp.http", "webapp.client"),
    ("webapp.lab.demonstrations",),
    ("webapp.lab",),
    ("webapp.live", "webapp.run_drawings", "webapp.help"),
    ("webapp.pages", "webapp.prometheus"),
    ("webapp.exports",),
    ("webapp.routes",),
    ("webapp.app",),
    ("webapp.serving",),
    ("webapp.cli",),
)
PLANNED = frozenset({"coreserver.conformance", "coreserver.experiments", "webapp.help"})
LAYER_OF = {package: number for number, layer in enumerate(LAYERS) for package in layer}


@dataclass(frozen=True, order=True)
class Import:
    """One import of a module of the project by another."""

    importer: str
    imported: str
    line: int


def module_files() -> dict[str, Path]:
    """Return every module of the project by its dotted name; a package stands for its `__init__.py`."""
    files = (path for tree in TREES for path in sorted((ROOT / tree).rglob("*.py")))
    return {_module_name(path): path for path in files}


def package_of(module: str) -> str:
    """Return the entry of `LAYERS` that `module` belongs to: the longest that its name begins with.

    Raises:
        LookupError: no layer lists its package.
    """
    name = module
    while name not in LAYER_OF:
        name, dot, _ = name.rpartition(".")
        if not dot:
            raise LookupError(f"{module} belongs to no package of docs/imports.py; add its package to LAYERS")
    return name


def imports_between(files: Mapping[str, Path]) -> list[Import]:
    """Return every import of one of the modules `files` by another, sorted."""
    found = {
        Import(importer, imported, line)
        for importer, path in files.items()
        for name, line in imported_names(path)
        if (imported := _existing(name, files)) and imported != importer
    }
    return sorted(found)


def imported_names(path: Path) -> Iterator[tuple[str, int]]:
    """Yield the dotted name behind each import of the file, with its line: `a.b.c` for `from a.b import c`."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((f"{node.module}.{alias.name}", node.lineno) for alias in node.names)


def _module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _existing(name: str, files: Mapping[str, Path]) -> str | None:
    """Return the module that `name` refers to, itself or the one that defines it; None outside the project."""
    while name not in files:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
    return name
