/* eventcast: every URL path is a channel. eventcast("/deploys").on(data => …)   MIT licence */
(() => {
  "use strict";
  if (typeof globalThis.eventcast == "function") return; // the script is on the page twice
  const SOON = 500, FIRST = 4000, LATEST = 30000; // ms: the shortest wait, the longest first wait, the longest wait
  const STEADY = 10000, OPENING = 15000; // ms: a connection this old was good; an opening this slow has failed
  const LOST = 1006, DISCONNECTED = 3000; // close codes: without a close frame, and by an operator
  const BEARER = "eventcast.token."; // before a token in a subprotocol: a page cannot set a WebSocket's headers
  const page = globalThis.document;
  const links = new Map(); // by URL: all channels with one URL share a link
  const proven = new Set(); // hosts with which a WebSocket has worked

  // An EventSource with a token: the browser's own cannot set headers, and a token does not belong in a URL.
  class Stream extends EventTarget {
    aborter = new AbortController();

    constructor(url, headers) {
      super();
      this.read(url, headers).catch(() => {}).then(() => this.onerror());
    }

    async read(url, headers) {
      headers = { ...headers, Accept: "application/x-ndjson" };
      const { ok, body } = await fetch(url, { headers, cache: "no-store", signal: this.aborter.signal });
      if (!ok) return;
      this.onopen();
      const reader = body.getReader(), decoder = new TextDecoder();
      for (let text = "", piece; !(piece = await reader.read()).done;) {
        const lines = (text + decoder.decode(piece.value, { stream: true })).split("\n");
        text = lines.pop();
        for (const line of lines.filter(Boolean)) {
          const { data, base64 } = JSON.parse(line);
          this.dispatchEvent(new MessageEvent(base64 == null ? "text" : "binary", { data: data ?? base64 }));
        }
      }
    }

    close() {
      this.aborter.abort();
    }
  }

  class Link {
    channels = new Set();
    failures = 0;

    constructor(url, token) {
      this.url = url;
      this.token = token;
      this.host = new URL(url).host;
      links.set(url, this);
      this.connect();
    }

    // Some proxies block WebSockets. If a WebSocket has failed and none has ever worked with this host, an EventSource
    // is tried at once. If the server is down, both fail, and the next try begins with a WebSocket again.
    connect(plain = !globalThis.WebSocket) {
      const transport = plain ? "eventsource" : "websocket";
      this.set("connecting", { transport });
      if (links.get(this.url) != this) return; // a listener has closed the channel
      if (!this.token) return this.open(plain, transport);
      const asked = this.asked = {};
      const mine = () => this.asked == asked && this.state == "connecting" && links.get(this.url) == this;
      this.timer = setTimeout(() => mine() && this.lost(true, LOST, "No token"), OPENING);
      ask(this.token).then(
        (token) => mine() && this.open(plain, transport, token),
        (error) => mine() && this.lost(true, LOST, error.message));
    }

    open(plain, transport, token) {
      let source;
      clearTimeout(this.timer);
      const receive = (data) => this.source == source && this.emit("message", data);
      const over = (code, reason) => this.source == source && this.lost(plain, code, reason);
      try {
        source = this.source = plain ? token ? new Stream(this.url, bearer(token)) : new EventSource(this.url)
          : new WebSocket(this.url.replace("http", "ws"), token ? ["eventcast", BEARER + token] : []);
      } catch (error) {
        return this.lost(plain, LOST, error.message);
      }
      this.timer = setTimeout(over, OPENING, LOST, "No answer");
      source.binaryType = "arraybuffer";
      source.onopen = () => {
        if (this.source != source) return;
        clearTimeout(this.timer);
        this.since = Date.now();
        if (!plain) proven.add(this.host);
        this.set("open", { transport });
      };
      source.onmessage = (event) => receive(event.data);
      source.onclose = (event) => over(event.code, event.reason);
      source.onerror = () => plain && over(LOST); // a WebSocket also closes; npm's ws throws without a handler
      source.addEventListener("text", source.onmessage);
      source.addEventListener("binary", ({ data }) =>
        receive(Uint8Array.from(atob(data), (char) => char.charCodeAt()).buffer));
    }

    lost(plain, code, reason) {
      // A function may return a new token at once.
      const opened = this.state == "open", kicked = code == DISCONNECTED && typeof this.token != "function";
      this.stop();
      if (!opened && !plain && (globalThis.EventSource || this.token) && !proven.has(this.host)) return this.connect(true);
      if (opened && Date.now() - this.since > STEADY) this.failures = 0;
      // Full jitter: clients that lost their connections together must not reconnect together.
      const from = kicked ? LATEST / 2 : SOON;
      // Three tries within seconds, as a restart takes; then longer and longer waits.
      const to = kicked ? LATEST : Math.min(LATEST, FIRST * 2 ** Math.max(0, this.failures++ - 2));
      const delay = Math.round(from + Math.random() * (to - from));
      this.timer = setTimeout(() => this.connect(), delay);
      this.set("waiting", { delay, code, reason });
      if (code == LOST) this.emit("error", Object.assign(Error(reason || "No connection to " + this.url), { code }));
    }

    hurry() {
      if (this.state != "waiting" || this.detail.code == DISCONNECTED) return;
      clearTimeout(this.timer);
      this.connect();
    }

    stop() {
      const { source } = this;
      clearTimeout(this.timer);
      this.source = this.asked = null;
      source?.close();
    }

    set(state, detail) {
      this.state = state;
      this.detail = detail;
      this.emit("state", state, detail);
    }

    emit(...event) {
      for (const channel of [...this.channels]) if (channel.link == this) channel.emit(...event);
    }
  }

  const ask = async (token) => typeof token == "function" ? token() : token;
  const bearer = (token) => token ? { Authorization: "Bearer " + token } : {};

  class Channel {
    listeners = { message: new Set(), state: new Set(), error: new Set() };

    constructor(url, options) {
      const { href } = new URL(url, globalThis.location?.href);
      if (!/^(http|ws)s?:/.test(href)) throw TypeError("Not a channel's URL: " + href);
      this.url = href.replace(/^ws/, "http").replace(/#.*/, "");
      this.decodes = options.json;
      this.token = options.token;
    }

    get state() {
      return this.link ? this.link.state : "closed";
    }

    json() {
      this.decodes = true;
      return this;
    }

    on(type, listener) {
      if (!listener) [type, listener] = ["message", type];
      if (!this.listeners[type]) throw TypeError("No such event: " + type);
      if (typeof listener != "function") throw TypeError("Not a function: " + listener);
      this.listeners[type].add(listener);
      if (!this.link) {
        this.link = links.get(this.url) || new Link(this.url, this.token);
        this.link.channels.add(this);
      }
      if (type == "state") queueMicrotask(() => this.link && this.call(listener, this.state, this.link.detail));
      return this;
    }

    off(type, listener) {
      if (!listener) [type, listener] = ["message", type];
      this.listeners[type].delete(listener);
      return this;
    }

    close() {
      const { link } = this;
      if (!link) return;
      this.link = null;
      link.channels.delete(this);
      if (!link.channels.size) {
        links.delete(this.url);
        link.stop();
      }
      this.emit("state", "closed", {});
    }

    emit(type, data, detail) {
      if (type == "message" && this.decodes && typeof data == "string") {
        try {
          data = JSON.parse(data);
        } catch (error) {
          return this.emit("error", Object.assign(error, { data }));
        }
      }
      for (const listener of [...this.listeners[type]]) this.call(listener, data, detail);
    }

    call(listener, ...values) {
      try {
        listener(...values);
      } catch (error) {
        setTimeout(() => { throw error; }); // to the console; the other listeners still get the event
      }
    }

    async send(data) {
      const type = typeof data == "string" ? "text/plain;charset=utf-8"
        : data instanceof ArrayBuffer || ArrayBuffer.isView(data) || data instanceof Blob ? "application/octet-stream"
        : "application/json";
      const body = type.endsWith("json") ? JSON.stringify(data) : data;
      const headers = { Accept: "application/json", "Content-Type": type, ...bearer(await ask(this.token)) };
      const answer = await fetch(this.url, { method: "POST", headers, body });
      const said = await answer.json().catch(() => ({}));
      if (answer.ok) return said;
      const { status } = answer;
      throw Object.assign(Error(said.detail || "Refused with status " + status), { status, code: said.error });
    }
  }

  const eventcast = globalThis.eventcast = (url, options = {}) => new Channel(url, options);
  // The URL path of the channel with this name, such as "/a b" or "//a", encoded so that browsers do not change it.
  eventcast.path = (name) => {
    const path = encodeURIComponent(name.slice(1));
    return "/" + (/\/\/|\/\.\.?(\/|$)/.test(name) ? path : path.replace(/%2F/g, "/"));
  };
  const hurry = () => links.forEach((link) => link.hurry());
  globalThis.addEventListener?.("online", hurry);
  page?.addEventListener("visibilitychange", () => page.hidden || hurry());
  if (typeof module == "object") module.exports = eventcast;
})();
