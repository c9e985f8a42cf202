"""The rooms of the house: who may import whom, and how much the tree may weigh."""

import ast
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("__init__.py", "__main__.py", "nodes", "models", "workflows")
SOURCES = sorted(path for name in OURS for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*.py")))
ALL = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / ".ci").glob("*.py"))]
COMFY = {"comfy", "comfy_api", "comfy_extras", "folder_paths", "nodes", "execution", "server"}
DEVICES = {"cuda", "mps", "xpu", "npu", "hpu"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> list[tuple[int, str]]:
    """(level, first word) of every import of a file."""
    found = []
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(0, alias.name.split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append((node.level, (node.module or "").split(".")[0]))
    return found


def in_models(path: Path) -> bool:
    return ROOT / "models" in path.parents


@pytest.mark.parametrize("path", [path for path in SOURCES if in_models(path)], ids=name_of)
def test_models_know_nothing_of_comfyui(path):
    absolute = {word for level, word in imports(path) if level == 0}
    assert not absolute & COMFY
    depth = len(path.relative_to(ROOT).parts)  # from .. of so many dots would leave models/
    assert all(level < depth for level, _ in imports(path))


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_we_import_ourselves_relatively(path):
    assert not {word for level, word in imports(path) if level == 0} & {"portrait_diffusion", "models", "workflows"}
    assert not any(isinstance(node, ast.Global) for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


@pytest.mark.parametrize("path", [path for path in SOURCES if in_models(path)], ids=name_of)
def test_models_name_no_device(path):
    """Except to compare with one that torch named."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    compared = {id(part) for node in ast.walk(tree) if isinstance(node, ast.Compare) for part in ast.walk(node)}
    words = [
        node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in compared
    ]
    assert not [word for word in words if word.split(":")[0] in DEVICES]
    assert not [
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.attr in DEVICES and node.value.id != "torch"
    ]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_no_hidden_randomness_and_no_swallowed_errors(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    called = {node.func.attr for node in ast.walk(tree) if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)}
    assert not called & {"randn_like", "rand_like", "randint_like"}
    assert not [node.lineno for node in ast.walk(tree) if isinstance(node, ast.ExceptHandler) and node.type is None]


@pytest.mark.parametrize("path", SOURCES, ids=name_of)
def test_pictures_are_opened_by_the_formats_named(path):
    """Pillow left to itself takes formats that start programs (EPS)."""
    calls = [node for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))) if isinstance(node, ast.Call)]
    opened = [call for call in calls if ast.unparse(call.func) in ("Image.open", "PIL.Image.open")]
    assert all("formats" in {keyword.arg for keyword in call.keywords} for call in opened)


FAMILY_CLASSES = {"Generator", "GeneratorConfig", "PanoHeadGenerator"}


@pytest.mark.parametrize("path", [path for path in SOURCES if ROOT / "models" / "prior" not in path.parents], ids=name_of)
def test_no_family_of_generators_is_named_outside_their_room(path):
    tree = ast.parse(path.read_text(encoding="utf-8"))
    names = [alias.name for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level for alias in node.names]
    assert not set(names) & FAMILY_CLASSES


def test_no_file_is_too_long():
    assert {name_of(path): count for path in ALL if (count := len(path.read_text(encoding="utf-8").splitlines())) >= 450} == {}


def test_there_is_no_graveyard():
    assert [name_of(path) for path in ALL if path.stem in ("utils", "util", "misc", "common", "helpers")] == []


def test_every_package_is_listed_for_pip():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    packages = {path.parent for path in SOURCES if path.name == "__init__.py"}
    for package in packages:
        name = ".".join(["portrait_diffusion", *package.relative_to(ROOT).parts])
        assert f'"{name}"' in text, f"pyproject.toml does not list {name}"


def tracked() -> dict[str, int]:
    """Name -> bytes of what is (or would be) committed."""
    try:
        listed = subprocess.run(
            ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"], capture_output=True, check=True
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return {name: (ROOT / name).stat().st_size for name in names if (ROOT / name).is_file()}


def test_the_tree_is_light():
    sizes = tracked()
    weights = {name.split("/")[-1].split(".")[0]: size for name, size in sizes.items() if name.startswith("models/weights/")}
    assert weights["prior"] + weights["discriminator"] <= 9e6 and weights["encoder"] <= 3e6
    assert sum(sizes.values()) < 90e6
    assert sum(weights.values()) <= 48e6
    assert sum(size for name, size in sizes.items() if name.startswith("tests/golden/")) <= 16e6
    assert sum(size for name, size in sizes.items() if name.startswith("web/pictures/") or name.endswith(".jpg")) < 4e6


def test_weights_are_safetensors_only():
    assert not [name for name in tracked() if name.endswith((".pt", ".pth", ".ckpt", ".pkl", ".bin", ".onnx"))]


def test_the_top_level_is_the_user_s():
    allowed = {"__init__.py", "nodes", "models", "workflows", "web", "tests", "pyproject.toml", "README.md"}
    allowed |= {"LICENSE", "py.typed", "Makefile", "requirements.txt", "__main__.py", ".ci", ".gitignore", ".gitattributes", "locales", "subgraphs"}
    assert {name.split("/")[0] for name in tracked()} <= allowed


def test_the_root_imports_nothing():
    assert imports(ROOT / "__init__.py") == [(1, "nodes")]  # inside comfy_entrypoint
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    assert not [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
