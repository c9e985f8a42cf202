"""The code that figures depend on: a module, and all that it imports from here, however deep."""

from __future__ import annotations

import ast
import hashlib
from collections.abc import Iterator
from pathlib import Path

MODELS = Path(__file__).parent


def imports(path: Path, tree: ast.AST, root: Path = MODELS) -> Iterator[Path]:
    """Files below `root` that relative imports name in a module's tree, inside functions, too, and the packages that it lies in."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.level:
            base = path.parents[node.level - 1].joinpath(*(node.module or "").split("."))
            for target in (base, *(base / name.name for name in node.names)):
                yield from (
                    file
                    for file in (target.with_name(f"{target.name}.py"), target / "__init__.py")
                    if file.is_file()
                )
    yield from (folder / "__init__.py" for folder in path.parents if folder == root or root in folder.parents)


def code_closure(entry: Path, root: Path = MODELS) -> dict[Path, ast.AST]:
    """`entry` and every file below `root` that it imports, directly or not, with their syntax trees.

    Imports elsewhere (libraries, the pack's nodes) do not count.

    Raises:
        ValueError: an entry that does not lie below the root.
    """
    if root not in entry.parents:
        raise ValueError(
            f"code_closure: expected a file below {root.name}, got {entry.name}; pass a module of that tree"
        )
    trees, waiting = {}, [entry]
    while waiting:
        path = waiting.pop()
        if path not in trees and root in path.parents:
            trees[path] = ast.parse(path.read_text(encoding="utf-8"))
            waiting += imports(path, trees[path], root)
    return trees


def code_digest(entry: Path, root: Path = MODELS) -> str:
    """SHA-256, hex, of all code in the closure of `entry`: of syntax trees, so that comments and line breaks change nothing."""
    digest = hashlib.sha256()
    for path, tree in sorted(code_closure(entry, root).items()):
        digest.update(f"{path.relative_to(root).as_posix()} {ast.dump(tree)}".encode())
    return digest.hexdigest()
