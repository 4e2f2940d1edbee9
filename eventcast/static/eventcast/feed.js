/* The list of messages on the channel's page, the newest at the top. Needs payload.js. */
"use strict";

const feed = (() => {
  const KEPT = 200; // messages in the list
  const KEPT_SIZE = 16e6; // characters and bytes of these messages together
  const PACE = 100; // ms at least between two changes of the list, so that a flood does not freeze the tab

  const $ = (id) => document.getElementById(id);
  const name = document.title;
  const clock = new Intl.DateTimeFormat([], {
    hour: "2-digit", minute: "2-digit", second: "2-digit", fractionalSecondDigits: 3, hourCycle: "h23",
  });

  let queue = []; // messages that are not in the list yet
  let queueSize = 0;
  let queued = 0; // messages since the last change of the list; the queue holds only the newest of them
  let received = 0;
  let shown = []; // the sizes of the list's entries, the newest first
  let paused = false, planned = false, notBefore = 0;

  const weight = ({ data, gap }) => (gap ? 0 : data.byteLength ?? data.length);

  // An entry is {data, at} for a message, or {gap} with a text where messages may be missing.
  function add(entry) {
    queue.push(entry);
    queueSize += weight(entry);
    if (queue.length > 2 * KEPT || queueSize > 2 * KEPT_SIZE) {
      queue = kept(queue);
      queueSize = queue.reduce((sum, one) => sum + weight(one), 0);
    }
    if (!entry.gap) {
      queued++;
      received++;
    }
    plan();
  }

  // The newest entries within KEPT and KEPT_SIZE.
  function kept(entries) {
    let size = 0;
    const first = entries.findLastIndex((entry, index) => {
      size += weight(entry);
      return index < entries.length - KEPT || size > KEPT_SIZE;
    });
    return entries.slice(Math.min(first + 1, entries.length - 1));
  }

  function plan() {
    if (planned) return;
    planned = true;
    setTimeout(() => {
      planned = false;
      document.title = document.hidden && queued ? `(${queued}) ${name}` : name;
      $("pause").textContent = !paused ? "Pause" : queued ? `Resume (${queued.toLocaleString()} new)` : "Resume";
      if (!paused && !document.hidden) requestAnimationFrame(show);
    }, Math.max(0, notBefore - performance.now()));
  }

  function show() {
    if (paused) return;
    const began = performance.now();
    const entries = kept(queue).reverse();
    const items = entries.map((entry) => (entry.gap ? gap(entry) : message(entry)));
    if (items.length < 10) for (const item of items) item.classList.add("new");
    $("list").prepend(...items);
    shown.unshift(...entries.map(weight));
    [queue, queueSize, queued] = [[], 0, 0];
    trim();
    // A slow update is followed by a longer pause, so that the page stays responsive.
    notBefore = performance.now() + Math.max(PACE, 3 * (performance.now() - began));
  }

  function trim() {
    let size = 0;
    const many = shown.findIndex((one, index) => (size += one) > KEPT_SIZE && index || index >= KEPT);
    if (many >= 0) {
      shown.length = many;
      while ($("list").children.length > many) $("list").lastElementChild.remove();
    }
    const items = $("list").querySelectorAll("li:not(.gap)").length;
    $("empty").hidden = shown.length > 0;
    $("rest").hidden = items >= received;
    $("rest").textContent = `The newest ${items} of ${received.toLocaleString()} messages`;
  }

  function message({ data, at }) {
    const item = $("message").content.cloneNode(true).firstElementChild;
    const part = (selector) => item.querySelector(selector);
    const size = payload.size(data), all = part(".all");
    let open = false;
    part("time").dateTime = at.toISOString();
    part("time").textContent = clock.format(at);
    part(".size").textContent = payload.bytes(size);
    part(".size").title = `${size.toLocaleString()} bytes`;
    const fill = () => {
      const { kind, pieces, whole } = payload.describe(data, open, innerWidth < 600 ? 8 : 16);
      part(".kind").textContent = kind;
      item.dataset.kind = kind;
      part("pre").replaceChildren(...payload.nodes(pieces));
      all.hidden = whole && !open;
      all.textContent = open ? "Show less" : `Show all ${payload.bytes(size)}`;
    };
    all.onclick = () => {
      open = !open;
      fill();
    };
    part(".copy").source = () => (payload.isBinary(data) ? part("pre").textContent : data);
    fill();
    return item;
  }

  function gap({ gap }) {
    const item = document.createElement("li");
    item.className = "gap";
    item.textContent = gap;
    return item;
  }

  $("pause").onclick = () => {
    paused = !paused;
    $("pause").setAttribute("aria-pressed", paused);
    plan();
  };

  $("clear").onclick = () => {
    $("list").replaceChildren();
    [queue, queueSize, shown, queued, received] = [[], 0, [], 0, 0];
    trim();
    plan();
  };

  document.addEventListener("visibilitychange", plan);

  return { add };
})();
