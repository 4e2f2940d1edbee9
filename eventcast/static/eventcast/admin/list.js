// Keeps the list of channels up to date, with the rows that a reload of the page would show.

import { after, show } from "./chart.js";
import { fill, poll } from "./poll.js";

const list = document.getElementById("eventcast-list");
const empty = document.getElementById("eventcast-empty");
const totals = document.querySelector(".eventcast-totals");
let pattern = null; // a row to clone
let more = ""; // what stands below the list
let links = ""; // to the other pages of the list

const linkOf = (row) => row.querySelector("th a");
const urlOf = (row) => linkOf(row).getAttribute("href").split("?")[0];

function fillRow(row, cells) {
  for (const cell of row.cells) {
    const name = [...cell.classList].find((each) => each.startsWith("field-"));
    const text = cells[name?.slice("field-".length)];
    const place = cell.querySelector("a") ?? cell;
    if (text !== undefined && place.textContent !== text) place.textContent = text;
  }
}

function makeRow(url) {
  const row = pattern.cloneNode(true);
  for (const cell of row.cells) if (!cell.querySelector("a")) cell.textContent = "";
  const link = linkOf(row);
  link.setAttribute("href", link.getAttribute("href").replace(/^[^?]*/, () => url));
  return row;
}

function showRows(rows) {
  const body = list.querySelector("tbody");
  const present = new Map([...body.rows].map((row) => [urlOf(row), row]));
  pattern ??= body.rows[0].cloneNode(true);
  const wanted = rows.map(({ url, cells }) => {
    const row = present.get(url) ?? makeRow(url);
    present.delete(url);
    row.classList.remove("eventcast-gone");
    fillRow(row, cells);
    return row;
  });
  for (const row of present.values()) row.classList.add("eventcast-gone");
  if (body.matches(":hover")) {
    // The user may be about to click, so present rows stay in their places.
    body.append(...wanted.filter((row) => !row.isConnected));
  } else if (wanted.length !== body.rows.length || wanted.some((row, index) => row !== body.rows[index])) {
    body.replaceChildren(...wanted);
  }
}

// HTML that the server has rendered from the admin's own templates. Scripts in it would not run.
const rendered = (html) => new DOMParser().parseFromString(html, "text/html");

// The table's head comes from the admin's template, which renders no table without rows.
async function fetchTable() {
  const page = await fetch(location.href);
  const found = rendered(await page.text()).getElementById("eventcast-list");
  if (found) list.replaceChildren(...found.childNodes);
}

poll(
  () => `${list.dataset.url}?${new URLSearchParams([...new URLSearchParams(location.search), ["after", after()]])}`,
  async (report) => {
    fill(totals, report.totals);
    show(report.points);
    if (links !== report.pagination) {
      links = report.pagination;
      const place = document.querySelector("#changelist .paginator");
      const found = rendered(links).querySelector(".paginator");
      if (place && found) place.replaceWith(found); // Themes of the admin may have other links.
    }
    if (more !== report.more) {
      more = report.more;
      document.getElementById("eventcast-more").replaceWith(rendered(more).getElementById("eventcast-more"));
    }
    empty.hidden = report.rows.length > 0;
    if (report.rows.length && !list.querySelector("tbody")) await fetchTable();
    if (list.querySelector("tbody")) showRows(report.rows);
  },
);
