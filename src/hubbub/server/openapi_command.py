"""`hubbub openapi`: the document of the HTTP API."""

import json
import secrets

from hubbub.server.app import create_app
from hubbub.server.settings import load_settings
from hubbub.server.signing_keys import LEAST_BYTES, SigningKeys


def document() -> str:
    """Return the OpenAPI document of the server that the settings describe.

    Raises:
        ConfigurationError: settings or namespaces that cannot work.
    """
    # The document says nothing of the secret, so none is made in DATA_DIR for it.
    keys = SigningKeys(secrets.token_hex(LEAST_BYTES))
    return json.dumps(create_app(load_settings(), keys).openapi(), indent=2, ensure_ascii=False)
