"""Imports point one way: from the top of `LAYERS` to its bottom, without a cycle.

Imports inside functions and under `TYPE_CHECKING` count like any other, because a reader has to follow them as well.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

from docs.package_imports import PLANNED, TREES, imported_modules, module_files

# Bottom to top. A package imports itself and packages of lower layers; packages of one layer do not import each other.
# A package that `docs.package_imports` calls planned has its place here before it exists.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("coreserver.errors", "coreserver.clock", "coreserver.process_setup", "coreserver.process_tree"),
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
LAYER_OF = {package: number for number, layer in enumerate(LAYERS) for package in layer}

FILES = module_files()
MAX_MODULES = 20  # in a folder
REPORTS_IMPORT = {
    "coreserver.reports",
    "coreserver.records",
    "coreserver.config",
    "coreserver.clock",
    "coreserver.errors",
}
ENGINES_IMPORT = {"__future__", "collections", "coreserver", "dataclasses", "enum", "numpy", "re", "typing"}


class Import(NamedTuple):
    importer: str
    imported: str


IMPORTS = sorted(
    {Import(name, other) for name, path in FILES.items() for other in imported_modules(path.read_text(), FILES)}
)


def package_of(module: str) -> str:
    """Return the entry of `LAYERS` that `module` belongs to: the longest that its name begins with."""
    name = module
    while name not in LAYER_OF:
        name, dot, _ = name.rpartition(".")
        assert dot, f"{module} belongs to no package of LAYERS"
    return name


def against_direction(imports: Iterable[Import]) -> list[Import]:
    """Return the imports of a higher layer, or of another package in the same layer."""
    pairs = [(found, package_of(found.importer), package_of(found.imported)) for found in imports]
    return [found for found, above, below in pairs if above != below and LAYER_OF[below] >= LAYER_OF[above]]


def cycle_among(imports: Iterable[Import]) -> list[str]:
    """Return the modules of one import cycle; empty without one."""
    graph: dict[str, set[str]] = {}
    for found in imports:
        graph.setdefault(found.importer, set()).add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return []


def imports_of(package: str) -> list[Import]:
    return [found for found in IMPORTS if found.importer.startswith(f"{package}.")]


def test_imports_point_down() -> None:
    assert against_direction(found for found in IMPORTS if found.imported not in TREES) == []


def test_modules_form_no_cycle() -> None:
    assert cycle_among(IMPORTS) == []


def test_coreserver_never_imports_webapp() -> None:
    assert [found for found in imports_of("coreserver") if found.imported.startswith("webapp")] == []


@pytest.mark.parametrize(("package", "other"), [("models", "clients"), ("clients", "models")])
def test_models_and_clients_are_independent(package: str, other: str) -> None:
    unwanted = f"coreserver.{other}"
    assert [found for found in imports_of(f"coreserver.{package}") if found.imported.startswith(unwanted)] == []


def test_reports_import_recorded_facts_only() -> None:
    assert {package_of(found.imported) for found in imports_of("coreserver.reports")} <= REPORTS_IMPORT


def test_protocol_engines_do_no_io() -> None:
    engines = [path for module, path in FILES.items() if module.startswith("coreserver.protocols.")]
    assert engines
    assert {name for path in engines for name in top_level_imports(path)} <= ENGINES_IMPORT
    assert {package_of(found.imported) for found in imports_of("coreserver.protocols")} <= {"coreserver.protocols"}


def top_level_imports(path: Path) -> set[str]:
    """Return the first part of every name that the file imports."""
    statements = list(ast.walk(ast.parse(path.read_text())))
    plain = {alias.name for found in statements if isinstance(found, ast.Import) for alias in found.names}
    return {name.split(".")[0] for name in plain | {str(f.module) for f in statements if isinstance(f, ast.ImportFrom)}}


def test_every_package_has_a_layer() -> None:
    used = {package_of(module) for module in FILES if module not in TREES}
    assert set(LAYER_OF) - used == PLANNED.keys()
    assert len(LAYER_OF) == sum(map(len, LAYERS))


def test_folders_hold_at_most_twenty_modules() -> None:
    folders = Counter(str(path.parent) for path in FILES.values() if path.name != "__init__.py")
    assert {folder: count for folder, count in folders.items() if count > MAX_MODULES} == {}


def test_violations_are_found() -> None:
    upward = Import("coreserver.records.client", "webapp.app")
    sideways = Import("webapp.pages.run", "webapp.prometheus")
    assert against_direction([upward, sideways]) == [upward, sideways]
    assert cycle_among([Import("a", "b"), Import("b", "c"), Import("c", "a")])
    late = "def late():\n    from webapp import app\n\nif TYPE_CHECKING:\n    import webapp.client\n"
    assert set(imported_modules(late, FILES)) == {"webapp.app", "webapp.client"}
