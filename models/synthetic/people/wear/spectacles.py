"""Glasses and sunglasses: rims, bridge, temples and lenses, fitted to the eyes, the nose and the ears."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..parts import Body, Surface
from ..scans import SKIN
from ..streams import Draws
from .cut import joined, surface, tube
from .frames import POINTS, Style, draw_style, rim_outline
from .hard import Glass, Metal

EAR_TOP, EAR_BACK, EAR_END = (7.9, 3.75, 0.6), (7.5, 2.9, -1.9), (7.2, 1.3, -2.2)  # cm on the mean head


class Fit:
    """A head in centimetres between its pupils: how far it reaches to the front and to the sides."""

    def __init__(self, body: Body) -> None:
        """Args: body: whose pupils, nose and ears are measured."""
        self.scale = body.scale
        self.eyes = body.pupils.mean(0)
        self.points = (body.vertices[:SKIN] - self.eyes) / body.scale
        rest = body.rest[:SKIN]
        self.marks = {
            name: [
                self.points[(rest - rest.new_tensor([side * at[0], at[1], at[2]])).square().sum(1).argmin()]
                for side in (1.0, -1.0)
            ]
            for name, at in (("top", EAR_TOP), ("back", EAR_BACK), ("end", EAR_END))
        }

    def front(self, places: Tensor, radius: float = 0.35) -> Tensor:
        """[N] the farthest forward that the face reaches near places [N, 2] (x, y)."""
        face = self.points[(self.points[:, 2] > -3.0) & (self.points[:, 1].abs() < 4.5)]
        near = torch.cdist(places, face[:, :2]) < radius
        return torch.where(near, face[:, 2], torch.tensor(-9.0)).amax(1)

    def side(self, places: Tensor, sign: float, radius: float = 0.4) -> Tensor:
        """[N] the farthest that the head reaches to one side near places [N, 2] (y, z)."""
        half = self.points[self.points[:, 0] * sign > 3.0]
        near = torch.cdist(places, half[:, 1:]) < radius
        return torch.where(near, half[:, 0] * sign, torch.tensor(-9.0)).amax(1)

    def scene(self, points: Tensor) -> Tensor:
        """Scene units of points [..., 3] in centimetres between the pupils."""
        return points * self.scale + self.eyes


def glasses(body: Body, draws: Draws, *, sun: bool) -> list[Surface]:
    """A pair of glasses; sun: with dark lenses."""
    style = draw_style(draws, sun)
    fit = Fit(body)
    middle_x, middle_y = (
        style.shape[0] + draws.uniform(0.85, 1.05),
        -0.3 * style.shape[1] + draws.uniform(0, 0.2),
    )
    outline = rim_outline(style, middle_x, middle_y)  # [POINTS, 2] of the left lens
    bend = draws.uniform(0.018, 0.03) + 0.012 * sun
    plane = _plane(fit, outline, bend)
    left = torch.cat([outline, plane(outline)[:, None]], 1)
    second = torch.tensor([0.35, 0.16, 0.05]) if not style.metal and draws.chance(0.3) else None
    paint = Metal(
        colour=style.colour,
        rough=0.25 if style.metal else 0.3,
        shine=2.2 if style.metal else 1.2,
        second=second,
    )
    frame = [_rim(fit, left, side, style, paint) for side in (1.0, -1.0)] if style.rim != "none" else []
    frame.append(_bridge(fit, plane, outline, style, paint))
    frame += [_temple(fit, left, side, style, paint) for side in (1.0, -1.0)]
    if style.metal:
        frame += [_pad(fit, plane, outline, side, paint) for side in (1.0, -1.0)]
    lenses = [_lens(fit, outline, plane, side, style, middle_y) for side in (1.0, -1.0)]
    return [joined(frame, "frame"), joined(lenses, "lenses", transparent=True)]


def _plane(fit: Fit, outline: Tensor, bend: float):
    """The curved plane of the lenses, (x, y) [N, 2] -> z [N]: before the eyes, and off brows, cheeks and nose."""

    def shape(places: Tensor) -> Tensor:
        return 0.1 * places[:, 1] - bend * places[:, 0].square()

    lens = torch.cat([outline, outline * 0.5 + outline.mean(0) * 0.5, outline.mean(0, keepdim=True)])
    free = (fit.front(lens) + 0.28 - shape(lens)).amax()
    eyes = 2.05 - float(shape(outline.mean(0, keepdim=True)))  # pupils' axes lie 1.2 cm behind the corneas
    ahead = torch.maximum(free, torch.tensor(eyes)).clamp_max(4.2)
    return lambda places: ahead + shape(places)


def _mirrored(points: Tensor, side: float) -> Tensor:
    return points * points.new_tensor([side, 1.0, 1.0])


def _rod(
    fit: Fit, path: Tensor, radius: Tensor, paint: Metal, *, closed: bool = False, thin: float = 1.0
) -> Surface:
    """A rod along [N, 3] centimetres; thin: how much flatter it is from front to back."""
    guide = path.new_tensor([0.0, 0.0, 1.0]).expand_as(path)
    flat = (guide, thin) if thin != 1.0 else None
    return tube(fit.scene(path), path, radius * fit.scale, paint, "frame", sides=8, closed=closed, flat=flat)


def _rim(fit: Fit, left: Tensor, side: float, style: Style, paint: Metal) -> Surface:
    path = _mirrored(left, side)
    if style.rim == "half":
        path = torch.cat([path[-4:], path[: POINTS // 2 + 5]])
    radius = torch.full((len(path),), style.radius)
    if not style.metal:  # stronger above
        radius = radius * (1 + 0.25 * ((path[:, 1] - left[:, 1].mean()) / style.shape[1]).clamp(-0.6, 1))
    return _rod(fit, path, radius, paint, closed=style.rim == "full", thin=0.75)


def _bridge(fit: Fit, plane, outline: Tensor, style: Style, paint: Metal) -> Surface:
    """A bow from rim to rim, off the nose."""
    inner = outline[outline[:, 0].argsort()[:14]]
    start = inner[(inner[:, 1] - outline[:, 1].mean() - 0.35 * style.shape[1]).abs().argmin()]
    share = torch.linspace(-1, 1, 17)
    bow = 0.35 * (1 - share.square())
    places = torch.stack([share * (start[0] + 0.05), start[1] + bow], 1)
    z = torch.maximum(plane(places), fit.front(places, 0.3) + style.radius + 0.08)
    z = F.avg_pool1d(F.pad(z[None, None], (2, 2), mode="replicate"), 5, 1)[0, 0]
    radius = torch.full((17,), style.radius * (1.0 if style.metal else 1.15))
    return _rod(fit, torch.cat([places, z[:, None]], 1), radius, paint, thin=0.8)


def _pad(fit: Fit, plane, outline: Tensor, side: float, paint: Metal) -> Surface:
    """A little arm with a pad on the nose's side."""
    inner = outline[outline[:, 0].argmin()]
    share = torch.linspace(0, 1, 6)[:, None]
    places = torch.cat([inner[None] + share * inner.new_tensor([[-0.22, -0.35]])], 0)
    z = torch.lerp(plane(places), plane(places) - 0.55, share[:, 0])
    path = _mirrored(torch.cat([places, z[:, None]], 1), side)
    return _rod(fit, path, torch.tensor([0.05, 0.05, 0.05, 0.16, 0.2, 0.1]), paint)


