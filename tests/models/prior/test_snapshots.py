"""models/prior/snapshots.py: EG3D's, PanoHead's and SphereHead's own files, of small channels, without running them."""

import pickle

import pytest
import torch
from portrait_diffusion.models.camera import frontal, label_from_camera
from portrait_diffusion.models.prior.families import family_of, load_generator

from . import pretend


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
@pytest.mark.parametrize("family", pretend.KINDS)
def test_a_generator_comes_back(family, protocol, tmp_path):
    made = pretend.make(family)
    pretend.write_snapshot(tmp_path / "a.pkl", made, family, tmp_path / "ran", protocol)
    read = load_generator(tmp_path / "a.pkl")
    assert family_of(read) == family and read.config == made.config
    mine, theirs = made.state_dict(), read.state_dict()
    assert list(mine) == list(theirs) and all(torch.equal(theirs[key], mine[key]) for key in mine)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("family", pretend.KINDS)
def test_it_draws_the_same_picture(family, tmp_path):
    made = pretend.make(family)
    pretend.write_snapshot(tmp_path / "a.pkl", made, family, tmp_path / "ran")
    read = load_generator(tmp_path / "a.pkl")
    z = torch.randn(1, 16, generator=torch.Generator().manual_seed(1))
    label = label_from_camera(frontal())[None]
    assert torch.equal(read(z, label, resolution=16).image, made(z, label, resolution=16).image)
    assert not any(value.requires_grad for value in read.parameters()) and not read.training


def test_a_slowed_decoder_is_folded_in(tmp_path):
    made = pretend.make("eg3d")
    slow = pretend.arguments(made.config, "eg3d")[1] | {"decoder_lr_mul": 0.5}
    pretend.write_snapshot(tmp_path / "a.pkl", made, "eg3d", tmp_path / "ran", rendering_kwargs=slow)
    read = load_generator(tmp_path / "a.pkl")
    assert torch.equal(read.decoder.net[0].weight, made.decoder.net[0].weight * 0.5)
    assert torch.equal(read.backbone.mapping.w_avg, made.backbone.mapping.w_avg)


CHANGES = {
    "expected coarse from 0 to 512, got 1000000": {"depth_resolution": 10**6},
    "expected box_side from 0 to 1000": {"box_warp": "wide"},
    "expected super_resolution to be none or one of": {"superresolution_module": "os.system"},
    "expected decoder_lr_mul to be a number": {"decoder_lr_mul": [[]]},
    "expected c_scale from": {"c_scale": {"a": 1}},
}


@pytest.mark.parametrize("words", CHANGES)
def test_strange_options_are_named(words, tmp_path):
    made = pretend.make("eg3d")
    options = pretend.arguments(made.config, "eg3d")[1] | CHANGES[words]
    pretend.write_snapshot(tmp_path / "a.pkl", made, "eg3d", tmp_path / "ran", rendering_kwargs=options)
    with pytest.raises(ValueError, match=words):
        load_generator(tmp_path / "a.pkl")


def test_planes_may_lie_as_a_fork_has_them(tmp_path, monkeypatch):
    fixed = [*pretend.MATRICES["eg3d"][:2], [[0, 0, 1], [0, 1, 0], [1, 0, 0]]]
    monkeypatch.setitem(pretend.MATRICES, "eg3d", fixed)
    pretend.write_snapshot(tmp_path / "a.pkl", pretend.make("eg3d"), "eg3d", tmp_path / "ran")
    assert load_generator(tmp_path / "a.pkl").config.field.plane_axes == ("xy", "xz", "zy")
    monkeypatch.setitem(pretend.MATRICES, "eg3d", [[[0.5] * 3] * 3] * 3)
    pretend.write_snapshot(tmp_path / "a.pkl", pretend.make("eg3d"), "eg3d", tmp_path / "ran")
    with pytest.raises(ValueError, match="expected planes along the axes"):
        load_generator(tmp_path / "a.pkl")


def test_what_is_no_snapshot_is_said(tmp_path):
    rows = {
        "has none; choose a snapshot": {"G": 1},
        "has none; choose": [1, 2],
        "wants os system|wants posix system|wants nt system": pickle.loads,
    }
    for words, value in rows.items():
        content = b"cos\nsystem\n(S'touch ran'\ntR." if callable(value) else pickle.dumps(value)
        (tmp_path / "a.pkl").write_bytes(content)
        with pytest.raises(ValueError, match=f"^head prior: expected .*{words}"):
            load_generator(tmp_path / "a.pkl")


@pytest.mark.parametrize(
    ("name", "options"), [("TriPlaneSingSphGenerator_flatten", {}), ("Any", {"multiplane_num": 4})]
)
def test_hyplanehead_is_refused_by_name(name, options, tmp_path, monkeypatch):
    made = pretend.make("panohead")
    monkeypatch.setitem(pretend.NAMES, "PanoHeadGenerator", name)
    changes = {"rendering_kwargs": pretend.arguments(made.config, "panohead")[1] | options}
    pretend.write_snapshot(tmp_path / "a.pkl", made, "panohead", tmp_path / "ran", **changes)
    with pytest.raises(
        ValueError, match=rf"a\.pkl holds HyPlaneHead \({name}\), which this pack cannot build"
    ):
        load_generator(tmp_path / "a.pkl")


def test_half_of_the_spheres_layers_is_neither_family(tmp_path):
    made = pretend.make("spherehead")
    del made.ConvB
    pretend.write_snapshot(tmp_path / "a.pkl", made, "panohead", tmp_path / "ran")
    with pytest.raises(ValueError, match="ConvA.*unknown; choose"):
        load_generator(tmp_path / "a.pkl")


def test_modules_shared_without_end_are_refused(tmp_path):
    made, modules = pretend.make("eg3d"), pretend.foreign_modules()
    writer = pretend.Writer("eg3d", tmp_path / "ran", modules)
    thing = pretend.Persistent("Leaf", writer.state(None), "")
    for _ in range(40):
        thing = pretend.Persistent("Node", writer.state(None) | {"_modules": {"a": thing, "b": thing}}, "")
    with torch.no_grad():
        pretend.write_snapshot(
            tmp_path / "a.pkl", made, "eg3d", tmp_path / "ran", _modules={"backbone": thing}
        )
    with pytest.raises(ValueError, match="expected up to 50000 modules and tensors"):
        load_generator(tmp_path / "a.pkl")
