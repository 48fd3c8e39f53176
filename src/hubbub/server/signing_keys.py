"""The secret that signs tokens: from the settings, or generated once and kept in `DATA_DIR`."""

import contextlib
import logging
import os
import secrets
import stat
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

from hubbub import ConfigurationError
from hubbub.server.settings import PREFIX, Settings

logger = logging.getLogger(__name__)

LEAST_BYTES = 32
"""A key as long as the hash of HS256 (RFC 7518 section 3.2)."""


@dataclass(frozen=True, slots=True)
class SigningKeys:
    """What signs tokens, and what is accepted beside it while a key is rotated."""

    current: str = field(repr=False)
    previous: str | None = field(default=None, repr=False)


def signing_keys(settings: Settings) -> SigningKeys:
    """Take the keys of the settings, or the secret in `DATA_DIR`, which is made when there is none.

    Raises:
        ConfigurationError: a key is too short, or the file cannot be read or made.
    """
    given = settings.secret_key
    previous = settings.secret_key_previous
    return SigningKeys(
        current=_kept(settings.data_dir / "secret")
        if given is None
        else _long_enough(given.get_secret_value(), f"{PREFIX}SECRET_KEY"),
        previous=None
        if previous is None
        else _long_enough(previous.get_secret_value(), f"{PREFIX}SECRET_KEY_PREVIOUS"),
    )


def readable_by_others(path: Path) -> str | None:
    """Say how to mend a secret file that other users of the machine can read; `None` where they cannot."""
    if stat.S_IMODE(path.stat().st_mode) & 0o077:
        return f"{path} can be read by other users of this machine: chmod 600 {path}"
    return None


def make_folder(path: Path) -> None:
    """Make `DATA_DIR`, for its owner alone.

    Raises:
        ConfigurationError: it cannot be made; the message says why.
    """
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigurationError(
            f"{PREFIX}DATA_DIR: the folder {path} cannot be made: {error.strerror}."
        ) from error


def _kept(path: Path) -> str:
    make_folder(path.parent)
    try:
        _generate(path)
        warning = readable_by_others(path)
        secret = path.read_text("ascii").strip()
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"The secret in {path} cannot be read or made: {error}.") from error
    if warning:
        logger.warning(warning)
    return _long_enough(secret, f"The secret in {path}")


def _generate(path: Path) -> None:
    """Write a new secret unless there is one.

    Under a name of its own first, then linked to its place: another process sees the whole secret or none, and
    of two that come at the same time one wins and both read the same.
    """
    if path.exists():
        return
    # Opened with O_EXCL and mode 0600; removed at the end of the block, where the link to it stays.
    with tempfile.NamedTemporaryFile("w", encoding="ascii", dir=path.parent, prefix=f".{path.name}-") as file:
        file.write(secrets.token_hex(LEAST_BYTES) + "\n")
        file.flush()
        os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(file.name, path)


def _long_enough(secret: str, name: str) -> str:
    size = len(secret.encode())
    if size < LEAST_BYTES:
        raise ConfigurationError(
            f"{name} has {size} bytes, and {LEAST_BYTES} are needed at least; make one with: "
            f'python -c "import secrets; print(secrets.token_hex({LEAST_BYTES}))"'
        )
    return secret
