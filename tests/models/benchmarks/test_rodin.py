"""models/benchmarks/rodin: whose files are missing, what a code's numbers are, ranks, figure 5's averages, figure 9's lines."""

import math
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from portrait_diffusion.models.avatar.schedules import BASE, log_snr, schedule_of
from portrait_diffusion.models.benchmarks.rodin import (
    consistency,
    figures,
    networks,
    people,
    readings,
    redundancy,
)
from portrait_diffusion.models.benchmarks.rodin.people import Pictures
from portrait_diffusion.models.camera import orbit
from portrait_diffusion.models.commands.report import Row
from portrait_diffusion.models.synthetic.factories import FACTORIES
from portrait_diffusion.models.synthetic.people import renders as people_renders
from portrait_diffusion.models.synthetic.people.codes import measures, shape_numbers
from portrait_diffusion.models.synthetic.people.person import draw_person
from portrait_diffusion.models.synthetic.people.scans import load_scans, scans_present
from portrait_diffusion.models.training.avatar_variants import LINEAR, VARIANTS

from ..avatar import small

FIELD_SIDES = (16, 32, 64)
seeds = st.integers(0, 10**6)


def normal(*shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Where all networks are looked for, and a cache."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("shipped", "variant_path"):
        prefix = "" if name == "shipped" else "avatar_base_"
        monkeypatch.setattr(
            networks, name, lambda kind, prefix=prefix: tmp_path / f"{prefix}{kind}.safetensors"
        )
    return tmp_path


def test_without_a_base_model_its_file_and_its_training_are_named(folder):
    with pytest.raises(ValueError, match=r"avatar_base\.safetensors.*found none; run `train avatar-base`"):
        networks.files_present()


def test_each_missing_file_is_named_and_only_the_others_have_rows(folder, capsys):
    decoder, base, upsampler = small.files(folder)
    (folder / "avatar_base_token.safetensors").write_bytes(base.read_bytes())
    upsampler.unlink()
    files = networks.files_present()
    words = capsys.readouterr().out
    assert "avatar_upsampler.safetensors is missing" in words and "`train avatar-upsampler`" in words
    assert words.count("--variant") == len(VARIANTS) - 1 and "avatar_base.safetensors" not in words
    draws = networks.Networks(files).draws()
    assert set(draws) == {networks.ALONE, networks.VARIANT_ROWS["token"]}


def test_a_base_model_alone_gives_the_coarse_planes_of_the_whole(folder):
    small.files(folder)
    own = networks.Networks(networks.files_present())
    portrait = people.as_photo(people.exact_views(90_000, [(10.0, 0.0)], 64), 0)
    whole, coarse = [], own.draws()[networks.ALONE](portrait, torch.Generator().manual_seed(1))
    networks.avatar(
        own.whole(own.files.base),
        portrait,
        torch.Generator().manual_seed(1),
        callback=lambda done, total, head: whole.append(head.planes),
    )
    assert torch.equal(coarse.planes, whole[small.FILE_BASE.steps - 1])
    assert coarse.config.resolution == small.FILE_BASE.network.size


def test_another_decoder_s_base_model_is_refused(folder):
    small.files(folder)
    other = folder / "other"
    other.mkdir()
    path = small.files(other, seed=1)[1]
    with pytest.raises(ValueError, match="expected the decoder that it was trained with"):
        networks.Networks(networks.files_present()).alone(path)


@pytest.mark.skipif(not scans_present(), reason="the scan model is absent")
def test_a_code_s_measures_and_the_exact_points_are_where_readings_look_for_them():
    person, scans = draw_person(90_000), load_scans()
    numbers = shape_numbers(person.who, person.body, person.seed, scans)
    assert numbers[readings.MEASURES][:12] == pytest.approx(measures(person.body))
    assert numbers[readings.MEASURES][-1] == pytest.approx(2 * person.who.weight)
    stands_for = people_renders.numbers(person)
    subject = people.Subject(90_000, 90_001, FACTORIES[3])
    subject.__dict__["views"] = SimpleNamespace(parameters=stands_for, camera=orbit(torch.zeros(1), 0.0))
    assert torch.equal(subject.points, person.body.landmarks)
    (front,) = readings.exact_points(subject, [0])
    eyes = [front[list(range(first, first + 6))].mean(0) for first in (36, 42)]
    assert (eyes[1] - eyes[0])[0].item() == pytest.approx(
        readings.PUPILS, rel=0.1
    )  # the subject's left is ours


@given(seeds)
def test_where_how_large_and_how_turned_a_face_is_makes_no_distance(seed):
    points = normal(2, 68, 2, seed=seed)
    turn = 0.7 * torch.tensor([[math.cos(0.3), -math.sin(0.3)], [math.sin(0.3), math.cos(0.3)]])
    other = points @ turn + torch.tensor([0.2, -0.1])
    assert readings.distances(points, other).max() < 1e-2
    bent = points.clone()
    bent[:, 0] += readings.PUPILS
    away = readings.distances(points, bent)
    assert (away[:, 0] > 90).all() and (away[:, 1:].mean() < 10)


def test_exact_views_are_read_as_themselves(monkeypatch):
    monkeypatch.setattr(people, "ANGLES", ((0, 0), (30, 0), (90, 0)))
    subject = people.Subject(90_000, 90_001, FACTORIES[2])
    subject.__dict__["views"] = SimpleNamespace(parameters=None)
    rgb = torch.rand(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    figures_of_it = readings.reading_figures(rgb, rgb, subject, readings.shipped_readers())
    assert figures_of_it.pop("pose off the exact") > 0
    assert figures_of_it == pytest.approx({"AED": 0, "ASD": 0, "APD": 0}, abs=1e-6)


def test_there_are_as_many_others_as_heads_and_nobody_is_both():
    subjects = people.subjects_of(range(10, 20), 5, FACTORIES[2])
    assert {one.seed for one in subjects}.isdisjoint(one.other for one in subjects)
    with pytest.raises(ValueError, match="at most 5 heads"):
        people.subjects_of(range(10, 20), 6, FACTORIES[2])


def test_ranks_are_of_the_heads_that_all_rows_have():
    done = {
        "a": {"1": {"SSIM": 0.9, "perceptual": 0.1}, "2": {"SSIM": 0.5, "perceptual": 0.1}},
        "b": {"1": {"SSIM": 0.8, "perceptual": 0.2}, "2": {"SSIM": 0.6, "perceptual": 0.2}},
        "c": {"1": {"SSIM": 0.1, "perceptual": 0.3}, "2": {"SSIM": 0.1, "perceptual": 0.3}, "3": {}},
    }
    rows = {
        (row.row, row.metric): row
        for row in figures.rank_rows("abcd", done | {"d": {}}, ("SSIM", "perceptual"))
    }
    assert [rows[name, "rank by SSIM, of 3"].value for name in "abc"] == [1.5, 1.5, 3]
    assert [rows[name, "rank by perceptual, of 3"].value for name in "abc"] == [1, 2, 3]
    assert figures.rank_rows("a", done, ("SSIM",)) == []


def test_sets_of_few_heads_have_no_distance_by_identity():
    def heads(shift, count):
        return {
            str(i): {
                figures.EMBEDDING: (normal(8, 6, seed=i) + shift).tolist(),
                figures.IDENTITY: (normal(1, 6, seed=i) + shift).tolist(),
            }
            for i in range(count)
        }

    for count, metrics in ((1, 0), (2, 2), (3, 2), (4, 3), (8, 3)):
        near, far = (figures.distance_rows("a", heads(shift, count), heads(0, count)) for shift in (0.0, 1.0))
        assert len(near) == metrics
        for own, other in zip(near, far, strict=True):
            assert own.metric == other.metric and own.value < other.value and own.n == count


def test_a_verdict_needs_an_interval_without_zero():
    def row(metric, value, low, high):
        return figures.verdict(Row("a less b", metric, value, "", low, high, 12))

    assert row("perceptual", -0.1, -0.2, 0.0) == row("SSIM", 0.1, -0.1, 0.2) == "not told apart"
    assert row("perceptual", -0.1, -0.2, -0.05) == row("PSNR", 1.0, 0.5, 2.0) == "better"
    assert row("AED", 0.1, 0.05, 0.2) == row("identity to the portrait", -0.1, -0.2, -0.05) == "worse"


def test_averages_of_copies_gain_by_their_number_and_those_of_strangers_do_not():
    one = normal(3, 1, redundancy.SIDE, redundancy.SIDE)
    for side in FIELD_SIDES:
        for channels in (1, 4, 16):
            factor = side // redundancy.SIDE
            planes = (
                one.repeat_interleave(factor, 2).repeat_interleave(factor, 3).expand(-1, channels, -1, -1)
            )
            gain = redundancy.signal_of(planes).gain
            assert gain == pytest.approx(10 * math.log10(channels * factor**2), abs=1e-3)
    apart = redundancy.signal_of(normal(3, 16, redundancy.SIDE, redundancy.SIDE))
    assert apart.gain < 2  # of 12 dB
    with pytest.raises(ValueError, match="multiple of 16 texels, got 20"):
        redundancy.signal_of(normal(3, 4, 20, 20))


def test_steps_are_lost_where_noise_outweighs_the_signal():
    schedule = schedule_of(BASE)
    for step in (100, 400, 900):
        strength = math.exp(-(log_snr(schedule)[step - 1] + log_snr(schedule)[step]).item() / 2)
        assert redundancy.lost_share(schedule, strength) == pytest.approx(1 - step / len(schedule))
    assert redundancy.lost_share(schedule, 1.0) > redundancy.lost_share(schedule_of(LINEAR), 1.0)


def test_more_channels_and_finer_planes_keep_more_of_the_signal():
    common = normal(2, 3, 1, 32, 32).repeat_interleave(2, 3).repeat_interleave(2, 4)
    planes = 0.2 * (common + 0.3 * normal(2, 3, 16, 64, 64, seed=1))
    rows = {(row.row, row.metric): row.value for row in redundancy.redundancy_rows(planes)}
    gains = [rows[f"figure 5: {count} channels, 64 texels", "gain of averaging"] for count in (4, 8, 16)]
    assert gains[0] < gains[1] < gains[2]
    lost = [
        rows["figure 5: 16 channels, 64 texels", f"{name}, steps at which averages are noise"]
        for name in ("linear", "strong")
    ]
    assert 0 < lost[0] < lost[1] < 1


def test_without_fitted_planes_the_command_that_fits_them_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(
        ValueError, match="expected fitted planes in the cache, found none of factory 2; run `train"
    ):
        redundancy.cached_planes(FACTORIES[2], 2)


def test_a_line_of_every_picture_of_a_turn_lies_below_the_last():
    def look(cameras, size):
        yaw = torch.atan2(cameras.position[:, 0], cameras.position[:, 2])
        rows = torch.linspace(0, 1, size)[None, None, :, None] + yaw[:, None, None, None]
        return Pictures(rows.expand(-1, 3, -1, size), torch.ones(len(yaw), 1, size, size))

    picture = consistency.line_picture(look, consistency.FRAMES)
    assert picture.shape == (3, consistency.FRAMES, consistency.SIZE)
    middle = torch.linspace(0, 1, consistency.SIZE)[consistency.SIZE // 2]
    reach = math.radians(consistency.REACH)
    torch.testing.assert_close(picture[0, :, 0] - middle, torch.linspace(-reach, reach, consistency.FRAMES))
