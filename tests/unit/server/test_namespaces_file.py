from pathlib import Path

import pytest

from hubbub import ConfigurationError
from hubbub.server.namespaces_file import KEYS, NamespacesFile


def read(text: str | bytes) -> dict:
    path = Path("hubbub.toml")
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return NamespacesFile.read(path).tables()


def problem(text: str | bytes) -> str:
    with pytest.raises(ConfigurationError) as caught:
        read(text)
    return str(caught.value)


ROOM = "# rooms\n\n[namespaces.room]\n"


def test_an_empty_file_says_nothing():
    assert read("") == {}


def test_a_byte_order_mark_is_no_content():
    assert read(b"\xef\xbb\xbf[namespaces.room]\n") == {"room": {}}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            ROOM + 'subscribe = "anybody"',
            'line 4: subscribe = "anybody": expected one of "anyone", "authenticated", ',
        ),
        (ROOM + 'publish = "subscribr"', "; did you mean 'subscriber'?"),
        (ROOM + 'subscribe = "hook"', 'line 4: subscribe = "hook": "hook" needs the library'),
        (ROOM + 'publish = "hook"', 'line 4: publish = "hook": "hook" needs the library'),
        (ROOM + "presence = 1", "line 4: presence = 1: expected true or false."),
        (ROOM + 'presence = "yes"', 'line 4: presence = "yes": expected true or false.'),
        (ROOM + "\nhistory_size = -1", "line 5: history_size = -1: expected a whole number, 0 or more."),
        (ROOM + "history_size = true", "line 4: history_size = true: expected a whole number, 0 or more."),
        (ROOM + "overflow_bytes = 0", "line 4: overflow_bytes = 0: expected a whole number, 1 or more."),
        (ROOM + 'history_ttl = "soon"', 'line 4: history_ttl = "soon": expected a time such as 25, 250ms,'),
        (ROOM + 'history_ttl = "99999999d"', 'line 4: history_ttl = "99999999d": expected at most 36500d.'),
        (
            ROOM + "history_tll = 5",
            "line 4: 'history_tll' is unknown; expected subscribe, publish, presence, ",
        ),
        (ROOM + "history_tll = 5", "; did you mean 'history_ttl'?"),
        (ROOM + '"sub scribe" = 5', "line 4: 'sub scribe' is unknown"),
        (
            "\n[namespace.room]\n",
            "line 2: there is no [namespace] here; expected [namespaces.NAME]; did you mean",
        ),
        ("\n\ndatabase = 1\n", "line 3: there is no [database] here; expected [namespaces.NAME]."),
        ("namespaces = 1\n", "line 1: expected a table [namespaces.NAME]."),
        ("[namespaces]\nroom = 1\n", "line 2: 'room' is not a table; expected [namespaces.NAME]."),
        ("\n[[namespaces.room]]\n", "line 2: 'room' is not a table; expected [namespaces.NAME]."),
        ('\n[namespaces."a:b"]\n', "line 2: 'a:b' cannot be a namespace; expected a word such as room"),
        ('\n[namespaces.""]\n', "line 2: '' cannot be a namespace"),
    ],
)
def test_what_is_wrong_is_told_with_its_line_and_what_is_expected(text, said):
    problem_said = problem(text)
    assert problem_said.startswith("hubbub.toml, line ")
    assert said in problem_said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[namespaces.room]\npresence = yes\n", "hubbub.toml, line 2: this is not TOML: Invalid value."),
        ("\n\n[namespaces.room\n", "hubbub.toml, line 3: this is not TOML: "),
        ('[namespaces.room]\nsubscribe = "x', "hubbub.toml, line 2: this is not TOML: "),
        ("[a]\nb = 1\nb = 2\n", "hubbub.toml, line 3: this is not TOML: Cannot overwrite a value."),
    ],
)
def test_a_file_that_is_not_toml_is_told_with_its_line(text, said):
    assert problem(text).startswith(said)


def test_a_file_that_is_not_text_is_told(folder):
    assert problem(b"\xff\xfe").startswith("hubbub.toml cannot be read: ")


def test_the_documentation_shows_every_key():
    page = (Path(__file__).parents[3] / "docs" / "configuration.md").read_text()
    assert [key for key in KEYS if f"`{key}`" not in page] == []
