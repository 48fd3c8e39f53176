"""What the tests of the console page share: how to use it, and what must hold for every person."""

import pytest
from playwright.async_api import expect

DESKTOP = {"width": 1280, "height": 800}
PHONE = {"width": 360, "height": 700}
SLOW = 30_000
"""Milliseconds in which a lost connection is noticed and mended."""

expect.set_options(timeout=15_000)


async def enter(page, room):
    """Join a room by its name and wait until the server has let us in."""
    name, drawer = (
        page.get_by_label("Join a room by name"),
        page.get_by_role("button", name="Rooms", exact=True),
    )
    await expect(name.or_(drawer).filter(visible=True).first).to_be_visible()
    if not await name.is_visible():
        await drawer.click()
    await name.fill(room)
    await page.keyboard.press("Enter")
    await expect(page.get_by_test_id("room-title")).to_have_text(room)
    await expect(page.get_by_test_id("here-count")).not_to_have_text("0")


async def tab_to(page, target, back=False):
    """Press Tab until `target` has the focus, and see that the focus is shown on the way."""
    for _ in range(30):
        await page.keyboard.press("Shift+Tab" if back else "Tab")
        assert await page.evaluate(FOCUS_IS_SHOWN), await page.evaluate("document.activeElement.outerHTML")
        if await target.evaluate("(element) => element === document.activeElement"):
            return
    pytest.fail("The keyboard does not reach it.")


FOCUS_IS_SHOWN = """() => {
  const shown = (element) => element && getComputedStyle(element).outlineStyle !== "none";
  const { activeElement: active } = document;
  return active === document.body || shown(active) || shown(active.closest(".field"));
}"""


SIDEWAYS = """() => [...document.querySelectorAll("html, body, .room, .log, .composer, .sidebar, .here, #members, .jobs")]
  .filter((element) => element.scrollWidth > element.clientWidth).map((element) => element.className || element.tagName)"""


# WCAG 2.2, success criterion 1.4.3: 4.5 to 1 for text; the ratio of relative luminances.
CONTRAST = """() => {
  const parse = (colour) => (colour.match(/[\\d.]+/g) ?? []).map(Number);
  const luminance = ([r, g, b]) => [r, g, b].map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, index) => sum + part * [0.2126, 0.7152, 0.0722][index], 0);
  const ground = (element) => {
    for (let at = element; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length === 3 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    if (!node.data.trim() || !element.checkVisibility({ visibilityProperty: true }) || element.closest("script, .skip")) continue;
    const [a, b] = [luminance(parse(getComputedStyle(element).color)), luminance(ground(element))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) faint.push(`${node.data.trim()}: ${ratio.toFixed(2)}`);
  }
  return faint;
}"""


UNNAMED = """() => [...document.querySelectorAll("button, input, textarea")]
  .filter((element) => element.checkVisibility({ visibilityProperty: true }))
  .filter((element) => !(element.getAttribute("aria-label") || element.textContent.trim() || element.labels?.length))
  .map((element) => element.outerHTML)"""
