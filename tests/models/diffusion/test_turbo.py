from dataclasses import replace
from itertools import pairwise

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from portrait_diffusion.models.diffusion.autoencoder import decode, encode
from portrait_diffusion.models.diffusion.turbo import (
    TurboConfig,
    fade,
    fitted,
    latent_noise,
    mix_noise,
    padded,
    predict_clean,
    refine,
    refine_sequence,
    windows,
    within_memory,
)
from torch.testing import assert_close

from . import tiny

seeds = st.integers(0, 2**31 - 1)


@given(seeds, st.floats(0, 1))
def test_noise_is_mixed_linearly_and_none_leaves_latents_untouched(seed, r):
    g = tiny.draws(seed)
    z, noise = torch.randn(3, 4, 2, 2, generator=g), torch.randn(3, 4, 2, 2, generator=g)
    assert_close(mix_noise(z, r, noise), (1 - r) * z + r * noise)
    assert torch.equal(mix_noise(z, 0.0, noise), z) and torch.equal(mix_noise(z, 1.0, noise), noise)
    rows = torch.tensor([0.0, r, 1.0])
    assert_close(
        mix_noise(z, rows, noise),
        torch.cat([mix_noise(z[i, None], share, noise[i, None]) for i, share in enumerate(rows)]),
    )


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_refining_is_the_paper_step_by_step(prediction):
    turbo, views, references = (
        tiny.turbo(skips=False, prediction=prediction),
        tiny.images(2, 1),
        tiny.images(1, 2),
    )
    z, known = encode(turbo.vae, views), encode(turbo.vae, references)
    noise = latent_noise(turbo, views, tiny.draws(7))
    clean = predict_clean(
        turbo.denoiser, torch.cat([0.9 * z + 0.1 * noise, known])[None], 400, turbo.conditioning
    )[0]
    assert_close(refine(turbo, views, references, generator=tiny.draws(7)), decode(turbo.vae, clean[:2]))


@pytest.mark.parametrize("order", [[1, 0, 3, 2], [3, 0, 1, 2]])
def test_permuting_novel_views_permutes_the_outputs(order):
    turbo, views, references = tiny.turbo(), tiny.images(4, 1), tiny.images(2, 2)
    result = refine(turbo, views, references, generator=tiny.draws(), r=0.0)
    assert_close(
        refine(turbo, views[order], references, generator=tiny.draws(5), r=0.0),
        result[order],
        rtol=1e-4,
        atol=1e-5,
    )
    assert_close(
        refine(turbo, views, references.flip(0), generator=tiny.draws(), r=0.0), result, rtol=1e-4, atol=1e-5
    )


def test_views_see_each_other_and_the_reference():
    turbo, views, references = tiny.turbo(), tiny.images(3, 1), tiny.images(1, 2)
    result = refine(turbo, views, references, generator=tiny.draws())
    assert result.shape == views.shape and 0 <= result.min() and result.max() <= 1
    assert torch.equal(refine(turbo, views, references, generator=tiny.draws()), result)
    other = refine(turbo, torch.cat([views[:2], 1 - views[2:]]), references, generator=tiny.draws())
    assert (other[:2] - result[:2]).abs().max() > 1e-6
    assert (refine(turbo, views, 1 - references, generator=tiny.draws()) - result).abs().max() > 1e-6


@pytest.mark.parametrize("count", [1, 2, 5])
@pytest.mark.parametrize("references", [1, 3])
def test_any_number_of_views_and_references(count, references):
    turbo = tiny.turbo(window=3, overlap=1)
    result = refine_sequence(turbo, tiny.images(count, 1), tiny.images(references, 2), generator=tiny.draws())
    assert result.shape == (count, 3, 16, 16) and torch.isfinite(result).all()


def test_a_sequence_that_fits_one_window_is_refined_as_a_whole():
    turbo, views, references = tiny.turbo(window=4), tiny.images(4, 1), tiny.images(1, 2)
    whole = refine(turbo, views, references, generator=tiny.draws())
    assert_close(refine_sequence(turbo, views, references, generator=tiny.draws()), whole)


def test_equal_views_have_no_seams():
    turbo, references = tiny.turbo(window=4, overlap=2), tiny.images(1, 2)
    views = tiny.images(1, 1).expand(11, -1, -1, -1)
    result = refine_sequence(turbo, views, references, generator=tiny.draws(), r=0.0, loop=True)
    assert_close(result, result[:1].expand_as(result), rtol=1e-4, atol=1e-5)


def test_the_callback_hears_of_every_window_and_may_interrupt():
    turbo, views, references, seen = tiny.turbo(window=2, overlap=1), tiny.images(4, 1), tiny.images(1, 2), []
    refine_sequence(
        turbo, views, references, generator=tiny.draws(), callback=lambda *told: seen.append(told)
    )
    assert [told[:2] for told in seen] == [(1, 3), (2, 3), (3, 3)] and all(
        told[2].shape == (3, 16, 16) for told in seen
    )

    def stop(done, total, latest):
        seen.append(done)
        raise InterruptedError

    with pytest.raises(InterruptedError):
        refine_sequence(turbo, views, references, generator=tiny.draws(), callback=stop)
    assert seen[3:] == [1]


