/* What the pages of eventcast and its pages in the admin share: their words, the key of this tab, figures, copying. */
"use strict";

globalThis.eventcastPage = (() => {
  const words = JSON.parse(document.getElementById("eventcast-words")?.textContent ?? "{}");
  const language = document.documentElement.lang || undefined;

  // The same names as in Django's catalogue, for the tool that collects the texts.
  const gettext = (text) => (typeof words[text] == "string" ? words[text] : text);
  const ngettext = (one, many, count) => words[one]?.[Math.min(words[one].length - 1, count == 1 ? 0 : 1)] ?? (count == 1 ? one : many);
  // format("%s of %s", 1, 2) is "1 of 2".
  const format = (text, ...values) => text.replace(/%s/g, () => values.shift());

  const number = (value) => value?.toLocaleString(language) ?? "–";

  function bytes(count) {
    if (count < 1000) return `${count} B`;
    const unit = count < 1e6 ? ["kB", 1e3] : ["MB", 1e6];
    return `${(count / unit[1]).toFixed(count < 10 * unit[1] ? 1 : 0)} ${unit[0]}`;
  }

  // A browser may forbid the storage. Then nothing is kept.
  const store = {
    get(name) {
      try {
        return sessionStorage.getItem("eventcast." + name);
      } catch {
        return null;
      }
    },
    set(name, value) {
      try {
        if (value) sessionStorage.setItem("eventcast." + name, value);
        else sessionStorage.removeItem("eventcast." + name);
      } catch {
        // It is forbidden, or full.
      }
    },
  };

  // What the server says of a refusal. A proxy says nothing that a reader wants.
  const told = (message, status) =>
    (message == "Refused with status " + status ? format(gettext("Refused with status %s"), status) : message);

  // The key or token that the reader has given. It stays in this tab, and never stands in a URL.
  const key = {
    get: () => store.get("key") ?? "",
    set: (value) => store.set("key", value),
    headers: () => ({ "Accept-Language": language ?? "", ...(key.get() && { Authorization: "Bearer " + key.get() }) }),
  };

  async function copy(button, text) {
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Pages without TLS have no clipboard API, but can still run the copy command.
      const area = document.createElement("textarea");
      area.value = text;
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
      button.focus();
    }
    const before = button.textContent;
    button.textContent = gettext("Copied");
    setTimeout(() => { button.textContent = before; }, 1500);
  }

  // Lines to copy, each [title, text], into an element.
  function snippets(place, lines) {
    place.replaceChildren(...lines.map(([title, text]) => {
      const figure = document.getElementById("snippet").content.cloneNode(true).firstElementChild;
      const button = figure.querySelector(".copy");
      figure.querySelector("span").textContent = title;
      figure.querySelector("pre").textContent = text;
      figure.querySelector("pre").setAttribute("aria-label", title);
      button.setAttribute("aria-label", `${button.textContent}: ${title}`);
      button.onclick = () => copy(button, text);
      return figure;
    }));
  }

  return { bytes, copy, format, gettext, key, language, ngettext, number, snippets, store, told };
})();
