"""The console page in a real browser, against the server as a process of its own."""

import asyncio
import json
import os
import re
import time
import urllib.request
from pathlib import Path

import jwt
import pytest
import pytest_asyncio
from cable import Cable
from pages import CONTRAST, PHONE, SIDEWAYS, SLOW, UNNAMED, enter, tab_to
from playwright.async_api import expect

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def say(page, text):
    """Write a message and send it."""
    await page.get_by_label("Message", exact=True).fill(text)
    await page.keyboard.press("Enter")


def messages(page):
    """The texts in the log of the room in view."""
    return page.locator(".log-frame:visible .content")


def members(page):
    """Who is listed in the room in view."""
    return page.get_by_test_id("members").locator(".member-name")


def post(server, path, body, token):
    """Ask the HTTP API for something."""
    headers = {"content-type": "application/json", "authorization": f"Bearer {token}"}
    request = urllib.request.Request(f"{server.url}/api/v1/{path}", json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request, timeout=10) as response:
        return response.status


# ---------------------------------------------------------------------------------------------- talking


async def test_two_people_talk(start_server, sign_in, tmp_path):
    server = start_server()
    ada = await sign_in(server, "ada", device_scale_factor=2)
    for room in ("design", "incidents: eu-west"):
        await enter(ada, room)
    await ada.get_by_role("button", name="general").click()
    bob = await sign_in(server, "bob")
    carol = await sign_in(server, "carol")

    await say(bob, "Good morning! The new build is up on staging.")
    await say(bob, "Could somebody look at the upload page?\nIt felt slow to me, maybe only on the train.")
    await expect(messages(ada)).to_have_count(2)
    await say(ada, "Looking now.")
    await say(ada, "It is the thumbnails: they are made inside the request. I’ll move them to a job.")
    await expect(messages(carol)).to_have_count(4)
    await say(carol, "Nice. Then a 10 MiB picture does not block the page any more?")
    await expect(messages(ada)).to_have_count(5)
    await say(ada, "Right: the answer comes at once, and the progress bar follows the job.")
    await enter(bob, "design")
    await say(bob, "The new logo is in the drawer.")
    await expect(messages(bob)).to_have_count(1)
    await bob.get_by_role("button", name="general").click()
    await bob.get_by_label("Message", exact=True).press_sequentially("Great")

    for page in (ada, bob, carol):
        await expect(messages(page)).to_have_text(
            [
                "Good morning! The new build is up on staging.",
                "Could somebody look at the upload page?\nIt felt slow to me, maybe only on the train.",
                "Looking now.",
                "It is the thumbnails: they are made inside the request. I’ll move them to a job.",
                "Nice. Then a 10 MiB picture does not block the page any more?",
                "Right: the answer comes at once, and the progress bar follows the job.",
            ]
        )
    await expect(ada.locator(".message.own:visible .content")).to_have_count(3)
    await expect(ada.locator(".pending:visible")).to_have_count(0)
    await expect(ada.locator(".message:visible time")).to_have_count(6)
    await expect(members(ada)).to_have_text(["ada", "bob", "carol"])
    await expect(ada.locator(".badge:visible")).to_have_text("1 unread")
    await expect(ada.get_by_test_id("typing")).to_have_text("bob is typing…")

    await ada.screenshot(path=os.environ.get("HUBBUB_SCREENSHOT") or tmp_path / "console.png")
    await ada.emulate_media(color_scheme="dark")
    await ada.screenshot(path=tmp_path / "console-dark.png")


@pytest.mark.parametrize("first", ["message", "ack"])
async def test_ones_own_message_shows_once_whatever_comes_first(server, open_page, first):
    """The order of a push and the ack of the same message is not promised."""
    held = []

    def hold_the_other(page_end):
        def pass_on(text):
            if sent and json.loads(text)["type"] in {"message", "ack"} - {first}:
                held.append(lambda: page_end.send(text))
            else:
                page_end.send(text)

        page_end.connect_to_server().on_message(pass_on)

    sent = False
    page = await open_page("about:blank")
    await page.route_web_socket("**/ws", hold_the_other)
    await page.goto(server.credentials(f"{first}-first").link)
    await enter(page, f"{first} first")
    await expect(page.get_by_test_id("log").and_(page.locator(":visible"))).to_have_attribute(
        "aria-busy", "false"
    )
    sent = True
    await say(page, "once")
    await expect(messages(page)).to_have_text(["once"])
    await expect(page.locator(".pending")).to_have_count(0)
    for release in held:
        release()
    sent = False
    await say(page, "again")
    await expect(messages(page)).to_have_text(["once", "again"])
    await expect(page.locator(".stored:visible .content")).to_have_text(["once", "again"])


