"""`portrait-diffusion convert`: a pickle in, a small safe file out."""

import pytest
import torch
from portrait_diffusion.__main__ import main
from portrait_diffusion.models.checkpoint import read_tensors
from portrait_diffusion.models.prior.families import family_of, load_generator

from ..prior import pretend


@pytest.mark.parametrize("family", pretend.KINDS)
def test_a_snapshot_becomes_a_prior_of_ours(family, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = pretend.make(family)
    pretend.write_snapshot(tmp_path / "a.pkl", made, family, tmp_path / "ran", 3)
    assert main(["convert", "a.pkl", "a.safetensors", "--critic", "d.safetensors"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"wrote a.safetensors: {family}, ") and lines[1].startswith(
        "wrote d.safetensors: critic, "
    )
    read = load_generator(tmp_path / "a.safetensors")
    assert family_of(read) == family and read.config == made.config
    mine, theirs = made.state_dict(), read.state_dict()
    assert all(torch.equal(theirs[key], mine[key].half().float()) for key in mine)
    critic, facts = read_tensors(tmp_path / "d.safetensors", "critic")
    assert torch.equal(critic["b4.fc.w_avg"].float(), made.backbone.mapping.w_avg.half().float())
    assert facts["kind"] == "snapshot critic"
    assert (tmp_path / "a.safetensors").stat().st_size < (tmp_path / "a.pkl").stat().st_size / 2
    assert not (tmp_path / "ran").exists()


def test_a_state_dict_becomes_safetensors(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tensors = {"a": torch.randn(3, 4).t(), "b": torch.arange(5)}
    torch.save(tensors | {"shared": tensors["a"][:2]}, "a.ckpt")
    assert main(["convert", "a.ckpt", "a.safetensors"]) == 0
    read, _ = read_tensors(tmp_path / "a.safetensors", "test")
    assert torch.equal(read["a"], tensors["a"]) and torch.equal(read["shared"], tensors["a"][:2])
    assert "3 tensors" in capsys.readouterr().out


ROWS = {
    "another kind": (["a.txt", "b.safetensors"], "expected a .pkl, .pth"),
    "to a pickle": (["a.pkl", "b.pkl"], "ends in .safetensors, got b.pkl"),
    "no file": (["none.pkl", "b.safetensors"], "found none called none.pkl; choose"),
    "critic of a state dict": (
        ["a.pth", "b.safetensors", "--critic", "c.safetensors"],
        "--critic with a snapshot",
    ),
    "a program": (["evil.pkl", "b.safetensors"], "evil.pkl wants os system"),
    "too large for half": (["large.pkl", "b.safetensors"], "up to 65504, but decoder.net.0.bias has larger"),
}


@pytest.mark.parametrize("name", ROWS)
def test_what_is_wrong_is_said_in_one_line(name, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'touch ran'\ntR.")
    if name.startswith("too"):
        made = pretend.make("eg3d")
        made.decoder.net[0].bias.fill_(1e6)
        pretend.write_snapshot(tmp_path / "large.pkl", made, "eg3d", tmp_path / "ran")
    arguments, words = ROWS[name]
    assert main(["convert", *arguments]) == 2
    message = capsys.readouterr().err
    assert (
        message.startswith("portrait-diffusion convert: ") and message.count("\n") == 1 and words in message
    )
    assert not (tmp_path / "b.safetensors").exists() and not (tmp_path / "ran").exists()
