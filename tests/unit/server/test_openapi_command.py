"""The document, as `hubbub openapi` prints it."""

import json

from hubbub.server.openapi_command import document


def test_it_describes_the_api_and_makes_nothing(folder):
    assert "/api/v1/tasks/{task_id}/logs" in json.loads(document())["paths"]
    assert list(folder.iterdir()) == []
