"""models/code_closure.py: whatever a module can reach changes its digest, and nothing else does."""

import shutil

import pytest
from portrait_diffusion.models import code_closure
from portrait_diffusion.models.code_closure import MODELS, code_digest

pytestmark = pytest.mark.whole  # minutes in all

BENCH = "benchmarks/mvnrs/bench.py"


@pytest.fixture(scope="module")
def copied(tmp_path_factory):
    """The code of models/, elsewhere."""
    root = tmp_path_factory.mktemp("copy") / "models"
    shutil.copytree(
        MODELS,
        root,
        ignore=lambda folder, names: [n for n in names if n in ("weights", "results", "__pycache__")],
    )
    return root


@pytest.fixture
def changed(copied):
    """Replaces words in files of the copy until the test ends."""
    before = {}

    def change(name, old, new):
        path = copied / name
        before.setdefault(path, path.read_text(encoding="utf-8"))
        assert before[path].count(old) == 1
        path.write_text(before[path].replace(old, new), encoding="utf-8")

    yield change
    for path, text in before.items():
        path.write_text(text, encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("projection.py", "radius: float = 1.0", "radius: float = 1.5"),
        ("camera.py", "\nRADIUS = 2.7", "\nRADIUS = 2.8"),
        ("benchmarks/store.py", "manual_seed(0)", "manual_seed(1)"),
    ],
)
def test_a_change_deep_inside_changes_a_bench_s_digest(copied, changed, name, old, new):
    first = code_digest(copied / BENCH, copied)
    assert first == code_digest(MODELS / BENCH)
    changed(name, old, new)
    assert code_digest(copied / BENCH, copied) != first


def test_packages_on_the_way_count(copied, changed):
    first = code_digest(copied / BENCH, copied)
    changed("field/__init__.py", '"""\n', '"""\nSUDDENLY = 1\n')
    assert code_digest(copied / BENCH, copied) != first


def test_comments_and_other_modules_change_nothing(copied, changed):
    first = code_digest(copied / BENCH, copied)
    changed("projection.py", "\nfrom __future__", "\n# a comment\n\nfrom __future__")
    changed("training/niqe.py", "default=100", "default=101")
    assert code_digest(copied / BENCH, copied) == first


def test_imports_inside_functions_and_of_packages_are_followed(tmp_path):
    files = {
        "a.py": "def f():\n    from .room import b\n",
        "room/__init__.py": "",
        "room/b.py": "from ..room.c import x\nimport json\n",
        "room/c.py": "from . import d\nfrom ... import outside\n",
        "room/d.py": "",
        "room/e.py": "",
        "__init__.py": "",
    }
    for name, text in files.items():
        (tmp_path / "models" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "models" / name).write_text(text)
    (tmp_path / "outside.py").write_text("")
    root = tmp_path / "models"
    closure = {path.relative_to(root).as_posix() for path in code_closure.code_closure(root / "a.py", root)}
    assert closure == set(files) - {"room/e.py"}
    with pytest.raises(ValueError, match="expected a file below models, got outside"):
        code_closure.code_closure(tmp_path / "outside.py", root)
