"""One case for each kind of scheduler."""

import pytest

from tests.pretrained.small import SCHEDULERS, made


@pytest.fixture(params=SCHEDULERS)
def case(request):
    return made(request.param)
