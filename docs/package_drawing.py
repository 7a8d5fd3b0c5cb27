"""Draw the packages and the direction of their imports: `make packages`, or `python -m docs.package_drawing`.

Writes `docs/images/packages.svg` and the tables of layers in `docs/design.md`. A test fails while one is out of date.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from html import escape
from pathlib import Path

from docs.layered_layout import Layout, Place, lay_out
from docs.package_imports import TREES, PackageGraph, read_packages

DOCS = Path(__file__).parent
DRAWING = DOCS / "images" / "packages.svg"
PAGE = DOCS / "design.md"
BEGIN, END = "<!-- packages: begin -->", "<!-- packages: end -->"

CHARACTER = 7.9  # width at 13 px, monospace
SMALL_CHARACTER = 6.1  # at 10 px
PADDING = 10
BOX_HEIGHT = 38
ROW_HEIGHT = 78
MARGIN = 24
TITLE_HEIGHT = 44

STYLE = """
svg { --paper: #ffffff; --panel: #f4f6f9; --ink: #1b2430; --soft: #556070; --line: #7a8798; --box: #ffffff;
  --edge: #3d6ea8; --other: #a05a12; font-family: ui-monospace, "DejaVu Sans Mono", Menlo, Consolas, monospace }
@media (prefers-color-scheme: dark) { svg { --paper: #12161c; --panel: #1a2028; --ink: #e8edf4; --soft: #a3afbe;
  --line: #8593a5; --box: #222a34; --edge: #7fb0ee; --other: #e5a35c } }
.paper { fill: var(--paper) } .panel { fill: var(--panel) }
.box { fill: var(--box); stroke: var(--edge); stroke-width: 1.5 } .module { stroke: var(--line); stroke-width: 1 }
.planned { stroke-dasharray: 5 4 } .arrow { fill: none; stroke: var(--line); stroke-width: 1.2 }
.head { fill: var(--line) } .name { font-size: 13px; fill: var(--ink); text-anchor: middle }
.uses { font-size: 10px; fill: var(--other); text-anchor: middle }
.title { font-size: 17px; font-weight: 600; fill: var(--ink) } .note { font-size: 11px; fill: var(--soft) }
""".strip()

NOTES = (
    "An arrow leads from a package to one that it imports. An import that follows from other arrows is not drawn.",
    "Blue frame: package. Grey frame: single module. Dashed frame: reserved. Orange text: imports from coreserver.",
)


def main() -> None:
    """Write the drawing and the tables of layers."""
    graph = read_packages()
    DRAWING.write_text(draw_packages(graph), encoding="utf-8")
    PAGE.write_text(replace_list(PAGE.read_text(encoding="utf-8"), list_layers(graph)), encoding="utf-8")
    print(f"{DRAWING}\n{PAGE}")


def list_layers(graph: PackageGraph) -> str:
    """Return the layers of both trees as Markdown tables, top layer first."""
    lines = []
    for tree in TREES:
        lines += [f"| layer | package of `{tree}` | purpose |", "|---:|---|---|"]
        layers = graph.layers(tree)
        for number in range(len(layers), 0, -1):
            for name in layers[number - 1]:
                reserved = " (reserved)" if name in graph.planned else ""
                lines.append(f"| {number} | `{short_name(name)}`{reserved} | {graph.purposes[name]} |")
        lines.append("")
    return "\n".join(lines)


def replace_list(page: str, text: str) -> str:
    """Return `page` with `text` between the two markers."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{text}\n{END}{after}"


def short_name(name: str) -> str:
    """Return the name without its tree: `models.shared` for `coreserver.models.shared`."""
    return name.partition(".")[2]


def draw_packages(graph: PackageGraph) -> str:
    """Return the SVG: one panel per tree, one row per layer, arrows that all lead downwards."""
    uses = {
        name: [short_name(other) for other in sorted(graph.reduced[name]) if _crosses(name, other)]
        for name in graph.imports
    }
    layouts = {tree: _lay_out_tree(graph, tree, uses) for tree in TREES}
    width = max(layout.width for layout in layouts.values()) + 4 * MARGIN
    parts: list[str] = []
    top = 1.0 * MARGIN
    for tree in TREES:
        layers = graph.layers(tree)
        height = TITLE_HEIGHT + ROW_HEIGHT * (len(layers) - 1) + BOX_HEIGHT + MARGIN
        left = (width - layouts[tree].width) / 2
        parts += _frame(tree, top, width, height)
        parts += _Panel(graph, layers, layouts[tree], left, top + TITLE_HEIGHT).render(uses)
        top += height + MARGIN
    parts += [
        f'<text class="note" x="{MARGIN}" y="{top + 16 * number:.0f}">{escape(note)}</text>'
        for number, note in enumerate(NOTES)
    ]
    bottom = top + 16 * len(NOTES)
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:.0f} {bottom:.0f}" role="img"'
            f' aria-label="Packages and the direction of their imports">',
            f"<style>{STYLE}</style>",
            '<marker id="head" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'
            '<path class="head" d="M0 0 8 4 0 8z"/></marker>',
            f'<rect class="paper" width="{width:.0f}" height="{bottom:.0f}"/>',
            *parts,
            "</svg>\n",
        ]
    )


