"""The rooms of the house: who may import whom, and how much the tree may weigh."""

import ast
import subprocess
from collections import Counter
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = ("__init__.py", "__main__.py", "nodes", "models", "workflows")
SOURCES = sorted(
    path for name in OURS for path in ([ROOT / name] if name.endswith(".py") else (ROOT / name).rglob("*.py"))
)
ALL = [*SOURCES, *sorted((ROOT / "tests").rglob("*.py")), *sorted((ROOT / ".ci").glob("*.py"))]
COMFY = {"comfy", "comfy_api", "comfy_extras", "folder_paths", "nodes", "execution", "server"}
DEVICES = {"cuda", "mps", "xpu", "npu", "hpu"}


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Every node of a file's syntax tree; read once for all rules."""
    return tuple(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports(path: Path) -> list[tuple[int, str]]:
    """(level, first word) of every import of a file."""
    lines = []
    for node in nodes(path):
        if isinstance(node, ast.Import):
            lines += [(0, alias.name.split(".")[0]) for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            lines.append((node.level, (node.module or "").split(".")[0]))
    return lines


def imported(path: Path) -> set[tuple[str, str]]:
    """(module, name) of every `from ... import ...` of a file."""
    lines = [node for node in nodes(path) if isinstance(node, ast.ImportFrom)]
    return {(node.module or "", alias.name) for node in lines for alias in node.names}


def offences(rule: Callable[[Path], list], paths: list[Path]) -> dict[str, list]:
    """What a rule says of each file that breaks it."""
    return {name_of(path): said for path in paths if (said := rule(path))}


MODELS = [path for path in SOURCES if ROOT / "models" in path.parents]


def test_models_know_nothing_of_comfyui():
    def rule(path: Path) -> list:
        depth = len(path.relative_to(ROOT).parts)  # from .. of so many dots would leave models/
        lines = imports(path)
        return [line for line in lines if line[0] >= depth or line[0] == 0 and line[1] in COMFY]

    assert offences(rule, MODELS) == {}


def test_we_import_ourselves_relatively():
    def rule(path: Path) -> list:
        absolute = {word for level, word in imports(path) if level == 0}
        state = [node.lineno for node in nodes(path) if isinstance(node, ast.Global)]
        return [*(absolute & {"portrait_diffusion", "models", "workflows"}), *state]

    assert offences(rule, SOURCES) == {}


def test_models_name_no_device():
    """Except to compare with one that torch named."""

    def rule(path: Path) -> list:
        compared = {
            id(part) for node in nodes(path) if isinstance(node, ast.Compare) for part in ast.walk(node)
        }
        words = [
            node.value
            for node in nodes(path)
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in compared
        ]
        attributes = [
            node.attr
            for node in nodes(path)
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.attr in DEVICES
            and node.value.id != "torch"
        ]
        return [*(word for word in words if word.split(":")[0] in DEVICES), *attributes]

    assert offences(rule, MODELS) == {}


def test_no_hidden_randomness_and_no_swallowed_errors():
    hidden = {"randn_like", "rand_like", "randint_like"}

    def rule(path: Path) -> list:
        calls = [node.func for node in nodes(path) if isinstance(node, ast.Call)]
        draws = [call.attr for call in calls if isinstance(call, ast.Attribute) and call.attr in hidden]
        bare = [n.lineno for n in nodes(path) if isinstance(n, ast.ExceptHandler) and n.type is None]
        return [*draws, *bare]

    assert offences(rule, SOURCES) == {}


def test_pictures_are_opened_by_named_formats_only():
    """Others of Pillow's readers start programs (EPS), and trimesh's loader opens pictures without naming any."""

    def rule(path: Path) -> list:
        calls = [(ast.unparse(node.func), node) for node in nodes(path) if isinstance(node, ast.Call)]
        opening = [call for name, call in calls if name == "Image.open" or name.endswith(".Image.open")]
        unnamed = [call.lineno for call in opening if "formats" not in {word.arg for word in call.keywords}]
        scenes = [call.lineno for name, call in calls if name.startswith("trimesh.load")]
        return [*unnamed, *scenes, *(imported(path) & {("PIL.Image", "open"), ("PIL", "*")})]

    assert offences(rule, [*SOURCES, *(ROOT / ".ci").glob("*.py")]) == {}


FAMILY_CLASSES = {
    "Generator",
    "GeneratorConfig",
    "PanoHeadGenerator",
    "eg3d",
    "panohead",
}  # and their modules as such


def test_no_family_of_generators_is_named_outside_their_room():
    def rule(path: Path) -> list:
        lines = [node for node in nodes(path) if isinstance(node, ast.ImportFrom) and node.level]
        names = {alias.name for node in lines for alias in node.names}
        attributes = [
            node.attr
            for node in nodes(path)
            if isinstance(node, ast.Attribute)
            and node.attr in FAMILY_CLASSES
            and not (isinstance(node.value, ast.Name) and node.value.id == "torch")
        ]
        inner = set() if ROOT / "models" / "training" in path.parents else {"EmbeddedGenerator"}
        return [*(names & (FAMILY_CLASSES | inner)), *attributes]  # a training may know a generator's insides

    elsewhere = [path for path in SOURCES if ROOT / "models" / "prior" not in path.parents]
    assert offences(rule, elsewhere) == {}


def test_the_rules_see_what_they_forbid(tmp_path, monkeypatch):
    """A file that breaks each of them is named by each."""
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    bad = tmp_path / "models" / "bad.py"
    bad.parent.mkdir()
    bad.write_text(
        "import comfy, portrait_diffusion, torch\n"
        "from PIL import Image\n"
        "from .prior import PanoHeadGenerator\n"
        "try:\n    Image.open('a')\nexcept:\n    torch.randn_like('cuda')\n"
    )
    monkeypatch.setitem(globals(), "MODELS", [bad])
    monkeypatch.setitem(globals(), "SOURCES", [bad])
    rules = [
        test_models_know_nothing_of_comfyui,
        test_we_import_ourselves_relatively,
        test_models_name_no_device,
        test_no_hidden_randomness_and_no_swallowed_errors,
        test_pictures_are_opened_by_named_formats_only,
        test_no_family_of_generators_is_named_outside_their_room,
    ]
    for rule in rules:
        with pytest.raises(AssertionError, match="bad"):
            rule()


def test_no_file_is_too_long():
    assert {
        name_of(path): count
        for path in ALL
        if (count := len(path.read_text(encoding="utf-8").splitlines())) >= 450
    } == {}


def test_there_is_no_graveyard():
    assert [
        name_of(path) for path in ALL if path.stem in ("utils", "util", "misc", "common", "helpers")
    ] == []


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
            ["git", "-C", ROOT, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout")
    names = [name for name in listed.stdout.decode().split("\0") if name]
    return {name: (ROOT / name).stat().st_size for name in names if (ROOT / name).is_file()}


def test_the_tree_is_light():
    sizes = tracked()
    weights = {
        name.split("/")[-1].split(".")[0]: size
        for name, size in sizes.items()
        if name.startswith("models/weights/")
    }
    assert weights["prior"] + weights["discriminator"] <= 9e6 and weights["encoder"] <= 3e6
    assert sum(sizes.values()) < 90e6
    assert sum(weights.values()) <= 48e6
    assert sum(size for name, size in sizes.items() if name.startswith("tests/golden/")) <= 16e6
    assert (
        sum(size for name, size in sizes.items() if name.startswith("web/pictures/") or name.endswith(".jpg"))
        < 4e6
    )


def test_weights_are_safetensors_only():
    assert not [
        name for name in tracked() if name.endswith((".pt", ".pth", ".ckpt", ".pkl", ".bin", ".onnx"))
    ]


def test_the_top_level_is_the_user_s():
    allowed = {"__init__.py", "nodes", "models", "workflows", "web", "tests", "pyproject.toml", "README.md"}
    allowed |= {
        "LICENSE",
        "py.typed",
        "Makefile",
        "requirements.txt",
        "__main__.py",
        ".ci",
        ".gitignore",
        ".gitattributes",
        "locales",
        "subgraphs",
    }
    assert {name.split("/")[0] for name in tracked()} <= allowed


def test_the_root_imports_nothing():
    assert imports(ROOT / "__init__.py") == [(1, "nodes")]  # inside comfy_entrypoint
    tree = ast.parse((ROOT / "__init__.py").read_text(encoding="utf-8"))
    assert not [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]


DIALECT = set(
    "found seen known made told given taken kept wanted asked drawn shown written read came done said held got".split()
)


def test_what_a_function_holds_is_a_noun():
    """A share of local names that are participles, as dialects of code have it; the field's own (hidden, masked) are none of these."""
    names = [
        node.id
        for path in SOURCES
        for node in nodes(path)
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)
    ]
    verbs = [name for name in names if name in DIALECT]
    assert len(verbs) / len(names) < 0.005, Counter(verbs)