async def test_what_others_type_shows_and_ones_own_does_not(server, sign_in):
    ada = await sign_in(server, "ada", "typing")
    bob = await sign_in(server, "bob", "typing")
    await ada.get_by_label("Message", exact=True).press_sequentially("hm")
    await expect(bob.get_by_test_id("typing")).to_have_text("ada is typing…")
    await expect(ada.get_by_test_id("typing")).to_be_empty()
    await ada.keyboard.press("Enter")
    await expect(messages(bob)).to_have_text(["hm"])
    await expect(bob.get_by_test_id("typing")).to_be_empty()


async def test_several_devices_are_one_person(start_server, sign_in):
    server = start_server(PRESENCE_GRACE="200ms")
    bob = await sign_in(server, "bob", "devices")
    await bob.evaluate(RECORD_PRESENCE, server.credentials("watcher").token)
    phone = await sign_in(server, "ada", "devices")
    laptop = await sign_in(server, "ada", "devices")
    await expect(members(bob)).to_have_text(["ada", "bob", "watcher"])
    await expect(bob.get_by_test_id("here-count")).to_have_text("3")
    await expect(members(laptop)).to_have_text(["ada", "bob", "watcher"])

    await phone.context.close()
    await say(laptop, "still here")
    await expect(messages(bob)).to_have_text(["still here"])
    carol = await sign_in(server, "carol", "devices")
    await carol.get_by_role("button", name="Leave", exact=True).click()
    await laptop.context.close()
    await expect(members(bob)).to_have_text(["bob", "watcher"])
    changes = await bob.evaluate("window.changes")
    assert changes == ["+ada", "+carol", "-carol", "-ada"]


RECORD_PRESENCE = """async (token) => {
  const { HubbubClient } = await import("/hubbub.js");
  const client = new HubbubClient({ token });
  const room = client.join("devices");
  window.changes = [];
  room.on("presence", ({ joined, left }) => (joined || left) && window.changes.push(joined ? `+${joined}` : `-${left}`));
  client.connect();
  await new Promise((resolve) => room.on("joined", resolve));
}"""


async def test_older_messages_are_loaded_on_demand(server, sign_in):
    root = server.credentials("root", admin=True).token
    for number in range(1, 121):
        post(
            server,
            "publish/room:backlog",
            {"event": "message", "data": {"content": f"number {number}"}},
            root,
        )
    ada = await sign_in(server, "ada", "backlog")
    await expect(messages(ada)).to_have_text([f"number {number}" for number in range(71, 121)])
    await expect(messages(ada).last).to_be_in_viewport()
    older = ada.get_by_role("button", name="Load older messages")
    await older.click()
    await expect(messages(ada)).to_have_count(100)
    await older.click()
    await expect(messages(ada)).to_have_text([f"number {number}" for number in range(1, 121)])
    await expect(ada.get_by_role("button", name="This is where it begins")).to_be_visible()


async def test_nothing_that_is_written_becomes_markup(server, sign_in):
    bad = "<img src=x onerror=document.title='broken'><script>document.title='broken'</script>"
    ada = await sign_in(server, "<b>ada</b>", "<i>markup</i>")
    await say(ada, bad)
    await expect(messages(ada)).to_have_text([bad])
    await expect(ada.locator(".pending")).to_have_count(0)
    await expect(members(ada)).to_have_text(["<b>ada</b>"])
    assert await ada.locator("main b, main i, main script, .log img, nav i").count() == 0
    assert await ada.title() == "<i>markup</i> · Hubbub"


async def test_notifications_and_broadcasts_show(server, sign_in):
    ada = await sign_in(server, "noticing")
    root = server.credentials("root", admin=True).token
    post(server, "users/noticing/publish", {"event": "export", "data": {"message": "It is ready."}}, root)
    await expect(ada.get_by_test_id("notice-card")).to_contain_text(["export"])
    post(server, "broadcast", {"event": "maintenance", "data": {"message": "Back at 18:00."}}, root)
    cards = ada.get_by_test_id("notice-card")
    await expect(cards).to_contain_text(["Back at 18:00.", "It is ready."])
    await ada.keyboard.press("Escape")
    await expect(cards).to_contain_text(["It is ready."])
    await cards.get_by_role("button", name="Dismiss").click()
    await expect(cards).to_have_count(0)


