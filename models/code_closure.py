"""The code that figures depend on: a module, and all that it imports from here, however deep."""

from __future__ import annotations

import ast
import functools
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODELS = Path(__file__).parent


@dataclass(frozen=True)
class Code:
    """What counts of a module's text.

    Attributes:
        imports: of each relative import, inside functions, too: its level, its module ("" for a package itself), its names.
        tree: the syntax tree, written out.
    """

    imports: tuple[tuple[int, str, tuple[str, ...]], ...]
    tree: str


@functools.cache
def code_of(text: str) -> Code:
    """The code of a module's text; kept by the text, for benches ask again and again for trees of the same 200 files."""
    tree = ast.parse(text)
    relative = tuple(
        (node.level, node.module or "", tuple(name.name for name in node.names))
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
    )
    return Code(relative, ast.dump(tree))


def imports(path: Path, code: Code, root: Path = MODELS) -> Iterator[Path]:
    """Files below `root` that a module's relative imports name, and the packages that it lies in."""
    for level, module, names in code.imports:
        base = path.parents[level - 1].joinpath(*module.split("."))
        for target in (base, *(base / name for name in names)):
            yield from (
                file
                for file in (target.with_name(f"{target.name}.py"), target / "__init__.py")
                if file.is_file()
            )
    yield from (folder / "__init__.py" for folder in path.parents if folder == root or root in folder.parents)


def code_closure(entry: Path, root: Path = MODELS) -> dict[Path, Code]:
    """`entry` and every file below `root` that it imports, directly or not, with their code.

    Imports elsewhere (libraries, the pack's nodes) do not count.

    Raises:
        ValueError: an entry that does not lie below the root.
    """
    if root not in entry.parents:
        raise ValueError(
            f"code_closure: expected a file below {root.name}, got {entry.name}; pass a module of that tree"
        )
    codes, waiting = {}, [entry]
    while waiting:
        path = waiting.pop()
        if path not in codes and root in path.parents:
            codes[path] = code_of(path.read_text(encoding="utf-8"))
            waiting += imports(path, codes[path], root)
    return codes


def code_digest(entry: Path, root: Path = MODELS) -> str:
    """SHA-256, hex, of all code in the closure of `entry`: of syntax trees, so that comments and line breaks change nothing."""
    digest = hashlib.sha256()
    for path, code in sorted(code_closure(entry, root).items(), key=lambda item: item[0]):
        digest.update(f"{path.relative_to(root).as_posix()} {code.tree}".encode())
    return digest.hexdigest()
