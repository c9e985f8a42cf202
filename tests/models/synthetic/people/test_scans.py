import numpy as np
import pytest
import torch
from portrait_diffusion.models.synthetic.people import scans


def test_an_absent_file_says_where_to_get_it(monkeypatch, tmp_path):
    monkeypatch.setenv(scans.VARIABLE, str(tmp_path))
    assert not scans.scans_present()
    with pytest.raises(ValueError, match="ICT-FaceKit.*PORTRAIT_DIFFUSION_SCANS"):
        scans.load_scans()


def test_other_arrays_are_refused(tmp_path):
    path = tmp_path / scans.FILE
    path.write_bytes(b"nothing")
    with pytest.raises(ValueError, match="no readable archive"):
        scans.load_scans(path)
    np.savez(path, vertices=np.zeros((3, 3), np.float32))
    with pytest.raises(ValueError, match="got float32"):
        scans.load_scans(path)


def test_the_model_is_welded_along_its_seam(model):
    assert (model.vertices[model.weld] - model.vertices).abs().max() < 1e-3
    assert len(model.weld.unique()) < len(model.weld)
    assert model.solid_faces().max() < scans.RIGHT_EYE.stop


def test_weights_move_the_mean(model):
    assert model.identity.isfinite().all() and model.expressions.shape[0] == len(model.expression_names)
    left, right = (model.vertices[eye].mean(0) for eye in (scans.LEFT_EYE, scans.RIGHT_EYE))
    torch.testing.assert_close(left * torch.tensor([-1.0, 1.0, 1.0]), right, atol=2e-3, rtol=0)
