from pathlib import Path

import pytest
from typer.main import get_command

from hubbub import ConfigurationError, ConnectionsPolicy
from hubbub.server.cli import app
from hubbub.server.settings import NOT_BUILT, OPTIONS, Settings, load_settings, settings_table


def problem(**given) -> str:
    with pytest.raises(ConfigurationError) as caught:
        load_settings(**given)
    return str(caught.value)


def test_the_defaults_are_those_of_the_contract():
    settings = load_settings()
    assert (settings.max_connections, settings.max_connections_per_user) == (10_000, 20)
    assert (settings.max_message_bytes, settings.max_subscriptions, settings.message_rate) == (
        65_536,
        128,
        50,
    )
    assert settings.connections_per_user_policy is ConnectionsPolicy.MANY
    assert (settings.heartbeat_interval, settings.presence_lease) == (25, 30)
    assert (settings.presence_grace, settings.drain_time) == (5, 15)
    assert settings.data_dir == Path("hubbub-data")
    assert not settings.allow_anonymous
    assert settings.allowed_origins == ()


def test_variables_are_read_in_any_case_and_an_empty_one_is_none(monkeypatch):
    monkeypatch.setenv("HUBBUB_MAX_CONNECTIONS", "7")
    monkeypatch.setenv("hubbub_drain_time", "250ms")
    monkeypatch.setenv("HUBBUB_PUBLIC_URL", "")
    settings = load_settings()
    assert (settings.max_connections, settings.drain_time, settings.public_url) == (7, 0.25, None)


def test_a_dotenv_is_read_and_the_environment_comes_before_it(folder, monkeypatch):
    (folder / ".env").write_text(
        "# settings\nHUBBUB_MESSAGE_RATE=20/s\nHUBBUB_MAX_SUBSCRIPTIONS=3\nANOTHER_PROGRAM=1\n"
    )
    monkeypatch.setenv("HUBBUB_MAX_SUBSCRIPTIONS", "4")
    settings = load_settings()
    assert (settings.message_rate, settings.max_subscriptions) == (20, 4)


@pytest.mark.parametrize(
    "text", ["https://a.example, https://b.example", '["https://a.example", "https://b.example"]']
)
def test_a_list_is_separated_by_commas_or_json(monkeypatch, text):
    monkeypatch.setenv("HUBBUB_ALLOWED_ORIGINS", text)
    assert load_settings().allowed_origins == ("https://a.example", "https://b.example")


def test_a_list_that_is_broken_json_is_refused(monkeypatch):
    monkeypatch.setenv("HUBBUB_ALLOWED_ORIGINS", '["https://a.example"')
    assert "expected a list separated by commas, or a JSON array" in problem()


@pytest.mark.parametrize(("text", "rate"), [("50", 50), ("50/s", 50), ("0.5 / s", 0.5), ("0", 0)])
def test_a_rate_is_per_second(monkeypatch, text, rate):
    monkeypatch.setenv("HUBBUB_MESSAGE_RATE", text)
    assert load_settings().message_rate == rate


def test_an_address_loses_its_slash(monkeypatch):
    monkeypatch.setenv("HUBBUB_PUBLIC_URL", "https://chat.example.com/")
    assert load_settings().public_url == "https://chat.example.com"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("MESSAGE_RATE", "50/m", "HUBBUB_MESSAGE_RATE=50/m: expected how many a second, such as 50 or 50/s."),
        ("HEARTBEAT_INTERVAL", "soon", "HUBBUB_HEARTBEAT_INTERVAL=soon: expected a time such as 25, 250ms,"),
        ("HEARTBEAT_INTERVAL", "0", "HUBBUB_HEARTBEAT_INTERVAL=0: input should be greater than 0."),
        ("MAX_CONNECTIONS", "many", "HUBBUB_MAX_CONNECTIONS=many: input should be a valid integer"),
        ("MAX_CONNECTIONS", "-1", "HUBBUB_MAX_CONNECTIONS=-1: input should be greater than or equal to 0."),
        (
            "CONNECTIONS_PER_USER_POLICY",
            "one",
            "HUBBUB_CONNECTIONS_PER_USER_POLICY=one: input should be 'many'",
        ),
        ("LOG_LEVEL", "loud", "HUBBUB_LOG_LEVEL=loud: input should be 'debug', 'info'"),
        ("LOG_FORMAT", "xml", "HUBBUB_LOG_FORMAT=xml: input should be 'console' or 'json'"),
        (
            "PUBLIC_URL",
            "chat.example.com",
            "HUBBUB_PUBLIC_URL=chat.example.com: expected an address such as https",
        ),
        ("ALLOW_ANONYMOUS", "perhaps", "HUBBUB_ALLOW_ANONYMOUS=perhaps: input should be a valid boolean"),
    ],
)
def test_a_wrong_value_is_named_with_what_is_expected(monkeypatch, name, value, said):
    monkeypatch.setenv(f"HUBBUB_{name}", value)
    assert problem().startswith(said)


