"""Projection: what one view shows, as another camera would see it, by its depth: images, masks, latents, features and noise.

Portrait Diffusion, eqs. 6, 8, 9 and 11: every pixel becomes a point in the world; points fall on the other view's cells; the nearest
one wins. Each kind of map is projected at its own resolution, with depth sampled, never averaged, at its cells' centres.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from .camera import Camera, project, rays

NEVER = torch.iinfo(torch.int64).max
DEPTH_STEPS = 2**30  # of the z-buffer's keys, over FAR
FAR = 64.0  # scene units: nothing further is seen
MARGIN = 8  # cells around the frame from which a point may still reach into it
CRACK = 3  # cells: half of the width of the widest crack between soft splats that is filled
MIDDLE = 6.0  # of two points on one surface, as steep as the tangent of 80 degrees, the one nearer to a cell's middle has it


@dataclass(frozen=True, kw_only=True)
class ProjectionConfig:
    """What is trusted, and how large points are.

    Attributes:
        jump: share of the distance; a pixel whose depth differs from a neighbour's by more hangs between two surfaces.
        grazing: radians between normal and ray beyond which a surface is seen too slantingly.
        radius: of a point, in the other view's cells; 0.5 and less: the cell that it falls into alone.
        softness: scene units behind the nearest surface over which a soft splat fades by a factor e.
        covered: share of a cell from which on soft splats tell its colour.
    """

    jump: float = 0.012
    grazing: float = math.radians(80)
    radius: float = 1.0
    softness: float = 0.004
    covered: float = 0.2

    def __post_init__(self) -> None:
        values = (self.jump, self.grazing, self.radius, self.softness, self.covered)
        if (
            not all(math.isfinite(x) and x > 0 for x in values)
            or self.grazing > math.pi / 2
            or self.radius > 4
            or self.covered >= 1
        ):
            raise ValueError(
                f"ProjectionConfig: expected numbers above 0, grazing up to {math.pi / 2:.2f}, radius up to 4 and covered below 1, "
                f"got {values}; use the defaults"
            )


@dataclass(frozen=True)
class Splat:
    """Which of one view's cells each of another's shows.

    Attributes:
        index: int64 [h, w] of the winner among the first view's cells, row by row; -1 where nothing falls (the void).
        distance: [h, w] from the other camera, scene units; 0 in the void.
        own: bool [h, w], where the point itself fell into the cell; elsewhere its size carried it over.
    """

    index: Tensor
    distance: Tensor
    own: Tensor

    @property
    def known(self) -> Tensor:
        """float [1, h, w]: 1 where something falls."""
        return (self.index >= 0).float()[None]

    def carry(self, values: Tensor, fill: float | Tensor = 0.0) -> Tensor:
        """Values [..., H, W] of the first view's cells -> [..., h, w]; `fill` (a number, or of that shape) in the void."""
        flat = values.flatten(-2)
        winners = flat[..., self.index.clamp_min(0).flatten()].unflatten(-1, self.index.shape)
        return torch.where(
            self.index >= 0, winners, torch.as_tensor(fill, dtype=values.dtype, device=values.device)
        )

    def carry_noise(self, noise: Tensor, fresh: Tensor) -> Tensor:
        """Noise [..., H, W] -> [..., h, w], still white; the void takes `fresh` [..., h, w].

        A draw n that k cells show is n / sqrt(k) in each, plus fresh noise less its mean over the k: variance 1, and no correlation
        between them. Copies would tie neighbours together.
        """
        winners = self.index.clamp_min(0).flatten()
        visible = (self.index >= 0).flatten()
        count = (
            torch.bincount(winners[visible], minlength=noise.shape[-2] * noise.shape[-1])
            .clamp_min(1)
            .to(noise)
        )
        own = fresh.flatten(-2)
        place = winners[visible]
        sums = noise.new_zeros(noise.shape).flatten(-2).index_add(-1, place, own[..., visible])
        white = (noise.flatten(-2) / count.sqrt() - sums / count)[..., winners] + own
        return torch.where(visible, white, own).unflatten(-1, self.index.shape)


