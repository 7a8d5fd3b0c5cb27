"""Imports point one way: from the web to the TCP side, from the top of `docs.imports.LAYERS` to its bottom."""

from __future__ import annotations

from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from docs.imports import (
    LAYER_OF,
    LAYERS,
    PLANNED,
    TREES,
    Import,
    imported_names,
    imports_between,
    module_files,
    package_of,
)

FILES = module_files()
IMPORTS = imports_between(FILES)
MAX_MODULES = 20
REPORTS_IMPORT = {
    "coreserver.reports",
    "coreserver.records",
    "coreserver.config",
    "coreserver.clock",
    "coreserver.errors",
}
ENGINES_IMPORT = {"__future__", "collections", "dataclasses", "enum", "numpy", "re", "typing", "typing_extensions"}


def against_direction(imports: list[Import]) -> list[str]:
    """Describe the imports of a higher layer, or of another package in the same layer."""
    return [
        f"{found.importer}:{found.line} imports {found.imported}"
        for found in imports
        if (above := package_of(found.importer)) != (below := package_of(found.imported))
        and LAYER_OF[below] >= LAYER_OF[above]
    ]


def cycle_among(imports: list[Import]) -> list[str] | None:
    """Return the modules of one import cycle, or None."""
    graph: dict[str, set[str]] = {}
    for found in imports:
        graph.setdefault(found.importer, set()).add(found.imported)
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return list(error.args[1])
    return None


def imports_of(tree: str, imports: list[Import] = IMPORTS) -> list[Import]:
    return [found for found in imports if found.importer.startswith(f"{tree}.")]


def test_imports_point_down() -> None:
    assert against_direction([found for found in IMPORTS if found.imported not in TREES]) == []


def test_modules_form_no_cycle() -> None:
    assert cycle_among(IMPORTS) is None


def test_coreserver_never_imports_webapp() -> None:
    assert [found for found in imports_of("coreserver") if found.imported.startswith("webapp")] == []


@pytest.mark.parametrize(("tree", "other"), [("models", "clients"), ("clients", "models")])
def test_models_and_clients_are_strangers(tree: str, other: str) -> None:
    unwanted = f"coreserver.{other}"
    assert [found for found in imports_of(f"coreserver.{tree}") if found.imported.startswith(unwanted)] == []


def test_reports_import_facts_only() -> None:
    imported = {package_of(found.imported) for found in imports_of("coreserver.reports")}
    assert imported <= REPORTS_IMPORT


def test_protocol_engines_do_no_io() -> None:
    engines = [path for module, path in FILES.items() if module.startswith("coreserver.protocols.")]
    imported = {name.split(".")[0] for path in engines for name, _ in imported_names(path)}
    assert engines
    assert imported <= ENGINES_IMPORT | {"coreserver"}
    assert {package_of(found.imported) for found in imports_of("coreserver.protocols")} <= {"coreserver.protocols"}


def test_every_package_has_a_layer() -> None:
    used = {package_of(module) for module in FILES if module not in TREES}
    assert set(LAYER_OF) - used == PLANNED
    assert len(LAYER_OF) == sum(map(len, LAYERS))


def test_folders_hold_at_most_twenty_modules() -> None:
    folders = Counter(path.parent for path in FILES.values() if path.name != "__init__.py")
    assert {str(folder): count for folder, count in folders.items() if count > MAX_MODULES} == {}


def test_violations_are_found(tmp_path: Path) -> None:
    upward = Import("coreserver.records.client", "webapp.app", 1)
    sideways = Import("webapp.pages.run", "webapp.prometheus", 2)
    assert len(against_direction([upward, sideways])) == 2
    assert cycle_among([Import("a", "b", 1), Import("b", "c", 1), Import("c", "a", 1)]) is not None
    hidden = tmp_path / "hidden.py"
    hidden.write_text("def late():\n    from webapp import app\n\nif TYPE_CHECKING:\n    import webapp.client\n")
    assert list(imported_names(hidden)) == [("webapp.app", 2), ("webapp.client", 5)]
