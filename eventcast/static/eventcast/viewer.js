/* The messages of a channel: a line for each, the newest first. Works the elements of viewer.html, in a channel's page and
   in the admin. */
"use strict";

// channel: of eventcast.js. options.name: for what is kept over a reload. The other options are those of message.js and of
// connection.js.
globalThis.eventcastViewer = (channel, options) => {
  const { format, gettext, ngettext, number, store } = eventcastPage;
  const payload = eventcastPayload;
  const { item, unfold } = eventcastMessage(options);
  const KEPT = 1000; // messages in memory
  const KEPT_SIZE = 16e6; // characters and bytes of these messages together
  const SHOWN = 200; // lines in the list
  const STORED = 200, STORED_SIZE = 1e6; // messages that survive a reload, and their characters
  const PACE = 100; // ms at least between two changes of the list, so that a flood does not freeze the tab

  const $ = (id) => document.getElementById(id);
  const list = $("list");
  const title = document.title;

  // An entry is {data, at} for a message, at in ms; or {gap} with a text where messages are missing.
  let entries = []; // the oldest first
  let size = 0; // of all entries
  let fresh = []; // entries that are not in the list yet
  let received = 0, waiting = 0;
  let held = false, scrolled = false, planned = false, notBefore = 0;
  let passes = () => true;

  const weight = ({ data, gap }) => (gap ? 0 : data.byteLength ?? data.length);
  const isPaused = () => held || scrolled;
  const matches = (entry) => Boolean(entry.gap) || passes(entry.data);

  // --- keeping -------------------------------------------------------------------------------------------------------

  function add(entry) {
    const before = entries.at(-1);
    entry.since = before && !entry.gap && before.at ? entry.at - before.at : null;
    entries.push(entry);
    fresh.push(entry);
    size += weight(entry);
    if (!entry.gap) {
      received++;
      waiting++;
    }
    if (entries.length > 2 * KEPT || size > 2 * KEPT_SIZE) trim();
    plan();
  }

  // Drop the oldest.
  function trim() {
    let first = Math.max(0, entries.length - KEPT);
    for (const entry of entries.slice(0, first)) size -= weight(entry);
    while (size > KEPT_SIZE && first < entries.length - 1) size -= weight(entries[first++]);
    for (const entry of entries.splice(0, first)) entry.dropped = true;
    if (fresh.length > entries.length) fresh = fresh.slice(-entries.length);
  }

  const encode = (data) => (payload.isBinary(data)
    ? { base64: btoa(Array.from(new Uint8Array(data), (byte) => String.fromCharCode(byte)).join("")) } : { data });

  const lines = (some) => some.filter(({ gap }) => !gap)
    .map(({ data, at, from, event }) =>
      JSON.stringify({ time: at / 1000, channel: from ?? options.name, event, ...encode(data) }));

  function remember() {
    let total = 0;
    const newest = entries.slice(-STORED).reverse().filter((entry) => (total += weight(entry)) < STORED_SIZE).reverse();
    store.set("feed:" + options.name, lines(newest).join("\n"));
  }

  function recall() {
    for (const line of (store.get("feed:" + options.name) ?? "").split("\n").filter(Boolean)) {
      const { time, channel: from, event, data, base64 } = JSON.parse(line);
      const binary = base64 == null ? null : Uint8Array.from(atob(base64), (char) => char.charCodeAt(0)).buffer;
      add({ data: data ?? binary, at: time * 1000, from, event });
    }
    if (entries.length) add({ gap: gettext("This page was loaded again; messages published meanwhile are missing") });
  }

  // --- showing -------------------------------------------------------------------------------------------------------

  function plan() {
    if (planned) return;
    planned = true;
    setTimeout(() => {
      planned = false;
      document.title = document.hidden && waiting ? `(${waiting}) ${title}` : title;
      $("pause").textContent = !isPaused() ? gettext("Pause")
        : waiting ? format(gettext("Resume (%s new)"), number(waiting)) : gettext("Resume");
      if (!isPaused() && !document.hidden) requestAnimationFrame(show);
    }, Math.max(0, notBefore - performance.now()));
  }

  function show() {
    if (isPaused()) return;
    const began = performance.now();
    trim();
    const items = fresh.filter(matches).slice(-SHOWN).reverse().map(item);
    if (items.length < 10) for (const one of items) one.classList.add("new");
    list.prepend(...items);
    [fresh, waiting] = [[], 0];
    finish();
    // A slow update is followed by a longer pause, so that the page stays responsive.
    notBefore = performance.now() + Math.max(PACE, 3 * (performance.now() - began));
  }

  function showAll() {
    list.replaceChildren(...entries.filter(matches).slice(-SHOWN).reverse().map(item));
    [fresh, waiting] = [[], 0];
    finish();
  }

  function finish() {
    while (list.children.length > SHOWN || list.lastElementChild?.entry.dropped) list.lastElementChild.remove();
    if (!list.querySelector(".line[tabindex='0']")) list.querySelector(".line")?.setAttribute("tabindex", "0");
    const shown = list.querySelectorAll("li:not(.gap)").length;
    const filtered = $("filter").value.trim() != "" && $("filter").ariaInvalid != "true";
    $("empty").hidden = list.children.length > 0;
    $("empty").textContent = filtered && entries.length
      ? gettext("No message passes the filter.") : gettext("No messages yet. New messages appear here.");
    const all = filtered ? entries.filter(({ gap }) => !gap) : [], passing = all.filter(matches).length;
    $("rest").hidden = !filtered && shown >= received;
    $("rest").textContent = filtered ? format(gettext("%s of %s messages pass the filter"), number(passing), number(all.length))
      : format(gettext("The newest %s of %s messages"), number(shown), number(received));
    if ($("filter").ariaInvalid != "true") sayOfFilter(all.length && !passing ? passes.hint(all.map(({ data }) => data)) : "");
  }

  function sayOfFilter(text) {
    if ($("filter-says").textContent != text) $("filter-says").textContent = text; // read out once
  }

  function toggle(made) {
    const line = made.querySelector(".line"), whole = made.querySelector(".whole");
    if (whole.hidden) unfold(made);
    whole.hidden = !whole.hidden;
    line.setAttribute("aria-expanded", !whole.hidden);
  }

  function select(line) {
    for (const other of list.querySelectorAll(".line[tabindex='0']")) other.tabIndex = -1;
    line.tabIndex = 0;
  }

  list.addEventListener("click", ({ target }) => {
    const line = target.closest(".line");
    if (line) {
      select(line);
      toggle(line.parentNode);
    } else if (target.matches(".toggle")) target.setAttribute("aria-expanded", target.ariaExpanded != "true");
  });

  // --- filter, pause, keys -------------------------------------------------------------------------------------------

  $("filter").oninput = ({ target }) => {
    try {
      passes = eventcastFilter(target.value);
      target.removeAttribute("aria-invalid");
    } catch (error) {
      passes = () => true;
      target.setAttribute("aria-invalid", "true");
      sayOfFilter(format(gettext("Not a valid expression, so all messages are shown: %s"), error.message));
    }
    showAll();
  };

  function pause(on) {
    held = on;
    if (!on && scrolled) list.scrollTop = 0;
    scrolled &&= on;
    $("pause").classList.toggle("on", isPaused());
    plan();
  }

  function setDense(dense) {
    $("table").setAttribute("aria-pressed", dense);
    $("viewer").classList.toggle("dense", dense);
    store.set("table", dense ? "on" : "");
  }

  $("table").onclick = () => setDense($("table").ariaPressed != "true");
  setDense(store.get("table") == "on");

  $("pause").onclick = () => pause(!isPaused());

  // A reader who has scrolled down reads: new lines wait until the top is in sight again.
  list.onscroll = () => {
    const down = list.scrollTop > 4;
    if (down == scrolled) return;
    scrolled = down;
    $("pause").classList.toggle("on", isPaused());
    plan();
  };

  $("clear").onclick = () => {
    [entries, fresh, size, waiting, received] = [[], [], 0, 0, 0];
    store.set("feed:" + options.name, "");
    list.replaceChildren();
    finish();
    plan();
  };

  $("save").onclick = () => {
    const file = new Blob(lines(entries.filter(matches)).map((line) => line + "\n"), { type: "application/x-ndjson" });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(file);
    link.download = `${options.name.replace(/[^\p{L}\p{N}]+/gu, "-").replace(/^-|-$/g, "").slice(0, 80) || "channel"}.ndjson`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  };

  function move(step) {
    const all = [...list.querySelectorAll(".line")];
    const next = all[Math.max(0, Math.min(all.length - 1, all.indexOf(document.activeElement) + step))];
    if (!next) return;
    select(next);
    next.focus();
    next.scrollIntoView({ block: "nearest" });
  }

  $("keys").onclick = () => $("help").showModal();
  $("use-keys").checked = store.get("keys") != "off";
  $("use-keys").onchange = ({ target }) => store.set("keys", target.checked ? "" : "off");

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || !$("use-keys").checked || $("help").open) return;
    if (event.target.matches("input, textarea, select, [contenteditable]")) {
      if (event.key == "Escape" && event.target.id == "filter") list.querySelector(".line[tabindex='0']")?.focus();
      return;
    }
    const inList = list.contains(event.target);
    const act = {
      "/": () => $("filter").focus(),
      j: () => move(1),
      k: () => move(-1),
      ArrowDown: inList && event.target.matches(".line") && (() => move(1)),
      ArrowUp: inList && event.target.matches(".line") && (() => move(-1)),
      t: () => $("table").click(),
      p: () => $("pause").click(),
      c: () => $("clear").click(),
      "?": () => $("help").showModal(),
    }[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });

  document.addEventListener("visibilitychange", plan);
  addEventListener("pagehide", remember);

  eventcastConnection(channel, { ...options, gap: (text) => add({ gap: text }) });
  channel.on("lost", ({ messages }) => {
    add({ gap: format(ngettext("%s message is missing: this page reads too slowly", "%s messages are missing: this page reads too slowly", messages), number(messages)) });
  }).on((data, { time, channel: from, event }) => add({ data, at: time ? time * 1000 : Date.now(), from, event }));

  recall();
  plan();
  return { clear: () => $("clear").click() };
};
