import pytest

from system import DEMO_MODEL, TINY_MODEL, System


@pytest.fixture(scope="session", params=["demo", pytest.param("tiny", marks=pytest.mark.tiny)])
def system(request):
    """One group of two ranks."""
    model = DEMO_MODEL if request.param == "demo" else TINY_MODEL
    with System(model, tensor_parallel=2) as running:
        yield running
