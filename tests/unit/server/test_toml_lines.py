import pytest

from hubbub.server.toml_lines import line_of, path_in

TEXT = """\
# [namespaces.room]
[namespaces.room]  # the rooms
presence = true
"join_leave" = true

[namespaces."topic"]
presence = false
history_size=5
[namespaces]
board = { publish = "anyone" }
wall.presence = true
"""


@pytest.mark.parametrize(
    ("place", "line"),
    [
        (("namespaces", "room"), 2),
        (("namespaces", "room", "presence"), 3),
        (("namespaces", "room", "join_leave"), 4),
        (("namespaces", "topic"), 6),
        (("namespaces", "topic", "presence"), 7),
        (("namespaces", "topic", "history_size"), 8),
        (("namespaces", "board", "publish"), 10),
        (("namespaces", "wall", "presence"), 11),
        (("namespaces", "wall"), 11),
        (("namespaces",), 2),
        (("elsewhere",), 1),
    ],
)
def test_a_key_is_found_however_its_table_is_written(place, line):
    assert line_of(TEXT, place) == line


def test_a_line_on_its_own_has_a_name_or_none():
    assert path_in('[a."b.c"]') == ("a", "b.c")
    assert path_in("[[a.b]]") == ("a", "b")
    assert path_in("a.b = 0") == ("a", "b")
    assert path_in("[1, 2],") is None
    assert path_in("# a comment") == ()
