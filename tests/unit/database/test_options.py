"""Which options a PostgreSQL's URL may have, and what becomes of them."""

import pytest
from sqlalchemy import make_url

from hubbub import ConfigurationError
from hubbub.database.options import for_driver, for_sqlalchemy, read_options


def arguments(query):
    options = read_options(make_url(f"postgresql://db/hub?{query}").query)
    assert for_sqlalchemy(options) == {}
    return for_driver(options, connect=5.0, settings={"application_name": "hubbub"})


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("", {}),
        ("sslmode=require&channel_binding=require", {"dsn": "postgresql://?sslmode=require"}),
        (
            "sslmode=verify-full&sslrootcert=/etc/ca.pem",
            {"dsn": "postgresql://?sslmode=verify-full&sslrootcert=%2Fetc%2Fca.pem"},
        ),
        ("connect_timeout=7", {"timeout": 7.0}),
        ("application_name=x", {"server_settings": {"application_name": "x"}}),
        (
            "options=-c%20search_path%3Dhub",
            {"server_settings": {"application_name": "hubbub", "options": "-c search_path=hub"}},
        ),
        ("target_session_attrs=read-write", {"target_session_attrs": "read-write"}),
    ],
)
def test_what_the_driver_is_told(query, said):
    usual = {"timeout": 5.0, "server_settings": {"application_name": "hubbub"}}
    assert arguments(query) == {**usual, **said}


def test_several_hosts_are_left_to_sqlalchemy():
    options = read_options(make_url("postgresql:///hub?host=one:5432&host=two:5432").query)
    assert for_sqlalchemy(options) == {"host": ("one:5432", "two:5432")}


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("foo=hunter2", "'foo' is no option .* sslmode"),
        ("sslmode=bogus", "sslmode is one of disable, allow"),
        ("channel_binding=bogus", "channel_binding is one of"),
        ("connect_timeout=soon", "connect_timeout is a number"),
        ("connect_timeout=0", "connect_timeout is a number"),
        ("prepared_statement_cache_size=x", "is a number"),
        ("sslmode=require&sslmode=disable", "more than once"),
        ("sslmode=require&ssl=disable", "more than once"),
        ("password=hunter2", "password stands before the host"),
        ("user=ada", "user stands before the host"),
    ],
)
def test_what_cannot_be_is_refused(query, said):
    with pytest.raises(ConfigurationError, match=said) as refused:
        arguments(query)
    assert "hunter2" not in str(refused.value)
