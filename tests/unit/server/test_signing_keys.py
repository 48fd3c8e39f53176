import logging
import stat
from concurrent.futures import ThreadPoolExecutor

import pytest

from hubbub import ConfigurationError
from hubbub.server.settings import Settings
from hubbub.server.signing_keys import make_folder, readable_by_others, signing_keys

KEY, OTHER = "k" * 32, "o" * 32


def test_the_settings_come_first_and_no_file_is_made(folder):
    keys = signing_keys(Settings(secret_key=KEY, secret_key_previous=OTHER))
    assert (keys.current, keys.previous) == (KEY, OTHER)
    assert list(folder.iterdir()) == []
    assert KEY not in repr(keys)


def test_a_secret_is_made_once_for_its_owner_alone(folder):
    settings = Settings(data_dir=folder / "deep" / "data")
    first = signing_keys(settings)
    path = folder / "deep" / "data" / "secret"
    assert len(first.current) == 64
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert signing_keys(settings) == first
    assert [entry.name for entry in path.parent.iterdir()] == ["secret"]


def test_two_that_come_at_the_same_time_agree(folder):
    settings = Settings(data_dir=folder / "data")
    with ThreadPoolExecutor(8) as pool:
        assert len({keys.current for keys in pool.map(lambda _: signing_keys(settings), range(8))}) == 1


def test_a_secret_that_others_can_read_is_warned_of(folder, caplog):
    settings = Settings(data_dir=folder)
    signing_keys(settings)
    path = folder / "secret"
    path.chmod(0o644)
    with caplog.at_level(logging.WARNING):
        signing_keys(settings)
    assert caplog.messages == [f"{path} can be read by other users of this machine: chmod 600 {path}"]
    path.chmod(0o600)
    assert readable_by_others(path) is None


@pytest.mark.parametrize("name", ["secret_key", "secret_key_previous"])
def test_a_key_that_is_too_short_is_refused_and_not_repeated(name):
    with pytest.raises(ConfigurationError) as caught:
        signing_keys(Settings(**{"secret_key": KEY, name: "hunter2"}))
    assert str(caught.value).startswith(
        f"HUBBUB_{name.upper()} has 7 bytes, and 32 are needed at least; make one with"
    )
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("content", "said"), [(b"short\n", "has 5 bytes"), (b"\xff" * 40, "cannot be read or made")]
)
def test_a_file_that_holds_no_secret_is_refused(folder, content, said):
    (folder / "secret").write_bytes(content)
    with pytest.raises(ConfigurationError, match=said):
        signing_keys(Settings(data_dir=folder))


def test_a_folder_that_cannot_be_made_is_an_error_that_says_so(folder):
    (folder / "file").write_text("")
    with pytest.raises(
        ConfigurationError, match=r"HUBBUB_DATA_DIR: the folder .* cannot be made: Not a directory"
    ):
        make_folder(folder / "file" / "data")


def test_a_secret_that_is_a_folder_is_an_error(folder):
    (folder / "secret").mkdir()
    with pytest.raises(ConfigurationError, match="cannot be read or made"):
        signing_keys(Settings(data_dir=folder))
