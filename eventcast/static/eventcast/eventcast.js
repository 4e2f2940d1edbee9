/* eventcast: every URL path is a channel.   MIT licence */
(() => {
  "use strict";
  if (typeof globalThis.eventcast == "function") return;
  const SOON = 0.5, FIRST = 4, LATEST = 30; // s to wait
  const STEADY = 10000, OPENING = 15000; // ms: good, failed
  const SILENT = 1350, GRACE = 1000; // ms a second of heartbeat, and after a sleep
  const EARLY = 30, OVERLAP = 2000; // s before a token expires, ms with two lines
  const GATHER = 100, HIDDEN = 10000, MOST = 50; // ms with no stream, ms hidden; channels
  const LOST = 1006, DISCONNECTED = 3000;
  const page = globalThis.document;
  const listening = new Set(), groups = new Set(), proven = new Set(); // where a WebSocket works

  const tokenOf = (url) => [...listening].find((channel) => channel.url == url && channel.token)?.token;
  const ask = async (token) => typeof token == "function" ? token() : token;
  const bytes = (base64) => Uint8Array.from(atob(base64), (char) => char.charCodeAt()).buffer;

  const request = async (url, token, Accept, options, more) => {
    const headers = { Accept, "Accept-Language": page?.documentElement.lang || "*", ...more };
    if (token) headers.Authorization = "Bearer " + token;
    const answer = await fetch(url, { headers, ...options });
    if (answer.ok) return answer;
    const { detail, error: code } = await answer.json().catch(() => ({})), { status } = answer;
    const reason = detail || "Status " + status, after = +answer.headers.get("Retry-After");
    const retry = /^4(?!08|25|29)/.test(status) ? null : after ? [after, after * 1.5] : undefined;
    throw Object.assign(Error(reason), { status, code, reason, retry });
  };

  // An EventSource sends no token and tells no reason.
  class Stream {
    aborter = new AbortController();

    constructor(url, token) {
      this.read(url, token).then(() => this.onclose({}), (error) => this.onclose(error.status ? error : {}));
    }

    async read(url, token) {
      const { signal } = this.aborter;
      const { body } = await request(url, token, "application/x-ndjson", { cache: "no-store", signal });
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

  class Line {
    heard = Date.now();
    luck = Math.random();

    constructor(group) {
      this.group = group;
      this.channels = new Set(group.channels);
    }

    begin(renewed) {
      const { token } = this.group;
      this.token = token;
      this.timer = setTimeout(() => this.end({ reason: "No answer" }), OPENING);
      if (renewed || !token) return this.open(renewed);
      ask(token).then((token) => this.over || this.open(token),
        (error) => this.end(Object.assign(error, { reason: error.message })));
    }

    open(token) {
      let source;
      this.sent = token;
      const { plain } = this.group, [first, ...more] = this.channels, url = new URL(first.stream, first.url);
      const others = more.filter(({ name }) => name != first.name);
      for (const { name } of others) url.searchParams.append("channel", name);
      this.alone = !others.length;
      try {
        source = this.source = plain ? new Stream(url, token) : new WebSocket(first.url.replace("http", "ws"),
          ["eventcast.v1", "eventcast", ...first.offers, ...(token ? ["eventcast.token." + token] : [])]);
      } catch (error) {
        proven.delete(first.key); // no WebSocket can carry this token
        return this.end({ reason: error.message });
      }
      source.onopen = () => plain && this.alone && this.ready({ heartbeat: 20 });
      source.onmessage = ({ data }) => {
        if (this.over) return;
        this.heard = Date.now();
        if (data) this.take(JSON.parse(data));
      };
      source.onclose = (why) => this.end(this.bye ?? why);
      source.onerror = () => {}; // for npm's ws
    }

    take(frame) {
      const { type, data, base64, ...about } = frame;
      if (!type) this.group.receive(this, data ?? bytes(base64), about, frame);
      else if (type == "hello") this.ready(frame);
      else if (type == "lost") for (const channel of this.of(frame)) channel.emit("lost", about);
      else if (type == "bye" && this.alone) this.bye = frame;
      else if (type == "bye") for (const channel of this.of(frame)) {
        this.channels.delete(channel);
        if (!channel.line || channel.line == this) channel.ended(this, frame);
      }
    }

    of(frame) {
      return [...this.channels].filter(({ name }) => this.alone || name == frame.channel);
    }

    ready(frame) {
      const { group } = this, { heartbeat, expires } = frame;
      if (!this.since) {
        this.since = Date.now();
        this.silence = heartbeat * SILENT;
        clearTimeout(this.timer);
        this.watch();
        if (typeof group.token == "function" && expires > 0) {
          const after = Math.max(expires - EARLY, expires / 2) * 1000;
          this.renewal = setTimeout(() => group.renew(), Math.min(after, 2 ** 31 - 1));
        }
        group.opened(this);
      }
      for (const channel of this.of(frame)) if (!this.over && !channel.line) channel.opened(this);
    }

    // After a sleep, something may still be unread.
    watch(late) {
      if (!this.silence || this.over) return;
      clearTimeout(this.timer);
      const left = this.heard + this.silence - Date.now();
      if (left <= 0 && late) return this.end({ reason: "No sign of life" });
      this.timer = setTimeout(() => this.watch(left <= 0), Math.max(left, GRACE));
    }

    end(why) {
      if (this.over) return;
      this.stop();
      this.group.ended(this, why);
    }

    stop() {
      this.over = true;
      for (const timer of [this.timer, this.renewal]) clearTimeout(timer);
      this.source?.close();
    }
  }

  // Those of one URL share a WebSocket, those of a host and a token share a stream. When they or the token change, a new
  // line opens before the old one ends. What both get is told once.
  class Group {
    channels = new Set();
    held = [];
    had = new Set();

    constructor(plain, key) {
      Object.assign(this, { plain, key, transport: plain ? "stream" : "websocket" });
      groups.add(this);
    }

    join(channel) {
      const { line, channels } = this, twin = [...channels].find(({ url }) => url == channel.url);
      channels.add(channel);
      if (line && !line.since && line.token != this.token) this.line = line.stop();
      else if (line && twin) {
        for (const one of [line, this.next]) one?.channels.add(channel);
        return twin.line && channel.opened(line);
      }
      this.plan(true);
    }

    get token() {
      return tokenOf([...this.channels][0]?.url);
    }

    leave(channel) {
      this.channels.delete(channel);
      this.next?.channels.delete(channel);
      const changed = this.line?.channels.delete(channel);
      if (this.channels.size) return this.plan(changed);
      for (const timer of [this.timer, this.overlap]) clearTimeout(timer);
      for (const line of [this.line, this.next]) line?.stop();
      groups.delete(this);
    }

    plan(changed) {
      this.changed ||= changed;
      const settle = () => {
        this.timer = null;
        if (this.changed && this.channels.size && !this.next && (!this.line || this.line.since)) this.open();
      };
      if (this.plain) this.timer ??= setTimeout(settle, GATHER);
      else queueMicrotask(settle); // for StrictMode
    }

    open(renewed) {
      const line = new Line(this);
      this[this.line ? "next" : "line"] = line;
      this.changed = false;
      this.had.clear();
      line.begin(renewed);
    }

    renew() {
      ask(this.token).then((token) => {
        if (this.line?.since && !this.next && token != this.line.sent) this.open(token);
      }).catch(() => {}); // the old one goes on
    }

    opened(line) {
      if (line == this.next) this.overlap = setTimeout(() => this.change(), OVERLAP);
      else this.plan();
    }

    change() {
      const { line, next, held, had } = this;
      clearTimeout(this.overlap);
      line.stop();
      Object.assign(this, { line: next, next: null, held: [] });
      for (const channel of this.channels) {
        channel.line = next.channels.has(channel) ? next : null;
        this.changed ||= !channel.line; // no place beside the old one
      }
      for (const [channel, data, about, frame] of held) { // no older snapshot
        if (about.time >= channel.last && !had.has(JSON.stringify(frame))) channel.emit("message", data, about);
      }
      this.plan();
    }

    receive(line, data, about, frame) {
      for (const channel of line.of(about)) {
        if ((channel.line ?? line) != line) this.held.push([channel, data, about, frame]);
        else {
          const known = (this.next || this.had.size) && JSON.stringify(frame);
          if (this.next) this.had.add(known);
          else if (this.had.has(known)) continue;
          channel.last = about.time;
          channel.emit("message", data, about);
        }
      }
    }

    ended(line, why) {
      if (line == this.line && this.next?.since) return this.change();
      clearTimeout(this.overlap);
      this.next?.stop();
      if (line == this.line) this.line = null;
      Object.assign(this, { next: null, held: [] });
      for (const channel of line.channels) if (!channel.line || channel.line == line) channel.ended(line, why);
      this.plan(!this.line);
    }
  }

  class Channel {
    listeners = { message: new Set(), state: new Set(), error: new Set(), lost: new Set() };
    state = "closed";
    failures = 0;
    last = 0;

    constructor(url, { json, token, offers = [], stream }) { // two for the admin
      const at = new URL(url, globalThis.location?.href);
      if (!/^(http|ws)s?:/.test(at)) throw TypeError("Not a channel's URL: " + at);
      at.protocol = at.protocol.replace("ws", "http");
      at.hash = "";
      Object.assign(this, { decodes: json, token, offers, url: at.href, stream: stream ?? at.href });
      this.name = decodeURIComponent(at.pathname);
      this.key = stream ?? at.origin + at.search;
    }

    json() {
      this.decodes = true;
      return this;
    }

    on(...given) {
      const listener = given.pop(), [type = "message"] = given;
      if (!this.listeners[type]) throw TypeError("No such event: " + type);
      if (typeof listener != "function") throw TypeError("Not a function: " + listener);
      this.listeners[type].add(listener);
      listening.add(this);
      if (this.state == "closed") this.connect();
      if (type == "state") queueMicrotask(() => this.state != "closed" && this.call(listener, this.state, this.detail));
      return this;
    }

    off(...given) {
      const listener = given.pop(), [type = "message"] = given;
      this.listeners[type].delete(listener);
      return this;
    }

    close() {
      if (this.state == "closed") return;
      this.stop();
      this.set("closed", {});
    }

    // Where no WebSocket opens, a stream is tried, which also says why the server refuses.
    connect(plain = !globalThis.WebSocket) {
      this.stop();
      const key = plain ? this.key : this.url;
      const fits = (group) => group.plain == plain && group.key == key && group.token == tokenOf(this.url) &&
        group.channels.size < MOST;
      this.group = [...groups].find(fits) ?? new Group(plain, key);
      if (!plain || !proven.has(this.key)) this.set("connecting", { transport: this.group.transport });
      this.group?.join(this);
    }

    opened(line) {
      const { plain, transport } = line.group;
      if (!plain) proven.add(this.key);
      else if (proven.has(this.key)) return line.end({ reason: "No WebSocket" });
      else if (page?.hidden) hide();
      this.line = line;
      this.set("open", { transport });
    }

    ended({ group: { plain }, since, heard, luck }, why) {
      this.stop();
      const failed = why instanceof Error;
      if (!since && !plain && !failed && globalThis.fetch) return this.connect(true);
      if (since && Date.now() - since > STEADY) this.failures = 0;
      const latest = Math.min(LATEST, FIRST * 2 ** Math.max(0, this.failures++ - 2));
      const { code = LOST, reason = "", status, retry = [SOON, latest] } = why;
      const error = Object.assign(failed ? why : Error(reason || "No connection"), { code });
      const detail = { code, reason, heard, ...(status && { status }) };
      if (retry) {
        const [from, to] = retry; // full jitter
        this.wait(Math.round((from + luck * (to - from)) * 1000), detail);
        if (failed || status || code == LOST) this.emit("error", error);
        return;
      }
      this.state = "closed";
      this.emit("error", error);
      if (this.state == "closed") this.set("closed", detail);
    }

    wait(delay, detail) {
      this.stop();
      if (delay) this.timer = setTimeout(() => this.connect(), delay);
      this.set("waiting", { delay, ...detail });
    }

    stop() {
      clearTimeout(this.timer);
      const { group } = this;
      this.group = this.line = null;
      group?.leave(this);
    }

    set(state, detail) {
      Object.assign(this, { state, detail });
      if (state == "closed") listening.delete(this);
      this.emit("state", state, detail);
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
        setTimeout(() => { throw error; }); // to the console
      }
    }

    async send(data) {
      const type = typeof data == "string" ? "text/plain;charset=utf-8"
        : data?.byteLength >= 0 || data instanceof Blob ? "application/octet-stream" : "application/json";
      const options = { method: "POST", body: type.endsWith("json") ? JSON.stringify(data) : data };
      const token = await ask(this.token);
      return (await request(this.url, token, "application/json", options, { "Content-Type": type })).json();
    }
  }

  const eventcast = globalThis.eventcast = (url, options = {}) => new Channel(url, options);
  eventcast.path = (name) => {
    const path = encodeURIComponent(name.slice(1));
    return "/" + (/\/\/|\/\.\.?(\/|$)/.test(name) ? path : path.replace(/%2F/g, "/"));
  };
  const each = (act) => () => listening.forEach(act);
  const hurry = each((channel) => {
    const { state, detail, line } = channel;
    line?.watch();
    if (state == "waiting" && detail.code != DISCONNECTED) channel.connect();
  });
  const giveBack = each((channel) => page.hidden && channel.line?.group.plain &&
    channel.wait(0, { reason: "The page is hidden" }));
  const hide = () => setTimeout(giveBack, HIDDEN);
  globalThis.addEventListener?.("online", hurry);
  globalThis.addEventListener?.("offline", each(({ line }) => line?.end({ reason: "offline" })));
  page?.addEventListener("visibilitychange", () => page.hidden ? hide() : hurry());
  if (typeof module == "object") module.exports = eventcast;
})();
