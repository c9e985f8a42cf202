"""`train avatar-base` and `train avatar-upsampler`: exact mirror images, a step's parts, and sittings that go on, on small random planes."""

from dataclasses import replace
from functools import partial

import pytest
import torch
from portrait_diffusion.models import checkpoint
from portrait_diffusion.models.avatar.losses import clean_loss
from portrait_diffusion.models.avatar.model import BaseFileConfig, avatar, load_avatar, save_base
from portrait_diffusion.models.avatar.planes import mirrored, resize, roll_out
from portrait_diffusion.models.avatar.schedules import UPSAMPLER, schedule_of
from portrait_diffusion.models.avatar.shared_decoder import KIND, shared_decoder
from portrait_diffusion.models.avatar.upsampler import Upsampler
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.diffusion.embedded import shipped_autoencoder
from portrait_diffusion.models.training import avatar_base, avatar_heads, avatar_upsampler, local
from portrait_diffusion.models.training.avatar_heads import Averaged, heads_of, mirrors, slant
from portrait_diffusion.models.training.avatar_planes import AvatarPlanes
from portrait_diffusion.models.training.avatar_variants import VARIANTS, variant_path

from ..avatar import small
from ..avatar.small import random

CPU = torch.device("cpu")


def data_of(seeds, so_far=False) -> AvatarPlanes:
    count = len(seeds)
    draws = torch.Generator().manual_seed(seeds.start)
    portraits = torch.randint(256, (count, 3, 64, 64), generator=draws, dtype=torch.uint8)
    planes = 0.3 * random(count, 3, 4, 16, 16, seed=seeds.start)
    return AvatarPlanes(planes.half(), portraits, torch.zeros(count), torch.zeros(count))


def symmetric(shared):
    shared.mean.copy_((shared.mean + mirrored(shared.mean)) / 2)
    return shared


def test_mirrored_planes_are_the_mirror_image():
    shared, planes = small.shared(), 0.5 * random(1, 3, 4, 16, 16)
    yaw = torch.tensor([0.6])
    view = shared.head(planes).render(orbit(yaw, 0.2), 24)
    other = shared.head(mirrored(planes)).render(orbit(-yaw, 0.2), 24)
    torch.testing.assert_close(other.rgb.flip(-1), view.rgb, atol=1e-4, rtol=1e-3)
    assert torch.equal(mirrored(mirrored(planes)), planes)
    assert mirrors(small.FIELD) and not mirrors(replace(small.FIELD, plane_axes=("xy", "xz", "zx")))


def test_mirror_images_are_learnt_where_features_mean_the_same_on_both_sides(capsys):
    vae, data = shipped_autoencoder(), data_of(range(6))
    lopsided, even = small.shared(), symmetric(small.shared())
    assert slant(lopsided) > 0.3 and slant(even) < 1e-6
    assert heads_of(data, lopsided, vae, small.PORTRAIT, flips=True).flipped is None
    heads = heads_of(data, even, vae, small.PORTRAIT, flips=True)
    assert heads.flipped is not None and "mirror image" in capsys.readouterr().out
    index = torch.tensor([1, 4])
    planes, conditions = heads.rows(index, torch.tensor([False, True]))
    plain, own = heads.part(index)
    torch.testing.assert_close(planes[1], mirrored(plain[1]))
    assert torch.equal(planes[0], plain[0]) and torch.equal(conditions.latent[0], own.latent[0])
    assert not torch.equal(conditions.latent[1], own.latent[1])
    flips = data.portrait[4:5].flip(-1)
    torch.testing.assert_close(
        conditions.latent[1:],
        avatar_heads.told(vae, flips, small.PORTRAIT).latent.float(),
        atol=1e-2,
        rtol=1e-2,
    )  # half's digits


def test_portraits_are_told_at_the_model_s_size():
    conditions = avatar_heads.told(shipped_autoencoder(), data_of(range(3)).portrait, small.PORTRAIT)
    assert conditions.latent.shape == (3, 4, 8, 8) and conditions.latent.dtype == torch.float16
    assert [list(x.shape[1:]) for x in conditions.maps] == [[16, 32, 32], [32, 16, 16], [64, 8, 8]]


