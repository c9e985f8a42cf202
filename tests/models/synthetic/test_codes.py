"""models/synthetic/codes.py: what is seen alike is told alike, what differs differs, and every code has one norm."""

import torch
from portrait_diffusion.models.synthetic import codes, head

NAMES = head.PARAMETER_NAMES


def person(**values):
    parameters = head.mean_parameters()
    for name, value in values.items():
        parameters[NAMES.index(name)] = value
    return parameters[None]


def test_codes_have_mean_square_one_and_moderate_entries():
    drawn = codes.identity_codes(torch.stack([head.sample_parameters(seed) for seed in range(200)]))
    assert drawn.shape == (200, codes.CODE_DIM)
    torch.testing.assert_close(drawn.square().mean(1), torch.ones(200))
    assert drawn[:, :-1].abs().max() < 3.5 and drawn[:, -1].min() > 1
    assert (drawn.std(0) > 0.1).all()  # nothing is told that never changes


def test_every_parameter_that_shows_changes_the_code():
    worn = {
        "glasses": 1.0,
        "hair_style": 0.5,
        "clothing_pattern": 0.5,
        "mouth_open": 0.5,
        "freckles": 0.5,
        "beard": 0.5,
        "moustache": 0.5,
    }
    base = codes.identity_codes(person(**worn, eyes_closed=0.78))
    for name in NAMES:
        changed = person(**{**worn, "eyes_closed": 0.78, name: -0.93})
        assert (codes.identity_codes(changed) - base).abs().max() > 1e-3, name


def test_what_does_not_show_is_not_told():
    without = codes.identity_codes(person(glasses=-1.0, glasses_colour=1.0))
    assert torch.equal(without, codes.identity_codes(person(glasses=0.0, glasses_colour=-1.0)))
    smooth = codes.identity_codes(person(freckles=-1.0))
    assert torch.equal(smooth, codes.identity_codes(person(freckles=-0.2)))


def test_lifting_keeps_what_it_is_given():
    amounts = torch.randn(5, 9, generator=torch.Generator().manual_seed(0)) * torch.tensor(
        [[0.1], [0.5], [1.0], [0.0], [2.0]]
    )
    lifted = codes.lift(amounts)
    assert torch.equal(lifted[:, :9], amounts)
    small = amounts.square().sum(1) < 10
    torch.testing.assert_close(lifted[small].square().mean(1), torch.ones(int(small.sum())))
    assert lifted[~small, -1].abs().max() <= 1e-3
