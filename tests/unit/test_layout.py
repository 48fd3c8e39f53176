"""Every module of the library has tests of its own: a file that mirrors it, or one that names it."""

from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
SOURCE = ROOT / "src" / "hubbub"


def test_every_module_is_imported_by_a_test():
    tests = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("*.py"))
    untested = []
    for path in SOURCE.rglob("*.py"):
        if path.name in {"__init__.py", "__main__.py"} or "migrations" in path.parts:
            continue
        module = ".".join(("hubbub", *path.relative_to(SOURCE).with_suffix("").parts))
        mirrored = any((ROOT / "tests").rglob(f"test_{path.stem}.py"))
        if not mirrored and module not in tests:
            untested.append(module)
    assert untested == []