def test_planes_of_another_decoder_are_named():
    data = data_of(range(2))
    other = replace(data, planes=data.planes[:, :, :2])
    with pytest.raises(ValueError, match=r"expected planes \[N, 3, 4, 16, 16\].*got \[2, 3, 2, 16, 16\]"):
        heads_of(other, small.shared(), shipped_autoencoder(), small.PORTRAIT, flips=False)


def test_a_network_s_mean_follows_it():
    both = Averaged(torch.nn.Linear(2, 1))
    first = both.mean.weight.clone()
    with torch.no_grad():
        both.network.weight.add_(1)
    both.follow(10**6)
    torch.testing.assert_close(both.mean.weight, first + 0.001, atol=1e-5, rtol=0)
    both.follow(0)
    assert torch.equal(both.mean.weight, both.network.weight)
    assert set(both.state_dict()) == {f"{p}{k}" for p in both.parts("toy") for k in ("weight", "bias")}


def test_pieces_of_pictures_tell_planes_what_is_wrong():
    shared = small.shared()
    config = avatar_upsampler.UpsamplerTraining(piece=64, picture=80)
    truth = roll_out(0.4 * random(2, 3, 4, 16, 16))
    clean = (truth + 0.1 * random(*truth.shape, seed=1)).requires_grad_()
    estimate = avatar_upsampler.Estimate(clean, truth, torch.zeros(2, 3, 4, 8, 8))
    eyes = avatar_upsampler.shipped_perceptual()
    pictures, targets = avatar_upsampler.pieces(shared, estimate, config, torch.Generator().manual_seed(0))
    assert pictures.shape == targets.shape == (2, 3, 64, 64) and not targets.requires_grad
    terms = avatar_upsampler.image_loss(eyes, pictures, targets, config)
    sum(terms.values()).backward()
    assert all(term > 0 for term in terms.values()) and clean.grad.abs().sum() > 0
    same = replace(estimate, clean=truth)
    pictures, targets = avatar_upsampler.pieces(shared, same, config, torch.Generator().manual_seed(0))
    assert torch.equal(pictures, targets)


def test_a_piece_is_cut_out_of_the_picture():
    shared, planes, camera = small.shared(), 0.4 * random(1, 3, 4, 16, 16), orbit(0.3, 0.1)
    whole = avatar_upsampler.piece_of(shared, planes, camera, (0, 0), 32, 32)
    part = avatar_upsampler.piece_of(shared, planes, camera, (5, 9), 16, 32)
    torch.testing.assert_close(part, whole[..., 5:21, 9:25])
    own = shared.head(shared.planes(planes)).render(camera[None], 32, avatar_upsampler.RAYS, normals=False)
    torch.testing.assert_close(whole, own.rgb, atol=1e-4, rtol=1e-3)


def test_an_upsampler_begins_with_the_coarse_planes():
    config = small.FILE_UPSAMPLER
    planes = 0.3 * random(2, 3, 4, 16, 16)
    conditions = avatar_heads.told(shipped_autoencoder(), data_of(range(2)).portrait, small.PORTRAIT)
    estimate = avatar_upsampler.estimated(
        Upsampler(config.network),
        schedule_of(UPSAMPLER),
        8,
        config.augmentation,
        planes,
        conditions.to(torch.float32),
        torch.Generator().manual_seed(0),
        CPU,
    )
    enlarged = roll_out(resize(estimate.coarse, 16))
    torch.testing.assert_close(estimate.clean, enlarged, atol=2e-2, rtol=2e-2)  # half's digits
    assert (clean_loss(estimate.clean, estimate.truth) > 0.01).all()


