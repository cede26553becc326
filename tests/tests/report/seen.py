"""What a reader sees of a report: its values, columns and colours."""

def values(page):
    """What is shown at a marker, by its label."""
    shown = page.locator("#values")
    labels, texts = shown.locator("dt").all_inner_texts(), shown.locator("dd").all_inner_texts()
    return dict(zip(labels, map(plain, texts), strict=True))


def filled(page, row):
    """The cells of a row of the table that are not empty, by the header of their column."""
    headers = map(plain, page.locator(".requests th").all_inner_texts())
    cells = map(plain, row.locator("td").all_inner_texts())
    return {header: cell for header, cell in zip(headers, cells, strict=True) if cell}


def lies_on_its_shape(page, index):
    """The transparent marker is where the chart has drawn the request."""
    distance = page.evaluate(NEAREST_SHAPE, index)
    assert distance < 1.5, f"marker {index} is {distance} pixels off"


def column(page, name):
    headers = [plain(text) for text in page.locator(".requests th").all_inner_texts()]
    cells = page.locator(f".requests td:nth-child({headers.index(name) + 1})").all_inner_texts()
    return [plain(cell) for cell in cells]


def click(page, name):
    page.locator(".requests th button", has_text=name).click()


def direction(page, name):
    return page.locator(".requests th", has_text=name).get_attribute("aria-sort")


def number(text):
    return int("".join(c for c in text if c.isdigit()))


def natural(text):
    words, _, count = text.rpartition(" ")
    return words, int(count)


def plain(text):
    return " ".join(text.split())


def background(element):
    return element.evaluate("element => getComputedStyle(element).backgroundColor")


def lightness(rgb):
    return sum(int(part) for part in rgb.strip("rgb()").split(",")) / 765


NEAREST_SHAPE = """index => {
  const middle = element => {
    const box = element.getBoundingClientRect();
    return [(box.left + box.right) / 2, (box.top + box.bottom) / 2];
  };
  const [x, y] = middle(document.querySelectorAll("figure a circle")[index]);
  const shapes = document.querySelectorAll(".chart > svg:first-child :is(circle, polyline, polygon)");
  return Math.min(...[...shapes].map(middle).map(([a, b]) => Math.hypot(a - x, b - y)));
}"""

# Texts with less contrast than WCAG asks of them, 4.5 to 1. A text in the chart may stand on any of its areas.
FAINT_TEXTS = """() => {
  const channels = color => color.match(/[\\d.]+/g).map(Number);
  const luminance = color => {
    const [r, g, b] = channels(color).map(c => c / 255).map(c => c <= .04045 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4);
    return .2126 * r + .7152 * g + .0722 * b;
  };
  const contrast = (a, b) => {
    const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
    return (high + .05) / (low + .05);
  };
  const style = element => getComputedStyle(element);
  const opaque = color => channels(color)[3] !== 0;
  const behind = element => opaque(style(element).backgroundColor)
    ? style(element).backgroundColor : behind(element.parentElement);
  const areas = [...document.querySelectorAll("figure rect")].map(rect => style(rect).fill);
  const faint = [];
  for (const element of document.body.querySelectorAll("*:not(script)")) {
    if (![...element.childNodes].some(node => node.nodeType === 3 && node.data.trim())) continue;
    const isDrawn = element.tagName === "text";
    const color = isDrawn ? style(element).fill : style(element).color;
    const worst = Math.min(...(isDrawn ? areas : [behind(element)]).map(area => contrast(color, area)));
    if (worst < 4.5) faint.push([element.tagName, element.textContent.trim().slice(0, 20), worst]);
  }
  return faint;
}"""

# Colours of the chart that the page shows as they are.
UNMAPPED = """() => {
  const hex = color => "#" + color.match(/\\d+/g).slice(0, 3)
    .map(c => Number(c).toString(16).padStart(2, "0")).join("").toUpperCase();
  const unmapped = new Set();
  for (const element of document.querySelectorAll(".chart > svg:first-child *"))
    for (const name of ["fill", "stroke"]) {
      const drawn = element.getAttribute(name);
      if (drawn && drawn !== "none" && drawn === hex(getComputedStyle(element)[name])) unmapped.add(name + " " + drawn);
    }
  return [...unmapped];
}"""

# What leaves the page, and cells that leave their column.
CUT_OFF = """() => [...document.querySelectorAll("body, body *")]
  .filter(element => element.getBoundingClientRect().right > document.documentElement.clientWidth + 1
    || element.matches("td, th") && element.scrollWidth > element.clientWidth + 1)
  .map(element => element.outerHTML.slice(0, 80))"""

HANDLERS = """() => [...document.querySelectorAll("*")]
  .filter(element => element.getAttributeNames().some(name => name.startsWith("on"))).length"""