@dataclass(frozen=True)
class Projector:
    """One view's surface, and another camera.

    Attributes:
        distance: [H, W] along unit rays, scene units. mask: bool [H, W], where there is a surface to trust.
        normal: [H, W, 3] of it, in the world. source, target: unbatched cameras.
    """

    distance: Tensor
    mask: Tensor
    normal: Tensor
    source: Camera
    target: Camera
    config: ProjectionConfig = field(default_factory=ProjectionConfig)

    def points(self, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """World points [h * w, 3] of the cells of a map of this size on the first view, and which the other may see, bool [h * w]."""
        distance, mask, normal = (nearest(x, size) for x in (self.distance, self.mask, self.normal))
        origins, directions = rays(self.source, *size)
        points = origins + directions * distance[..., None]
        facing = (normal * (self.target.position - points)).sum(
            -1
        ) > 0  # towards the other camera, not away from it
        return points.flatten(0, 1), (mask & facing).flatten()

    def splat(self, size: tuple[int, int], target_size: tuple[int, int] | None = None) -> Splat:
        """The nearest points' cells. Args: size: of the first view's map (h, w). target_size: of the other's; None for the same."""
        points, trusted = self.points(size)
        h, w = target_size or size
        place, distance, visible = self._fall(points, trusted, (h, w))
        number = torch.arange(len(points), device=points.device)[visible]
        place, distance = place[visible], distance[visible]
        cell = place.floor().long()
        reach = math.ceil(self.config.radius - 0.5)
        best = torch.full((h * w,), NEVER, dtype=torch.int64, device=points.device)
        width = 1.0 / (h * self.target.intrinsics[1, 1])  # of a cell at distance 1
        for dy in range(-reach, reach + 1):
            for dx in range(-reach, reach + 1):
                there = cell + cell.new_tensor([dx, dy])
                off = (place - (there + 0.5)).square().sum(1)
                inside = (there >= 0).all(1) & (there[:, 0] < w) & (there[:, 1] < h)
                inside &= (off <= self.config.radius**2) | ((dx == 0) & (dy == 0))
                depth = distance + MIDDLE * off * width * distance
                key = (depth / FAR * DEPTH_STEPS).long() * len(points) + number
                best.scatter_reduce_(0, (there[:, 1] * w + there[:, 0])[inside], key[inside], "amin")
        index = torch.where(best == NEVER, -1, best % len(points)).view(h, w)
        away = torch.zeros(len(points), dtype=distance.dtype, device=points.device).index_copy_(
            0, number, distance
        )
        home = torch.full((len(points),), -1, dtype=torch.int64, device=points.device).index_copy_(
            0, number, cell[:, 1] * w + cell[:, 0]
        )
        winners = index.clamp_min(0)
        own = (index >= 0) & (home[winners] == torch.arange(h * w, device=points.device).view(h, w))
        return Splat(index, torch.where(index >= 0, away[winners], 0.0), own)

    def picture(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """An image [C, h, w] of the first view as the other sees it, 0 in the void, and what is known of it, 0 or 1 [1, h, w].

        Soft splats; where a surface is stretched they leave cracks. A crack's cells take their neighbours' distance from the other
        camera, and look themselves up in the first view; what does not lie on its surface there stays void.
        """
        size = map_size(image)
        points, _ = self.points(size)
        away = (points - self.target.position).norm(dim=-1).view(1, *size).to(image)
        both, cover = self.soft(torch.cat([image, away]))
        known = (cover > self.config.covered).to(image)
        picture, distance = both[:-1] * known, both[-1:] * known
        reach = known
        for _ in range(CRACK):
            weight = F.avg_pool2d(reach, 3, 1, 1)
            distance = torch.where(
                reach > 0, distance, F.avg_pool2d(distance, 3, 1, 1) / weight.clamp_min(1e-6)
            )
            reach = (weight > 0).to(image)
        crack = (-F.max_pool2d(-F.pad(reach, [CRACK] * 4, value=1.0), 2 * CRACK + 1, 1) > known)[
            0
        ]  # what closing adds
        colours, visible = self._look_up(image, crack, distance[0])
        crack[crack.clone()] = visible
        picture[:, crack] = colours[:, visible]
        known[:, crack] = 1
        return picture, known

    def _look_up(self, image: Tensor, cells: Tensor, distance: Tensor) -> tuple[Tensor, Tensor]:
        """Some cells of the other view, bool [h, w], in the first: values [C, N], and which of them lie on its surface, bool [N]."""
        origins, directions = rays(self.target, *cells.shape)
        points = (origins + directions * distance[..., None])[cells]
        place, z = project(self.source, points)
        grid = (2 * place - 1)[None, None]

        def sampled(values: Tensor) -> Tensor:
            return F.grid_sample(values[None].float(), grid.float(), align_corners=False)[0, :, 0]

        (surface,), (trusted,) = sampled(self.distance[None]), sampled(self.mask[None])
        off = ((points - self.source.position).norm(dim=-1) - surface).abs()
        return sampled(image).to(image), (z > 0) & (trusted > 0.99) & (off < self.config.jump * surface)

    def soft(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Values [C, h, w] of the first view, each shared among four cells: [C, h, w], and how well cells are covered [1, h, w], 0 to 1.

        For images only: averages are no noise. Differentiable in the values, and in the distances and cameras through the shares.
        """
        size = h, w = map_size(values)
        points, trusted = self.points(size)
        place, distance, visible = self._fall(points, trusted, size)
        place, distance = place[visible], distance[visible]
        sources = values.flatten(1)[:, visible]
        with torch.no_grad():
            nearest_surface = self.splat(size).distance.flatten()
        corner = (place - 0.5).floor()
        share = place - 0.5 - corner
        total = values.new_zeros(len(values), h * w)
        weight = values.new_zeros(h * w)
        for dy in (0, 1):
            for dx in (0, 1):
                there = corner.long() + corner.new_tensor([dx, dy]).long()
                part = (share[:, 0] if dx else 1 - share[:, 0]) * (share[:, 1] if dy else 1 - share[:, 1])
                inside = (there >= 0).all(1) & (there[:, 0] < w) & (there[:, 1] < h)
                cells = (there[:, 1] * w + there[:, 0])[inside]
                behind = (distance[inside] - nearest_surface[cells]).clamp_min(0)
                part = (part[inside] * (-behind / self.config.softness).exp()).to(values)
                weight = weight.index_add(0, cells, part)
                total = total.index_add(1, cells, sources[:, inside] * part)
        image = total / weight.clamp_min(1e-6)
        return image.unflatten(1, size), weight.clamp(max=1).view(1, h, w)

    def _fall(self, points: Tensor, trusted: Tensor, size: tuple[int, int]) -> tuple[Tensor, Tensor, Tensor]:
        """Where points fall [N, 2] in cells (x, y), their distance [N] from the other camera, and which of them it can see."""
        image, z = project(self.target, points)
        place = image * image.new_tensor([size[1], size[0]])
        distance = (points - self.target.position).norm(dim=-1)
        near = (place > -MARGIN).all(1) & (place < max(size) + MARGIN).all(1)  # NaN is not near
        visible = trusted & (z > 0) & (distance < FAR) & near
        return place, distance, visible


def projector(
    distance: Tensor,
    mask: Tensor,
    source: Camera,
    target: Camera,
    *,
    normal: Tensor | None = None,
    config: ProjectionConfig | None = None,
) -> Projector:
    """One view's depth made ready for another camera: what hangs between surfaces or is seen slantingly is left out.

    Args:
        distance: [H, W] along unit rays, scene units; meaningless where the mask is 0. mask: [H, W], a surface where over 0.5.
        source, target: unbatched cameras. normal: [3, H, W] camera space (OpenCV axes); None to take the distances' own slope.

    Raises:
        ValueError: maps or cameras of another form, an empty mask, or distances in it that are not finite and positive.
    """
    config = config or ProjectionConfig()
    if distance.ndim != 2 or mask.shape != distance.shape or source.shape or target.shape:
        raise ValueError(
            f"projector: expected a distance and a mask [H, W] and two single cameras, got {list(distance.shape)}, {list(mask.shape)}, "
            f"cameras {list(source.shape)} and {list(target.shape)}; pass one view at a time"
        )
    solid = mask > 0.5
    if not solid.any():
        raise ValueError(
            "projector: expected a mask with a person in it, got an empty one; wire the mask of the view"
        )
    if not (distance[solid].isfinite().all() and (distance[solid] > 0).all()):
        raise ValueError(
            "projector: expected finite distances above 0 inside the mask; wire depth and mask of one view"
        )
    distance = torch.where(solid, distance, 1.0)  # what means nothing must not reach a gradient either
    if normal is None:
        outward = slope_normals(distance, solid, source)
    else:  # from the camera's axes to the world's
        outward = F.normalize(normal, dim=0).movedim(0, -1) @ source.cam2world[:3, :3].mT
    cosine = -(outward * rays(source, *distance.shape)[1]).sum(-1)
    trusted = solid & ~jumps(distance, solid, config.jump) & (cosine > math.cos(config.grazing))
    return Projector(distance, trusted, outward, source, target, config)


def map_size(values: Tensor) -> tuple[int, int]:
    """(h, w) of maps [..., h, w]."""
    h, w = values.shape[-2:]
    return h, w


def nearest(values: Tensor, size: tuple[int, int]) -> Tensor:
    """[H, W, ...] at the centres of another grid's cells; never an average."""
    rows, columns = (
        ((torch.arange(n, device=values.device) + 0.5) * side / n).floor().long()
        for n, side in zip(size, values.shape[:2], strict=True)
    )
    return values[rows[:, None], columns]


def jumps(distance: Tensor, mask: Tensor, share: float) -> Tensor:
    """bool [H, W]: whether one of the eight neighbours is another surface, or none. The frame's edge is no jump."""
    padded = F.pad(distance[None, None], [1] * 4, mode="replicate")[0, 0]
    solid = F.pad(mask[None, None].float(), [1] * 4, mode="replicate")[0, 0] > 0.5
    H, W = distance.shape
    edges = torch.zeros_like(mask)
    for dy in range(3):
        for dx in range(3):
            there = slice(dy, dy + H), slice(dx, dx + W)
            edges |= ~solid[there] | ((padded[there] - distance).abs() > share * distance)
    return edges


def slope_normals(distance: Tensor, mask: Tensor, camera: Camera) -> Tensor:
    """Unit normals [H, W, 3] in the world, towards the camera, of the distances' own slope on the flatter side of each pixel; 0 outside."""
    H, W = distance.shape
    origins, directions = rays(camera, H, W)
    points = origins + directions * distance[..., None]
    steps = []
    for axis, length in ((1, W), (0, H)):
        step = points.diff(dim=axis)
        pads = ((0, 0, 0, 1), (0, 0, 1, 0)) if axis else ((0, 0, 0, 0, 0, 1), (0, 0, 0, 0, 1, 0))
        ahead, behind = (F.pad(step, pad) for pad in pads)
        index = (
            torch.arange(length, device=distance.device).view(-1, 1)
            if axis == 0
            else torch.arange(length, device=distance.device)
        )
        shorter = (ahead.norm(dim=-1) < behind.norm(dim=-1)) & (index < length - 1) | (index == 0)
        steps.append(torch.where(shorter[..., None], ahead, behind))
    normal = F.normalize(torch.linalg.cross(steps[0], steps[1]), dim=-1)
    normal = torch.where(((normal * directions).sum(-1) > 0)[..., None], -normal, normal)
    return normal * mask[..., None]
