"""Typed events and their names on the wire."""

import pytest
from pydantic import BaseModel, ConfigDict, ValidationError

from hubbub.hub.events import ChatMessage, Event, Typing, event_name, is_ephemeral, snake_case


class OrderCreated(BaseModel):
    id: int


class Named(Event, name="created"):
    id: int


class Cursor(Event, ephemeral=True):
    x: int


class Heir(Cursor):
    y: int


class Kept(Cursor, ephemeral=False):
    pass


class Strict(Event, name="strict", extra="forbid"):
    id: int


@pytest.mark.parametrize(
    ("name", "snake"),
    [
        ("OrderCreated", "order_created"),
        ("HTTPDone", "http_done"),
        ("A", "a"),
        ("X2Y", "x2_y"),
        ("Typing", "typing"),
    ],
)
def test_class_names_in_snake_case(name, snake):
    assert snake_case(name) == snake


def test_names():
    assert [event_name(kind) for kind in (ChatMessage, Typing, OrderCreated, Named, Cursor, Heir)] == [
        "message",
        "typing",
        "order_created",
        "created",
        "cursor",
        "heir",
    ]


def test_which_are_ephemeral():
    assert [is_ephemeral(kind) for kind in (ChatMessage, Typing, OrderCreated, Cursor, Heir, Kept)] == [
        False,
        True,
        False,
        True,
        True,
        False,
    ]


def test_pydantics_own_class_arguments_pass_through():
    with pytest.raises(ValidationError):
        Strict.model_validate_json('{"id":1,"more":2}')
    assert Strict.model_config == ConfigDict(extra="forbid")
