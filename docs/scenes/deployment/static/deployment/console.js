/* The console: its list follows the channel, and its buttons act without leaving the page. Without this script they
   are plain forms. */
"use strict";

const list = document.getElementById("services");
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

function showSince(time, since) {
  time.dateTime = since;
  time.textContent = clock.format(new Date(since));
}

function show({ version, services }) {
  if (version < +list.dataset.version) return; // an answer that was older than a message
  list.dataset.version = version;
  for (const { name, running, since } of services) {
    const row = list.querySelector(`[data-service="${CSS.escape(name)}"]`);
    if (!row) continue;
    row.dataset.running = running;
    row.querySelector(".what").textContent = running ? "running" : "stopped";
    showSince(row.querySelector("time"), since);
    for (const button of row.querySelectorAll("button")) {
      // Not "disabled", which would take the focus from the button.
      button.ariaDisabled = running == (button.value == "start");
    }
  }
}

async function catchUp() {
  const answer = await fetch(list.dataset.stateUrl);
  if (answer.ok) show(await answer.json());
}

const channel = eventcast(list.dataset.channel, { json: true }).on(show)
  // The page has missed changes before the channel was open, and while the connection was lost.
  .on("state", (state) => state == "open" && catchUp().catch(console.warn));
showConnection(channel, document.getElementById("state"));

for (const time of list.querySelectorAll("time")) showSince(time, time.dateTime);

list.addEventListener("submit", async (event) => {
  const form = event.target, button = event.submitter;
  event.preventDefault();
  if (button.ariaDisabled == "true") return;
  const body = new FormData(form, button);
  const answer = await fetch(form.action, { method: "POST", body, redirect: "manual" }).catch(() => null);
  // The redirect is for browsers without this script. A refusal means that the form is too old: reload the page.
  if (answer && answer.type != "opaqueredirect") location.reload();
});
