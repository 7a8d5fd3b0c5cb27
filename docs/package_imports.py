"""Imports between the packages of the project, read from the source with `ast`.

A node of the graph is a package (`webapp.lab`) or a module that lies directly in `coreserver` or `webapp`
(`coreserver.clock`). A subpackage and its parent that import each other are one node. An import inside a function or
under `TYPE_CHECKING` counts like any other.
"""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
TREES = ("webapp", "coreserver")  # the upper tree first


@dataclass(frozen=True)
class Planned:
    """A package that does not exist yet, with the imports that are reserved for it."""

    purpose: str
    imports: tuple[str, ...]
    imported_by: tuple[str, ...] = ()


PLANNED = {
    "coreserver.experiments": Planned(
        "Planner of experiments: many runs that answer one question.", ("coreserver.runs", "coreserver.reports")
    ),
    "coreserver.conformance": Planned(
        "Conformance scenarios as a library.", ("coreserver.hosting", "coreserver.clients", "coreserver.protocols")
    ),
    "webapp.help": Planned("Help pages.", ("coreserver.reports", "webapp.formatting"), ("webapp.routes",)),
}


class ImportCycle(Exception):
    """Packages import each other, so that they have no layers."""


@dataclass(frozen=True)
class PackageGraph:
    """Packages with their imports and purposes; `modules` are the nodes that are single files."""

    imports: Mapping[str, frozenset[str]]
    purposes: Mapping[str, str]
    modules: frozenset[str] = frozenset()
    planned: frozenset[str] = frozenset()

    @cached_property
    def reachable(self) -> dict[str, frozenset[str]]:
        """The packages that each package imports directly or through others; importers come last.

        Raises:
            ImportCycle: packages import each other; the message names them in order.
        """
        found: dict[str, frozenset[str]] = {}
        for name in sorted(self.imports):
            self._visit(name, found, ())
        return found

    def _visit(self, name: str, found: dict[str, frozenset[str]], path: tuple[str, ...]) -> frozenset[str]:
        if name in path:
            raise ImportCycle(" → ".join([*path[path.index(name) :], name]))
        if name not in found:
            direct = sorted(self.imports[name])
            found[name] = frozenset(direct).union(*(self._visit(other, found, (*path, name)) for other in direct))
        return found[name]

    @cached_property
    def reduced(self) -> dict[str, frozenset[str]]:
        """The imports that do not follow from other imports (transitive reduction)."""
        return {
            name: frozenset(
                other for other in direct if not any(other in self.reachable[third] for third in direct - {other})
            )
            for name, direct in self.imports.items()
        }

    def layers(self, tree: str) -> list[list[str]]:
        """Return the packages of `tree`, lowest layer first; a package imports from lower layers only."""
        level: dict[str, int] = {}
        for name in self.reachable:
            if _is_in(name, tree):
                below = [level[other] for other in self.imports[name] if _is_in(other, tree)]
                level[name] = 1 + max(below, default=-1)
        return [sorted(name for name in level if level[name] == number) for number in range(max(level.values()) + 1)]


def _is_in(name: str, tree: str) -> bool:
    return name.startswith(f"{tree}.")


def read_packages(root: Path = ROOT, planned: Mapping[str, Planned] = PLANNED) -> PackageGraph:
    """Read the graph from the source files below `root` and add the planned packages.

    Raises:
        ValueError: a planned package exists; remove it from `PLANNED`.
    """
    modules = module_files(root)
    targets = {module: set(imported_modules(path.read_text(), modules)) for module, path in modules.items()}
    node_of = {module: _node(module, modules) for module in modules}
    for inner, outer in _mutual_subpackages(_imports_between(node_of, targets)):
        node_of = {module: outer if node == inner else node for module, node in node_of.items()}
    imports = _imports_between(node_of, targets)
    nodes = imports.keys()
    purposes = {node: _purpose(modules[node]) for node in nodes}
    files = frozenset(node for node in nodes if modules[node].name != "__init__.py")
    for name, package in planned.items():
        if name in nodes:
            raise ValueError(f"{name} exists: remove it from PLANNED in docs/package_imports.py")
        imports[name] = set(package.imports)
        purposes[name] = package.purpose
        for importer in package.imported_by:
            imports[importer].add(name)
    return PackageGraph(
        {name: frozenset(direct) for name, direct in imports.items()}, purposes, files, frozenset(planned)
    )


def module_files(root: Path = ROOT) -> dict[str, Path]:
    """Return the file of every module below `root` by its dotted name; the file of a package is its `__init__.py`."""
    return {_module_name(path, root): path for tree in TREES for path in sorted((root / tree).rglob("*.py"))}


def imported_modules(source: str, modules: Iterable[str]) -> Iterator[str]:
    """Yield those of `modules` that `source` imports anywhere."""
    for statement in ast.walk(ast.parse(source)):
        if isinstance(statement, ast.Import):
            yield from (alias.name for alias in statement.names if alias.name in modules)
        elif isinstance(statement, ast.ImportFrom) and statement.module:
            for alias in statement.names:
                submodule = f"{statement.module}.{alias.name}"
                if submodule in modules:
                    yield submodule
                elif statement.module in modules:
                    yield statement.module


def _imports_between(node_of: Mapping[str, str], targets: Mapping[str, set[str]]) -> dict[str, set[str]]:
    imports: dict[str, set[str]] = {node: set() for node in node_of.values() if node not in TREES}
    for module, node in node_of.items():
        if node in imports:
            imports[node] |= {node_of[target] for target in targets[module]} & imports.keys() - {node}
    return imports


def _mutual_subpackages(imports: Mapping[str, set[str]]) -> list[tuple[str, str]]:
    """Return the subpackages that import their parent and are imported by it, innermost first, with their parent."""
    pairs = [(name, name.rpartition(".")[0]) for name in imports]
    return sorted(
        ((inner, outer) for inner, outer in pairs if inner in imports.get(outer, ()) and outer in imports[inner]),
        key=lambda pair: -len(pair[0]),
    )


def _module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _node(module: str, modules: Mapping[str, Path]) -> str:
    parent = module.rpartition(".")[0]
    return module if modules[module].name == "__init__.py" or parent in TREES else parent


def _purpose(path: Path) -> str:
    """Return the first sentence of the module docstring."""
    docstring = ast.get_docstring(ast.parse(path.read_text())) or ""
    first_paragraph = " ".join(docstring.partition("\n\n")[0].split())
    return first_paragraph.partition(". ")[0].rstrip(".:") + "."
