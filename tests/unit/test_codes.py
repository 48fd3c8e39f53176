"""The codes on the wire."""

import json

from hubbub.codes import CloseCode, ErrorCode, UnsubscribeCode

NOT_BY_THEMSELVES = {1000, 1002, 1003, 1007, 1008, 1009, 4001, 4003, 4010}


def test_after_which_closes_clients_come_back():
    assert {code.value for code in CloseCode if not code.reconnect} == NOT_BY_THEMSELVES


def test_codes_are_what_the_contract_says():
    assert {code.value for code in CloseCode} == {
        1000, 1001, 1002, 1003, 1007, 1008, 1009, 1011, 1012, 1013, 4001, 4002, 4003, 4008, 4010,
    }  # fmt: skip
    assert [int(code) for code in UnsubscribeCode] == [0, 2000, 2500, 2501]
    assert json.dumps([ErrorCode.FORBIDDEN, CloseCode.REVOKED]) == '["forbidden", 4010]'


def test_every_code_says_when_it_is_sent():
    for code in (*CloseCode, *ErrorCode, *UnsubscribeCode):
        assert code.situation.endswith(".")
    for name, code in ErrorCode.__members__.items():
        assert code.value == name.lower()


def test_codes_may_be_sent_by_an_application():
    # RFC 6455 section 7.4.1: 1004 to 1006 and 1015 are never sent.
    assert not {code.value for code in CloseCode} & {1004, 1005, 1006, 1015}
    assert all(1000 <= code < 1015 or 4000 <= code < 5000 for code in CloseCode)