def _temple(fit: Fit, left: Tensor, side: float, style: Style, paint: Metal) -> Surface:
    """From the rim's outer corner over the ear and down behind it."""
    top, back, end = (fit.marks[name][0 if side > 0 else 1].clone() for name in ("top", "back", "end"))
    for mark, out in ((top, 0.22), (back, 0.3), (end, 0.25)):
        mark[0] = mark[0].abs() + out
    top[1] += 0.2
    outer = left[
        (left[:, 0] - 1.2 * (left[:, 1] - left[:, 1].mean()).sub(0.5 * style.shape[1]).abs()).argmax()
    ]
    hinge = outer + outer.new_tensor([0.12, 0.0, -0.05])
    elbow = torch.stack([torch.maximum(hinge[0] + 0.3, top[0] - 0.9), hinge[1], hinge[2] - 0.55])
    before = torch.lerp(elbow, top, torch.linspace(0, 1, 14)[:, None])
    share = torch.linspace(0, 1, 9)[1:, None]
    after = (1 - share).square() * top + 2 * share * (1 - share) * back + share.square() * end
    path = torch.cat([outer[None], hinge[None], before, after])
    free = fit.side(path[2:16, 1:], side) + 0.13
    path[2:16, 0] = torch.maximum(
        path[2:16, 0], torch.where(path[2:16, 2] < top[2] + 0.6, path[2:16, 0], free)
    )
    radius = torch.full((len(path),), style.radius * (0.9 if style.metal else 1.0))
    if not style.metal:
        radius[2:10] *= 1.3
    return tube(
        fit.scene(_mirrored(path, side)),
        _mirrored(path, side),
        radius * fit.scale,
        paint,
        "temple",
        sides=8,
        flat=(path.new_tensor([1.0, 0.0, 0.0]).expand_as(path), 0.6),
    )


def _lens(fit: Fit, outline: Tensor, plane, side: float, style: Style, middle: float) -> Surface:
    """Rings from a lens's middle to its edge."""
    share = torch.linspace(1, 0, 6)[:, None, None]
    places = torch.lerp(outline.mean(0).expand_as(outline), outline, share)
    bulge = 0.12 * (1 - share[..., 0].square())
    z = plane(places.reshape(-1, 2)).view(6, -1) + bulge
    path = _mirrored(torch.cat([places, z[..., None]], -1), side)
    if side > 0:
        path = path.flip(1)
    return surface(fit.scene(path), path, Glass(tint=style.tint, dark=style.dark, middle=middle), "lens")
