"""The tree of errors."""

import inspect

from hubbub import exceptions
from hubbub.codes import CloseCode, ErrorCode
from hubbub.exceptions import BadRequest, HubbubError, InvalidToken, PublishError, Refusal, Restarting


def classes() -> list[type[Exception]]:
    return [
        each for _, each in inspect.getmembers(exceptions, inspect.isclass) if issubclass(each, Exception)
    ]


def test_one_family():
    assert len(classes()) > 10
    assert all(issubclass(each, HubbubError) for each in classes())


def test_the_tree_in_the_docstring_is_complete():
    drawing = exceptions.__doc__ or ""
    assert [each.__name__ for each in classes() if each.__name__ not in drawing] == []


def test_what_clients_are_told():
    for each in classes():
        if issubclass(each, (Refusal, InvalidToken, PublishError)):
            assert isinstance(each.code, ErrorCode)
    assert InvalidToken.close_code is CloseCode.INVALID_TOKEN
    assert (Refusal("why").message, str(Refusal("why"))) == ("why", "why")
    assert BadRequest("why", 1.5).ref == 1.5
    assert Restarting(1.5).after == 1.5
