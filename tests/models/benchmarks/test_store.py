"""What benches keep: filed by code, weights, settings and content; only the heads of a call are in its means."""

import pytest
import torch
from portrait_diffusion.models import checkpoint
from portrait_diffusion.models.benchmarks import exact_heads, keys, store
from portrait_diffusion.models.benchmarks.exact_heads import ExactHead, folder_heads, only
from portrait_diffusion.models.benchmarks.store import HeadBench, difference_rows, mean_rows
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.synthetic.multiview import write_views
from portrait_diffusion.models.synthetic.rendering import Views


class Brightness(HeadBench):
    """How bright a head's views are."""

    def __init__(self, *arguments):
        super().__init__(*arguments)
        self.measured = []

    def run(self):
        self.fill("mean", self.heads, self.figures)

    def figures(self, head):
        self.measured.append(head.name)
        return {"brightness": head.exact.views.rgb.mean().item()}

    def rows(self):
        return [
            row for name, heads in self.done.items() for row in mean_rows(name, heads, {"brightness": ""})
        ]


def write_head(path, brightness):
    camera = orbit(torch.tensor([0.0, 0.5]), torch.zeros(2))
    one = torch.ones(2, 1, 8, 8)
    write_views(
        path, Views(one.expand(-1, 3, -1, -1) * brightness, one, one, one.expand(-1, 3, -1, -1)), camera
    )


def bench(folder, count, path):
    one = Brightness(folder_heads(folder, count), path, 1.0)
    one.run()
    return one


def test_a_file_that_changed_under_its_name_is_measured_anew(tmp_path):
    folder, path = tmp_path / "heads", tmp_path / "store.json"
    folder.mkdir()
    write_head(folder / "someone.safetensors", 0.2)
    (before,) = bench(folder, 1, path).rows()
    same = bench(folder, 1, path)
    assert same.measured == [] and same.rows() == [before]
    write_head(folder / "someone.safetensors", 0.6)
    changed = bench(folder, 1, path)
    (after,) = changed.rows()
    assert changed.measured == ["someone"] and after.n == 1 and after.value == pytest.approx(0.6)


def test_means_are_of_the_heads_that_were_asked_for(tmp_path):
    folder, path = tmp_path / "heads", tmp_path / "store.json"
    folder.mkdir()
    for name, brightness in (("a", 0.2), ("b", 0.4)):
        write_head(folder / f"{name}.safetensors", brightness)
    (two,) = bench(folder, 2, path).rows()
    one = bench(folder, 1, path)
    (row,) = one.rows()
    assert (two.n, row.n, one.measured) == (2, 1, []) and row.value == pytest.approx(0.2)


def test_a_head_s_key_tells_every_number(tmp_path):
    write_head(tmp_path / "head.safetensors", 0.2)
    (head,) = folder_heads(tmp_path, 1)
    (again,) = folder_heads(tmp_path, 1)
    assert head.key == again.key
    moved = orbit(torch.tensor([0.0, 0.51]), torch.zeros(2))
    turned = ExactHead("head", type(head.exact)(views=head.exact.views, camera=moved, frontal=0), {})
    assert (
        len({head.key, turned.key, ExactHead("head", head.exact, {"yaw 20": only(head.exact, 1)}).key}) == 3
    )


def test_keys_are_of_weights_settings_and_given_files(tmp_path, monkeypatch):
    monkeypatch.setattr(keys, "code_digest", lambda entry: entry.name)
    monkeypatch.setattr(keys, "WEIGHTS", tmp_path)
    (tmp_path / "prior.safetensors").write_bytes(b"one")
    given = tmp_path / "ablation"
    given.write_bytes(b"two")

    def all_keys():
        return [
            keys.bench_key("a.py"),
            keys.bench_key("a.py", 3),
            keys.bench_key("a.py", files=[given]),
            keys.code_key("a.py"),
        ]

    first = all_keys()
    assert len(set(first)) == 4 and first == all_keys()
    given.write_bytes(b"other")
    assert [a == b for a, b in zip(first, all_keys(), strict=True)] == [True, True, False, True]
    (tmp_path / "prior.safetensors").write_bytes(b"other")
    assert [a == b for a, b in zip(first, all_keys(), strict=True)] == [False, False, False, True]
    monkeypatch.setattr(keys, "FACTORY_VERSION", "3")
    assert all_keys()[3] != first[3]


def test_every_weights_file_that_ships_counts():
    assert (
        checkpoint.shipped("prior") in keys.shipped_files()
        and checkpoint.shipped("turbo") in keys.shipped_files()
    )


def test_a_bench_s_file_moves_with_its_code(monkeypatch):
    first = store.store_path("prior", store.__file__)
    monkeypatch.setattr(keys, "code_digest", lambda entry: "other code")
    assert store.store_path("prior", store.__file__) != first
    exact_heads.renders_key.cache_clear()
    changed = exact_heads.renders_key()
    exact_heads.renders_key.cache_clear()
    monkeypatch.undo()
    assert exact_heads.renders_key() != changed


def test_differences_are_of_heads_and_metrics_that_both_have():
    ours = {"a": {"PSNR": 3.0, "SSIM": 0.5}, "b": {"PSNR": 5.0}, "c": {"PSNR": 9.0}}
    other = {"a": {"PSNR": 1.0, "SSIM": 0.25}, "b": {"PSNR": 1.0, "SSIM": 0.25}}
    rows = {
        row.metric: (row.value, row.n)
        for row in difference_rows("ours less other", ours, other, {"PSNR": "dB", "SSIM": "", "L2": ""})
    }
    assert rows == {"PSNR": (3.0, 2), "SSIM": (0.25, 1)}


def test_two_calls_at_once_keep_each_other_s_figures(tmp_path):
    folders, path = [tmp_path / "one", tmp_path / "other"], tmp_path / "store.json"
    for folder, brightness in zip(folders, (0.2, 0.6), strict=True):
        folder.mkdir()
        write_head(folder / f"{folder.name}.safetensors", brightness)
    both = [Brightness(folder_heads(folder, 1), path, 1.0) for folder in folders]
    for one in both:
        one.run()
    again = [bench(folder, 1, path) for folder in folders]
    assert all(one.measured == [] for one in again)
    assert [one.rows() for one in again] == [one.rows() for one in both]