def test_memory_that_runs_out_says_what_to_make_smaller():
    def refused():
        raise torch.OutOfMemoryError("CUDA out of memory")

    with pytest.raises(ValueError, match="5 views of 16 x 24 pixels.*window smaller"):
        within_memory(refused, torch.zeros(5, 3, 24, 16))

    def broken():
        raise RuntimeError("shapes differ")

    with pytest.raises(RuntimeError, match="shapes differ"):
        within_memory(broken, torch.zeros(5, 3, 24, 16))


@given(st.integers(1, 130), st.integers(1, 12), st.integers(0, 11), st.booleans())
def test_windows_cover_every_view_and_overlap(count, size, overlap, loop):
    assume(overlap < size)
    cut = windows(count, size, overlap, loop=loop)
    assert {i for window in cut for i in window} == set(range(count))
    assert all(len(window) == len(set(window)) == min(size, count) for window in cut)
    if len(cut) > 1:
        following = cut[1:] + cut[:1] if loop else cut[1:]
        assert all(len(set(a) & set(b)) >= overlap for a, b in zip(cut, following, strict=False))
        assert all((b - a) % count == 1 for window in cut for a, b in pairwise(window))
    if not loop and count > size:
        assert len(cut) == -(-(count - overlap) // (size - overlap))  # no more than are needed


@given(st.integers(1, 12), st.integers(0, 11))
def test_fading_is_symmetric_and_never_silent(size, overlap):
    assume(overlap < size)
    weight = fade(size, overlap)
    assert torch.equal(weight, weight.flip(0)) and (weight > 0).all() and weight.max() <= 1


@pytest.mark.parametrize("shape", [(16, 16), (30, 11), (9, 40), (16, 17)])
def test_references_of_any_size_and_aspect_are_fitted_whole(shape):
    H, W = 16, 16
    image = torch.zeros(1, 3, *shape)
    framed = fitted(image, (H, W))
    assert framed.shape == (1, 3, H, W)
    dark = (framed == 0).float().mean().item()
    assert dark == pytest.approx(min(shape) / max(shape), abs=0.08)
    assert_close(framed, framed.flip(-1), atol=1, rtol=0)
    turbo = tiny.turbo()
    assert refine(turbo, tiny.images(1), tiny.images(1, 3, *shape), generator=tiny.draws()).shape == (
        1,
        3,
        16,
        16,
    )


def test_views_of_odd_sizes_come_back_in_their_size():
    turbo, views = tiny.turbo(), tiny.images(2, 1, 15, 13)
    assert padded(views, 8).shape[-2:] == (16, 16) and torch.equal(padded(views, 8)[..., :15, :13], views)
    assert refine(turbo, views, tiny.images(1, 2), generator=tiny.draws()).shape == views.shape


def test_half_precision_networks_work():
    turbo = tiny.turbo()
    whole = refine(turbo, tiny.images(2, 1), tiny.images(1, 2), generator=tiny.draws())
    halves = replace(
        turbo,
        denoiser=replace(turbo.denoiser, unet=turbo.denoiser.unet.bfloat16()),
        vae=turbo.vae.bfloat16(),
        skips=turbo.skips.bfloat16(),
    )
    result = refine(halves, tiny.images(2, 1), tiny.images(1, 2), generator=tiny.draws())
    assert result.dtype == torch.float32
    assert_close(result, whole, atol=0.1, rtol=0)


def test_bad_input_is_named():
    turbo, views, references = tiny.turbo(), tiny.images(2, 1), tiny.images(1, 2)
    nan = views.clone()
    nan[1, 0, 3, 3] = float("nan")
    for function in (refine, refine_sequence):
        with pytest.raises(ValueError, match="views: expected at least one image"):
            function(turbo, views[:0], references, generator=tiny.draws())
        with pytest.raises(ValueError, match="references: expected at least one image"):
            function(turbo, views, references[:0], generator=tiny.draws())
        with pytest.raises(ValueError, match="views: expected finite numbers"):
            function(turbo, nan, references, generator=tiny.draws())
        with pytest.raises(ValueError, match="references: expected finite numbers"):
            function(turbo, views, nan, generator=tiny.draws())
        for r in (-0.1, 1.5, float("nan")):
            with pytest.raises(ValueError, match="share of noise from 0 to 1"):
                function(turbo, views, references, generator=tiny.draws(), r=r)
    with pytest.raises(ValueError, match="overlap"):
        TurboConfig(window=2, overlap=2)
    with pytest.raises(ValueError, match="share of noise"):
        TurboConfig(r=2.0)
    with pytest.raises(ValueError, match="timestep"):
        TurboConfig(t=-1)
    with pytest.raises(ValueError, match="whole numbers from 0 to 999"):
        refine(tiny.turbo(t=1000), views, references, generator=tiny.draws())
