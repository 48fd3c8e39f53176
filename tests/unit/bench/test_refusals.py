"""Whoever runs the load is told what to do."""

import pytest

from hubbub.bench.refusals import explain, handshake_refused


@pytest.mark.parametrize(
    ("heard", "closed", "says"),
    [
        (
            b'{"type":"error","code":"limit_exceeded","message":"Full."}',
            (1013, "Server full"),
            "HUBBUB_MAX_CONNECTIONS ",
        ),
        (
            b'{"type":"error","code":"limit_exceeded"}',
            (1008, "Too many connections"),
            "HUBBUB_MAX_CONNECTIONS_PER_USER",
        ),
        (b"", (1008, "Too many messages"), "closed with 1008 Too many messages: "),
        (
            b"",
            (1008, "Too many messages"),
            "lift HUBBUB_MESSAGE_RATE (0 means no limit), or ask for more --members",
        ),
        (
            b"",
            (1009, "Message is too big"),
            "closed with 1009 Message is too big: lift HUBBUB_MAX_MESSAGE_BYTES",
        ),
        (b'{"type":"error","code":"rate_limited"}', None, "HUBBUB_MESSAGE_RATE"),
        (b'{"type":"error","code":"unauthorized"}', (4001, "Invalid token"), "HUBBUB_DATA_DIR"),
        (b'x{"type":"error","code":"forbidden","message":"Not here."}y', None, "Not here."),
        (b"", (1012, "Restart"), "1012 Restart"),
        (b'{"type":"error",', None, "without a word"),
        (b"", None, "without a word"),
    ],
)
def test_refusals(heard, closed, says):
    assert says in explain(heard, closed)


@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (b"SSH-2.0\r\n", "no web server"),
        (b"HTTP/1.1 403 Forbidden\r\n\r\n", "403 Forbidden"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "is a Hubbub server behind this address?"),
    ],
)
def test_handshakes(answer, says):
    assert says in handshake_refused(answer)
