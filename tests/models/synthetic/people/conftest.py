import pytest
from portrait_diffusion.models.synthetic.people.person import draw_person
from portrait_diffusion.models.synthetic.people.scans import load_scans, scans_present
from portrait_diffusion.models.synthetic.splits import VALIDATION

SEED = VALIDATION[3]


@pytest.fixture(scope="session")
def model():
    if not scans_present():
        pytest.skip("the scan model is absent; PORTRAIT_DIFFUSION_SCANS names it")
    return load_scans()


@pytest.fixture(scope="session")
def person(model):
    return draw_person(SEED)
