"""A head's shape: the scans' modes, leant by age, sex and origin, and smooth warps where the scans are narrow.

The scans are of grown-ups of middling weight. Warps are functions of the mean head's coordinates (centimetres), so that a vertex moves
with its neighbours; those that touch the eyes' surroundings move whole eyeballs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from .nature import Nature
from .scans import Scans
from .streams import Draws

DEVIATION, LIMIT = 0.8, 1.8  # of a mode's weight, in the scans' standard deviations; beyond, heads look odd
SEX = {0: -0.75, 2: 0.1, 3: 0.3, 4: 0.35, 5: -0.55}  # a mode's mean for a man; a woman's is its negative
ORIGINS = {
    "north": {1: -0.3, 2: 0.5, 4: 0.5},
    "south": {1: -0.3, 2: 0.3, 4: 0.3},
    "east": {1: 0.6, 2: -0.1, 4: -0.8},
    "middle": {1: -0.2, 2: 0.0, 4: 0.3},
    "tropics": {1: 0.1, 2: -1.1, 4: -0.2},
}
NECK_PIVOT = (0.0, -6.0, 0.5)  # cm: where the head nods


def smoothstep(x: Tensor, low: float, high: float) -> Tensor:
    """0 below low, 1 above high, smooth between; x [...]."""
    t = ((x - low) / (high - low)).clamp(0, 1)
    return t * t * (3 - 2 * t)


def identity_weights(who: Nature, draws: Draws, modes: int) -> Tensor:
    """[modes] weights of the scans' modes, in the scans' standard deviations."""
    weights = (draws.generator.standard_normal(modes) * DEVIATION).clip(-LIMIT, LIMIT)
    for mode, lean in SEX.items():
        weights[mode] += (lean if who.male else -lean) * (1 - 0.7 * who.child)
    for mode, lean in ORIGINS[who.origin].items():
        weights[mode] += lean
    weights[2] += 0.6 * (who.age - 0.4)  # old lips are thin
    return torch.from_numpy(weights).float()


def identity(scans: Scans, who: Nature, draws: Draws) -> Tensor:
    """[N, 3] vertices, centimetres, without expression."""
    moved = identity_weights(who, draws, len(scans.identity)) @ scans.identity.flatten(1)
    return scans.vertices + moved.view_as(scans.vertices) + _widening(scans.vertices, who, draws)


def _widening(rest: Tensor, who: Nature, draws: Draws) -> Tensor:
    """[N, 3] what is added where the scans are narrow."""
    moves = _weight(rest, who.weight) + _age(rest, max(0.0, who.age - 0.3) / 0.7) + _child(rest, who.child)
    return moves + _skull(rest, draws) + _ears(rest, who, draws) + _neck(rest, who, draws)


def _bump(rest: Tensor, centre: tuple, radius: float, move: tuple) -> Tensor:
    """[N, 3]: a move that fades away from a centre, mirrored to the other side of the face."""
    side = torch.where(rest[:, :1] < 0, -1.0, 1.0)
    mirrored = torch.cat([rest[:, :1].abs(), rest[:, 1:]], 1)
    share = torch.exp(-(mirrored - rest.new_tensor(centre)).square().sum(1, keepdim=True) / radius**2)
    moved = share * rest.new_tensor(move)
    inner = smoothstep(rest[:, :1].abs(), 0.0, 1.0)  # on the middle line, nothing moves sideways
    return torch.cat([moved[:, :1] * side * inner, moved[:, 1:]], 1)


def _weight(rest: Tensor, weight: float) -> Tensor:
    cheeks = _bump(rest, (5.2, -2.6, 7.0), 3.0, (0.55, -0.1, 0.25))
    jaws = _bump(rest, (6.0, -5.8, 3.0), 3.2, (0.65, -0.25, 0.0))
    throat = _bump(rest, (0.0, -9.5, 6.0), 3.4, (0.0, -0.8, 0.7))
    temples = _bump(rest, (6.8, 5.5, 5.0), 2.2, (0.2, 0.0, 0.0))
    return weight * (cheeks + jaws + throat * max(0.0, weight) + temples)


def _age(rest: Tensor, age: float) -> Tensor:
    jowls = _bump(rest, (4.2, -6.6, 7.4), 1.9, (0.18, -0.4, 0.05))
    hollows = _bump(rest, (5.6, -1.6, 6.6), 1.9, (-0.28, 0.0, -0.1))
    temples = _bump(rest, (6.6, 5.8, 5.4), 1.9, (-0.28, 0.0, 0.0))
    nose = _bump(rest, (0.0, 0.3, 12.8), 1.5, (0.0, -0.28, 0.12))
    throat = _bump(rest, (0.0, -9.8, 6.4), 2.2, (0.0, -0.45, 0.1))
    return age * (jowls + hollows + temples + nose + throat)


def _child(rest: Tensor, child: float) -> Tensor:
    """A child's face: small and low, below a large skull."""
    if child == 0.0:
        return torch.zeros_like(rest)
    below = (3.6 - rest[:, 1]).clamp_min(0)
    face = smoothstep(-rest[:, 1], -3.6, 1.0) * smoothstep(rest[:, 1], -16.0, -8.0)
    shorter = rest.new_zeros(rest.shape)
    shorter[:, 1] = 0.13 * below.clamp_max(11.6)
    shorter[:, 0] = -0.06 * rest[:, 0] * face
    shorter[:, 2] = -0.06 * (rest[:, 2] - 2.0).clamp_min(0) * face
    nose = _bump(rest, (0.0, 0.8, 12.4), 1.6, (0.0, 0.25, -0.75))
    brow = _bump(rest, (0.8, 5.4, 10.6), 2.0, (0.0, 0.0, -0.2))
    forehead = _bump(rest, (0.0, 9.0, 9.5), 4.0, (0.0, 0.5, 0.7))
    cheeks = _bump(rest, (4.4, -1.8, 8.4), 2.2, (0.35, 0.0, 0.3))
    return child * (shorter + nose + brow + forehead + cheeks + _around_eyes(rest, 0.09))


