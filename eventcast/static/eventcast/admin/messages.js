// The list of messages, the newest at the top. Messages are inserted as text, never as HTML.

const KEPT = 200; // messages on the page, and as many that wait for the next frame
const KEPT_SIZE = 16e6; // characters or bytes of each of these two
const LONGEST = 20000; // characters of a message that are shown at first
const JSON_LIMIT = 200000; // characters, above which JSON is not indented
const HEX_LIMIT = 1024; // bytes
const HEX_ROW = 8; // bytes in a line, as many as a phone can show
const DEEPEST = 40; // levels of indentation in JSON: without a limit, a short text could make a huge page

export const MISSING = {};

const clock = new Intl.DateTimeFormat(document.documentElement.lang || undefined, { timeStyle: "medium" });
const bytes = (size) => `${size.toLocaleString()} byte${size === 1 ? "" : "s"}`;

// Indent JSON without parsing it: big numbers keep their digits, and keys that occur twice both stay.
export function indentJson(text) {
  let depth = 0;
  const newline = () => `\n${"  ".repeat(Math.min(depth, DEEPEST))}`;
  return text.replace(/"(?:[^"\\]+|\\.)*"|[{[]\s*[}\]]|[{}[\],:]|\s+/g, (token) => {
    if (token[0] === '"') return token;
    if (/^[{[]./s.test(token)) return token[0] + token.at(-1);
    if (token === "{" || token === "[") {
      depth += 1;
      return token + newline();
    }
    if (token === "}" || token === "]") {
      depth -= 1;
      return newline() + token;
    }
    if (token === ",") return token + newline();
    return token === ":" ? ": " : "";
  });
}

function isJson(text) {
  if (text.length > JSON_LIMIT || !/^\s*[[{]/.test(text)) return false;
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

function hexOf(data) {
  const lines = [];
  for (let at = 0; at < Math.min(data.length, HEX_LIMIT); at += HEX_ROW) {
    const row = [...data.subarray(at, at + HEX_ROW)];
    const hex = row.map((byte) => byte.toString(16).padStart(2, "0")).join(" ");
    const text = row.map((byte) => (byte > 31 && byte < 127 ? String.fromCharCode(byte) : ".")).join("");
    lines.push(`${at.toString(16).padStart(4, "0")}  ${hex.padEnd(3 * HEX_ROW - 1)}  ${text}`);
  }
  if (data.length > HEX_LIMIT) lines.push("…");
  return lines.join("\n");
}

// The kind of a message and its text for the page; data is a string or a Uint8Array.
function describe(data) {
  if (typeof data !== "string") return [`binary, ${bytes(data.length)}`, hexOf(data)];
  const size = bytes(new TextEncoder().encode(data).length);
  return isJson(data) ? [`JSON, ${size}`, indentJson(data)] : [`text, ${size}`, data];
}

function element(name, properties, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function entry({ time, data }) {
  const stamp = element("time", { textContent: clock.format(time) });
  if (data === MISSING) return element("li", { className: "eventcast-gap" }, stamp, " Messages before this may be missing.");
  const [kind, text] = describe(data);
  const body = element("pre", { tabIndex: 0, textContent: text.slice(0, LONGEST), className: typeof data });
  const item = element("li", {}, element("p", {}, stamp, ` ${kind}`), body);
  if (text.length > LONGEST) {
    const more = element("button", { type: "button", className: "button", textContent: "Show all of it" });
    more.addEventListener("click", () => {
      body.textContent = text;
      more.remove();
    });
    item.append(more);
  }
  return item;
}

const sizeOf = ({ data }) => data.length ?? 0;
const areTooMany = (sizes) => sizes.length > KEPT || sizes.reduce((sum, size) => sum + size, 0) > KEPT_SIZE;

export class Messages {
  // list: an <ol>; news(heard, waiting) is called when one of these numbers has changed.
  constructor(list, news) {
    this.list = list;
    this.news = news;
    this.waiting = [];
    this.sizes = []; // of the messages in the list
    this.heard = 0;
    this.paused = false;
    this.scheduled = false;
  }

  // data is a string, a Uint8Array, or MISSING for a gap.
  add(data) {
    if (data !== MISSING) this.heard += 1;
    this.waiting.push({ time: Date.now(), data });
    while (areTooMany(this.waiting.map(sizeOf))) this.waiting.shift();
    this.schedule();
  }

  pause(paused) {
    this.paused = paused;
    this.schedule();
  }

  clear() {
    this.waiting = [];
    this.sizes = [];
    this.list.replaceChildren();
    this.schedule();
  }

  // Messages are shown once a frame, and only while the page is visible.
  schedule() {
    if (!this.scheduled) {
      this.scheduled = true;
      requestAnimationFrame(() => this.show());
    }
  }

  show() {
    this.scheduled = false;
    if (!this.paused && this.waiting.length) {
      const fresh = this.waiting.splice(0).reverse();
      this.list.prepend(...fresh.map(entry));
      this.sizes.unshift(...fresh.map(sizeOf));
      while (areTooMany(this.sizes)) {
        this.sizes.pop();
        this.list.lastElementChild.remove();
      }
    }
    this.news(this.heard, this.waiting.length);
  }
}

// Listen to a stream of Server-Sent Events: call add(data) for each message, and tell(connected) when that changes.
// Return a function that ends the stream.
export function listen(url, add, tell) {
  let source = null;
  let timer = 0;
  function open() {
    source = new EventSource(url);
    source.addEventListener("open", () => tell(true));
    source.addEventListener("message", (event) => add(event.data));
    source.addEventListener("binary", (event) => add(Uint8Array.from(atob(event.data), (char) => char.charCodeAt(0))));
    source.addEventListener("error", () => {
      tell(false);
      // The browser reconnects after a broken connection, but not after an HTTP error.
      if (source.readyState === EventSource.CLOSED) timer = setTimeout(open, 5000 + 5000 * Math.random());
    });
  }
  open();
  return () => {
    clearTimeout(timer);
    source.close();
  };
}
