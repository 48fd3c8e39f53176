"""Write the tables in docs/ that come from the code. `--check` only says whether they are up to date."""

import re
import sys
from pathlib import Path

from hubbub.codes import CloseCode, ErrorCode, UnsubscribeCode
from hubbub.server.metrics import metrics_table
from hubbub.server.settings import settings_table

DOCS = Path(__file__).parent.parent / "docs"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Write a Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def close_codes() -> str:
    """List the close codes."""
    rows = [
        [str(int(code)), code.name.lower(), "yes" if code.reconnect else "no", code.situation]
        for code in CloseCode
    ]
    return table(["code", "name", "reconnect", "situation"], rows)


def error_codes() -> str:
    """List the error codes."""
    return table(["code", "situation"], [[f"`{code.value}`", code.situation] for code in ErrorCode])


def unsubscribe_codes() -> str:
    """List the unsubscribe codes."""
    rows = [[str(int(code)), code.name.lower(), code.situation] for code in UnsubscribeCode]
    return table(["code", "name", "situation"], rows)


GENERATED = {
    "codes.md": {"close": close_codes, "error": error_codes, "unsubscribe": unsubscribe_codes},
    "configuration.md": {"settings": settings_table},
    "operations.md": {"metrics": metrics_table},
}


def fill(text: str, name: str, content: str) -> str:
    """Put a generated table between its markers.

    Raises:
        ValueError: the markers are not there.
    """
    begin, end = f"<!-- generated: {name} -->", f"<!-- end: {name} -->"
    pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
    if not pattern.search(text):
        raise ValueError(f"there is no {begin} … {end}")
    return pattern.sub(lambda _: f"{begin}\n{content}\n{end}", text)


def main() -> int:
    """Write the tables, or with `--check` return 1 where one is out of date."""
    stale = []
    for file, tables in GENERATED.items():
        path = DOCS / file
        before = after = path.read_text()
        for name, make in tables.items():
            after = fill(after, name, make())
        if after != before:
            stale.append(file)
            if "--check" not in sys.argv:
                path.write_text(after)
    if stale:
        print(
            ("Out of date: " if "--check" in sys.argv else "Written: ")
            + ", ".join(f"docs/{file}" for file in stale)
        )
    return bool(stale) if "--check" in sys.argv else 0


if __name__ == "__main__":
    sys.exit(main())
