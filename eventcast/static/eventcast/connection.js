/* The state of the connection, as the reader sees it: live or not, why not, and when it comes back. Works the elements of
   viewer.html. */
"use strict";

// channel: of eventcast.js. options.gap(text): tell where messages are missing. options.onstate(state): called for each new
// state. options.onrefusal(error): called when the server refuses for good; a true answer says that the reader was told.
globalThis.eventcastConnection = (channel, options) => {
  const { format, gettext, language, told } = eventcastPage;
  const $ = (id) => document.getElementById(id);
  const clock = new Intl.DateTimeFormat(language, { timeStyle: "medium", hourCycle: "h23" });

  const WORDS = {
    connecting: gettext("Connecting"), open: gettext("Live"), waiting: gettext("Disconnected"), closed: gettext("Not connected"),
  };
  // The reasons that eventcast.js and the server give, in the language of the page.
  const WHY = {
    "No sign of life": gettext("The line is dead: the server has sent no sign of life."),
    "No answer": gettext("The server does not answer."),
    offline: gettext("This computer is offline."),
    "The page is hidden": gettext("This page was hidden."),
    "The server is going away.": gettext("The server is going away."),
    "Disconnected by an operator.": gettext("An operator disconnected this page."),
    "The permission has expired.": gettext("The permission has expired."),
    "The permission was taken away.": gettext("The permission was taken away."),
    "Messages come faster than they are read.": gettext("Messages come faster than this page reads them."),
    "The server has too much pending.": gettext("The server has too much pending."),
  };
  let lostAt = 0, tryAt = 0, countdown;

  const seconds = (ms) => Math.max(1, Math.ceil(ms / 1000));
  const tick = () => { $("gone-when").textContent = format(gettext("Reconnecting in %s s"), seconds(tryAt - Date.now())); };

  function say(reason, status) {
    // Without a network, each try fails, too: that is not the server.
    const why = !status && navigator.onLine === false ? WHY.offline : WHY[reason] ?? (status || (reason && !/^No connection|^No WebSocket/.test(reason)) ? told(reason, status) : gettext("The server cannot be reached."));
    if ($("gone-why").textContent != why || $("gone").hidden) $("gone-why").textContent = why; // read out once
    $("gone").hidden = false;
  }

  function onState(state, { transport, delay, reason, heard, status }) {
    // While the connection is down, a new try does not change the display.
    const down = lostAt && (state == "connecting" || state == "waiting");
    $("state").textContent = down ? WORDS.waiting : WORDS[state];
    $("state").parentNode.dataset.state = down ? "waiting" : state;
    $("state").parentNode.title = transport == "stream" ? gettext("over HTTP, because no WebSocket opens") : "";
    clearInterval(countdown);
    if (state == "waiting") {
      lostAt ||= heard ?? Date.now();
      say(reason, status);
      tryAt = Date.now() + delay;
      countdown = setInterval(tick, 250);
      tick();
    } else if (state == "open") {
      if (lostAt) options.gap(format(gettext("Reconnected; messages published since %s are missing"), clock.format(lostAt)));
      lostAt = 0;
      $("gone").hidden = true;
    } else if (state == "closed") {
      $("gone-when").textContent = "";
    } else if (down) $("gone-when").textContent = gettext("Reconnecting…");
    options.onstate?.(state);
  }

  $("reconnect").onclick = () => {
    channel.close();
    channel.on("state", onState);
  };

  channel.on("state", onState).on("error", (error) => {
    if (channel.state == "closed" && !options.onrefusal?.(error)) say(error.message, error.status);
  });
};
