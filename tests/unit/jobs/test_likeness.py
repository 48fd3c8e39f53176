"""What a task gets is what was given, or the caller is told: `hubbub.jobs.parameters`, `hubbub.jobs.likeness`."""

import dataclasses
import enum
import math
import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import pytest
from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, SecretStr

from hubbub.jobs import InvalidParams
from hubbub.jobs.likeness import is_finite, is_same
from hubbub.jobs.parameters import Parameters

BERLIN = ZoneInfo("Europe/Berlin")
TWICE = datetime(2026, 10, 25, 2, 30, tzinfo=BERLIN)
"""A time that comes twice in that night."""


class Colour(enum.Enum):
    RED = "red"


class Account(BaseModel):
    name: str
    password: str = Field("", exclude=True)


class Person(BaseModel):
    name: str = Field(alias="fullName")
    born: date | None = None


class Employee(Person):
    number: int


class Noted(BaseModel):
    name: str
    _note: str = PrivateAttr("")

    def noted(self, note: str) -> "Noted":
        self._note = note
        return self


class Odd(BaseModel):
    model_config = ConfigDict(ser_json_inf_nan="constants")
    number: float


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0.0


@dataclasses.dataclass
class Place(Point):
    name: str = ""


@dataclasses.dataclass(eq=False, slots=True)
class Bare:
    x: float
    when: datetime | None = None


class Pair(NamedTuple):
    left: int
    right: str


def reached(annotation: Any, value: Any) -> Any:
    """Return what a task would get."""

    def function(value: annotation) -> None: ...

    function.__annotations__["value"] = annotation
    parameters = Parameters(function)
    return parameters.read(parameters.bind((value,), {}))["value"]


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (float, 0.1),
        (float, 1e308),
        (float, -0.0),
        (int, 2**80),
        (bool, True),
        (str, "ä\x00\U0001f600"),
        (bytes, "ä".encode()),
        (datetime, datetime.now(UTC)),
        (datetime, datetime.now(BERLIN)),
        (datetime, datetime(2026, 1, 1)),  # noqa: DTZ001 (allowed)
        (date, date(2026, 1, 1)),
        (timedelta, timedelta(days=3, microseconds=1)),
        (set[int], {3, 1}),
        (frozenset[str], frozenset("ab")),
        (tuple[int, ...], (1, 2)),
        (list[datetime], [TWICE]),
        (dict[int, Decimal], {1: Decimal("1.10")}),
        (Decimal, Decimal("0.1")),
        (uuid.UUID, uuid.uuid4()),
        (Path, Path("/a")),
        (Colour, Colour.RED),
        (Person, Person(fullName="Ada", born=date(1815, 12, 10))),
        (list[Employee], [Employee(fullName="Ada", number=3)]),
        (Account, Account(name="ada")),
        (Noted, Noted(name="ada")),
        (Point, Point(1.5, 2)),
        (dict[str, Place], {"a": Place(1, name="here")}),
        (Pair, Pair(1, "b")),
        (int | str, "1"),
        (Any, {"a": [1, 1.0, None, True, "x"]}),
        (dict, {"a": {"b": []}}),
    ],
)
def test_ordinary_values_reach_the_task(annotation, value):
    assert reached(annotation, value) == value or value == [TWICE]


def test_what_is_equal_but_does_not_say_so_reaches_the_task():
    """Times in the hour that comes twice (PEP 495), and classes without `__eq__`."""
    for fold in (0, 1):
        when = TWICE.replace(fold=fold)
        assert reached(datetime, when).timestamp() == when.timestamp()
        assert reached(Person | datetime, when).timestamp() == when.timestamp()
    assert reached(Bare, Bare(1.5, TWICE)).x == 1.5


@pytest.mark.parametrize(
    ("annotation", "value"),
    [
        (SecretStr, SecretStr("geheim")),
        (SecretStr, "geheim"),
        (dict[str, SecretStr], {"a": SecretStr("geheim")}),
        (Account, Account(name="ada", password="geheim")),
        (list[Account], [Account(name="ada", password="geheim")]),
        (Person, Employee(fullName="Ada", number=3)),
        (list[Person], [Employee(fullName="Ada", number=3)]),
        (Point, Place(1, name="here")),
        (Noted, Noted(name="ada").noted("geheim")),
        (Bare, Bare(math.nan)),
        (float, math.nan),
        (float, math.inf),
        (float | None, -math.inf),
        (list[float], [math.nan]),
        (Odd, Odd(number=math.inf)),
        (Any, math.nan),
        (Any, datetime.now(UTC)),
        (Any, (1, 2)),
        (Any, {1: 2}),
        (datetime | str, "2026-01-01T00:00:00Z"),
        (bytes, b"\xff"),
        (Iterable[int], [1]),
    ],
)
def test_what_would_be_changed_on_the_way_is_refused(annotation, value):
    with pytest.raises(InvalidParams) as caught:
        reached(annotation, value)
    assert "geheim" not in str(caught.value)


def test_the_message_names_the_param():
    def function(name: str, password: SecretStr, ratio: float = 1.0) -> None: ...

    parameters = Parameters(function)
    with pytest.raises(InvalidParams, match=r"password: a SecretStr .* secrets"):
        parameters.bind(("ada", "geheim"), {})
    with pytest.raises(InvalidParams, match=r"ratio: .* NaN"):
        Parameters(lambda ratio: None).bind((math.nan,), {})


def test_a_class_whose_equality_raises_is_not_equal():
    class Rude:
        def __eq__(self, other: object) -> bool:
            raise RuntimeError

        __hash__ = None  # type: ignore[assignment]

    assert not is_same(Rude(), Rude())


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ({"a": [1.5, (2, "x", None)]}, True),
        (float("nan"), False),
        ([{"a": float("inf")}], False),
        ({1.0, float("-inf")}, False),
        (None, True),
    ],
)
def test_what_has_only_finite_numbers(value, expected):
    assert is_finite(value) is expected


def test_a_result_with_a_number_that_json_has_not_is_none():
    def measure() -> dict[str, float | None]:
        return {}

    parameters = Parameters(measure)
    assert parameters.written_result({"a": 1.5, "b": None}) == '{"a":1.5,"b":null}'
    with pytest.raises(ValueError, match="no JSON"):
        parameters.written_result({"a": math.nan})
