import pytest
from prometheus_client.parser import text_string_to_metric_families

from hubbub import Hub
from hubbub.server.app import create_app
from hubbub.server.job_metrics import JOB_COUNTERS, JOB_GAUGES
from hubbub.server.metrics import COUNTERS, GAUGES, hub_readings, metrics_table
from hubbub.server.settings import Settings

from .conftest import SECRET, serving

pytestmark = pytest.mark.usefixtures("server_folder")


async def test_every_metric_can_be_read(client):
    response = await client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain")
    families = {family.name: family for family in text_string_to_metric_families(response.text)}
    assert {row.name for row in (*GAUGES, *JOB_GAUGES, *COUNTERS, *JOB_COUNTERS)} <= families.keys()
    assert families["hubbub_connections"].type == "gauge"
    assert families["hubbub_connections"].samples[0].value == 0
    assert families["hubbub_deliveries"].type == "counter"
    assert {s.labels["outcome"] for s in families["hubbub_recoveries"].samples} == {
        "recovered",
        "unrecovered",
    }
    assert "process_open_fds" in families


async def test_what_is_counted_is_shown_by_its_label():
    hub = Hub(allow_anonymous=True)
    async with hub.lifespan(None):
        hub.statistics.closes[4008] = 3
        hub.statistics.refusals["rate_limited"] = 2
        samples = [sample for family in hub_readings(hub).collect() for sample in family.samples]
    found = {(sample.name, *sample.labels.values()): sample.value for sample in samples}
    assert found["hubbub_connections_closed_total", "4008"] == 3
    assert found["hubbub_commands_refused_total", "rate_limited"] == 2


def test_a_hub_that_does_not_run_has_none():
    assert list(hub_readings(Hub(allow_anonymous=True)).collect()) == []


async def test_two_servers_do_not_share_a_registry(running, tmp_path):
    async with running() as one, running(data_dir=tmp_path / "other") as other:
        assert (await one.get("/metrics")).status_code == (await other.get("/metrics")).status_code == 200


async def test_one_of_several_workers_says_which_it_is():
    async with serving(create_app(Settings(secret_key=SECRET), worker=3)) as client:
        text = (await client.get("/metrics")).text
    samples = [sample for family in text_string_to_metric_families(text) for sample in family.samples]
    assert {sample.labels["worker"] for sample in samples} == {"3"}
    assert {"hubbub_connections", "process_cpu_seconds_total"} <= {sample.name for sample in samples}
    recoveries = [sample.labels for sample in samples if sample.name == "hubbub_recoveries_total"]
    assert {"outcome": "recovered", "worker": "3"} in recoveries


def test_the_table_has_a_row_for_every_metric():
    table = metrics_table()
    assert "| `hubbub_connections` | gauge |  | Clients" in table
    assert "| `hubbub_connections_closed_total` | counter | code | " in table
    assert len(table.splitlines()) == 2 + len(GAUGES) + len(COUNTERS) + len(JOB_GAUGES) + len(JOB_COUNTERS)
