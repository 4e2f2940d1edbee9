/* The channel's page: the state of the connection, the counts, the box to send. Needs eventcast and feed. */
"use strict";

(() => {
  const { copy, gettext, key, snippets } = eventcastPage;
  const COUNT_INTERVAL = 2000; // ms between two requests for the counts

  const $ = (id) => document.getElementById(id);
  const path = location.pathname.replace(/['[\]]/g, (char) => "%" + char.charCodeAt(0).toString(16));
  const url = location.origin + path;
  const channel = eventcast(location, { token: () => key.get() });

  // --- the connection ------------------------------------------------------------------------------------------------

  const WHY = {
    1001: "The server is going away.",
    1012: "The server restarts.",
    1013: "This page was too slow for the published messages.",
    3000: "An operator disconnected this page.",
  };
  let lostAt = 0, tryAt = 0, countdown;

  function onState(state, { transport, delay, code }) {
    const words = { connecting: "Connecting", open: "Live", waiting: "Disconnected", closed: "Not connected" };
    // While the connection is down, a new try does not change the display.
    const down = lostAt && state != "open" && state != "closed";
    $("state").textContent = down ? words.waiting : words[state];
    $("state").parentNode.dataset.state = down ? "waiting" : state;
    $("state").parentNode.title = transport == "eventsource" ? "over Server-Sent Events" : "";
    clearInterval(countdown);
    if (state == "waiting") {
      lostAt ||= Date.now();
      tryAt = Date.now() + delay;
      const why = WHY[code] ?? (code == 1000 ? "The server closed the connection." : "The server is gone.");
      $("subscribers").textContent = "–";
      if ($("gone").hidden || WHY[code]) $("gone-why").textContent = why;
      $("gone").hidden = false;
      countdown = setInterval(tick, 250);
      tick();
    } else if (state == "open") {
      if (lostAt) feed.add({ gap: `Reconnected after ${seconds(Date.now() - lostAt)}; messages published meanwhile are missing` });
      lostAt = 0;
      $("gone").hidden = true;
      count();
    } else if (down) $("gone-when").textContent = "Reconnecting…";
  }

  const seconds = (ms) => `${Math.max(1, Math.ceil(ms / 1000))} s`;

  function tick() {
    $("gone-when").textContent = `Reconnecting in ${seconds(tryAt - Date.now())}`;
  }

  $("reconnect").onclick = () => {
    channel.close();
    channel.on("state", onState);
  };

  // --- counts --------------------------------------------------------------------------------------------------------

  let asking = false, messages, drawn = false;

  const put = (id, value) => { $(id).textContent = value?.toLocaleString() ?? "–"; };

  async function count() {
    if (document.hidden || asking || channel.state != "open") return;
    asking = true;
    try {
      const answer = await ask();
      const info = answer.ok ? await answer.json() : {};
      put("subscribers", info.subscribers);
      put("count", messages = info.messages);
      put("lost", info.lost);
      $("losses").hidden = !info.lost;
    } catch {
      // The server is gone: the WebSocket's state will show it.
    }
    asking = false;
  }

  // Messages since the last answer are counted here, so that the figure agrees with the list.
  function countOne() {
    messages++;
    if (drawn) return;
    drawn = true;
    requestAnimationFrame(() => {
      drawn = false;
      if (messages) put("count", messages);
    });
  }

  setInterval(count, COUNT_INTERVAL);
  document.addEventListener("visibilitychange", count);

  // --- sending -------------------------------------------------------------------------------------------------------

  $("send").onsubmit = async (event) => {
    event.preventDefault();
    const said = $("sent");
    delete said.dataset.failed;
    said.textContent = "";
    try {
      const { subscribers } = await channel.send($("data").value);
      said.textContent = subscribers == 1 ? "Reached 1 subscriber" : `Reached ${subscribers} subscribers`;
      $("data").value = "";
    } catch (error) {
      said.dataset.failed = "";
      said.textContent = error.status ? error.message : "The server cannot be reached: the message was not sent.";
    }
    $("data").focus();
    count();
  };

  $("data").onkeydown = (event) => {
    if (event.key == "Enter" && (event.ctrlKey || event.metaKey)) $("send").requestSubmit();
  };

  // --- lines to copy -------------------------------------------------------------------------------------------------

  $("code").open = matchMedia("(min-width: 60rem)").matches; // on a wide screen
  const script = $("eventcast-script").src;
  const own = path.replace(/^\/\//, "/%2F"); // browsers would read // as the beginning of a host
  snippets($("snippets"), [
    [gettext("Publish with curl"), `curl --data-urlencode 'data=hello' \\\n  '${url}'`],
    [gettext("Listen with curl"), `curl -N -H 'Accept: text/event-stream' \\\n  '${url}'`],
    [gettext("Listen in JavaScript"), `new WebSocket("${url.replace("http", "ws")}")\n  .onmessage = ({ data }) => console.log(data)`],
    [gettext("Listen on a page"), `<script src="${script}"></script>\n<script>\n  eventcast("${own}")\n    .on((data) => console.log(data))\n</script>`],
  ]);

  document.addEventListener("click", ({ target }) => target.source && copy(target, target.source()));

  // --- permission ----------------------------------------------------------------------------------------------------

  const ask = () => fetch(location.href, { headers: { Accept: "application/json", ...key.headers() }, cache: "no-store" });

  function refuse({ error, detail }) {
    $("refusal").hidden = $("key-form").hidden = false;
    $("refusal-detail").textContent = detail;
    $("refusal-code").textContent = error;
  }

  $("key-form").onsubmit = async (event) => {
    event.preventDefault();
    key.set($("key").value.trim());
    begin();
  };

  // Where the server has refused the page, its script has a key to send, or waits for one.
  async function begin() {
    if ($("refusal").dataset.status && !key.get()) return $("key-form").hidden || $("key").focus();
    const answer = await ask().catch(() => null);
    if (answer && [401, 403].includes(answer.status)) {
      refuse(await answer.json());
      key.set("");
      return;
    }
    $("refusal").hidden = true;
    channel.on("state", onState).on(onMessage);
  }

  function onMessage(data) {
    feed.add({ data, at: new Date() });
    countOne();
  }

  begin();
})();
