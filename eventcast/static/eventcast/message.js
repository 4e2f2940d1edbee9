/* How a message looks in the list of viewer.js: its line, and what is below when it is opened. */
"use strict";

// options.many: show the channel of each message, because the name is a pattern. options.edit(text): put a text into the
// box to send.
globalThis.eventcastMessage = (options) => {
  const { bytes, copy, format, gettext, language, ngettext, number } = eventcastPage;
  const payload = eventcastPayload;
  const KINDS = { text: gettext("text"), binary: gettext("binary"), JSON: "JSON" };
  const clock = new Intl.DateTimeFormat(language, { timeStyle: "medium", hourCycle: "h23" });
  // As the admin writes it in all languages, and Swedes: 2026-11-29 10:17:47.000 UTC+08:00.
  const swedish = new Intl.DateTimeFormat("sv", {
    year: "numeric", month: "2-digit", day: "2-digit", hour: "2-digit", minute: "2-digit", second: "2-digit",
    fractionalSecondDigits: 3, timeZoneName: "longOffset",
  });
  const precise = (at) => swedish.format(at).replace(",", ".").replace("GMT", "UTC").replace("\u2212", "-");

  // The time since the message before, which may have come from another clock.
  function gap(since) {
    const ms = Math.max(0, since);
    return since == null ? ""
      : "+" + (ms < 1000 ? `${Math.round(ms)} ms` : ms < 60000 ? `${(ms / 1000).toFixed(1)} s` : `${Math.round(ms / 60000)} min`);
  }

  const when = ({ at, since }) => [precise(at), gap(since)].filter(Boolean).join(", ");

  function item(entry) {
    const made = entry.gap ? document.createElement("li") : document.getElementById("message").content.cloneNode(true).firstElementChild;
    made.entry = entry;
    if (entry.gap) {
      made.className = "gap";
      made.textContent = entry.gap;
      return made;
    }
    const { data, at, since } = entry;
    const part = (selector) => made.querySelector(selector);
    const length = payload.size(data), kind = payload.kind(data);
    made.dataset.kind = kind;
    part("time").dateTime = new Date(at).toISOString();
    part("time").textContent = clock.format(at);
    part("time").title = when(made.entry);
    part(".since").textContent = gap(since);
    part(".size").textContent = bytes(length);
    part(".size").title = format(ngettext("%s byte", "%s bytes", length), number(length));
    part(".kind").textContent = KINDS[kind];
    part(".text").textContent = payload.brief(data);
    part(".from").textContent = [options.many ? entry.from : "", entry.event ?? ""].filter(Boolean).join(" ");
    return made;
  }

  // The parts of a message that is opened are made when it is opened.
  function unfold(made, all = false) {
    const { data, from } = made.entry;
    const part = (selector) => made.querySelector(selector);
    const { pieces, whole } = payload.describe(data, all, innerWidth < 600 ? 8 : 16);
    part("pre").replaceChildren(payload.nodes(pieces));
    part(".when").textContent = when(made.entry);
    if (options.many && from) {
      // "/" itself may be the start page.
      Object.assign(part(".source"), { href: eventcast.path(from) + (from == "/" ? "?channel" : ""), textContent: from, hidden: false });
    }
    part(".all").hidden = whole && !all;
    part(".all").textContent = all ? gettext("Show less") : format(gettext("Show all %s"), bytes(payload.size(data)));
    part(".all").onclick = () => unfold(made, !all);
    part(".copy").onclick = ({ target }) => copy(target, payload.isBinary(data) ? part("pre").textContent : data);
    part(".again").hidden = !options.edit || payload.isBinary(data);
    part(".again").onclick = () => options.edit(data);
    part(".fold").hidden = !part(".toggle");
    part(".fold").onclick = () => {
      const open = part(".toggle").ariaExpanded == "true";
      made.querySelectorAll(".toggle").forEach((toggle) => toggle.setAttribute("aria-expanded", !open));
      part(".fold").textContent = open ? gettext("Unfold all") : gettext("Fold all");
    };
  }

  return { item, unfold };
};
