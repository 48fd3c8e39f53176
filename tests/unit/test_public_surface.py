"""The public names are listed, sorted and documented; importing them needs no extras."""

import inspect
import subprocess
import sys

import hubbub


def test_all_is_sorted_and_complete():
    public = {
        name
        for name, value in vars(hubbub).items()
        if not name.startswith("_") and not inspect.ismodule(value)
    }
    assert hubbub.__all__ == sorted(hubbub.__all__)
    assert public | {"__version__"} == set(hubbub.__all__)


def test_public_names_and_their_methods_have_docstrings():
    bare = []
    for name in hubbub.__all__:
        value = getattr(hubbub, name)
        if not inspect.isclass(value):
            continue
        if not value.__doc__:
            bare.append(name)
        bare += [
            f"{name}.{method}"
            for method, member in vars(value).items()
            if inspect.isfunction(member) and not method.startswith("_") and not member.__doc__
        ]
    assert bare == []


def test_importing_the_library_imports_no_extras():
    extras = [
        "uvicorn",
        "typer",
        "structlog",
        "prometheus_client",
        "pydantic_settings",
        "rich",
        "redis",
        "sqlalchemy",
    ]
    program = f"import hubbub, sys; print([name for name in {extras!r} if name in sys.modules])"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    assert printed.strip() == "[]"
