import pytest

from xtalsight import networks


@pytest.fixture(scope="session", autouse=True)
def threads():
    """Once, before TensorFlow computes anything: it refuses another number of threads later."""
    networks.make_reproducible(0)
