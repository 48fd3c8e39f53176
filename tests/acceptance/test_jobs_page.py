"""Background jobs on the console page, in a real browser against the server as a process of its own."""

import re

import pytest
from cable import Cable
from pages import CONTRAST, DESKTOP, PHONE, SIDEWAYS, SLOW, UNNAMED, tab_to
from playwright.async_api import expect
from serving import eventually

pytestmark = pytest.mark.asyncio(loop_scope="session")


async def open_jobs(page):
    """Look at the jobs; on a narrow screen by the drawer."""
    button, drawer = page.get_by_test_id("jobs-button"), page.get_by_role("button", name="Rooms", exact=True)
    await expect(button.or_(drawer).filter(visible=True).first).to_be_visible()
    if not await button.is_visible():
        await drawer.click()
    await button.click()
    await expect(page.get_by_test_id("jobs")).to_be_visible()
    await expect(page.get_by_test_id("room-title")).to_have_text("Jobs")


async def start(page, steps=10, seconds=10.0, *, fail=False):
    """Start a demo by the form."""
    await page.get_by_label("Steps").fill(str(steps))
    await page.get_by_label("Seconds").fill(str(seconds))
    await page.get_by_label("Fail half-way").set_checked(fail)
    await page.get_by_test_id("start-demo").click()


def statuses(page):
    return page.get_by_test_id("job-status")


def bar(page, nth=0):
    return page.get_by_test_id("job-list").get_by_role("progressbar").nth(nth)


async def progress(page):
    return int(await bar(page).get_attribute("aria-valuenow"))


async def beyond(page, least):
    """Wait until the first bar has passed a value."""
    await page.wait_for_function(
        "(least) => Number(document.querySelector('[role=progressbar]')?.getAttribute('aria-valuenow')) > least",
        arg=least,
    )


RECORD = """() => {
  window.seen = [];
  const look = () => {
    const value = Number(document.querySelector("[role=progressbar]")?.getAttribute("aria-valuenow"));
    if (window.seen.at(-1) !== value) window.seen.push(value);
  };
  new MutationObserver(look).observe(document.querySelector("#job-list"), { subtree: true, childList: true, attributes: true });
}"""


async def test_progress_moves_live_on_every_device_and_survives_a_reload(server, sign_in):
    laptop = await sign_in(server, "two-devices")
    phone = await sign_in(server, "two-devices", viewport=PHONE)
    for page in (laptop, phone):
        await open_jobs(page)
    await expect(laptop.locator("#jobs-empty")).to_be_visible()
    await phone.evaluate(RECORD)
    await start(laptop, 20, 8)
    for page in (laptop, phone):
        await expect(statuses(page)).to_have_text(["Running"])
        await beyond(page, 10)
        await expect(page.get_by_test_id("job-message")).to_have_text(re.compile(r"Step \d+ of 20"))
    await laptop.reload()
    await expect(laptop.get_by_test_id("jobs")).to_be_visible()
    await expect(statuses(laptop)).to_have_text(["Running"])
    assert await progress(laptop) > 5, "the bar is where it was"
    for page in (laptop, phone):
        await expect(statuses(page)).to_have_text(["Completed"])
        await expect(bar(page)).to_have_attribute("aria-valuenow", "100")
        await expect(page.get_by_test_id("job-outcome")).to_have_text('{"steps":20}')
        await expect(page.locator(".job-times")).to_contain_text("took")
    seen = await phone.evaluate("window.seen")
    assert seen == sorted(seen)
    assert len(seen) > 5, "it moved in steps"
    await expect(phone.get_by_test_id("jobs-said")).to_have_text("demo: completed")


async def test_a_job_is_cancelled_and_retried(server, sign_in):
    ada = await sign_in(server, "cancelling")
    await open_jobs(ada)
    await start(ada, 200, 200)
    await expect(statuses(ada)).to_have_text(["Running"])
    await ada.get_by_role("button", name=re.compile("^Cancel demo")).click()
    await expect(statuses(ada)).to_have_text(["Cancelled"])
    await expect(ada.get_by_role("button", name=re.compile("^Cancel demo"))).to_have_count(0)
    assert await ada.evaluate("document.activeElement.dataset.testid") == "job", "the focus has a place"
    await ada.get_by_role("button", name=re.compile("^Retry demo")).click()
    await expect(statuses(ada)).to_have_text(["Running"])
    await ada.get_by_role("button", name=re.compile("^Cancel demo")).click()
    await expect(statuses(ada)).to_have_text(["Cancelled"])


async def test_a_job_that_fails_says_why_and_begins_anew(server, sign_in):
    ada = await sign_in(server, "failing")
    other = await sign_in(server, "failing")
    for page in (ada, other):
        await open_jobs(page)
    await start(ada, 10, 2, fail=True)
    for page in (ada, other):
        await expect(statuses(page)).to_have_text(["Failed"])
        await expect(page.get_by_test_id("job-outcome")).to_contain_text("It was asked to fail")
    await other.evaluate(RECORD)
    await ada.get_by_role("button", name=re.compile("^Retry demo")).click()
    await expect(statuses(other)).to_have_text(["Running"])
    for page in (ada, other):
        await expect(statuses(page)).to_have_text(["Failed"])
    assert 10 in await other.evaluate("window.seen"), "it began anew, and the other device saw it"


