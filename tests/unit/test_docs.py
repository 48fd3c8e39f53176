"""What the docs say about codes, settings, metrics and messages is what the code says."""

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hubbub.dialects.plain import TYPES

ROOT = Path(__file__).parent.parent.parent
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])
LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#]+)")
SERVER = re.compile(r"^(?:\S+=\S+ )*(?:make serve|\S*hubbub serve|\S*uvicorn )[^&\n]*\n(?=.)", re.MULTILINE)


def test_generated_tables_are_up_to_date():
    result = subprocess.run(
        [sys.executable, ROOT / "scripts" / "generate_docs.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, f"{result.stdout}{result.stderr}run `make docs`"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path):
    broken = [link for link in LINK.findall(page.read_text()) if not (page.parent / link).exists()]
    assert broken == []


@pytest.mark.parametrize("page", sorted(ROOT.glob("docs/*.md")), ids=lambda page: page.name)
def test_the_readme_leads_to_every_page(page: Path):
    assert f"docs/{page.name}" in LINK.findall((ROOT / "README.md").read_text())


def test_every_client_message_is_in_the_protocol_page():
    text = (ROOT / "docs" / "protocol.md").read_text()
    assert [name for name in TYPES if f'"type":"{name}"' not in text] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_server_is_the_last_line_of_its_block(page: Path):
    """What stands behind a command that does not end is never run when the block is pasted."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(), re.DOTALL)
    assert [block for block in blocks if SERVER.search(block)] == []


async def test_the_readmes_application_runs():
    code = re.search(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert code is not None
    names: dict[str, Any] = {}
    exec(compile(code.group(1), "README.md", "exec"), names)
    transport = httpx2.ASGITransport(app=names["app"])
    async with (
        names["hub"].lifespan(names["app"]),
        httpx2.AsyncClient(transport=transport, base_url="http://testserver") as client,
    ):
        assert (await client.post("/announce?text=hi")).json() == {"offset": 1}
