"""models/metrics/niqe.py: the fits recover known shapes; damage raises the figure; files are read and never run."""

import math

import pytest
import torch
import torch.nn.functional as F
from portrait_diffusion.models.metrics import niqe as module
from portrait_diffusion.models.metrics.image import blur
from portrait_diffusion.models.metrics.niqe import (
    NiqeModel,
    fit_asymmetric,
    fit_niqe,
    mscn,
    niqe,
    patch_features,
    read_niqe,
    write_niqe,
)
from safetensors.torch import save_file
from torch.testing import assert_close

COUNT = 200_000


def noise(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def natural(count, size=128, seed=0):
    """Pictures with a spectrum like photographs': noise of amplitude 1 / frequency."""
    frequency = torch.hypot(torch.fft.fftfreq(size)[:, None], torch.fft.fftfreq(size)).clamp_min(1 / size)
    grey = torch.fft.ifft2(torch.fft.fft2(noise(count, 1, size, size, seed=seed)) / frequency).real
    grey = grey / grey.std((2, 3), keepdim=True)
    return (0.5 + 0.15 * grey).clamp(0, 1).expand(-1, 3, -1, -1).float()


def test_the_fit_recovers_gaussians_laplacians_and_uniform_values():
    draws = torch.Generator().manual_seed(1)
    uniform = torch.rand(1, COUNT, generator=draws, dtype=torch.float64)
    signs = torch.randint(2, (1, COUNT), generator=draws) * 2 - 1
    shape, left, right = fit_asymmetric(3 * noise(1, COUNT))
    assert_close(
        (shape, left, right),
        tuple(torch.tensor([x], dtype=torch.float64) for x in (2, 3 * math.sqrt(2), 3 * math.sqrt(2))),
        rtol=0.02,
        atol=0,
    )
    shape, left, right = fit_asymmetric(-0.5 * uniform.log() * signs)
    assert_close((shape, left, right), tuple(torch.tensor([x], dtype=torch.float64) for x in (1, 0.5, 0.5)), rtol=0.02, atol=0)
    assert fit_asymmetric(uniform * 2 - 1)[0].item() > 8  # ever more boxlike


def test_the_fit_recovers_two_widths():
    """Halves of Gaussians of widths 1 and 3, each as likely as it is wide, which keeps the density whole at 0."""
    values = noise(1, COUNT).abs() / math.sqrt(0.5)
    wide = torch.rand(1, COUNT, generator=torch.Generator().manual_seed(2)) < 0.75
    shape, left, right = fit_asymmetric(torch.where(wide, 3 * values, -values) / 2)
    assert_close(torch.cat([shape, left, right]), torch.tensor([2.0, 1.0, 3.0], dtype=torch.float64), rtol=0.03, atol=0)


def test_normalised_luminance_has_unit_spread_and_ignores_offset():
    grey = 128 + 40 * noise(1, 1, 64, 64)
    values, deviation = mscn(grey)
    assert values.mean().abs() < 0.05 and 0.7 < values.std() < 1.2 and deviation.mean() == pytest.approx(40, rel=0.2)
    assert_close(mscn(grey + 30)[0], values, atol=1e-6, rtol=0)
    assert_close(mscn(torch.full((1, 1, 8, 8), 200.0).double())[0], torch.zeros(1, 1, 8, 8).double(), atol=1e-4, rtol=0)


def test_features_of_turned_pictures_are_the_same_but_for_order():
    """A transposed picture exchanges the products across and down, and keeps everything else."""
    image = natural(1, 96)
    features = patch_features(image, 32)[0]
    turned = patch_features(image.mT, 32)[0].view(3, 3, 36).transpose(0, 1).flatten(0, 1)
    across, down = (turned.view(-1, 2, 18)[:, :, a:b] for a, b in ((2, 6), (6, 10)))
    expected = features.view(-1, 2, 18)
    assert_close(expected[:, :, 2:6], down, atol=2e-3, rtol=1e-3)
    assert_close(expected[:, :, 6:10], across, atol=2e-3, rtol=1e-3)
    assert_close(expected[:, :, :2], turned.view(-1, 2, 18)[:, :, :2], atol=2e-3, rtol=1e-3)


@pytest.fixture(scope="module")
def model():
    return fit_niqe(natural(12))


def test_noise_blur_and_blocks_raise_it(model):
    clean = natural(4, seed=9)
    coarse = F.interpolate(F.avg_pool2d(clean, 8), scale_factor=8)
    exact = niqe(clean, model)
    for damaged in (clean + 0.15 * noise(*clean.shape).float(), blur(clean, 1.5), coarse):
        assert (niqe(damaged.clamp(0, 1), model) > 1.3 * exact).all()
    assert niqe(blur(clean, 2.5), model).mean() > niqe(blur(clean, 1.0), model).mean()


def test_pictures_do_not_see_each_other_and_masks_choose_patches(model):
    clean = natural(2, seed=9)
    assert_close(niqe(clean, model)[1:], niqe(clean[1:], model))
    mask = torch.zeros(1, 1, 128, 128)
    mask[..., :64, :] = 1
    half = niqe(clean[:1, :, :64], model)
    assert_close(niqe(clean[:1], model, mask), half, rtol=0.1, atol=0)  # but for the rows at the cut, whose windows reach over it


def test_flat_patches_do_not_count(model):
    image = torch.ones(1, 3, 128, 128)
    assert len(patch_features(image, 32)[0]) == 0
    with pytest.raises(ValueError, match="two patches"):
        niqe(image, model)
    image[..., :64] = natural(1, seed=9)[..., :64]
    assert niqe(image, model).isfinite().all()


def test_statistics_come_back_from_files(model, tmp_path):
    write_niqe(tmp_path / "ours.safetensors", model, heads="0")
    ours = read_niqe(tmp_path / "ours.safetensors")
    assert ours.patch == 32
    assert_close(ours.mean.float(), model.mean.float())
    numpy, scipy_io = pytest.importorskip("numpy"), pytest.importorskip("scipy.io")
    arrays = {"mu_prisparam": model.mean.numpy()[None], "cov_prisparam": model.covariance.numpy()}
    scipy_io.savemat(tmp_path / "standard.mat", arrays)
    numpy.savez(tmp_path / "other.npz", mu_pris_param=arrays["mu_prisparam"], cov_pris_param=arrays["cov_prisparam"])
    save_file({key: torch.as_tensor(value) for key, value in arrays.items()}, tmp_path / "standard.safetensors")
    for name in ("standard.mat", "other.npz", "standard.safetensors"):
        found = read_niqe(tmp_path / name)
        assert found.patch == 96
        assert_close(found.covariance, model.covariance)
    assert read_niqe(tmp_path / "standard.mat", patch=48).patch == 48


def test_bad_files_and_statistics_are_named(model, tmp_path):
    (tmp_path / "broken.mat").write_bytes(b"MATLAB" * 40)
    (tmp_path / "some.pkl").write_bytes(b"x")
    numpy = pytest.importorskip("numpy")
    numpy.savez(tmp_path / "pickled.npz", mu_prisparam=numpy.array([print], dtype=object))
    for name in ("broken.mat", "pickled.npz", "some.pkl", "none.npz"):
        with pytest.raises(ValueError, match="niqe statistics"):
            read_niqe(tmp_path / name)
    save_file({"other": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="mu_prisparam"):
        read_niqe(tmp_path / "other.safetensors")
    with pytest.raises(ValueError, match="even size"):
        NiqeModel(model.mean, model.covariance, 15)
    with pytest.raises(ValueError, match="sharp patches"):
        fit_niqe(natural(1))
    assert module.FEATURES == len(model.mean)
