/* eventcast: every URL path is a channel. eventcast("/deploys").on(data => …)   MIT licence */
(() => {
  "use strict";
  if (typeof globalThis.eventcast == "function") return; // the script is on the page twice
  const SOON = 500, FIRST = 4000, LATEST = 30000; // ms to wait: the least, at first, the most
  const STEADY = 10000, OPENING = 15000; // ms: then it was good, then it has failed
  const SILENT = 1500; // ms of silence for each second of heartbeat
  const STREAM_BEAT = 20; // s between two signs of life of a stream
  const GRACE = 1000; // ms for what came while the page slept
  const EARLY = 30, OVERLAP = 2000; // s before a permission ends, ms with two connections
  const STREAMS = 4, HIDDEN = 10000; // a host gets six connections; ms until a hidden page has none
  const LOST = 1006, DISCONNECTED = 3000; // close codes: without a close frame, and by an operator
  const V1 = "eventcast.v1"; // the subprotocol of docs/protocol.md
  const BEARER = "eventcast.token."; // before a token in a subprotocol: a page can set no headers
  const page = globalThis.document;
  const links = new Map(); // by URL: all channels with one URL share a link
  const proven = new Set(); // hosts with which a WebSocket has worked
  const streams = new Set(); // open streams

  const ask = async (token) => typeof token == "function" ? token() : token;
  const bytes = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt()).buffer;

  // Refusals are in the page's language.
  const request = async (url, token, Accept, options, more) => {
    const headers = { Accept, "Accept-Language": page?.documentElement.lang || "*", ...more };
    if (token) headers.Authorization = "Bearer " + token;
    const answer = await fetch(url, { headers, ...options });
    if (answer.ok) return answer;
    const { detail, error } = await answer.json().catch(() => ({})), { status } = answer;
    const after = +answer.headers.get("Retry-After");
    throw Object.assign(Error(detail || "Refused with status " + status), { status, code: error, after });
  };

  // Lines of JSON over HTTP: unlike an EventSource it sends a token, and tells refusals.
  class Stream {
    aborter = new AbortController();

    constructor(url, token) {
      this.read(url, token).then(() => this.onclose({}), (error) => this.onclose(error.status ? { error } : {}));
    }

    async read(url, token) {
      const { body } = await request(url, token, "application/x-ndjson", { cache: "no-store", signal: this.aborter.signal });
      this.onopen();
      const reader = body.getReader(), decoder = new TextDecoder();
      for (let text = "", piece; !(piece = await reader.read()).done;) {
        const lines = (text + decoder.decode(piece.value, { stream: true })).split("\n");
        text = lines.pop();
        for (const data of lines) this.onmessage({ data });
      }
    }

    close() {
      this.aborter.abort();
    }
  }

  // One connection, from the question for its token to its end.
  class Line {
    heard = Date.now();

    constructor(link, plain) {
      this.link = link;
      this.plain = plain;
    }

    begin(renewed) {
      const { token } = this.link;
      this.timer = setTimeout(() => this.end({ reason: token && !this.source ? "No token" : "No answer" }), OPENING);
      if (renewed || !token) return this.open(renewed);
      ask(token).then((token) => this.over || this.open(token), (error) => this.end({ error }));
    }

    open(token) {
      let source;
      this.sent = token;
      const { url } = this.link;
      try {
        source = this.source = this.plain ? new Stream(this.link.stream, token)
          : new WebSocket(url.replace("http", "ws"), [V1, "eventcast", ...this.link.offers, ...(token ? [BEARER + token] : [])]);
      } catch (error) {
        return this.end({ reason: error.message, unusable: true }); // a key that no subprotocol can carry
      }
      source.binaryType = "arraybuffer";
      source.onopen = () => {
        this.lines = this.plain || source.protocol == V1;
        if (!this.over && (this.plain || !this.lines)) this.ready({ heartbeat: this.plain && STREAM_BEAT });
      };
      source.onmessage = ({ data }) => {
        if (this.over) return;
        this.heard = Date.now();
        if (!this.lines) this.link.receive(this, data, {});
        else if (data) this.take(JSON.parse(data));
      };
      source.onclose = (why) => this.end(why);
      source.onerror = () => {}; // it also closes; npm's ws throws without a handler
    }

    take(frame) {
      const { type, data, base64, ...about } = frame;
      if (!type) this.link.receive(this, data ?? bytes(base64), about, frame);
      else if (type == "hello") this.ready(frame);
      else if (type == "lost") this.link.emit("lost", about);
      else if (type == "bye") this.bye = frame;
    }

    ready({ heartbeat, expires }) {
      clearTimeout(this.timer);
      this.since = Date.now();
      this.expires = expires;
      this.silence = heartbeat * SILENT;
      this.watch();
      this.link.opened(this);
    }

    // After a sleep the timer is late, and what came meanwhile is still to be read.
    watch(due) {
      if (!this.silence || this.over) return;
      clearTimeout(this.timer);
      const now = Date.now(), left = this.heard + this.silence - now;
      if (left <= 0 && now - due < GRACE) return this.end({ reason: "No sign of life" });
      const wait = left > 0 ? left : GRACE;
      this.timer = setTimeout(() => this.watch(now + wait), wait);
    }

    end(why) {
      if (this.over) return;
      this.stop();
      this.link.ended(this, why);
    }

    stop() {
      this.over = true;
      clearTimeout(this.timer);
      streams.delete(this);
      this.source?.close();
    }
  }

  class Link {
    channels = new Set();
    failures = 0;

    constructor({ url, stream, offers }) {
      Object.assign(this, { url, stream, offers });
      this.host = new URL(url).host;
      links.set(url, this);
    }

    // That of the first channel that has one, or the last that was known.
    get token() {
      for (const { token } of this.channels) if (token) return this.known = token;
      return this.known;
    }

    // Some proxies block WebSockets: then a stream is tried, which also tells refusals.
    connect(plain = !globalThis.WebSocket, quiet) {
      clearTimeout(this.timer);
      const line = this.line = new Line(this, plain);
      if (!quiet) this.set("connecting", { transport: plain ? "stream" : "websocket" });
      queueMicrotask(() => line.over || line.begin()); // StrictMode may close it
    }

    opened(line) {
      const { plain, expires } = line;
      if (!plain) proven.add(this.host);
      else if (proven.has(this.host)) return line.end({ reason: "No WebSocket" });
      else if (streams.size >= STREAMS) {
        return line.end({ reason: `Without WebSockets a page listens to ${STREAMS} channels at most`, crowded: true });
      } else {
        streams.add(line);
        if (page?.hidden) hide();
      }
      if (typeof this.token == "function" && expires > 0) {
        const after = (expires - Math.min(EARLY, expires / 2)) * 1000;
        this.renewal = setTimeout(() => this.renew(), Math.min(after, 2 ** 31 - 1)); // a timer's longest
      }
      if (line == this.next) {
        this.held = [];
        this.timer = setTimeout(() => this.change(), OVERLAP);
      } else this.set("open", { transport: plain ? "stream" : "websocket" });
    }

    // What both connections get is told once, and no snapshot that is older than what was told.
    renew() {
      ask(this.token).then((token) => {
        if (this.state != "open" || token == this.line.sent) return;
        this.change();
        this.next = new Line(this, false);
        this.had = new Set();
        this.last = 0;
        this.next.begin(token);
      }).catch(() => {}); // the old one goes on
    }

    change() {
      clearTimeout(this.timer);
      if (!this.next) return; // it has ended
      this.line.stop();
      this.line = this.next;
      this.next = null;
      for (const [data, about, frame] of this.held.splice(0)) {
        if (about.time >= this.last && !this.had.has(JSON.stringify(frame))) this.emit("message", data, about);
      }
    }

    receive(line, data, about, frame) {
      if (line == this.next) return this.held.push([data, about, frame]);
      if (this.next) {
        this.last = about.time;
        this.had.add(JSON.stringify(frame));
      }
      this.emit("message", data, about);
    }

    ended(line, why) {
      if (line == this.next) return this.next = null; // the old one goes on
      if (this.next?.since) return this.change();
      clearTimeout(this.renewal);
      this.next?.stop();
      this.next = null;
      const { bye, plain, since } = line, { error, unusable, crowded } = why;
      if (!since && !plain && !error && globalThis.fetch) {
        if (unusable) proven.delete(this.host);
        return this.connect(true, proven.has(this.host));
      }
      const { status, after = 0 } = error ?? {};
      const { code = LOST, reason = error?.message ?? "" } = bye ?? error ?? why;
      const failure = Object.assign(error ?? Error(reason || "No connection to " + this.url), { code });
      const detail = { code, reason, heard: line.heard, ...(status && { status }) };
      // These will not change by asking again.
      if (bye?.retry === null || (status >= 400 && status < 500 && ![408, 425, 429].includes(status))) {
        return this.refuse(failure, detail);
      }
      if (since && Date.now() - since > STEADY) this.failures = 0;
      // Full jitter: clients must not reconnect together.
      const kicked = code == DISCONNECTED && typeof this.token != "function";
      // Three tries within seconds, as a restart takes, then longer waits.
      const latest = Math.min(LATEST, FIRST * 2 ** Math.max(0, this.failures++ - 2));
      const [from, to] = bye?.retry.map((s) => s * 1000) ??
        (kicked || crowded ? [LATEST / 2, LATEST] : [Math.max(SOON, after * 1000), Math.max(latest, after * 1500)]);
      this.wait(Math.round(from + Math.random() * (to - from)), detail);
      if (error || code == LOST) this.emit("error", failure);
    }

    wait(delay, detail) {
      this.stop();
      if (delay) this.timer = setTimeout(() => this.connect(), delay);
      this.set("waiting", { delay, ...detail });
    }

    refuse(error, detail) {
      links.delete(this.url);
      this.stop();
      for (const channel of this.channels) {
        channel.link = null;
        channel.emit("error", error);
        if (!channel.link) channel.emit("state", "closed", detail);
      }
    }

    hurry() {
      if (this.state == "waiting" && this.detail.code != DISCONNECTED) this.connect();
    }

    stop() {
      for (const timer of [this.timer, this.renewal]) clearTimeout(timer);
      this.line?.stop();
      this.next?.stop();
      this.next = null;
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

  class Channel {
    listeners = { message: new Set(), state: new Set(), error: new Set(), lost: new Set() };

    constructor(url, options) {
      const { href } = new URL(url, globalThis.location?.href);
      if (!/^(http|ws)s?:/.test(href)) throw TypeError("Not a channel's URL: " + href);
      this.url = href.replace(/^ws/, "http").replace(/#.*/, "");
      this.decodes = options.json;
      this.token = options.token;
      this.stream = options.stream ?? this.url; // these two are for the admin
      this.offers = options.offers ?? [];
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
        const link = this.link = links.get(this.url) || new Link(this);
        link.channels.add(this);
        if (!link.state || (this.token && !link.known && link.state != "open")) { // its token may help
          link.line?.stop();
          link.connect();
        }
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
      const options = { method: "POST", body: type.endsWith("json") ? JSON.stringify(data) : data };
      return (await request(this.url, await ask(this.token), "application/json", options, { "Content-Type": type })).json();
    }
  }

  const eventcast = globalThis.eventcast = (url, options = {}) => new Channel(url, options);
  // The URL path of a name such as "/a b" or "//a", which browsers do not change.
  eventcast.path = (name) => {
    const path = encodeURIComponent(name.slice(1));
    return "/" + (/\/\/|\/\.\.?(\/|$)/.test(name) ? path : path.replace(/%2F/g, "/"));
  };
  const each = (act) => () => links.forEach(act);
  const hurry = each((link) => {
    link.hurry();
    link.line?.watch();
  });
  const giveBack = each((link) => page.hidden && streams.has(link.line) && link.wait(0, { reason: "The page is hidden" }));
  const hide = () => setTimeout(giveBack, HIDDEN);
  globalThis.addEventListener?.("online", hurry);
  globalThis.addEventListener?.("offline", each(({ line }) => line?.since && line.end({ reason: "offline" })));
  page?.addEventListener("visibilitychange", () => page.hidden ? hide() : hurry());
  if (typeof module == "object") module.exports = eventcast;
})();
