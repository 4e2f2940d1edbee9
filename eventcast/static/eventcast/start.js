/* The start page: opens a channel, and shows the live channels as a tree with their rates. */
"use strict";

(() => {
  const { format, gettext, key, ngettext, number } = eventcastPage;
  const INTERVAL = 2000; // ms between two requests for the channels
  const SLOWEST = 10000; // ms for an answer
  const OPEN = 30; // entries below one path that are shown unfolded

  const $ = (id) => document.getElementById(id);
  const { mount } = $("start").dataset;
  let counted = new Map(); // the messages of each channel at the last answer
  let readAt = 0;
  let names = ""; // of the channels in the tree
  let links = new Map(); // by channel

  $("open").onsubmit = (event) => {
    event.preventDefault();
    const name = $("channel").value;
    open(name.startsWith("/") ? name : mount + name);
  };

  const patternUrl = (pattern) => `${mount}-/subscribe?pattern=${encodeURIComponent(pattern)}`;
  const urlOf = (name) => (/<.*>/.test(name) ? patternUrl(name) : eventcast.path(name) + (name == mount ? "?channel" : ""));
  const open = (name) => { location.href = urlOf(name); };

  // --- the tree ------------------------------------------------------------------------------------------------------

  // A node has the channel of its path, if that is live, and the nodes below it by the next part of the path.
  function grow(channels) {
    const root = { below: new Map() };
    for (const info of channels) {
      let node = root;
      for (const part of info.channel.slice(mount.length).match(/[^/]*\/|[^/]+$/g) ?? [""]) {
        if (!node.below.has(part)) node.below.set(part, { below: new Map() });
        node = node.below.get(part);
      }
      node.name = info.channel;
    }
    return root;
  }

  function list(node, before = "", path = before) {
    const made = document.createElement("ul");
    for (let [label, one] of node.below) { // a label, and what is below it
      while (!one.name && one.below.size == 1) { // a path on which nothing branches off is one line
        const [[part, next]] = one.below;
        [label, one] = [label + part, next];
      }
      const item = document.createElement("li"), text = document.createElement(one.name ? "a" : "span");
      text.textContent = before + label;
      text.className = "name";
      item.append(text);
      if (one.name) {
        text.href = urlOf(one.name);
        const figures = document.createElement("span");
        figures.className = "quiet";
        item.append(" ", figures);
        links.set(one.name, { text, figures });
      }
      if (one.below.size) fold(item, list(one, "", path + label), one.below.size <= OPEN, path + label);
      made.append(item);
    }
    return made;
  }

  function fold(item, below, open, path) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "fold" });
    button.setAttribute("aria-label", format(gettext("Below %s"), path));
    const turn = (open) => {
      below.hidden = !open;
      button.setAttribute("aria-expanded", open);
    };
    button.onclick = () => turn(below.hidden);
    turn(open);
    item.prepend(button);
    if (path.endsWith("/")) {
      const all = document.createElement("a");
      Object.assign(all, { href: patternUrl(path + "<path:any>"), className: "watch", textContent: gettext("watch all") });
      item.append(" ", all);
    }
    item.append(below);
  }

  function show(channels) {
    const now = Date.now();
    const found = JSON.stringify(channels.map(({ channel }) => channel));
    if (found != names) {
      const focus = document.activeElement?.getAttribute("href");
      names = found;
      links = new Map();
      $("tree").replaceChildren(list(grow(channels), mount));
      if (focus) [...links.values()].find(({ text }) => text.getAttribute("href") == focus)?.text.focus();
    }
    for (const { channel, subscribers, messages } of channels) {
      const rate = (messages - (counted.get(channel) ?? messages)) / ((now - readAt) / 1000);
      const listening = format(ngettext("%s subscriber", "%s subscribers", subscribers), number(subscribers));
      const each = rate >= 10 ? number(Math.round(rate)) : rate.toFixed(1);
      links.get(channel).figures.textContent = rate > 0 ? format(gettext("%s, %s messages/s"), listening, each) : listening;
    }
    counted = new Map(channels.map(({ channel, messages }) => [channel, messages]));
    readAt = now;
    $("empty").hidden = channels.length > 0;
  }

  async function ask() {
    if (document.hidden) return true;
    const headers = { Accept: "application/json", ...key.headers() };
    try {
      const answer = await fetch(`${mount}-/channels?limit=1000`,
        { headers, cache: "no-store", signal: AbortSignal.timeout(SLOWEST) });
      const said = await answer.json();
      $("closed").hidden = answer.ok;
      $("ways-in").hidden = ![401, 403].includes(answer.status) || !$("ways-in").querySelector("a, form:not([hidden])");
      if (!answer.ok) {
        $("closed-why").textContent = format(gettext("The list of channels is not for everybody: %s"), said.detail);
        $("totals").textContent = "";
        return ![401, 403].includes(answer.status);
      }
      show(said.channels);
      const more = said.next ? " " + gettext("The first 1000 are shown.") : "";
      const total = said.total?.channels ?? said.channels.length;
      $("totals").textContent = total ? format(ngettext("%s channel", "%s channels", total), number(total)) + more : "";
    } catch {
      $("closed-why").textContent = gettext("The server does not answer. Trying again…");
      $("closed").hidden = false;
    }
    return true;
  }

  async function run() {
    while (await ask()) {
      await new Promise((done) => setTimeout(done, INTERVAL));
    }
  }

  $("key-form").onsubmit = (event) => {
    event.preventDefault();
    key.set($("key").value.trim());
    run();
  };

  run();
  document.addEventListener("visibilitychange", ask);

  // --- lines to copy -------------------------------------------------------------------------------------------------

  eventcastSnippets($("snippets"), $("snippets").dataset.url);
})();
