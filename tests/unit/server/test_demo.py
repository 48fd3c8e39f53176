import pytest

from hubbub.database import Database
from hubbub.jobs import InvalidParams
from hubbub.server.jobs import create_jobs


@pytest.fixture
def demo(tmp_path):
    return create_jobs(Database(f"sqlite:///{tmp_path}/x.db"), 0, 1.0).tasks["demo"]


def test_everybody_may_start_it(demo):
    assert demo.public is True


@pytest.mark.parametrize("params", [{}, {"steps": 1000, "seconds": 240}, {"fail": True}])
def test_what_it_takes(demo, params):
    assert demo.parameters.read(demo.parameters.write(params)) == params


@pytest.mark.parametrize(
    "params", [{"steps": 0}, {"steps": 1001}, {"seconds": -1}, {"seconds": 241}, {"seconds": float("nan")}]
)
def test_it_is_bounded(demo, params):
    with pytest.raises(InvalidParams):
        demo.parameters.write(params)


def test_real_tasks_go_first(demo):
    assert demo.priority < 0
