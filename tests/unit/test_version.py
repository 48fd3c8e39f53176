"""The version is written once."""

from importlib.metadata import version

import hubbub
import hubbub.version


def test_it_is_the_packages():
    assert hubbub.__version__ == hubbub.version.__version__ == version("hubbub")
