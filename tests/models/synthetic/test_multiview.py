import json

import pytest
import torch
from portrait_diffusion.models import camera
from portrait_diffusion.models.synthetic import anatomy, head, multiview, rendering, solid
from safetensors.torch import save_file

SIZE = 48
PARAMETERS = head.sample_parameters(90_001)


@pytest.fixture(scope="module")
def rendered():
    cameras = camera.orbit(torch.tensor([1.0, 0.0, -2.0]), torch.tensor([0.2, 0.0, 0.1]))
    return cameras, rendering.render_head(PARAMETERS, cameras, SIZE)


def foreign_file(path, views, cam2world, config, scale):
    tensors = {
        "rgb": (views.rgb * 255).round().byte().permute(0, 2, 3, 1),
        "mask": views.mask[:, 0].byte(),
        "ray_distance": views.ray_distance[:, 0] * scale,
        "cam2world": cam2world,
    }
    save_file(
        {k: v.contiguous() for k, v in tensors.items()}, str(path), metadata={"config": json.dumps(config)}
    )


def test_round_trip(rendered, tmp_path):
    cameras, views = rendered
    head = multiview.MultiView(
        views=views,
        camera=cameras,
        frontal=1,
        seed=90_001,
        parameters=PARAMETERS,
        groups={"hair": "long"},
    )
    multiview.write_head(tmp_path / "kopf ä.safetensors", head)
    back = multiview.read_views(tmp_path / "kopf ä.safetensors")
    assert back.groups == {"hair": "long"}
    assert back.frontal == 1 and back.seed == 90_001 and torch.equal(back.parameters, PARAMETERS)
    torch.testing.assert_close(back.views.rgb, views.rgb, atol=0.5 / 255 + 1e-6, rtol=0)
    assert torch.equal(back.views.mask, views.mask) and torch.equal(
        back.views.ray_distance, views.ray_distance
    )
    torch.testing.assert_close(back.views.normal, views.normal, atol=1e-3, rtol=0)
    torch.testing.assert_close(back.camera.cam2world, cameras.cam2world)
    torch.testing.assert_close(back.camera.intrinsics, cameras.intrinsics)


def test_our_own_files_stay_where_they_are_whatever_their_distance(tmp_path):
    cameras = camera.orbit(torch.tensor([0.0]), torch.tensor([0.0]), radius=2.2)
    multiview.write_views(
        tmp_path / "near.safetensors", rendering.render_head(PARAMETERS, cameras, 16), cameras
    )
    torch.testing.assert_close(
        multiview.read_views(tmp_path / "near.safetensors").camera.cam2world, cameras.cam2world
    )


@pytest.mark.parametrize("z_up", [False, True])
@pytest.mark.parametrize("name_the_point", [False, True])
def test_a_foreign_frame_comes_home(rendered, tmp_path, z_up, name_the_point):
    """The same head, in a world of another unit, place and axes, is brought back by the similarity."""
    cameras, views = rendered
    scale, centre = 7.5, torch.tensor([1.0, -2.0, 30.0])
    turn = (
        torch.tensor([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]]) if z_up else torch.eye(3)
    )  # from y up to z up
    pose = cameras.cam2world.clone()
    pose[:, :3, :3] = turn @ pose[:, :3, :3]
    pose[:, :3, 3] = scale * pose[:, :3, 3] @ turn.T + centre
    config = {"fov_degrees": float(torch.rad2deg(torch.tensor(camera.field_of_view(camera.FOCAL))))}
    if name_the_point:
        config["look_at"] = centre.tolist()
    foreign_file(tmp_path / "foreign.safetensors", views, pose, config, scale)
    back = multiview.read_views(tmp_path / "foreign.safetensors")
    torch.testing.assert_close(back.camera.cam2world, cameras.cam2world, atol=2e-4, rtol=0)
    torch.testing.assert_close(back.camera.intrinsics, cameras.intrinsics, atol=1e-4, rtol=1e-4)
    assert back.frontal == 1 and (back.views.normal == 0).all()
    origins, directions = camera.rays(back.camera, SIZE, SIZE)
    points = (origins + back.views.ray_distance[:, 0, :, :, None] * directions)[back.views.mask[:, 0] > 0]
    assert solid.distance(anatomy.anatomy(PARAMETERS), points.unbind(1)).abs().max() < 2e-3


def test_another_focal_length_keeps_what_the_frame_shows(rendered, tmp_path):
    _, views = rendered
    far = camera.orbit(torch.tensor([0.0, 0.3, 1.0]), torch.zeros(3), radius=10.0, focal=12.0)
    foreign_file(
        tmp_path / "far.safetensors", views, far.cam2world, {"focal": 12.0, "look_at": [0, 0, 0]}, 1.0
    )
    back = multiview.read_views(tmp_path / "far.safetensors")
    shown = back.camera.position.norm(dim=-1) / back.camera.intrinsics[:, 0, 0]
    torch.testing.assert_close(shown, torch.full((3,), camera.RADIUS / camera.FOCAL))


def test_bad_files_say_what_is_wrong(rendered, tmp_path):
    cameras, views = rendered
    with pytest.raises(ValueError, match="no readable"):
        multiview.read_views(tmp_path / "absent.safetensors")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00\x00\x00\x00\x00\x00\x00{")
    with pytest.raises(ValueError, match="no readable"):
        multiview.read_views(tmp_path / "cut.safetensors")
    save_file({"rgb": torch.zeros(1, 2, 2, 3, dtype=torch.uint8)}, str(tmp_path / "part.safetensors"))
    with pytest.raises(ValueError, match="lacks cam2world"):
        multiview.read_views(tmp_path / "part.safetensors")
    foreign_file(tmp_path / "pose.safetensors", views, cameras.cam2world[:2], {"focal": 4.0}, 1.0)
    with pytest.raises(ValueError, match="expected cam2world"):
        multiview.read_views(tmp_path / "pose.safetensors")
    foreign_file(tmp_path / "focal.safetensors", views, cameras.cam2world, {}, 1.0)
    with pytest.raises(ValueError, match="fov_degrees"):
        multiview.read_views(tmp_path / "focal.safetensors")
    foreign_file(tmp_path / "nan.safetensors", views, cameras.cam2world * float("nan"), {"focal": 4.0}, 1.0)
    with pytest.raises(ValueError, match="NaN"):
        multiview.read_views(tmp_path / "nan.safetensors")
    config = {"focal": 4.0, "groups": {"hair": 7}}
    foreign_file(tmp_path / "groups.safetensors", views, cameras.cam2world, config, 1.0)
    with pytest.raises(ValueError, match="expected groups"):
        multiview.read_views(tmp_path / "groups.safetensors")
    with pytest.raises(ValueError, match="one camera a view"):
        multiview.write_views(tmp_path / "x.safetensors", views, cameras[:2])