# ----------------------------------------------------------------------------------- a broken connection


@pytest_asyncio.fixture(loop_scope="session")
async def cut(start_server, sign_in):
    """A server, ada behind a cable, and bob beside the server, both in a room."""
    server = start_server(HEARTBEAT_INTERVAL="1s", PRESENCE_GRACE="60s")
    async with Cable(server.port).plugged() as cable:
        server.environment["HUBBUB_PUBLIC_URL"] = f"http://127.0.0.1:{cable.port}"
        ada = await sign_in(server, "ada", "tunnel")
        server.environment["HUBBUB_PUBLIC_URL"] = server.url
        bob = await sign_in(server, "bob", "tunnel")
        yield cable, ada, bob
        await ada.context.close()


async def test_a_cut_connection_comes_back_with_everything_once_and_in_order(cut):
    cable, ada, bob = cut
    await say(bob, "before")
    await say(ada, "I hear you")
    await expect(messages(ada)).to_have_text(["before", "I hear you"])
    await ada.evaluate(WATCH_NOTICES)
    cable.pull()
    spoken = [f"in the tunnel {number}" for number in range(1, 9)]
    for text in spoken:
        await say(bob, text)
    await expect(messages(bob)).to_have_count(10)
    await expect(ada.get_by_test_id("banner")).to_contain_text("Connection lost", timeout=SLOW)
    await say(ada, "written offline 1")
    await say(ada, "written\noffline 2")
    await expect(ada.locator(".pending .note")).to_have_text(["Waiting for the connection"] * 2)
    await expect(ada.get_by_role("button", name="Try now")).to_be_visible(timeout=SLOW)
    await cable.mend()
    await expect(ada.get_by_test_id("connection")).to_have_text("Connected", timeout=SLOW)
    await say(bob, "after")

    for page in (ada, bob):
        await expect(messages(page)).to_have_count(13)
        texts = await messages(page).all_inner_texts()
        mine = ["written offline 1", "written\noffline 2"]
        assert [text for text in texts if text not in mine] == ["before", "I hear you", *spoken, "after"]
        assert [text for text in texts if text in mine] == mine
    await expect(ada.locator(".pending, .failed")).to_have_count(0)
    await expect(ada.get_by_test_id("banner")).to_be_hidden()
    assert await ada.evaluate("window.noticed") == [], "it was recovered, not loaded again"


WATCH_NOTICES = """() => {
  window.noticed = [];
  const watch = (records) => records.flatMap(({ addedNodes }) => [...addedNodes])
    .filter((node) => node.dataset?.testid === "notice").forEach((node) => window.noticed.push(node.textContent));
  new MutationObserver(watch).observe(document.body, { subtree: true, childList: true });
}"""


async def test_a_message_whose_answer_was_lost_arrives_once(cut):
    cable, ada, bob = cut
    cable.deafen()
    await say(ada, "into the void")
    await expect(messages(bob)).to_have_text(["into the void"])
    cable.pull()
    await expect(ada.locator(".pending .content")).to_have_text(["into the void"])
    await expect(ada.get_by_test_id("banner")).to_be_visible(timeout=SLOW)
    await cable.mend()
    await expect(ada.locator(".pending")).to_have_count(0, timeout=SLOW)
    await say(ada, "and again")
    for page in (ada, bob):
        await expect(messages(page)).to_have_text(["into the void", "and again"])


async def test_a_person_can_try_at_once(cut):
    cable, ada, _ = cut
    await ada.clock.install()
    await ada.reload()
    await expect(ada.get_by_test_id("connection")).to_have_text("Connected")
    cable.pull()
    await expect(ada.get_by_test_id("countdown")).to_have_text(re.compile(r"in \d+ s…"), timeout=60_000)
    await ada.clock.pause_at(time.time() + 1)  # from here no wait ends by itself
    retry = ada.get_by_role("button", name="Try now")
    await expect(retry).to_be_visible()
    await cable.mend()
    await retry.click()
    await expect(ada.get_by_test_id("connection")).to_have_text("Connected")


