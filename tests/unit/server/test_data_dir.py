import fcntl
import threading

import pytest

from hubbub import ConfigurationError
from hubbub.server.data_dir import announce, only_server, running_at


def test_one_server_holds_the_folder_and_can_be_found(folder):
    data = folder / "data"
    assert running_at(data) is None
    with only_server(data) as lock:
        assert running_at(data) is None  # not yet
        announce(lock, "http://127.0.0.1:8000")
        assert running_at(data) == "http://127.0.0.1:8000"
        with pytest.raises(ConfigurationError) as caught, only_server(data):
            pass
    assert str(caught.value).startswith(
        f"Another server (at http://127.0.0.1:8000) runs on {data}: without Redis"
    )
    assert "HUBBUB_DATA_DIR" in str(caught.value)
    assert running_at(data) is None


def test_what_an_earlier_server_wrote_is_gone(folder):
    with only_server(folder) as lock:
        announce(lock, "http://127.0.0.1:65000")
    with only_server(folder) as lock:
        announce(lock, "http://[::1]:80")
        assert running_at(folder) == "http://[::1]:80"


def test_somebody_who_only_looks_keeps_no_server_from_starting(folder):
    path = folder / "lock"
    path.touch()
    with path.open("rb") as looking:
        fcntl.flock(looking, fcntl.LOCK_SH)
        timer = threading.Timer(0.03, fcntl.flock, (looking, fcntl.LOCK_UN))
        timer.start()
        with only_server(folder):
            pass
        timer.join()


def test_a_folder_that_cannot_be_used_is_an_error(folder):
    (folder / "lock").mkdir()
    with (
        pytest.raises(ConfigurationError, match=r"lock cannot be opened: Is a directory"),
        only_server(folder),
    ):
        pass


def test_servers_that_redis_connects_share_a_folder(folder):
    with only_server(folder, shared=True) as first:
        announce(first, "http://127.0.0.1:8000")
        with only_server(folder, shared=True) as second:
            announce(second, "http://127.0.0.1:8001")
            assert running_at(folder) == "http://127.0.0.1:8001"
            with pytest.raises(ConfigurationError, match="without Redis one process"), only_server(folder):
                pass
    with only_server(folder), pytest.raises(ConfigurationError), only_server(folder, shared=True):
        pass