def _crosses(name: str, other: str) -> bool:
    return name.partition(".")[0] != other.partition(".")[0]


def _lay_out_tree(graph: PackageGraph, tree: str, uses: Mapping[str, Sequence[str]]) -> Layout:
    layers = graph.layers(tree)
    widths = {
        name: 2 * PADDING + max(CHARACTER * len(short_name(name)), SMALL_CHARACTER * len(", ".join(uses[name])))
        for layer in layers
        for name in layer
    }
    return lay_out(layers, graph.reduced, widths)


def _frame(tree: str, top: float, width: float, height: float) -> Iterator[str]:
    size = f'width="{width - 2 * MARGIN:.0f}" height="{height:.0f}"'
    yield f'<rect class="panel" x="{MARGIN}" y="{top:.0f}" {size} rx="8"/>'
    yield f'<text class="title" x="{2 * MARGIN}" y="{top + 28:.0f}">{tree}</text>'


class _Panel:
    """The boxes and arrows of one tree; `left` and `top` are the corner of the drawing area."""

    def __init__(
        self, graph: PackageGraph, layers: Sequence[Sequence[str]], layout: Layout, left: float, top: float
    ) -> None:
        self._graph = graph
        self._layout = layout
        self._x = {place: left + x for place, x in layout.centre.items()}
        self._y = {
            name: top + ROW_HEIGHT * (len(layers) - 1 - number) for number, layer in enumerate(layers) for name in layer
        }
        self._row_y = [top + ROW_HEIGHT * (len(layers) - 1 - number) for number in range(len(layers))]

    def render(self, uses: Mapping[str, Sequence[str]]) -> Iterator[str]:
        leaving = self._ports(0, 1)
        arriving = self._ports(-1, -2)
        for number, arrow in enumerate(self._layout.arrows):
            yield self._arrow(arrow, leaving[number], arriving[number])
        for name in self._y:
            yield from self._box(name, uses[name])

    def _ports(self, end: int, neighbour: int) -> dict[int, float]:
        """Return where each arrow touches its box, so that arrows of one box stay apart and do not cross there."""
        ports = {}
        for name in self._y:
            arrows = [number for number, arrow in enumerate(self._layout.arrows) if arrow[end] == name]
            arrows.sort(key=lambda number: self._x[self._layout.arrows[number][neighbour]])
            for place, number in enumerate(arrows, start=1):
                width = self._layout.widths[name]
                ports[number] = self._x[name] + width * (place / (len(arrows) + 1) - 0.5)
        return ports

    def _arrow(self, arrow: Sequence[Place], start_x: float, end_x: float) -> str:
        source, *waypoints, target = arrow
        x, y = start_x, self._y[str(source)] + BOX_HEIGHT
        path = f"M{x:.0f} {y:.0f}"
        for place in waypoints:
            next_y = self._row_y[place[2]] if isinstance(place, tuple) else y
            path += _curve(y, self._x[place], next_y, x) + f"v{BOX_HEIGHT}"
            x, y = self._x[place], next_y + BOX_HEIGHT
        path += _curve(y, end_x, self._y[str(target)], x)
        return f'<path class="arrow" d="{path}" marker-end="url(#head)"/>'

    def _box(self, name: str, uses: Sequence[str]) -> Iterator[str]:
        x, y, width = self._x[name], self._y[name], self._layout.widths[name]
        kinds = ["box"]
        kinds += ["planned"] if name in self._graph.planned else []
        kinds += ["module"] if name in self._graph.modules else []
        purpose = escape(self._graph.purposes[name])
        yield (
            f'<rect class="{" ".join(kinds)}" x="{x - width / 2:.0f}" y="{y:.0f}" width="{width:.0f}"'
            f' height="{BOX_HEIGHT}" rx="5"><title>{purpose}</title></rect>'
        )
        yield f'<text class="name" x="{x:.0f}" y="{y + (17 if uses else 23):.0f}">{short_name(name)}</text>'
        if uses:
            yield f'<text class="uses" x="{x:.0f}" y="{y + 31:.0f}">{", ".join(uses)}</text>'


def _curve(y: float, next_x: float, next_y: float, x: float) -> str:
    middle = (y + next_y) / 2
    return f"C{x:.0f} {middle:.0f} {next_x:.0f} {middle:.0f} {next_x:.0f} {next_y:.0f}"


if __name__ == "__main__":
    main()