async def test_what_cannot_be_started_is_said(server, sign_in):
    ada = await sign_in(server, "mistaken")
    await open_jobs(ada)
    await ada.evaluate("document.getElementById('demo-form').noValidate = true")
    await start(ada, 5000, 1)
    await expect(ada.get_by_test_id("demo-error")).to_contain_text("less than or equal to 1000")
    await expect(statuses(ada)).to_have_count(0)


async def test_others_see_nothing_and_administrators_everything(server, sign_in, open_page):
    ada = await sign_in(server, "private")
    eve = await sign_in(server, "eve")
    root = await open_page(server.credentials("boss", admin=True).link)
    for page in (ada, eve, root):
        await open_jobs(page)
    await start(ada, 50, 50)
    await expect(statuses(ada)).to_have_text(["Running"])
    row = root.get_by_test_id("queue-rows").locator("tr").filter(has_text="private")
    await expect(row).to_contain_text("Running")
    await expect(root.get_by_test_id("queue-counts")).to_contain_text("Running")
    await start(eve, 1, 0)
    await expect(statuses(eve)).to_have_text(["Completed"])
    for page in (ada, eve):
        await expect(page.get_by_test_id("queue")).to_be_hidden()
    await expect(statuses(root)).to_have_count(0)
    await ada.get_by_role("button", name=re.compile("^Cancel demo")).click()
    await expect(row).to_contain_text("Cancelled")


async def test_a_cut_connection_comes_back_with_the_right_bar(start_server, sign_in):
    server = start_server(HEARTBEAT_INTERVAL="1s")
    async with Cable(server.port).plugged() as cable:
        server.environment["HUBBUB_PUBLIC_URL"] = f"http://127.0.0.1:{cable.port}"
        ada = await sign_in(server, "ada")
        server.environment["HUBBUB_PUBLIC_URL"] = server.url
        witness = await sign_in(server, "ada")
        for page in (ada, witness):
            await open_jobs(page)
        await start(ada, 60, 60)
        await start(ada, 20, 10)
        await expect(statuses(ada)).to_have_text(["Running", "Running"])
        cable.pull()
        await expect(statuses(witness)).to_have_text(["Completed", "Running"], timeout=SLOW)
        await expect(ada.get_by_test_id("banner")).to_be_visible(timeout=SLOW)
        await start(ada, 1, 0)
        await expect(ada.get_by_test_id("demo-error")).to_contain_text("cannot be reached", timeout=SLOW)
        await expect(statuses(ada)).to_have_text(["Running", "Running"])
        await cable.mend()
        await expect(statuses(ada)).to_have_text(["Completed", "Running"], timeout=SLOW)
        await expect(bar(ada)).to_have_attribute("aria-valuenow", "100")

        async def level():
            both = [await bar(page, 1).get_attribute("aria-valuenow") for page in (ada, witness)]
            return abs(int(both[0]) - int(both[1])) <= 4

        await eventually(level)
        await ada.context.close()


MANY = """async ([number, params, authorization]) => {
  const body = JSON.stringify({ kind: "demo", params });
  const headers = { authorization, "content-type": "application/json" };
  const answers = await Promise.all(Array.from({ length: number }, () => fetch("api/v1/tasks/", { method: "POST", headers, body })));
  return answers.filter(({ status }) => status === 202).length;
}"""


async def start_many(page, server, user, number, **params):
    """Start demos as a program of the user's does, all at once."""
    authorization = f"Bearer {server.credentials(user).token}"
    assert await page.evaluate(MANY, [number, params, authorization]) == number


def cards(page, status):
    return page.get_by_test_id("job-list").locator(f"[data-status={status}]")


async def test_more_than_are_followed_are_shown_as_they_are(start_server, sign_in):
    server = start_server(JOBS_CONCURRENCY="40")
    ada = await sign_in(server, "ada")
    await open_jobs(ada)
    await start_many(ada, server, "ada", 80, steps=1, seconds=3)
    await expect(ada.get_by_test_id("job")).to_have_count(80)
    await expect(cards(ada, "running")).to_have_count(40)
    await expect(cards(ada, "completed")).to_have_count(80)
    await expect(ada.locator("#jobs-badge")).to_be_hidden()
    await ada.context.close()


async def test_what_is_not_finished_is_shown_however_old_it_is(start_server, sign_in):
    server = start_server(JOBS_CONCURRENCY="0")
    ada = await sign_in(server, "ada")
    await start_many(ada, server, "ada", 70)
    await ada.reload()
    await expect(ada.locator("#jobs-badge")).to_have_text("70 running or waiting")
    await open_jobs(ada)
    # One that has no place among those that are followed, cancelled on another device.
    await expect(cards(ada, "pending")).to_have_count(70)
    other = await sign_in(server, "ada")
    await open_jobs(other)
    for count, nth in ((1, 0), (2, -1)):
        await other.get_by_role("button", name=re.compile("^Cancel demo")).nth(nth).click()
        await expect(cards(other, "cancelled")).to_have_count(count)
    await expect(cards(ada, "cancelled")).to_have_count(2)
    await expect(ada.locator("#jobs-badge")).to_have_text("68 running or waiting")
    for page in (ada, other):
        await page.context.close()


