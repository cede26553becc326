"use strict";

// A marker in the chart shows the values of its request, which are those of its row in the table.
const values = document.getElementById("values");
const figure = document.querySelector("figure");
let marker = null;

function rowOf(marker) {
  return document.getElementById(marker.getAttribute("href").slice(1));
}

function show(next) {
  hide();
  marker = next;
  const row = rowOf(marker);
  row.classList.add("shown");
  const headers = row.closest("table").tHead.rows[0].cells;
  for (const [column, cell] of [...row.cells].entries()) {
    if (cell.innerText.trim() === "") continue;
    const label = document.createElement("dt");
    label.textContent = headers[column].innerText;
    const value = document.createElement("dd");
    value.textContent = cell.innerText;
    values.append(label, value);
  }
  values.hidden = false;
  place();
}

function hide() {
  if (marker) rowOf(marker).classList.remove("shown");
  marker = null;
  values.replaceChildren();
  values.hidden = true;
}

// Below the marker, within the width of the page.
function place() {
  if (!marker) return;
  const at = marker.getBoundingClientRect();
  const rightmost = document.documentElement.clientWidth - values.offsetWidth - 8;
  values.style.left = `${Math.max(8, Math.min(at.left, rightmost)) + scrollX}px`;
  values.style.top = `${at.bottom + 8 + scrollY}px`;
}

for (const link of figure.querySelectorAll("a")) {
  link.addEventListener("pointerenter", () => show(link));
  link.addEventListener("focus", () => show(link));
  link.addEventListener("pointerleave", hide);
  link.addEventListener("blur", hide);
  // A finger cannot hover: it shows the values instead of leaving the chart.
  link.addEventListener("click", event => {
    if (event.pointerType !== "touch") return;
    event.preventDefault();
    show(link);
  });
}
figure.addEventListener("scroll", place);
addEventListener("resize", place);
addEventListener("keydown", event => { if (event.key === "Escape") hide(); });

// A header sorts its table; again, the other way round. What is missing comes last.
const collator = new Intl.Collator("en", { numeric: true });

function sort(header, column) {
  const direction = header.ariaSort === "ascending" ? -1 : 1;
  const key = row => {
    const cell = row.cells[column];
    return cell.dataset.value ?? cell.innerText.trim().replace(/(\d),(?=\d{3})/g, "$1");
  };
  const compare = (a, b) => (a === "") - (b === "") || direction * collator.compare(a, b);
  const body = header.closest("table").tBodies[0];
  body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
  for (const other of header.parentNode.cells) other.ariaSort = null;
  header.ariaSort = direction === 1 ? "ascending" : "descending";
}

for (const head of document.querySelectorAll("thead tr")) {
  let column = 0;
  for (const header of head.cells) {
    const button = document.createElement("button");
    const at = column;
    button.append(...header.childNodes);
    button.addEventListener("click", () => sort(header, at));
    header.append(button);
    column += header.colSpan;
  }
}