async def test_what_cannot_be_recovered_is_said(start_server, sign_in, tmp_path):
    config = tmp_path / "small.toml"
    config.write_text("[namespaces.room]\nhistory_size = 3\n")
    server = start_server(HEARTBEAT_INTERVAL="1s", CONFIG=str(config))
    async with Cable(server.port).plugged() as cable:
        server.environment["HUBBUB_PUBLIC_URL"] = f"http://127.0.0.1:{cable.port}"
        ada = await sign_in(server, "ada", "small")
        server.environment["HUBBUB_PUBLIC_URL"] = server.url
        bob = await sign_in(server, "bob", "small")
        await say(bob, "first")
        await expect(messages(ada)).to_have_text(["first"])
        cable.pull()
        for number in range(1, 9):
            await say(bob, f"number {number}")
        await expect(messages(bob)).to_have_count(9)
        await expect(ada.get_by_test_id("banner")).to_be_visible(timeout=SLOW)
        await cable.mend()
        await expect(ada.get_by_test_id("notice")).to_have_text(
            "Some messages may be missing here.", timeout=SLOW
        )
        await expect(messages(ada)).to_have_text(["first", "number 6", "number 7", "number 8"])
        order = ada.locator(".stored:visible > *")
        await expect(order.nth(1)).to_have_attribute("data-testid", "notice")
        await ada.context.close()


async def test_what_the_history_still_has_is_filled_in(start_server, sign_in, tmp_path):
    config = tmp_path / "unrecovered.toml"
    config.write_text("[namespaces.room]\nrecovery = false\n")
    server = start_server(HEARTBEAT_INTERVAL="1s", CONFIG=str(config))
    async with Cable(server.port).plugged() as cable:
        server.environment["HUBBUB_PUBLIC_URL"] = f"http://127.0.0.1:{cable.port}"
        ada = await sign_in(server, "ada", "filled")
        server.environment["HUBBUB_PUBLIC_URL"] = server.url
        bob = await sign_in(server, "bob", "filled")
        await say(bob, "first")
        await expect(messages(ada)).to_have_text(["first"])
        cable.pull()
        await say(bob, "second")
        await say(bob, "third")
        await expect(messages(bob)).to_have_count(3)
        await expect(ada.get_by_test_id("banner")).to_be_visible(timeout=SLOW)
        await cable.mend()
        await expect(messages(ada)).to_have_text(["first", "second", "third"], timeout=SLOW)
        await expect(ada.get_by_test_id("notice")).to_have_count(0)
        await ada.context.close()


# ------------------------------------------------------------------------------------------- signing in


async def test_without_a_sign_in_the_page_says_how(server, open_page):
    page = await open_page(server.url)
    await expect(page.get_by_role("heading", name="Sign in to Hubbub")).to_be_visible()
    await expect(page.locator("code")).to_have_text("hubbub token --user ada")
    await expect(page.get_by_label("Link or token")).to_be_focused()
    await page.get_by_label("Link or token").fill("nonsense")
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("sign-in-error")).not_to_be_empty()


async def test_a_link_signs_in_once(server, open_page):
    link = server.credentials("once").link
    first = await open_page(link)
    await expect(first.get_by_test_id("user-id")).to_have_text("once")
    assert "sign-in" not in first.url
    second = await open_page(link)
    await expect(second.get_by_test_id("sign-in-reason")).to_contain_text("used already")
    assert "sign-in" not in second.url


async def test_a_token_or_a_link_can_be_pasted(server, open_page):
    credentials = server.credentials("pasting")
    for text in credentials:
        page = await open_page(server.url)
        await page.get_by_label("Link or token").fill(text)
        await page.get_by_role("button", name="Sign in").click()
        await expect(page.get_by_test_id("user-id")).to_have_text("pasting")
        await expect(page.get_by_test_id("connection")).to_have_text("Connected")


async def test_every_tab_can_be_another_user_and_stays_that_user(server, sign_in):
    ada = await sign_in(server, "tab-ada")
    bob = await ada.context.new_page()
    await bob.goto(server.credentials("tab-bob").link)
    await expect(bob.get_by_test_id("connection")).to_have_text("Connected")
    await ada.reload()
    await expect(ada.get_by_test_id("user-id")).to_have_text("tab-ada")
    third = await ada.context.new_page()
    await third.goto(server.url)
    await expect(third.get_by_test_id("user-id")).to_have_text("tab-bob")
    await expect(third.get_by_test_id("connection")).to_have_text("Connected")


async def test_rooms_are_there_again_after_a_reload(server, sign_in):
    ada = await sign_in(server, "reloading", "one")
    await enter(ada, "zwei: ü/#?")
    await say(ada, "remember me")
    await expect(ada.locator(".pending")).to_have_count(0)
    await ada.reload()
    await expect(ada.get_by_test_id("room-title")).to_have_text("zwei: ü/#?")
    await expect(messages(ada)).to_have_text(["remember me"])
    await expect(ada.get_by_test_id("rooms").locator(".room-name")).to_have_text(
        ["general", "one", "zwei: ü/#?"]
    )


