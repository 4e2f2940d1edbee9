// A channel's page.

import { Chart, GAP } from "./chart.js";
import { listen, Messages, MISSING } from "./messages.js";
import { fill, poll } from "./poll.js";

const $ = (id) => document.getElementById(`eventcast-${id}`);
const page = $("page");

// --- figures, charts and subscribers ---------------------------------------------------------------------------------

const charts = { subscribers: new Chart($("chart-subscribers")), rate: new Chart($("chart-rate")) };
const table = $("subscribers");
const pattern = table.querySelector("template").content.firstElementChild;
let last = null;
let number = 1;

function draw(points) {
  for (const [time, subscribers, messages] of points) {
    const elapsed = last ? time - last.time : Infinity;
    if (elapsed < 1) continue; // A recorded point came just before: over less time, a rate is noise.
    charts.subscribers.add(time, subscribers);
    // A counter that has fallen began again at zero.
    if (elapsed <= GAP) charts.rate.add(time, (messages - (messages < last.messages ? 0 : last.messages)) / elapsed);
    last = { time, messages };
  }
}

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
  () => `${page.dataset.figuresUrl}?${new URLSearchParams({ p: number, q: $("find").value, after: last?.time ?? 0 })}`,
  (report) => {
    fill($("figures"), report.cells);
    draw(report.points);
    showSubscribers(report);
  },
  () => finish("Not listening any more."),
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

let state = "Connecting…";
const pause = $("pause");
const messages = new Messages($("messages"), (heard, waiting) => {
  $("heard").textContent = heard ? `${state} ${heard.toLocaleString()} received.` : state;
  pause.textContent = !messages.paused ? "Pause" : waiting ? `Resume (${waiting} new)` : "Resume";
});
pause.addEventListener("click", () => {
  messages.pause(!messages.paused);
  pause.setAttribute("aria-pressed", messages.paused);
});
$("clear").addEventListener("click", () => messages.clear());

// The page listens while it is visible, and a minute longer. A browser has only six connections to a server for all its
// pages, so a hidden page must not hold one of them.
const LINGER = 60000; // ms
let stop = null;
let timer = 0;
let over = false;
let interrupted = false;

function say(text) {
  state = text;
  messages.schedule();
}

function finish(text) {
  over = true;
  stop?.();
  say(text);
}

function start() {
  stop ??= listen(page.dataset.messagesUrl, (data) => messages.add(data), (connected) => {
    if (connected && interrupted) messages.add(MISSING);
    interrupted = !connected;
    say(connected ? "Listening." : "Not connected. Trying again…");
  });
}

function rest() {
  stop?.();
  stop = null;
  interrupted = true;
  say("Not listening: the page was hidden.");
}

function attend() {
  clearTimeout(timer);
  if (over) return;
  if (document.hidden) timer = setTimeout(rest, LINGER);
  else start();
}
document.addEventListener("visibilitychange", attend);
attend();

// --- operations ------------------------------------------------------------------------------------------------------

// Send a form with the value of the pressed button, and show the server's answer. Return whether it succeeded.
async function send(form, button) {
  const fields = new URLSearchParams(new FormData(form));
  if (button?.name) fields.append(button.name, button.value);
  const status = form.querySelector("[role=status]");
  try {
    const answer = await fetch(form.action, { method: "POST", body: fields, headers: { Accept: "application/json" } });
    const isJson = answer.headers.get("Content-Type")?.startsWith("application/json");
    const said = isJson ? await answer.json() : { detail: `Refused: ${answer.status} ${answer.statusText}` };
    status.textContent = said.message ?? said.detail;
    return answer.ok;
  } catch {
    status.textContent = "The server does not answer.";
    return false;
  } finally {
    refresh();
  }
}

const publish = $("publish");
publish?.addEventListener("submit", async (event) => {
  event.preventDefault();
  const { data } = publish.elements;
  const sent = data.value;
  if ((await send(publish)) && data.value === sent) data.select();
});
publish?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) publish.requestSubmit();
});

const disconnect = $("disconnect");
disconnect?.addEventListener("submit", (event) => {
  event.preventDefault();
  const button = event.submitter;
  if (button.value === "all" && !confirm("Disconnect all subscribers of this channel?")) return;
  send(disconnect, button);
});
