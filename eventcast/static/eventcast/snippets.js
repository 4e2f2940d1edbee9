/* Lines to copy: how a program sends to a channel and listens to it. The reader's language is remembered. */
"use strict";

// place: the element for the lines. url: of the channel, or of what listens to a pattern. options.listen: nothing can be
// sent there. options.page: lines for a page.
globalThis.eventcastSnippets = (place, url, options = {}) => {
  const { gettext, snippets } = eventcastPage;
  const REMEMBERED = "eventcast.snippets"; // in localStorage, for all pages of this server
  const send = gettext("Send"), listen = gettext("Listen");

  const languages = {
    Shell: [
      [send, `curl --data-urlencode 'data=hello' \\\n  '${url}'`],
      [listen, `curl -N -H 'Accept: text/event-stream' \\\n  '${url}'`],
    ],
    PowerShell: [ // which has another curl under this name
      [send, `Invoke-RestMethod -Method Post \`\n  -Body @{data='hello'} '${url}'`],
      [listen, `curl.exe -N -H 'Accept: text/event-stream' \`\n  '${url}'`],
    ],
    Python: [
      [send, `from urllib.request import Request, urlopen

message = "hello".encode()
urlopen(Request("${url}",
  message, {"Content-Type": "text/plain"}))`],
      [listen, `import json
from urllib.request import Request, urlopen

stream = Request("${url}",
  headers={"Accept": "application/x-ndjson"})
for line in urlopen(stream):
  if line.strip():
    print(json.loads(line))`],
    ],
    JavaScript: [
      [send, `fetch("${url}",\n  { method: "POST", body: "hello" })`],
      [listen, `new WebSocket("${url.replace("http", "ws")}")\n  .onmessage = ({ data }) => console.log(data)`],
      ...(options.page ? [[gettext("Listen in a page"), options.page]] : []),
    ],
  };

  const tabs = document.createElement("div"), panel = document.createElement("div");
  tabs.className = "tabs";
  tabs.setAttribute("role", "tablist");
  tabs.setAttribute("aria-label", gettext("Programming language"));
  panel.id = "snippets-panel";
  panel.setAttribute("role", "tabpanel");

  function choose(language) {
    for (const tab of tabs.children) {
      const chosen = tab.textContent == language;
      tab.setAttribute("aria-selected", chosen);
      tab.tabIndex = chosen ? 0 : -1;
      if (chosen) panel.setAttribute("aria-labelledby", tab.id);
    }
    snippets(panel, languages[language].slice(options.listen ? 1 : 0));
  }

  function remember(language) {
    choose(language);
    try {
      localStorage.setItem(REMEMBERED, language);
    } catch {
      // A browser may forbid it.
    }
  }

  function remembered() {
    try {
      return localStorage.getItem(REMEMBERED);
    } catch {
      return null;
    }
  }

  for (const language of Object.keys(languages)) {
    const tab = document.createElement("button");
    Object.assign(tab, { type: "button", id: "snippets-" + language, textContent: language, onclick: () => remember(language) });
    tab.setAttribute("role", "tab");
    tab.setAttribute("aria-controls", panel.id);
    tabs.append(tab);
  }

  tabs.onkeydown = (event) => {
    const all = [...tabs.children], at = all.indexOf(event.target);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
    if (to == null || at < 0) return;
    event.preventDefault();
    const tab = all.at(to % all.length);
    tab.focus();
    tab.click();
  };

  place.replaceChildren(tabs, panel);
  const before = remembered();
  choose(before in languages ? before : /Windows/.test(navigator.userAgent) ? "PowerShell" : "Shell");
};
