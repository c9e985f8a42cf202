"""Public functions on tensors tell shapes, and those that raise tell when; prints the shares."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
SHAPE = re.compile(r"\[[^\]\n]*\]|one number|a number|scalar")
SAME = re.compile(r"[Aa]s `|the same")  # another docstring says it
WANTED = 0.95


def public_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef]:
    """Of a module or a class, and of the classes within."""
    for node in body:
        if isinstance(node, ast.ClassDef):
            yield from public_functions(node.body)
        elif isinstance(node, ast.FunctionDef) and not node.name.startswith("_"):
            yield node


FUNCTIONS = [
    (f"{path.relative_to(ROOT)}:{node.name}", node)
    for path in sorted((ROOT / "models").rglob("*.py"))
    for node in public_functions(ast.parse(path.read_text(encoding="utf-8")).body)
]


def on_tensors(node: ast.FunctionDef) -> bool:
    """Whether a function takes or returns tensors, by its annotations."""
    annotations = [argument.annotation for argument in [*node.args.args, *node.args.kwonlyargs]]
    words = [ast.unparse(annotation) for annotation in [*annotations, node.returns] if annotation]
    return any(re.search(r"\bTensor\b", word) for word in words)


def raises(node: ast.FunctionDef) -> bool:
    """Whether a function raises an error of its own."""
    raised = [part.exc for part in ast.walk(node) if isinstance(part, ast.Raise) and part.exc is not None]
    return any("Error" in ast.unparse(exception) for exception in raised)


def lacking(nodes: list[tuple[str, ast.FunctionDef]], told: re.Pattern[str], what: str) -> list[str]:
    """Names of functions whose docstring does not tell; prints the share of those that do."""
    names = [name for name, node in nodes if not told.search(ast.get_docstring(node) or "")]
    print(f"{what}: {len(nodes) - len(names)} of {len(nodes)} public functions")
    return names


def test_functions_on_tensors_tell_shapes():
    nodes = [(name, node) for name, node in FUNCTIONS if on_tensors(node)]
    names = lacking(nodes, re.compile(f"{SHAPE.pattern}|{SAME.pattern}"), "shapes")
    assert len(nodes) > 400 and len(names) <= (1 - WANTED) * len(nodes), names


def test_functions_that_raise_tell_when():
    nodes = [(name, node) for name, node in FUNCTIONS if raises(node)]
    names = lacking(nodes, re.compile("Raise|ValueError"), "errors")
    assert len(nodes) > 100 and len(names) <= (1 - WANTED) * len(nodes), names
