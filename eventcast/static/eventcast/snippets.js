/* Lines to copy: how a program sends to a channel and listens to it. The reader's language is remembered. */
"use strict";

// place: the element for the lines. url: of the channel, or of what listens to a pattern. options.listen: nothing can be
// sent there. options.page: lines for a page. If the reader has given a key, the lines take it from the environment.
globalThis.eventcastSnippets = (place, url, options = {}) => {
  const { gettext, key, snippets } = eventcastPage;
  const REMEMBERED = "eventcast.snippets"; // in localStorage, for all pages of this server
  const send = gettext("Send"), listen = gettext("Listen");

  const ifKey = (text) => key.get() ? text : "";
  const given = '(globalThis.process?.env.EVENTCAST_KEY ?? prompt("EVENTCAST_KEY"))'; // in Node, and in a browser
  const python = ifKey(',\n    "Authorization": "Bearer " + os.environ["EVENTCAST_KEY"]');

  const languages = {
    Shell: [
      [send, `curl ${ifKey('-H "Authorization: Bearer $EVENTCAST_KEY" \\\n  ')}--data-urlencode 'data=hello' \\\n  '${url}'`],
      [listen, `curl -N ${ifKey('-H "Authorization: Bearer $EVENTCAST_KEY" \\\n  ')}-H 'Accept: text/event-stream' \\\n  '${url}'`],
    ],
    PowerShell: [ // which has another curl under this name
      [send, `Invoke-RestMethod -Method Post \`\n  ${ifKey('-Headers @{Authorization="Bearer $env:EVENTCAST_KEY"} `\n  ')}-Body @{data='hello'} '${url}'`],
      [listen, `curl.exe -N ${ifKey('-H "Authorization: Bearer $env:EVENTCAST_KEY" `\n  ')}-H 'Accept: text/event-stream' \`\n  '${url}'`],
    ],
    Python: [
      [send, `${ifKey("import os\n")}from urllib.request import Request, urlopen

message = "hello".encode()
urlopen(Request("${url}",
  message, {"Content-Type": "text/plain"${python}}))`],
      [listen, `import json
${ifKey("import os\n")}from urllib.request import Request, urlopen

stream = Request("${url}",
  headers={"Accept": "application/x-ndjson"${python}})
for line in urlopen(stream):
  if line.strip():
    print(json.loads(line))`],
    ],
    JavaScript: [
      [send, `fetch("${url}",\n  { method: "POST", body: "hello"${ifKey(`,\n    headers: { Authorization: "Bearer " + ${given} }`)} })`],
      [listen, `new WebSocket("${url.replace("http", "ws")}"${ifKey(`,\n  ["eventcast", "eventcast.token." + ${given}]`)})\n  .onmessage = ({ data }) => console.log(data)`],
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
