"""Runs notebooks in JupyterLab, as somebody with a browser does.

python lab.py CHROMIUM URL PICTURES NAME.ipynb...: silent if every cell of each ran without an error.
"""

import re
import sys
from pathlib import Path

from playwright.sync_api import expect, sync_playwright

CELLS = ".jp-Notebook .jp-CodeCell"
ERRORS = '.jp-OutputArea-output[data-mime-type$="stderr"], .jp-OutputArea-output[data-mime-type$="error"]'
EXECUTED = re.compile(r"^\[\d+\]:$")
CHARTS = ".jp-RenderedSVG img"
# Only what hangs takes as long, also on a machine with other work.
AT_MOST_MS = 180_000
STARTED_MS = 60_000


def menu(page, *labels):
    page.locator(".lm-MenuBar-itemLabel").get_by_text(labels[0], exact=True).click()
    for label in labels[1:]:
        page.locator(".lm-Menu-itemLabel").get_by_text(label, exact=True).click()


def number(cell):
    return cell.locator(".jp-InputPrompt")


def open_notebook(page, url, name):
    page.goto(f"{url}/lab/tree/{name}?reset")
    expect(page.locator(CELLS).first).to_be_visible()
    status = page.locator("#jp-main-statusbar")
    expect(status).to_contain_text("Rust (bedrock-tpm) | Idle", timeout=STARTED_MS)


def run_all(page, url, name):
    try:
        open_notebook(page, url, name)
    except AssertionError:
        # JupyterLab can miss what a kernel says of itself at first, and waits for it in vain; its user starts another.
        menu(page, "Kernel", "Shut Down Kernel")
        open_notebook(page, url, name)
    menu(page, "Edit", "Clear Outputs of All Cells")
    expect(page.locator(".jp-OutputArea-output")).to_have_count(0)
    menu(page, "Run", "Run All Cells")
    for cell in page.locator(CELLS).all():
        if cell.locator(".cm-content").inner_text().strip():
            expect(number(cell)).to_have_text(EXECUTED)
    assert page.locator(ERRORS).count() == 0, page.locator(ERRORS).all_inner_texts()
    assert page.locator(CHARTS).count() > 0, f"{name} shows no chart"


def run_again(page, code):
    """Runs the cell that contains `code` once more."""
    cell = page.locator(CELLS, has_text=code)
    before = number(cell).inner_text()
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")
    expect(number(cell)).not_to_have_text(before)
    expect(number(cell)).to_have_text(EXECUTED)


def pictures(page, folder, name):
    """The whole notebook, one window after the other, in the light and in the dark."""
    for theme in ("Light", "Dark"):
        menu(page, "Settings", "Theme", f"JupyterLab {theme}")
        expect(page.locator("body")).to_have_attribute("data-jp-theme-name", f"JupyterLab {theme}")
        for index, cell in enumerate(page.locator(f"{CELLS}:has(.jp-OutputArea-output)").all()):
            cell.scroll_into_view_if_needed()
            cell.screenshot(path=folder / f"{name}-{theme.lower()}-{index}.png")


def check(page, url, name, folder):
    run_all(page, url, name)
    if name == "window_test.ipynb":
        chart = page.locator(CHARTS)
        before = chart.get_attribute("src")
        run_again(page, 'tester.begin_phase("within the minute")')
        run_again(page, "tester.chart()")
        assert chart.get_attribute("src") != before, "the chart does not show the phase that ran again"
    pictures(page, folder, Path(name).stem)
    page.keyboard.press("Control+s")
    menu(page, "Kernel", "Shut Down Kernel")


def main(chromium, url, folder, *names):
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 1000})
        page.set_default_timeout(AT_MOST_MS)
        expect.set_options(timeout=AT_MOST_MS)
        try:
            for name in names:
                check(page, url, name, Path(folder))
        except BaseException:
            page.screenshot(path=Path(folder, "failed.png"))
            raise
        browser.close()


main(*sys.argv[1:])
