"""The names of tests: short, readable without a catalogue, and different within a file."""

from __future__ import annotations

import ast
import re
from collections import Counter
from pathlib import Path
from statistics import median

TESTS = Path(__file__).parent
MAX_LENGTH = 50
MAX_MEDIAN = 36
CATALOGUE_NUMBER = re.compile(r"(?:^|_)[a-z]\d{1,2}(?:_|$)")


def names_in(path: Path) -> list[str]:
    """Return the names of the tests in a file, without the prefix."""
    functions = (node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.FunctionDef))
    return [node.name.removeprefix("test_") for node in functions if node.name.startswith("test_")]


NAMES = {str(path.relative_to(TESTS)): names_in(path) for path in sorted(TESTS.rglob("test_*.py"))}
ALL = [name for names in NAMES.values() for name in names]


def test_names_are_at_most_fifty_characters() -> None:
    assert [name for name in ALL if len(name) > MAX_LENGTH] == []


def test_half_the_names_are_short() -> None:
    assert median(map(len, ALL)) <= MAX_MEDIAN


def test_names_need_no_catalogue() -> None:
    assert [name for name in ALL if CATALOGUE_NUMBER.search(name)] == []
    assert CATALOGUE_NUMBER.search("t06_reset_mid_message")


def test_names_are_unique_within_a_file() -> None:
    repeated = {file: name for file, names in NAMES.items() for name, count in Counter(names).items() if count > 1}
    assert repeated == {}
