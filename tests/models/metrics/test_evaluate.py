"""models/metrics/evaluate.py: equal pictures are perfect, figures are of single pictures, batches have to pair."""

import math

import pytest
import torch
import torch.nn.functional as F
from portrait_diffusion.models.metrics.evaluate import Judges, evaluate
from portrait_diffusion.models.metrics.identity import IdentityConfig, IdentityNetwork
from portrait_diffusion.models.metrics.image import psnr
from portrait_diffusion.models.metrics.niqe import fit_niqe
from portrait_diffusion.models.metrics.perceptual import PerceptualConfig, PerceptualNetwork
from torch.testing import assert_close


def pictures(count=2, size=96, seed=0):
    coarse = torch.rand(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(coarse, size=(size, size), mode="bicubic", align_corners=False).clamp(0, 1)


@pytest.fixture(scope="module")
def judges():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        perceptual, identity = PerceptualNetwork(PerceptualConfig()), IdentityNetwork(IdentityConfig())
    return Judges(perceptual=perceptual, identity=identity, niqe=fit_niqe(pictures(12, seed=5)))


def by_name(figures):
    return {figure.metric: figure for figure in figures}


def test_equal_pictures_are_perfect(judges):
    a, mask = pictures(), torch.ones(2, 1, 96, 96)
    found = by_name(evaluate(a, a, judges, masks=mask, reference_masks=mask))
    assert list(found) == [
        "L2",
        "PSNR",
        "SSIM",
        "PSNR in mask",
        "silhouette IoU",
        "perceptual",
        "identity",
        "kernel distance",
        "NIQE",
    ]
    assert found["L2"].value == found["perceptual"].value == 0 and found["PSNR"].value == math.inf
    assert (
        found["SSIM"].value == pytest.approx(1)
        and found["identity"].value == pytest.approx(1)
        and found["silhouette IoU"].value == 1
    )


def test_each_picture_has_its_own_figure(judges):
    a, b = pictures(3), pictures(3, seed=1)
    found = by_name(evaluate(a, b, judges))
    assert found["PSNR"].values.tolist() == [psnr(a[i], b[i]) for i in range(3)]
    alone = by_name(evaluate(a[1:2], b[1:2], judges))
    assert "kernel distance" not in alone  # of two pictures or more
    for name, figure in alone.items():
        assert_close(figure.values[0], found[name].values[1])


def test_one_reference_serves_all_and_other_sizes_are_resized(judges):
    a, b = pictures(2), pictures(1, seed=1)
    whole, single = by_name(evaluate(a, b, Judges())), by_name(evaluate(a, b.expand(2, -1, -1, -1), Judges()))
    assert list(whole) == ["L2", "PSNR", "SSIM"] and torch.equal(whole["L2"].values, single["L2"].values)
    assert by_name(evaluate(pictures(2), pictures(2, 192), Judges()))["PSNR"].value > 30
    wide = by_name(evaluate(pictures(2)[..., :80, :], pictures(2)[..., :80, :], judges))
    assert "identity" not in wide and "perceptual" in wide


def test_the_users_own_judges_join():
    faces = iter((torch.tensor([0.25, float("nan")]),))
    judges = Judges(
        faces=lambda a, b: next(faces),
        clip=lambda x: x.mean((2, 3)),
        standard_niqe=fit_niqe(pictures(12, seed=5)),
    )
    a = pictures()
    found = by_name(evaluate(a, a, judges))
    assert list(found) == ["L2", "PSNR", "SSIM", "ArcFace", "CLIP", "NIQE, standard statistics"]
    assert (
        found["ArcFace"].value == 0.25 and found["ArcFace"].judged == 1
    )  # of the picture in which a face was found
    assert found["CLIP"].value == pytest.approx(1) and found["CLIP"].judged == 2


def test_bad_batches_are_named():
    a = pictures(3)
    for images, references, message in (
        (a, a[:2], "for each of 3"),
        (a, a[..., :48], "one aspect"),
        (a[:0], a, "at least one"),
        (a, torch.full_like(a, math.nan), "finite references"),
    ):
        with pytest.raises(ValueError, match=message):
            evaluate(images, references, Judges())
    with pytest.raises(ValueError, match="reference_masks"):
        evaluate(a, a, Judges(), reference_masks=torch.ones(3, 96, 96))
