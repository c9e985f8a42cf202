"""`bench restoration`: what is spoilt is spoilt, the front stays, and the rows compare what they say."""

import pytest
import torch
from portrait_diffusion.models.benchmarks import restoration, spoilt
from portrait_diffusion.models.checkpoint import shipped
from portrait_diffusion.models.head import Head, load_generator

from ..small import head as small_head


def points(*xyz):
    return torch.tensor([xyz], dtype=torch.float32)


class Field:
    """Density 1 in front of z = 0, 2 behind it."""

    def __call__(self, at):
        return torch.where(at[..., 2] < 0, 2.0, 1.0), at.clone()


def test_each_fault_is_where_it_should_be():
    (x, y, z), radius = spoilt.HOLLOW
    inside, front = points((x, y, z), (x, y, z + 0.5 * radius)), points((0.0, 0.0, 0.1))
    assert not spoilt.wanted(Field(), inside, "hollow")[0].any() and spoilt.wanted(Field(), front, "hollow")[0].all()
    dents = points(*(centre for centre, _ in spoilt.DENTS))
    assert not spoilt.wanted(Field(), dents, "dented")[0].any()
    density, colour = spoilt.wanted(Field(), points((0.1, 0.2, -0.3)), "doubled")
    assert density.item() == 1 and torch.equal(colour, points((0.1, 0.2, 0.3)))


@pytest.mark.parametrize("kind", spoilt.KINDS)
def test_a_spoilt_head_has_other_planes_and_is_nearer_to_what_was_wanted(kind):
    prior = load_generator(shipped("prior"))
    with torch.no_grad():
        head = Head(prior.planes(prior.mapping(torch.zeros(1, prior.config.z_dim))), prior.decoder, prior.config.field)
    made = spoilt.spoil(head, kind, generator=torch.Generator().manual_seed(0), steps=20)
    draws = torch.Generator().manual_seed(1)
    at = (torch.rand(1, 4000, 3, generator=draws) - 0.5) * head.config.box_side
    with torch.no_grad():
        density, colour = spoilt.wanted(head.field(), at, kind)
        errors = []
        for one in (head, made):
            own, painted = one.field()(at)
            errors.append(((1 - torch.exp(-0.02 * own)) - (1 - torch.exp(-0.02 * density))).abs().mean() + (painted - colour).abs().mean())
    assert not torch.equal(made.planes, head.planes) and errors[1] < errors[0]


def test_an_unknown_fault_is_named():
    with pytest.raises(ValueError, match="hollow, dented, doubled"):
        spoilt.spoil(small_head(), "bent", generator=torch.Generator())


def test_rows_compare_the_block_with_the_prior():
    run = restoration.RestorationBench.__new__(restoration.RestorationBench)
    figures = dict.fromkeys(restoration.UNITS, 1.0)
    run.done = {
        f"hollow: {restoration.PRIOR}": {f"seed {i}": {**figures, "depth error": 0.02} for i in range(3)},
        f"hollow: {restoration.BLOCK}": {f"seed {i}": {**figures, "depth error": 0.01} for i in range(3)},
    }
    rows = {(row.row, row.metric): row.value for row in run.rows()}
    assert rows[(f"hollow: {restoration.BLOCK} less {restoration.PRIOR}", "depth error")] == pytest.approx(-0.01)
    assert (f"hollow: {restoration.BLOCK} less {restoration.PRIOR}", "time") not in rows
