// A channel's page.

import { after, show } from "./chart.js";
import { fill, poll } from "./poll.js";

const { format, gettext, language } = eventcastPage;
const $ = (id) => document.getElementById(`eventcast-${id}`);
const page = $("page");
const zone = Intl.DateTimeFormat().resolvedOptions().timeZone; // in which the messages have their times

// --- figures, charts and subscribers ---------------------------------------------------------------------------------

const table = $("subscribers");
const pattern = table.querySelector("template").content.firstElementChild;
let number = 1;

function showSubscribers(report) {
  const body = table.querySelector("tbody");
  const present = new Map([...body.rows].map((row) => [row.dataset.id, row]));
  for (const { id, cells } of report.rows) {
    let row = present.get(String(id));
    if (!row) {
      row = body.appendChild(document.importNode(pattern, true));
      row.dataset.id = id;
      const button = row.querySelector("button");
      if (button) button.value = id;
    }
    present.delete(String(id));
    fill(row, cells);
  }
  for (const row of present.values()) row.remove();
  number = report.rows.length ? report.page : 1;
  $("previous").hidden = number === 1;
  $("next").hidden = !report.more;
}

const refresh = poll(
  () => `${page.dataset.figuresUrl}?${new URLSearchParams({ p: number, q: $("find").value, after: after(), zone })}`,
  (report) => {
    fill($("figures"), report.cells);
    show(report.points);
    showSubscribers(report);
  },
  () => finish(),
);

for (const [id, step] of [["previous", -1], ["next", 1]]) {
  $(id).addEventListener("click", () => {
    number += step;
    refresh();
  });
}
$("find").addEventListener("input", () => {
  number = 1;
  refresh();
});

// --- messages --------------------------------------------------------------------------------------------------------

// A WebSocket, which the session of the admin's user lets in; where none opens, the admin's own stream.
const { channel: name, url, messagesUrl } = page.dataset;
const channel = eventcast(url, { offers: ["eventcast.admin"], stream: messagesUrl });
const viewer = eventcastViewer(channel, {
  name,
  edit: $("publish") && ((text) => sender.fill(text)),
  onrefusal: (error) => [401, 403].includes(error.status) && refresh(), // which says that the user is logged out
});

function finish() {
  channel.close();
  viewer.clear();
  document.getElementById("gone").hidden = true; // The reason is told above.
}

// --- operations ------------------------------------------------------------------------------------------------------

// Send a form with further fields. Return the server's answer, or raise an error with its words.
async function send(form, fields) {
  const body = new FormData(form);
  for (const [field, value] of Object.entries(fields)) body.set(field, value);
  try {
    const answer = await fetch(form.action, { method: "POST", body, headers: { Accept: "application/json", "Accept-Language": language } });
    const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
    const said = isJson ? await answer.json() : { detail: format(gettext("Refused with status %s"), answer.status) };
    if (!answer.ok) throw Object.assign(new Error(said.detail), { status: answer.status });
    return said.message;
  } finally {
    refresh();
  }
}

const publish = $("publish");
const sender = publish && eventcastSender(publish, name, (data) => {
  // As a file, because a field of a form has other ends of lines.
  return send(publish, { data: typeof data === "string" ? new Blob([data], { type: "text/plain" }) : data });
});

const disconnect = $("disconnect");
disconnect?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { value } = event.submitter;
  if (value === "all" && !confirm(gettext("Disconnect all subscribers of this channel?"))) return;
  const status = disconnect.querySelector("[role=status]");
  try {
    status.textContent = await send(disconnect, { subscriber: value });
  } catch (error) {
    status.textContent = error.status ? error.message : gettext("The server does not answer.");
  }
});