@pytest.mark.parametrize("name", ["LOG_LEVEL", "LOG_FORMAT", "CONNECTIONS_PER_USER_POLICY"])
def test_words_may_be_in_any_case(monkeypatch, name):
    value = {"LOG_LEVEL": "WARNING", "LOG_FORMAT": "JSON", "CONNECTIONS_PER_USER_POLICY": "Replace"}[name]
    monkeypatch.setenv(f"HUBBUB_{name}", value)
    assert getattr(load_settings(), name.lower()) == value.lower()


def test_an_unknown_name_is_an_error_that_names_the_nearest(monkeypatch):
    monkeypatch.setenv("HUBBUB_ALLOWED_ORIGIN", "https://a.example")
    assert problem() == "HUBBUB_ALLOWED_ORIGIN is not a setting: did you mean HUBBUB_ALLOWED_ORIGINS?"


def test_a_name_that_is_like_no_other_is_an_error_too(monkeypatch):
    monkeypatch.setenv("HUBBUB_XYZZY", "1")
    assert problem() == "HUBBUB_XYZZY is not a setting: see docs/configuration.md for the names."


@pytest.mark.parametrize("name", ["HOST", "PORT", "WORKERS"])
def test_a_name_that_is_an_option_is_an_error_that_says_so(monkeypatch, name):
    monkeypatch.setenv(f"HUBBUB_{name}", "1")
    assert (
        problem() == f"HUBBUB_{name} is not a setting: it is the option --{name.lower()} of `hubbub serve`."
    )


def test_every_option_of_serve_is_known_as_one():
    options = [name for parameter in get_command(app).commands["serve"].params for name in parameter.opts]
    assert sorted(options) == [f"--{name.lower()}" for name in OPTIONS]


def test_an_unknown_name_in_the_dotenv_is_an_error_too(folder):
    (folder / ".env").write_text("HUBBUB_HEARTBEAT=5\n")
    assert problem() == "HUBBUB_HEARTBEAT is not a setting: did you mean HUBBUB_HEARTBEAT_INTERVAL?"


@pytest.mark.parametrize("name", NOT_BUILT)
def test_what_this_version_has_not_is_refused_and_said(monkeypatch, name):
    monkeypatch.setenv(f"HUBBUB_{name}", "x://somewhere")
    said = problem()
    assert said.startswith(f"HUBBUB_{name} is set, and this version of Hubbub has no ")
    assert "x://somewhere" not in said  # it may carry a password


def test_every_problem_has_a_line(monkeypatch):
    monkeypatch.setenv("HUBBUB_DRAIN_TIM", "5s")
    monkeypatch.setenv("HUBBUB_DRAIN_TIME", "never")
    monkeypatch.setenv("HUBBUB_MAX_CONNECTIONS", "x")
    assert [line.split("=")[0].split(" ")[0] for line in problem().splitlines()] == [
        "HUBBUB_DRAIN_TIM",
        "HUBBUB_MAX_CONNECTIONS",
        "HUBBUB_DRAIN_TIME",
    ]


def test_rules_for_a_provider_need_a_provider(monkeypatch):
    monkeypatch.setenv("HUBBUB_JWT_ISSUER", "https://login.example.com")
    monkeypatch.setenv("HUBBUB_JWT_AUDIENCE", "chat")
    assert problem().startswith(
        "HUBBUB_JWT_ISSUER and HUBBUB_JWT_AUDIENCE: these judge an identity provider's"
    )
    monkeypatch.setenv("HUBBUB_JWKS_URL", "https://login.example.com/keys")
    assert load_settings().jwt_audience == ("chat",)


def test_no_secret_is_shown():
    secret = "a secret that nobody may see, ever"
    settings = load_settings(secret_key=secret, secret_key_previous=secret)
    assert secret not in f"{settings!r} {settings}"


def test_a_wrong_secret_is_not_repeated():
    assert "['hidden']" not in problem(secret_key=["hidden"])


def test_the_table_has_a_row_for_every_setting():
    table = settings_table()
    assert all(f"| `HUBBUB_{name.upper()}` |" in table for name in Settings.model_fields)
    assert "| `HUBBUB_HEARTBEAT_INTERVAL` | `25s` |" in table
    assert "| `HUBBUB_ALLOW_ANONYMOUS` | `false` |" in table
    assert "| `HUBBUB_CONNECTIONS_PER_USER_POLICY` | `many` |" in table
    assert "| `HUBBUB_JWKS_URL` | none |" in table
