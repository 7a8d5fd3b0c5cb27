"""Write the tables of figures in docs/glossary.md from the vocabulary.

Run `python -m docs.glossary_figures` after a change of `coreserver/reports/vocabulary.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby
from pathlib import Path

from coreserver.reports.vocabulary import FIGURES, SECTIONS, SPANS, STATISTICS, FigureEntry

FILE = Path(__file__).with_name("glossary.md")
BEGIN, END = "<!-- begin of the figures -->", "<!-- end of the figures -->"


def text() -> str:
    """Return the glossary with the tables of the current vocabulary."""
    before, _, rest = FILE.read_text().partition(BEGIN)
    return f"{before}{BEGIN}\n{tables()}{END}{rest.partition(END)[2]}"


def tables() -> str:
    """Return one table for the distributions, one for their statistics, and one for each other part of a report."""
    return "\n".join(line.rstrip() for line in (*_distributions(), *_statistics(), *_others())) + "\n"


def _distributions() -> Iterator[str]:
    yield from ("", "### Distributions", "")
    yield from ("Times in milliseconds, each with the statistics of the next table.", "")
    yield from ("| label | in the report | better | meaning |", "|---|---|---|---|")
    for span in SPANS:
        yield f"| **{span.label}** | `{span.path}` | {span.better or ''} | {span.explanation} |"


def _statistics() -> Iterator[str]:
    yield from ("", "### Statistics of a distribution", "")
    yield from ("| label | in the report | meaning |", "|---|---|---|")
    for name, (label, meaning) in STATISTICS.items():
        yield f"| **{label}** | `{name}` | {meaning} |"


def _others() -> Iterator[str]:
    in_spans = {entry.path for span in SPANS for entry in span.entries()}
    others = sorted((entry for entry in FIGURES if entry.path not in in_spans), key=_place)
    for (_, heading), entries in groupby(others, key=_place):
        yield from ("", f"### {heading}", "")
        yield from ("| label | in the report | unit | better | meaning |", "|---|---|---|---|---|")
        for entry in entries:
            unit = "" if entry.unit == "number" else entry.unit.replace("_", " ")
            path = f"`{entry.path}`"
            yield f"| **{entry.label}** | {path} | {unit} | {entry.better or ''} | {entry.explanation} |"


def _place(entry: FigureEntry) -> tuple[int, str]:
    names = list(dict.fromkeys(SECTIONS.values()))
    section = SECTIONS.get(entry.part, SECTIONS["totals"])
    return names.index(section), section


def main() -> None:
    """Write the file."""
    FILE.write_text(text())
    print(FILE)


if __name__ == "__main__":
    main()
