"""`train autoencoder`: errors count more where there is detail, pieces hold the head, pictures are views of heads, a few steps learn."""

import torch
from portrait_diffusion.models.camera import orbit, project
from portrait_diffusion.models.diffusion.embedded import AutoencoderConfig, autoencoder
from portrait_diffusion.models.synthetic.renders import Renders
from portrait_diffusion.models.training import autoencoder as training


def renders(size=64, heads=3):
    """Discs of one colour on white."""
    y, x = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    mask = ((y - size / 2) ** 2 + (x - size / 2) ** 2 < (size / 4) ** 2).expand(heads, 2, size, size)
    colour = torch.randint(200, (heads, 1, 3, 1, 1), generator=torch.Generator().manual_seed(0))
    rgb = torch.where(mask[:, :, None], colour, 255).to(torch.uint8)
    angles = torch.zeros(heads, 2)
    return Renders(torch.zeros(heads, 62), rgb, mask.to(torch.uint8), mask.half(), angles, angles)


def test_errors_count_where_there_is_detail():
    even, eye = torch.ones(1, 3, 32, 32), torch.ones(1, 3, 32, 32)
    eye[..., 14:18, 12:20] = -1
    assert torch.equal(training.emphasis(even), torch.ones(1, 1, 32, 32))
    weight = training.emphasis(eye)
    assert weight[0, 0, 16, 12] == 1 + training.EMPHASIS * training.MOST_DETAIL and weight[0, 0, 2, 2] == 1
    error = torch.zeros_like(eye)
    error[..., 14:18, 12:20] = 0.1
    shift = torch.zeros_like(eye)
    shift[..., 2:6, 2:10] = 0.1
    assert training.reconstruction_loss(eye + error, eye) > 1.5 * training.reconstruction_loss(
        eye + shift, eye
    )


def test_pieces_hold_the_head_from_all_sides():
    """Crown, chin, nose and the back of the head, in scene units, at every corner that a piece may have."""
    points = torch.tensor([[0.0, 0.15, 0.0], [0.0, -0.15, 0.1], [0.0, -0.05, 0.14], [0.0, 0.05, -0.12]])
    yaw = torch.arange(8) * torch.pi / 4
    pixels = (
        torch.stack(
            [project(camera, points)[0] for camera in (orbit(yaw[i], torch.tensor(0.0)) for i in range(8))]
        )
        * 256
    )
    for axis, (least, room) in enumerate(
        zip(reversed(training.HEAD_CORNER), reversed(training.HEAD_ROOM), strict=True)
    ):
        assert pixels[..., axis].min() > least + room and pixels[..., axis].max() < least + training.HEAD
    piece = training.around_heads(torch.zeros(2, 3, 256, 256), torch.Generator().manual_seed(0))
    assert piece.shape == (2, 3, training.HEAD, training.HEAD)


def test_a_few_steps_bring_pictures_back_better():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        vae = autoencoder(AutoencoderConfig(channels=(8, 8, 8, 8)))
    data, draws = renders(), torch.Generator().manual_seed(1)
    optimiser = torch.optim.AdamW(vae.parameters(), lr=5e-3)
    before = training.validate(vae, data, torch.device("cpu"))["psnr_db"]
    for _ in range(15):
        signed = 2 * training.random_pictures(data, 4, 32, draws, torch.device("cpu")) - 1
        shown, divergence, apart = training.there_and_back(vae, signed, draws)
        assert shown.shape == signed.shape and divergence > 0 and apart > 0
        optimiser.zero_grad()
        training.reconstruction_loss(shown, signed).backward()
        optimiser.step()
    assert training.validate(vae, data, torch.device("cpu"))["psnr_db"] > before + 1