async def test_signing_out_signs_the_browser_out(server, sign_in):
    ada = await sign_in(server, "leaving")
    async with ada.expect_response("**/api/v1/sign-out"):
        await ada.get_by_role("button", name="Sign out").click()
    await expect(ada.get_by_label("Link or token")).to_be_visible()
    other = await ada.context.new_page()
    await other.goto(server.url)
    await expect(other.get_by_label("Link or token")).to_be_visible()


async def test_a_sign_in_that_ended_is_said_and_can_be_renewed(start_server, open_page):
    secret = "not a secret, but long enough to sign with"
    server = start_server(SECRET_KEY=secret)
    # Over for 27 s, of the 30 s by which clocks may differ: the server ends it in about three.
    claims = {"sub": "ada", "iat": int(time.time()) - 60, "exp": int(time.time()) - 27, "jti": "short"}
    page = await open_page(server.url)
    await page.get_by_label("Link or token").fill(jwt.encode(claims, secret, "HS256"))
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("banner")).to_contain_text("Your sign-in has ended", timeout=SLOW)
    await say(page, "kept")
    await expect(page.locator(".failed .note")).to_contain_text("Not sent: your sign-in has ended.")

    await page.get_by_role("button", name="Sign in again").click()
    await page.get_by_label("Link or token").fill(server.credentials("ada").token)
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("connection")).to_have_text("Connected")
    await page.get_by_role("button", name="Retry").click()
    await expect(messages(page)).to_have_text(["kept"])
    await expect(page.locator(".failed, .pending")).to_have_count(0)


async def test_being_signed_in_elsewhere_is_said_and_not_fought_over(start_server, sign_in):
    server = start_server(CONNECTIONS_PER_USER_POLICY="replace")
    old = await sign_in(server, "ada")
    new = await sign_in(server, "ada", "elsewhere")
    await expect(old.get_by_test_id("banner")).to_contain_text("Signed in elsewhere")
    await say(new, "alone")
    await expect(messages(new)).to_have_text(["alone"])
    await expect(new.get_by_test_id("connection")).to_have_text("Connected")
    await old.get_by_role("button", name="Connect here").click()
    await expect(old.get_by_test_id("connection")).to_have_text("Connected")
    await expect(new.get_by_test_id("banner")).to_contain_text("Signed in elsewhere")


FOREIGN_PAGE = b"""HTTP/1.1 200 OK\r\ncontent-type: text/html\r\nconnection: close\r\n\r\n<!doctype html><title>Foreign</title>"""
KNOCK = """(url) => new Promise((resolve) => {
  const socket = new WebSocket(url, ["hubbub"]);
  socket.onmessage = ({ data }) => { resolve(JSON.parse(data).type); socket.close(); };
  socket.onclose = ({ code }) => resolve(code);
})"""


async def test_a_foreign_page_cannot_use_the_cookie(server, sign_in):
    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(FOREIGN_PAGE)
        await writer.drain()
        writer.close()
        await writer.wait_closed()

    ada = await sign_in(server, "target")
    url = server.url.replace("http", "ws") + "/ws"
    assert await ada.evaluate(KNOCK, url) == "welcome"
    async with await asyncio.start_server(answer, "127.0.0.1", 0) as foreign:
        page = await ada.context.new_page()
        await page.goto(f"http://127.0.0.1:{foreign.sockets[0].getsockname()[1]}/")
        cookies = await ada.context.cookies(page.url)
        assert [cookie["name"] for cookie in cookies] == ["hubbub_session"], "the browser would send it"
        assert await page.evaluate(KNOCK, url) != "welcome"
        await page.close()


# ------------------------------------------------------------------------------------ for every person


