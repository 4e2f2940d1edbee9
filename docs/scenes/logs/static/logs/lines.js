/* Shows log lines of one host (data-channel) or of many (data-pattern), the last thousand. */
"use strict";

const MAX = 1000;
const view = document.getElementById("lines"), pause = document.getElementById("pause");
const clock = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });
const { channel: url, pattern, hostUrl } = view.dataset;
const SEVERE = /\b(ERROR|CRITICAL|FATAL)\b/, WORTH_A_LOOK = /\bWARN(ING)?\b/;
let waiting = [];

const channel = pattern
  // With each message comes its time and its channel.
  ? eventcast("/-/subscribe?pattern=" + encodeURIComponent(pattern))
    .on((data, { time, channel }) => take(data, 1000 * time, channel.split("/").at(-1)))
  : eventcast(url).on((data) => take(data, Date.now()));
showConnection(channel, document.getElementById("state"));

let lost = 0;
channel.on("state", (state) => {
  if (state == "waiting") lost ||= Date.now();
  if (state != "open" || !lost) return;
  add({ gap: `No connection for ${Math.ceil((Date.now() - lost) / 1000)} s; lines of that time are missing` });
  lost = 0;
});

// A line that is not UTF-8 comes as bytes. Its readable characters are shown.
function take(data, time, host) {
  add({ text: typeof data == "string" ? data : new TextDecoder().decode(data), time, host });
}

// Lines are shown once in each animation frame, so that many lines do not freeze the page.
function add(entry) {
  if (waiting.push(entry) > MAX) waiting.shift();
  if (waiting.length == 1) requestAnimationFrame(show);
}

function show() {
  if (pause.ariaPressed == "true") return;
  const atEnd = view.scrollHeight - view.scrollTop - view.clientHeight < 8;
  view.append(...waiting.map(render));
  waiting = [];
  while (view.childElementCount > MAX) view.firstChild.remove();
  if (atEnd) view.scrollTop = view.scrollHeight;
}

function render({ gap, text, time, host }) {
  const line = document.createElement("div");
  if (gap) {
    line.className = "gap";
    line.textContent = gap;
    return line;
  }
  const stamp = document.createElement("time"), words = document.createElement("span");
  stamp.dateTime = new Date(time).toISOString();
  stamp.textContent = clock.format(time);
  words.className = SEVERE.test(text) ? "severe" : WORTH_A_LOOK.test(text) ? "warning" : "";
  words.textContent = text;
  line.append(stamp, ...(host ? [link(host)] : []), words);
  return line;
}

function link(host) {
  const anchor = document.createElement("a");
  anchor.href = hostUrl.replace("HOST", () => encodeURIComponent(host));
  anchor.textContent = host;
  // A host has the same colour on every page. The golden angle makes the colours of web1 and web2 very different.
  let number = 0;
  for (const character of host) number = (number * 31 + character.codePointAt()) % 1e6;
  anchor.style.setProperty("--hue", (number * 137.5) % 360);
  return anchor;
}

pause.addEventListener("click", () => {
  const paused = pause.ariaPressed != "true";
  pause.ariaPressed = paused;
  pause.textContent = paused ? "Resume" : "Pause";
  if (!paused) show();
});
document.getElementById("clear").addEventListener("click", () => {
  waiting = [];
  view.replaceChildren();
});
