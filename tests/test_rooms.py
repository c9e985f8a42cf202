"""Who imports whom: no circle among the pack's files, none among the rooms of models/; imports within functions and for types count."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILES = sorted(path for room in ("models", "nodes", "workflows") for path in (ROOT / room).rglob("*.py"))


def module_of(path: Path) -> tuple[str, ...]:
    """("models", "head") of models/head.py; a package's __init__ is the package."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return parts[:-1] if parts[-1] == "__init__" else parts


MODULES = {module_of(path): path for path in FILES}


def imported(path: Path) -> set[tuple[str, ...]]:
    """The pack's modules that a file imports."""
    package, targets = path.relative_to(ROOT).parent.parts, set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = package[: len(package) - node.level + 1] + tuple((node.module or "").split(".") if node.module else ())
            for alias in node.names:
                targets |= {(*base, alias.name)} if (*base, alias.name) in MODULES else {base} & MODULES.keys()
    return targets - {module_of(path)}


GRAPH = {module: imported(path) for module, path in MODULES.items()}


def circle(graph: dict) -> list | None:
    """One circle of a graph, or None."""
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return error.args[1]
    return None


def room_of(module: tuple[str, ...]) -> tuple[str, ...]:
    """A folder of models/ whole; a file beside them alone."""
    return module[:2]


def test_the_graph_is_read():
    assert ("models", "head") in GRAPH[("models", "portrait")] and len(GRAPH) == len(FILES)
    assert circle({"a": {"b"}, "b": {"a"}}) is not None


def test_no_file_imports_one_that_needs_it():
    assert circle(GRAPH) is None


def test_no_room_imports_one_that_needs_it():
    rooms: dict = {}
    for module, targets in GRAPH.items():
        if module[0] == "models":
            rooms.setdefault(room_of(module), set()).update(room_of(target) for target in targets if room_of(target) != room_of(module))
    assert circle(rooms) is None


def test_photos_need_no_factory():
    assert not [module for module, targets in GRAPH.items() if module[:2] == ("models", "photo") and any("synthetic" in t for t in targets)]