def _around_eyes(rest: Tensor, growth: float) -> Tensor:
    """[N, 3]: eyes and their lids larger by a share, about their centres."""
    centre = torch.stack(
        [
            torch.where(rest[:, 0] < 0, -3.2, 3.2),
            torch.full_like(rest[:, 0], 3.6),
            torch.full_like(rest[:, 0], 8.44),
        ],
        1,
    )
    away = rest - centre
    return growth * away * torch.exp(-((away.norm(dim=1, keepdim=True) / 2.6) ** 4))


def _skull(rest: Tensor, draws: Draws) -> Tensor:
    """Width, height, length of the skull above and behind the face; a flatter or fuller back."""
    vault = torch.maximum(smoothstep(rest[:, 1], 5.5, 11.0), smoothstep(1.5 - rest[:, 2], 0.0, 6.0))
    vault = vault * smoothstep(rest[:, 1], -6.5, 0.0)
    stretch = rest.new_tensor([draws.normal(0.0, 0.025), draws.normal(0.0, 0.035), draws.normal(0.0, 0.03)])
    back = _bump(rest, (0.0, 3.0, -8.5), 4.5, (0.0, 0.0, draws.normal(0.0, 0.45)))
    crown = _bump(rest, (0.0, 13.5, -1.0), 4.5, (0.0, draws.normal(0.1, 0.2), 0.0))
    return vault[:, None] * stretch * (rest - rest.new_tensor([0.0, 3.5, 0.5])) + back + crown


def _ears(rest: Tensor, who: Nature, draws: Draws) -> Tensor:
    """Size, and how far they stand off."""
    side = torch.where(rest[:, 0] < 0, -1.0, 1.0)
    attached = rest.new_tensor([6.9, 1.5, 0.6])
    away = torch.stack([rest[:, 0].abs(), rest[:, 1], rest[:, 2]], 1) - attached
    outside = away[:, 0] - 0.15 * away[:, 2] - 0.2 * away[:, 1].clamp_min(0)  # the skull widens above the ear
    near = 1 - (away[:, 1] / 5.2).square() - (away[:, 2] / 5.0).square()
    share = smoothstep(outside, 0.15, 0.9) * smoothstep(near, 0.0, 0.35)
    growth = draws.normal(0.0, 0.06) + 0.08 * who.age - 0.04 * who.child
    angle = draws.normal(-0.12, 0.1) + 0.08 * who.child
    moved = growth * away
    moved[:, 0] += angle * (-away[:, 2]).clamp_min(0)
    moved = moved * share[:, None]
    return torch.cat([moved[:, :1] * side[:, None], moved[:, 1:]], 1)


def _neck(rest: Tensor, who: Nature, draws: Draws) -> Tensor:
    """Thickness and length."""
    share = below_head(rest) * smoothstep(rest[:, 1], -19.0, -14.0)
    thickness = draws.normal(0.0, 0.05) + (0.03 if who.male else -0.03) + 0.06 * who.weight - 0.1 * who.child
    moved = torch.zeros_like(rest)
    moved[:, 0] = thickness * rest[:, 0] * share
    moved[:, 2] = thickness * (rest[:, 2] - 0.5) * share
    moved[:, 1] = draws.normal(0.0, 0.4) * below_head(rest)
    return moved