@pytest.fixture
def trainings(tmp_path, monkeypatch):
    """Both of small sizes, whose files lie in a folder of the test; kind -> path."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    small.files(tmp_path)
    paths = [tmp_path / f"{kind}.safetensors" for kind in small.KINDS]
    for path in paths[1:]:
        path.unlink()

    def own(kind):
        return tmp_path / f"{kind}.safetensors" if kind in small.KINDS else checkpoint.shipped(kind)

    for module in (avatar_base, avatar_upsampler, local):
        monkeypatch.setattr(module, "shipped", own)
    for module in (avatar_base, avatar_upsampler):
        monkeypatch.setattr(module, "shared_decoder", partial(shared_decoder, own(KIND)))
        monkeypatch.setattr(module, "avatar_planes", data_of)
        monkeypatch.setattr(module, "PORTRAIT", small.PORTRAIT)
        monkeypatch.setattr(module, "HELD_OUT", 2)
    monkeypatch.setattr(avatar_base, "base_config", lambda *sizes: small.FILE_BASE.network)
    monkeypatch.setattr(avatar_upsampler, "upsampler_config", lambda *sizes: small.FILE_UPSAMPLER.network)
    return own


@pytest.mark.whole
def test_sittings_go_on_and_write_files_that_make_a_model(trainings, tmp_path, capsys):
    own, paths = trainings, [tmp_path / f"{kind}.safetensors" for kind in small.KINDS]
    words = ["--heads", "4", "--batch", "2", "--minutes", "0.01"]
    for name, module in (("avatar_base", avatar_base), ("avatar_upsampler", avatar_upsampler)):
        kept = tmp_path / "cache" / "portrait-diffusion" / "train" / f"{name}.safetensors"
        steps = []
        for part in (["--end", "0.5"], ["--begin", "0.5"]):
            module.run([*words, *part])
            steps.append(int(checkpoint.read_tensors(kept, "local checkpoint")[1]["step"]))
            assert own(name).is_file() == (part[0] == "--begin")
        assert 0 < steps[0] < steps[1]
        kept.unlink()
        module.run(words)
        assert f"going on from the shipped {name}" in capsys.readouterr().out
        _, _, facts = checkpoint.read_with_facts(own(name), name)
        assert {"noise_mse", "steps"} <= set(facts) or {"planes_mse", "pieces_psnr_db", "steps"} <= set(facts)
    head = avatar(load_avatar(*paths), None, torch.Generator().manual_seed(0))
    assert head.planes.isfinite().all()


def test_variants_differ_from_what_ships_in_what_their_names_say():
    scale = shipped_autoencoder().config["scaling_factor"]
    ships = BaseFileConfig(network=avatar_base.base_config(16, scale), portrait=avatar_base.PORTRAIT)
    files = {name: vary(ships) for name, vary in VARIANTS.items()}
    assert files["multi_scale"] == ships
    assert files["linear"] == replace(ships, schedule=files["linear"].schedule)
    assert files["linear"].schedule.kind == files["naive"].schedule.kind == "linear"
    assert files["token"].network.map_channels == () and set(files["token"].network.attention_maps) == {-1}
    assert len(files["one_scale"].network.map_taps) == 1 and files["one_scale"].schedule == ships.schedule
    assert files["naive"].network.size == 128 and files["naive"].network.attention == ships.network.attention
    with torch.device("meta"):
        numbers = {
            name: sum(p.numel() for p in avatar_base.BaseUNet(file.network).parameters())
            for name, file in files.items()
        }
    assert numbers["token"] < numbers["one_scale"] < numbers["multi_scale"] < numbers["naive"] < 2.5e6


@pytest.mark.whole
@pytest.mark.parametrize("name", VARIANTS)
def test_a_variant_takes_its_steps_and_lies_in_the_cache(name, trainings, tmp_path):
    base = small.base(small.FILE_BASE.network, seed=3)
    save_base(trainings("avatar_base"), base, small.FILE_BASE, small.shared(), shipped_autoencoder())
    ships = trainings("avatar_base").read_bytes()
    words = ["--heads", "4", "--batch", "2", "--variant", name, "--steps"]
    for steps in ("2", "3"):
        avatar_base.run([*words, steps])
        config, _, facts = checkpoint.read_with_facts(variant_path(name), "avatar_base")
        assert facts["steps"] == steps
    given = replace(small.FILE_BASE, schedule=avatar_base.SCHEDULE)
    assert replace(BaseFileConfig(**config), steps=3) == VARIANTS[name](given)
    assert trainings("avatar_base").read_bytes() == ships
    assert variant_path(name).is_relative_to(tmp_path / "cache")


def test_what_ships_fits_its_limits():
    """Base model and upsampler in half precision, together at most 6 MB, as their issue has it; and they read what the autoencoder tells."""
    scale = shipped_autoencoder().config["scaling_factor"]
    with torch.device("meta"):
        networks = [
            avatar_base.BaseUNet(avatar_base.base_config(16, scale)),
            Upsampler(avatar_upsampler.upsampler_config(16, scale)),
        ]
    numbers = sum(p.numel() for network in networks for p in network.parameters())
    keys = sum(len(network.state_dict()) for network in networks)
    assert 2 * numbers + 120 * keys < 6e6
