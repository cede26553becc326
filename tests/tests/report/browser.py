"""Checks of one report in a real browser.

python browser.py CHECK CHROMIUM REPORT FOLDER: silent if the check holds; pictures of what was seen go to FOLDER.
"""

import sys
from pathlib import Path

from playwright.sync_api import sync_playwright
from pypdf import PdfReader

from seen import (
    CUT_OFF,
    FAINT_TEXTS,
    HANDLERS,
    UNMAPPED,
    background,
    click,
    column,
    direction,
    filled,
    lies_on_its_shape,
    lightness,
    natural,
    number,
    values,
)

WIDE, NARROW = 1280, 390
# The printable width of A4 with the margins of the page, at 96 pixels an inch.
PAPER = 703


class Check:
    def __init__(self, browser, report, folder):
        self.browser, self.report, self.folder = browser, report, folder
        self.requests, self.complaints = [], []

    def open(self, width=WIDE, **context):
        """The report in a new window. Whatever it asks for or complains about is collected."""
        context = self.browser.new_context(viewport={"width": width, "height": 900}, **context)
        page = context.new_page()
        page.on("request", lambda request: self.requests.append(request.url))
        page.on("console", lambda message: self.complaints.append(message.text))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("dialog", lambda dialog: (self.complaints.append(dialog.message), dialog.dismiss()))
        page.goto(self.report.as_uri())
        return page

    def picture(self, page, name, whole=True):
        page.screenshot(path=self.folder / f"{name}.png", full_page=whole)

    def done(self):
        assert set(self.requests) == {self.report.as_uri()}, self.requests
        assert not self.complaints, self.complaints

    def hover(self):
        page = self.open()
        markers, rows = page.locator("figure a"), page.locator(".requests tbody tr")
        assert markers.count() == rows.count() > 0
        for index in range(rows.count()):
            page.mouse.move(0, 0)
            assert page.locator("#values").is_hidden()
            markers.nth(index).hover()
            assert values(page) == filled(page, rows.nth(index)), index
            assert "shown" in rows.nth(index).get_attribute("class")
            assert page.locator("tr.shown").count() == 1
            lies_on_its_shape(page, index)
        throttled = page.locator("figure a[aria-label*=throttled]").last
        throttled.hover()
        self.picture(page, "hover", whole=False)
        throttled.click()
        row = page.locator(throttled.get_attribute("href"))
        top = row.bounding_box()["y"]
        assert 0 < top < 900, "the row was not scrolled to"
        assert background(row) != background(rows.first), "the row does not stand out"

    def keyboard(self):
        page = self.open()
        page.locator("th button").last.focus()
        markers = page.locator("figure a")
        markers.first.focus()
        page.keyboard.press("Tab")
        assert values(page) == filled(page, page.locator("#request-2"))
        page.keyboard.press("Escape")
        assert page.locator("#values").is_hidden()
        page.keyboard.press("Enter")
        assert page.url.endswith("#request-2")

    def touch(self):
        page = self.open(NARROW, has_touch=True, is_mobile=True)
        for index in [0, page.locator("figure a").count() - 1]:
            page.locator("figure a").nth(index).tap()
            assert values(page) == filled(page, page.locator(f"#request-{index + 1}"))
            box = page.locator("#values").bounding_box()
            assert 0 <= box["x"] and box["x"] + box["width"] <= NARROW, box
        assert "#" not in page.url, "a tap left the chart"
        self.picture(page, "touch", whole=False)

    def sort(self):
        page = self.open()
        times = column(page, "Sent")
        assert times == sorted(times) and direction(page, "Sent") == "ascending"
        for name, key in [
            ("Tokens estimated", number),
            ("Latency", number),
            ("Name", natural),
            ("Sent", str),
        ]:
            click(page, name)
            up = column(page, name)
            assert up == sorted(up, key=key), (name, up)
            assert direction(page, name) == "ascending"
            click(page, name)
            down = column(page, name)
            assert down == sorted(up, key=key, reverse=True), (name, down)
            assert down != up and direction(page, name) == "descending"
            assert page.locator(".requests th[aria-sort]").count() == 1
        click(page, "Tokens used")
        used = column(page, "Tokens used")
        assert "" in used and used == sorted(used, key=lambda text: (text == "", number(text or "0"))), used
        page.locator(".requests th button", has_text="Latency").press("Enter")
        assert direction(page, "Latency") == "ascending"

        ranked = page.locator(".verdict tbody tr")
        first = ranked.first.inner_text()
        page.locator(".verdict th button", has_text="Probability").click()
        assert ranked.last.inner_text() == first
        page.locator(".verdict th button", has_text="Best parameters").click()
        reasons = page.locator(".verdict td:last-child").all_inner_texts()
        assert reasons == sorted(reasons, key=str.lower), reasons
        # What is shown at a marker is still its request.
        page.locator("figure a").nth(3).hover()
        assert values(page) == filled(page, page.locator("#request-4"))

    def colours(self):
        for scheme in ["light", "dark"]:
            page = self.open(color_scheme=scheme)
            faint = page.evaluate(FAINT_TEXTS)
            assert not faint, (scheme, faint)
            self.picture(page, scheme)
            is_light = lightness(background(page.locator("body"))) > 0.5
            assert is_light == (scheme == "light")
        unmapped = page.evaluate(UNMAPPED)
        assert not unmapped, f"these colours of the chart do not suit the dark: {unmapped}"

    def widths(self):
        for width in [WIDE, NARROW]:
            page = self.open(width)
            assert page.evaluate("document.documentElement.scrollWidth") == width
        self.picture(page, "narrow")

    def without_script(self):
        page = self.open(java_script_enabled=False)
        first = page.locator("#request-1")
        page.locator("figure a").first.click()
        assert 0 <= first.bounding_box()["y"] < 900
        assert page.locator("th button").count() == 0
        assert page.locator("#values").is_hidden()

    def paper(self):
        page = self.open(PAPER, color_scheme="dark")
        page.emulate_media(media="print", color_scheme="dark")
        assert background(page.locator("body")) == "rgb(255, 255, 255)"
        title = page.locator("figure text").first
        assert title.evaluate("text => getComputedStyle(text).fill") == "rgb(34, 38, 43)"
        cut = page.evaluate(CUT_OFF)
        assert not cut, cut
        file = self.folder / "report.pdf"
        page.pdf(path=file, prefer_css_page_size=True, print_background=False)
        pages = PdfReader(file).pages
        texts = ["".join(page.extract_text().split()) for page in pages]
        assert len(pages) > 1 and all(round(float(page.mediabox.width)) in (594, 595, 596) for page in pages)
        ids = page.locator(".requests td.id").all_inner_texts()
        carrying = [text for text in texts if any(request_id in text for request_id in ids)]
        assert len(carrying) > 1, "the table does not go over to another page"
        assert all("Requestid" in text for text in carrying), "a page has rows without their header"
        lost = [request_id for request_id in ids if not any(request_id in text for text in carrying)]
        assert not lost, lost

    def hostile(self):
        page = self.open()
        assert page.title().startswith("Verdict: "), page.title()
        assert page.evaluate("window.owned") is None
        assert page.locator("script").count() == 1
        assert page.evaluate(HANDLERS) == 0
        rows = page.locator(".requests tbody tr")
        assert rows.count() == page.locator("figure a").count() == 16
        for index in range(rows.count()):
            page.locator("figure a").nth(index).hover()
            assert values(page) == filled(page, rows.nth(index))
        assert page.locator("#values").bounding_box()["height"] < 450
        shown = page.locator("#values").inner_text()
        assert "<img src=x onerror=" in shown and "</script><script>" in shown, shown
        for name in ["Name", "Error", "Request id"]:
            click(page, name)
        assert page.evaluate("window.owned") is None
        assert page.evaluate("document.documentElement.scrollWidth") == WIDE
        narrow = self.open(NARROW)
        assert narrow.evaluate("document.documentElement.scrollWidth") == NARROW
        self.picture(page, "hostile")


def main(check, chromium, report, folder):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        checking = Check(browser, Path(report), Path(folder))
        getattr(checking, check)()
        checking.done()
        browser.close()


main(*sys.argv[1:])