async def test_the_keyboard_is_enough(server, open_page):
    page = await open_page(server.url)
    keyboard = page.keyboard
    await expect(page.get_by_label("Link or token")).to_be_focused()
    await keyboard.insert_text(server.credentials("keys").token)
    await keyboard.press("Enter")
    composer = page.get_by_label("Message", exact=True)
    await expect(composer).to_be_focused()
    await expect(page.get_by_test_id("connection")).to_have_text("Connected")

    await tab_to(page, page.get_by_label("Join a room by name"), back=True)
    await keyboard.insert_text("keyboard")
    await keyboard.press("Enter")
    await expect(page.get_by_test_id("room-title")).to_have_text("keyboard")
    await expect(composer).to_be_focused()
    await keyboard.type("one")
    await keyboard.press("Shift+Enter")
    await keyboard.type("two")
    await keyboard.press("Enter")
    await expect(messages(page)).to_have_text(["one\ntwo"])
    await expect(composer).to_have_value("")

    await tab_to(page, page.get_by_test_id("log").and_(page.locator(":visible")), back=True)
    await tab_to(page, page.get_by_role("button", name="general"), back=True)
    await keyboard.press("Enter")
    await expect(page.get_by_test_id("room-title")).to_have_text("general")
    await expect(page.get_by_role("button", name="general")).to_be_focused()
    await tab_to(page, page.get_by_role("button", name="Leave", exact=True))
    await keyboard.press("Enter")
    await expect(page.get_by_test_id("room-title")).to_have_text("keyboard")
    await expect(page.get_by_test_id("rooms").locator(".room-name")).to_have_text(["keyboard"])


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_a_phone_shows_everything_without_scrolling_sideways(server, sign_in, tmp_path, scheme):
    room = f"{scheme}: " + "an endless name of a room " * 6
    ada = await sign_in(server, "phone-" + "x" * 60, room.strip(), viewport=PHONE, color_scheme=scheme)
    awkward = [
        "short",
        "unbreakable" * 40,
        "line\nafter line\n\n    indented",
        "שלום לכולם, זה טקסט מימין לשמאל",
        "👩‍👩‍👧‍👦🏳️‍🌈 " * 30,
        "https://example.com/" + "path/" * 60,
    ]
    for text in awkward:
        await say(ada, text)
    await expect(messages(ada)).to_have_count(len(awkward))
    await expect(ada.locator(".pending")).to_have_count(0)
    await ada.screenshot(path=tmp_path / f"phone-{scheme}.png")
    assert await ada.evaluate(SIDEWAYS) == []
    for opener, drawer in (("Rooms", "sidebar"), ("1 here", "here")):
        await ada.get_by_role("button", name=opener, exact=True).click()
        panel = ada.locator(f"#{drawer}")
        await expect(panel).to_be_in_viewport(ratio=0.99)
        assert await ada.evaluate(SIDEWAYS) == []
        assert await panel.evaluate("(panel) => panel.contains(document.activeElement)")
        await ada.keyboard.press("Escape")
        await expect(panel).not_to_be_in_viewport()
        await expect(ada.get_by_role("button", name=opener, exact=True)).to_be_focused()


@pytest.mark.parametrize("scheme", ["light", "dark"])
async def test_every_text_has_enough_contrast(server, sign_in, scheme):
    ada = await sign_in(server, f"contrast-{scheme}", f"contrast-{scheme}", color_scheme=scheme)
    bob = await sign_in(server, f"reader-{scheme}", f"contrast-{scheme}", color_scheme=scheme)
    await say(bob, "for you")
    await say(ada, "for me")
    await expect(messages(ada)).to_have_count(2)
    await enter(ada, "elsewhere")
    await say(bob, "unread")
    await expect(ada.locator(".badge:visible")).to_be_visible()
    await ada.get_by_role("button", name=f"contrast-{scheme}").click()
    await expect(messages(ada)).to_have_count(3)
    faint = await ada.evaluate(CONTRAST)
    assert faint == []


async def test_screen_readers_find_their_way(server, sign_in):
    ada = await sign_in(server, "listening", "landmarks")
    for role, name in (("navigation", "Rooms"), ("main", "landmarks"), ("complementary", "Here now")):
        await expect(ada.get_by_role(role, name=name)).to_be_visible()
    log = ada.get_by_role("log", name="Messages in landmarks")
    await expect(log).to_be_visible()
    await expect(log).to_have_attribute("aria-busy", "false")
    await expect(ada.get_by_role("button", name="landmarks")).to_have_attribute("aria-current", "page")
    unnamed = await ada.evaluate(UNNAMED)
    assert unnamed == []


async def test_the_page_runs_under_a_strict_policy(server, open_page):
    page = await open_page(server.url)
    response = await page.reload()
    policy = response.headers["content-security-policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    source = Path(__file__).parents[2] / "src/hubbub/server/console"
    for file in source.glob("*.js"):
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write", file.read_text()), (
            file.name
        )
