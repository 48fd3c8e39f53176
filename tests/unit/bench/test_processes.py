"""What the kernel says about a process."""

import os
import socket
import time

from hubbub.bench.processes import Process, listening


def test_this_process_is_found_by_its_port():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert listening(server.getsockname()[1]) == Process(os.getpid())


def test_nobody_listens_there():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        assert listening(probe.getsockname()[1]) is None


def test_cpu_time_is_that_of_the_process():
    own = Process(os.getpid())
    before, clock = own.cpu_seconds(), time.process_time()
    sum(range(200_000))
    assert own.cpu_seconds() - before >= (time.process_time() - clock) / 2


def test_memory_is_read():
    own = Process(os.getpid())
    assert own.is_readable()
    assert 0 < own.memory().pss <= own.memory().rss


def test_a_process_that_is_not_there():
    assert not Process(2**22 + 1).is_readable()
