"""The drawing of the packages and the tables of their layers are current and follow from the imports."""

from __future__ import annotations

from pathlib import Path

import pytest

from docs.package_drawing import DRAWING, PAGE, draw_packages, list_layers, replace_list
from docs.package_imports import ImportCycle, PackageGraph, Planned, read_packages

UPDATE = "run `make packages` and commit the result"


def write_modules(root: Path, **sources: str) -> None:
    """Write one module per source; the keys are module names with `__` for each dot."""
    for name, source in sources.items():
        path = root.joinpath(*name.split("__")).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        (path.parent / "__init__.py").touch()
        path.write_text(source)


def graph(**imports: str) -> PackageGraph:
    """Return a graph of `coreserver` packages from names that are separated by spaces."""
    direct = {
        f"coreserver.{name}": frozenset(f"coreserver.{other}" for other in row.split()) for name, row in imports.items()
    }
    return PackageGraph(direct, dict.fromkeys(direct, "Purpose."))


def test_drawing_is_current() -> None:
    assert DRAWING.read_text() == draw_packages(read_packages()), UPDATE


def test_tables_of_layers_are_current() -> None:
    page = PAGE.read_text()
    assert page == replace_list(page, list_layers(read_packages())), UPDATE


@pytest.mark.parametrize("tree", ["coreserver", "webapp"])
def test_imports_lead_to_lower_layers(tree: str) -> None:
    packages = read_packages()
    level = {name: number for number, layer in enumerate(packages.layers(tree)) for name in layer}
    for name in level:
        assert all(level[other] < level[name] for other in packages.imports[name] & level.keys()), name


def test_places_are_reserved() -> None:
    names = {name for tree in ("coreserver", "webapp") for layer in read_packages().layers(tree) for name in layer}
    assert {"coreserver.experiments", "coreserver.conformance", "coreserver.protocols", "webapp.help"} <= names


def test_layer_is_the_longest_chain() -> None:
    packages = graph(top="low middle", middle="low", low="")
    assert packages.layers("coreserver") == [["coreserver.low"], ["coreserver.middle"], ["coreserver.top"]]


def test_implied_import_is_not_drawn() -> None:
    packages = graph(top="low middle", middle="low", low="")
    assert packages.reduced["coreserver.top"] == {"coreserver.middle"}
    assert draw_packages_of(packages).count('class="arrow"') == 2


def draw_packages_of(packages: PackageGraph) -> str:
    """Return the drawing of `packages` above one package of webapp."""
    return draw_packages(
        PackageGraph({**packages.imports, "webapp.app": frozenset()}, {**packages.purposes, "webapp.app": "App."})
    )


def test_cycle_is_named() -> None:
    with pytest.raises(ImportCycle, match=r"^coreserver\.a → coreserver\.b → coreserver\.a$"):
        graph(a="b", b="a").layers("coreserver")


def test_every_kind_of_import_counts(tmp_path: Path) -> None:
    write_modules(
        tmp_path,
        coreserver__clock="",
        coreserver__config__load="def f():\n    import coreserver.clock\n",
        webapp__lab__lab="from coreserver.config import load\n",
        webapp__app="if TYPE_CHECKING:\n    from webapp.lab.lab import Lab\n",
    )
    assert read_packages(tmp_path, {}).imports == {
        "coreserver.clock": frozenset(),
        "coreserver.config": {"coreserver.clock"},
        "webapp.lab": {"coreserver.config"},
        "webapp.app": {"webapp.lab"},
    }


def test_mutual_subpackage_joins_its_parent(tmp_path: Path) -> None:
    write_modules(
        tmp_path,
        coreserver__reports__build="from coreserver.reports.verdict import judge\n",
        coreserver__reports__verdict__judge="from coreserver.reports import percentiles\n",
        coreserver__reports__percentiles="",
        webapp__app="",
    )
    assert read_packages(tmp_path, {}).imports == {"coreserver.reports": frozenset(), "webapp.app": frozenset()}


def test_planned_package_that_exists_is_refused(tmp_path: Path) -> None:
    write_modules(tmp_path, coreserver__clock="", webapp__help="")
    with pytest.raises(ValueError, match=r"^webapp\.help exists"):
        read_packages(tmp_path, {"webapp.help": Planned("Help.", ())})
