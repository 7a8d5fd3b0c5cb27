"""Tree of exceptions in the docstring of `webapp.problems`."""

from __future__ import annotations

import ast
from pathlib import Path

import webapp
from webapp import problems

BUILT_IN = {"Exception", "RuntimeError", "ValueError", "OSError"}


def exception_classes() -> dict[str, set[str]]:
    """Return all classes of webapp that derive from an exception, with the names of their bases."""
    bases: dict[str, set[str]] = {}
    for path in Path(webapp.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = {base.id for base in node.bases if isinstance(base, ast.Name)}
    found = {"ServerlabError", *BUILT_IN}
    while more := {name for name, own in bases.items() if own & found} - found:
        found |= more
    return {name: own for name, own in bases.items() if name in found}


def test_every_exception_is_in_the_tree() -> None:
    classes = exception_classes()
    assert "NotLoopback" in classes
    assert not [name for name, bases in classes.items() if bases & BUILT_IN]
    assert not [name for name in classes if name not in (problems.__doc__ or "")]
