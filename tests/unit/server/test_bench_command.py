"""Addresses, figures and sentences of `hubbub bench`."""

import os

import pytest
import typer
from typer.testing import CliRunner

from hubbub.bench import Load, Percentiles, Trial
from hubbub.server.bench_command import address, as_figures, lines
from hubbub.server.cli import app

LOAD = Load(
    published=10,
    received=95,
    missing=5,
    deliveries=80,
    seconds=2.0,
    server_cpu=0.5,
    client_cpu=1.9,
    bytes_received=8000,
    refused=3,
    latency=Percentiles(80, 1.0, 2.0, 3.0, 4.0, 5.0),
)
TRIAL = Trial(10, 200.0, 400.0, 3.25, LOAD, ["a note"])


@pytest.mark.parametrize(
    ("url", "found"),
    [
        ("http://127.0.0.1:8000", ("127.0.0.1", 8000)),
        ("ws://localhost:81/ws", ("localhost", 81)),
        ("hub.example:9000", ("hub.example", 9000)),
        ("http://[::1]:8000", ("::1", 8000)),
        ("http://hub.example", ("hub.example", 80)),
        ("http://hub.example/", ("hub.example", 80)),
    ],
)
def test_addresses(url, found):
    assert address(url) == found


@pytest.mark.parametrize(
    "url", ["https://hub.example", "wss://hub.example", "ftp://x", "http://", "http://x:99999"]
)
def test_what_is_no_address(url):
    with pytest.raises(typer.BadParameter):
        address(url)


@pytest.mark.parametrize("url", ["http://x:8000/foo", "x/ws/", "http://x/?a=b", "http://x/#a"])
def test_an_address_with_a_path(url):
    with pytest.raises(typer.BadParameter, match="leave out the path"):
        address(url)


def test_for_machines():
    figures = as_figures(TRIAL)
    assert (figures["deliveries"], figures["deliveries_measured"]) == (95, 80)
    assert figures["deliveries_per_second"] == 40
    assert figures["deliveries_per_server_cpu_second"] == 160
    assert figures["latency_ms"] == {
        "p50": 1.0,
        "p90": 2.0,
        "p99": 3.0,
        "p99.9": 4.0,
        "max": 5.0,
        "samples": 80,
    }


def test_for_people():
    text = "\n".join(lines(TRIAL))
    for words in (
        "160 deliveries a second of it",
        "10 with warm-up and the end",
        "95 with warm-up and the end, 5 never came",
        "40 deliveries a second: 80 in the 2.0 s measured",
        "3 more refused",
        "3.2 KiB",
        "may have waited",
        "a note",
    ):
        assert words in text


def test_what_is_not_known_is_said():
    unknown = Load(1, 1, 0, 1, 1.0, None, 0.1, 10, 0, None)
    text = "\n".join(lines(Trial(1, 1.0, None, None, unknown)))
    assert text.count("not known") == 2
    assert "nothing was timed" in text
    assert as_figures(Trial(1, 1.0, None, None, unknown))["latency_ms"] is None


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("--pid", "4194305"), "no such process"),
        (("https://x",), "TLS"),
        (("http://127.0.0.1:1/foo",), "path"),
        (("--members", "0"), "--members"),
        (("--rate", "inf"), "no finite"),
        (("--rate", "nan"), "--rate"),
        (("--seconds", "inf"), "--seconds"),
        (("--seconds", "nan"), "--seconds"),
        (("--seconds", "86401"), "--seconds"),
        (("--size", "16777217"), "--size"),
    ],
)
def test_bad_options(arguments, says):
    result = CliRunner().invoke(app, ["bench", *arguments])
    assert result.exit_code == 2
    assert says in result.output


def test_the_process_may_run_where_it_could_before(folder):
    before = os.sched_getaffinity(0)
    assert CliRunner().invoke(app, ["bench", "http://127.0.0.1:1", "--members", "1"]).exit_code == 1
    assert os.sched_getaffinity(0) == before


def test_a_host_that_nobody_knows_is_one_line(folder):
    result = CliRunner().invoke(app, ["bench", "http://nonexistent.invalid", "--members", "1"])
    assert (result.exit_code, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("hubbub: Nobody can connect to nonexistent.invalid:80: ")
