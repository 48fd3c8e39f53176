import re

import pytest

from hubbub.server.console_page import FOLDER


@pytest.mark.parametrize(
    "path", ["/", "/console/console.js", "/console/console.css", "/console/nowhere.js"][:3]
)
async def test_every_file_of_the_page_has_the_headers_that_protect_it(client, path):
    response = await client.get(path)
    assert response.status_code == 200
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "unsafe" not in response.headers["content-security-policy"]
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cache-control"] == "no-cache"


async def test_files_have_their_types(client):
    for path, kind in (
        ("/", "text/html"),
        ("/console/console.js", "text/javascript"),
        ("/console/console.css", "text/css"),
    ):
        assert (await client.get(path)).headers["content-type"].startswith(kind)


async def test_everything_that_the_page_names_is_there(client):
    page = (await client.get("/")).text
    named = re.findall(r'(?:src|href)="((?:console/)[^"]+)"', page)
    assert named
    for path in named:
        assert (await client.get(f"/{path}")).status_code == 200


async def test_what_did_not_change_is_not_sent_again(client):
    first = await client.get("/console/console.js")
    again = await client.get("/console/console.js", headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/console/nowhere.js",
        "/console/",
        "/console/../app.py",
        "/console/%2e%2e/app.py",
        "/console/..%2fapp.py",
    ],
)
async def test_nothing_else_is_served(client, path):
    assert (FOLDER.parent / "app.py").exists()
    response = await client.get(path)
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


async def test_the_page_may_be_asked_for_without_its_body(client):
    assert (await client.head("/")).status_code == 200


async def test_the_page_has_no_inline_script_or_style_that_its_policy_would_stop():
    page = (FOLDER / "index.html").read_text()
    assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=", page)
