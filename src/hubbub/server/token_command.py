"""`hubbub token`: an access token for anybody, and a link that signs in."""

from hubbub import TokenIssuer
from hubbub.server.bench_command import DEFAULT_ADDRESS
from hubbub.server.data_dir import running_at
from hubbub.server.durations import seconds
from hubbub.server.settings import load_settings
from hubbub.server.signing_keys import signing_keys
from hubbub.server.tokens import issue_code, sign_in_link


def access_and_link(user: str, ttl: str, *, admin: bool) -> tuple[str, str]:
    """Make an access token, and a link that signs in once.

    Args:
        user: the user's id.
        ttl: how long both are good, as people write it.
        admin: with the scope `admin`.

    Raises:
        ConfigurationError: the settings, or the secret, cannot be read.
        ValueError: the id or the time cannot be; the message says why.
    """
    settings = load_settings()
    issuer = TokenIssuer(signing_keys(settings).current)
    scopes = frozenset({"admin"} if admin else ())
    duration = seconds(ttl)
    access = issuer.issue(user, ttl=duration, scopes=scopes)
    code = issue_code(issuer, user, ttl=duration, scopes=scopes)
    address = settings.public_url or running_at(settings.data_dir) or DEFAULT_ADDRESS
    return access, sign_in_link(address, code)