def below_head(rest: Tensor) -> Tensor:
    """[N] 0 on the head, 1 on the lower neck and the torso: the border runs from the chin up to the nape."""
    height = rest[:, 1] + 0.33 * (rest[:, 2] - 10.0)
    return smoothstep(-8.5 - height, 0.0, 6.5)


def posture(draws: Draws) -> Tensor:
    """[3] radians: how far the torso is turned under the head about x (nod), y (turn) and z (tilt)."""
    angles = (draws.normal(0.02, 0.08), draws.normal(0.0, 0.17), draws.normal(0.0, 0.06))
    return torch.tensor(angles, dtype=torch.float32)


def rotation(angles: Tensor) -> Tensor:
    """[..., 3] radians about x, then y, then z -> matrices [..., 3, 3]."""
    x, y, z = angles.unbind(-1)
    zero, one = torch.zeros_like(x), torch.ones_like(x)

    def matrix(*rows: Tensor) -> Tensor:
        return torch.stack(rows, -1).unflatten(-1, (3, 3))

    about_x = matrix(one, zero, zero, zero, x.cos(), -x.sin(), zero, x.sin(), x.cos())
    about_y = matrix(y.cos(), zero, y.sin(), zero, one, zero, -y.sin(), zero, y.cos())
    about_z = matrix(z.cos(), -z.sin(), zero, z.sin(), z.cos(), zero, zero, zero, one)
    return about_z @ about_y @ about_x


def turned_neck(vertices: Tensor, rest: Tensor, angles: Tensor) -> Tensor:
    """[N, 3] with everything below the head turned by angles [3], the neck part of the way; centimetres."""
    pivot = vertices.new_tensor(NECK_PIVOT)
    share = below_head(rest)
    moving = share > 0
    turn = rotation(share[moving, None] * angles)
    turned = vertices.clone()
    turned[moving] = (turn @ (vertices[moving] - pivot)[..., None])[..., 0] + pivot
    return turned


def gaze(draws: Draws) -> tuple[float, float]:
    """Where the eyes look, radians aside (towards +x) and up: mostly into the frontal camera."""
    wide = 0.16 if draws.chance(0.35) else 0.03
    return draws.normal(0.0, wide), draws.normal(0.0, 0.6 * wide)


def expression(scans: Scans, looking: tuple[float, float], draws: Draws) -> Tensor:
    """[57] strengths of the expression shapes: half smile, others are calm, talk or frown; lids follow the eyes."""
    strengths = torch.zeros(len(scans.expression_names))

    def both(amount: float, *names: str) -> None:
        for name in names:
            for side, share in (("_L", 1 + lean), ("_R", 1 - lean)):
                strengths[scans.expression_names.index(name + side)] += amount * share

    def one(amount: float, name: str) -> None:
        strengths[scans.expression_names.index(name)] += amount

    lean = draws.normal(0.0, 0.06)
    mood = draws.choice(
        {"smile": 0.32, "laugh": 0.22, "calm": 0.31, "talk": 0.07, "frown": 0.05, "pout": 0.03}
    )
    amount = draws.uniform()
    if mood in ("smile", "laugh"):
        both(0.15 + 0.5 * amount, "mouthSmile")
        both(0.35 * amount, "cheekSquint")
        both(0.18 * amount, "eyeSquint")
    if mood == "laugh":
        both(0.25 + 0.3 * amount, "mouthUpperUp")
        both(0.25 * amount, "mouthLowerDown")
        one(0.02 + 0.14 * amount**2, "jawOpen")
    elif mood == "talk":
        one(0.03 + 0.15 * amount, "jawOpen")
        one(0.2 * draws.uniform(), "mouthFunnel")
    elif mood == "frown":
        both(0.5 * amount, "browDown", "mouthFrown")
        both(0.3 * amount, "mouthPress")
    elif mood == "pout":
        one(0.4 * amount, "mouthPucker")
    brows = draws.normal(0.0, 0.3)
    both(abs(brows), *(("browInnerUp", "browOuterUp") if brows > 0 else ("browDown",)))
    aside, up = (2.0 * angle for angle in looking)  # full strength is about half a radian
    for name, strength in (("Out_L", aside), ("In_R", aside), ("In_L", -aside), ("Out_R", -aside)):
        one(max(0.0, strength), f"eyeLook{name}")
    both(abs(up) * (1.0 if up > 0 else 0.6), "eyeLookUp" if up > 0 else "eyeLookDown")
    both(draws.uniform(0.0, 0.1) if not draws.chance(0.04) else 1.0, "eyeBlink")
    both(max(0.0, draws.normal(-0.1, 0.2)), "eyeWide")
    return strengths.clamp(0, 1)
