/* The channel's page: its counts, the box to send, lines to copy, and the key of a reader that the server does not know. */
"use strict";

(() => {
  const { format, gettext, key, ngettext, number } = eventcastPage;
  const COUNT_INTERVAL = 2000; // ms between two requests for the counts

  const $ = (id) => document.getElementById(id);
  const { name, many } = $("page").dataset; // many: the name is a pattern
  const path = location.pathname.replace(/['[\]]/g, (char) => "%" + char.charCodeAt(0).toString(16));
  const url = location.origin + path + (many == null ? "" : location.search);
  const channel = eventcast(url, { token: () => key.get() });
  let viewer, wasOpen = false;

  // --- counts: those of the server -----------------------------------------------------------------------------------

  const ask = () => fetch(url, { headers: { Accept: "application/json", ...key.headers() }, cache: "no-store" });
  const put = (id, value) => { $(id).textContent = number(value); };
  let asking = false;

  async function count() {
    if (document.hidden || asking || channel.state != "open") return;
    asking = true;
    try {
      const answer = await ask();
      const info = answer.ok ? await answer.json() : {};
      put("subscribers", info.subscribers);
      put("count", info.messages);
      put("lost", info.lost);
      $("losses").hidden = !info.lost;
    } catch {
      // The server is gone: the state of the connection will show it.
    }
    asking = false;
  }

  setInterval(count, COUNT_INTERVAL);
  document.addEventListener("visibilitychange", count);

  function onState(state) {
    if (state == "waiting" || state == "closed") put("subscribers");
    if (state != "open") return;
    wasOpen = true;
    count();
  }

  // --- sending -------------------------------------------------------------------------------------------------------

  const sender = many == null && eventcastSender($("send"), name, async (data) => {
    const { subscribers } = await channel.send(data);
    const others = subscribers - (channel.state == "open"); // this page is one of them
    count();
    return others > 0 ? format(ngettext("Reached %s other subscriber", "Reached %s other subscribers", others), number(others))
      : gettext("Sent. No other subscriber listens now.");
  });

  // --- lines to copy -------------------------------------------------------------------------------------------------

  $("code").open = matchMedia("(min-width: 60rem)").matches; // on a wide screen
  const script = $("eventcast-script").src;
  const own = path.replace(/^\/\//, "/%2F"); // browsers would read // as the beginning of a host
  const page = `<script src="${script}"></script>\n<script>\n  eventcast("${own}")\n    .on((data) => console.log(data))\n</script>`;

  // --- permission ----------------------------------------------------------------------------------------------------

  function refuse({ code, message, status }) {
    if (!wasOpen) $("refusal").dataset.status = status; // There is nothing to read yet.
    $("refusal").hidden = false;
    $("refusal-detail").textContent = message;
    $("refusal-code").textContent = code;
    $("gone").hidden = true;
    key.set("");
    return true;
  }

  // Where the server has refused the page, its script has a key to send, or waits for one.
  function begin() {
    eventcastSnippets($("snippets"), url, many == null ? { page } : { listen: true });
    if ($("refusal").dataset.status && !key.get()) return $("key-form").hidden || $("key").focus();
    $("refusal").hidden = true;
    delete $("refusal").dataset.status;
    if (viewer) $("reconnect").click();
    else {
      viewer = eventcastViewer(channel, {
        name,
        many: many != null,
        edit: sender && ((text) => sender.fill(text)),
        onstate: onState,
        onrefusal: (error) => [401, 403].includes(error.status) && refuse(error),
      });
    }
  }

  $("key-form").onsubmit = (event) => {
    event.preventDefault();
    key.set($("key").value.trim());
    begin();
  };

  begin();
})();