async def test_nothing_is_asked_that_is_not_allowed(server, sign_in):
    ada = await sign_in(server, "modest")
    asked, errors = [], []
    ada.on("request", lambda request: asked.append(request.url))
    ada.on("console", lambda said: errors.append(said.text) if said.type == "error" else None)
    await ada.reload()
    await open_jobs(ada)
    async with ada.expect_response("**/api/v1/me"):
        await ada.reload()
    await start(ada, 1, 0)
    await expect(statuses(ada)).to_have_text(["Completed"])
    assert [url for url in asked if "/admin/" in url] == []
    assert errors == []


@pytest.mark.parametrize("size", [DESKTOP, PHONE, {"width": 360, "height": 480}])
async def test_what_was_started_is_in_view(server, open_page, size):
    link = server.credentials(f"starter-{size['height']}", admin=True).link
    page = await open_page(link, viewport=size)
    await open_jobs(page)
    await expect(page.get_by_test_id("queue")).to_be_visible()
    for number in (1, 2):
        await start(page, 1, 0)
        await expect(page.get_by_test_id("job")).to_have_count(number)
        await expect(page.get_by_test_id("job").first).to_be_in_viewport(ratio=1)


# ------------------------------------------------------------------------------------ for every person


async def test_the_keyboard_is_enough(server, sign_in):
    ada = await sign_in(server, "job-keys")
    await tab_to(ada, ada.get_by_test_id("jobs-button"), back=True)
    await ada.keyboard.press("Enter")
    await expect(ada.get_by_test_id("jobs-button")).to_have_attribute("aria-current", "page")
    await tab_to(ada, ada.get_by_label("Seconds"))
    await ada.keyboard.insert_text("100")
    await ada.keyboard.press("Enter")
    await expect(statuses(ada)).to_have_text(["Running"])
    await expect(ada.locator("#jobs-badge")).to_have_text("1 running or waiting")
    await tab_to(ada, ada.get_by_role("button", name=re.compile("^Cancel demo")))
    await ada.keyboard.press("Enter")
    await expect(statuses(ada)).to_have_text(["Cancelled"])
    await expect(ada.locator("#jobs-badge")).to_be_hidden()
    await ada.get_by_role("button", name="general").click()
    await expect(ada.get_by_test_id("jobs")).to_be_hidden()
    await expect(ada.get_by_label("Message", exact=True)).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("size", [DESKTOP, PHONE], ids=["desktop", "phone"])
async def test_it_can_be_read_everywhere(server, open_page, tmp_path, scheme, size):
    link = server.credentials(f"reader-{scheme}-{size['width']}", admin=True).link
    page = await open_page(link, viewport=size, color_scheme=scheme, reduced_motion="reduce")
    await open_jobs(page)
    for values in ((4, 0.2, False), (4, 0.2, True), (100, 100, False), (50, 150, False)):
        await start(page, *values[:2], fail=values[2])
        await expect(page.get_by_test_id("job").first).to_contain_text("demo")
        await expect(page.get_by_test_id("demo-error")).to_be_empty()
    await expect(page.get_by_test_id("job")).to_have_count(4)
    await page.get_by_role("button", name=re.compile("^Cancel demo")).first.click()
    await expect(statuses(page)).to_have_text(["Cancelled", "Running", "Failed", "Completed"])
    await beyond(page, -1)
    await expect(page.get_by_test_id("queue-rows").locator("tr").first).to_be_visible()
    await page.screenshot(path=tmp_path / f"jobs-{scheme}-{size['width']}.png")
    await page.locator("#jobs").evaluate("(jobs) => jobs.scrollTo(0, jobs.scrollHeight)")
    await page.screenshot(path=tmp_path / f"jobs-{scheme}-{size['width']}-end.png")
    assert await page.evaluate(SIDEWAYS) == []
    assert await page.evaluate(CONTRAST) == []
    assert await page.evaluate(UNNAMED) == []
    assert await page.locator(".fill").first.evaluate(
        "(fill) => getComputedStyle(fill).transitionDuration"
    ) in {"0s", ""}
    names = (
        await page.get_by_test_id("job-list")
        .get_by_role("progressbar")
        .evaluate_all(
            "(bars) => bars.map((bar) => [bar.getAttribute('aria-label'), bar.getAttribute('aria-valuetext')])"
        )
    )
    assert all(label.startswith("Progress of demo") for label, _ in names)
    assert names[-1][1] == "100 %, completed"
    await page.get_by_role("button", name=re.compile("^Cancel demo")).click()
    await expect(statuses(page)).to_have_text(["Cancelled", "Cancelled", "Failed", "Completed"])
