/** A channel to subscribe and publish to. The first `on()` opens the connection. */
declare function eventcast<Data = any>(url: string | URL, options?: eventcast.Options): eventcast.Channel<Data>;

declare namespace eventcast {
  /** The URL path of the channel with this name, such as `"/a b"` or `"//a"`, encoded as browsers keep it. */
  function path(name: string): string;

  interface Options {
    /** Decode text messages as JSON, as `json()` does. Default: false. */
    json?: boolean;
    /**
     * A token that identifies the client, or a function that returns one, called for each connection and each sent
     * message. The token is sent in a WebSocket's subprotocol or in a header, never in the URL. Channels with one URL
     * listen with the token of the first that has one. A function is asked again before its token expires. Default: none.
     */
    token?: string | (() => string | Promise<string>);
  }

  /**
   * `closed`: not listening, or refused for good; then `detail` says why. `waiting`: the connection is lost; the next try
   * is in `detail.delay` milliseconds, or when the network returns, or when the page is visible again.
   */
  type State = "closed" | "connecting" | "open" | "waiting";

  interface Detail {
    /** When `connecting` and `open`. */
    transport?: "websocket" | "stream";
    /** When `waiting`: milliseconds until the next try; 0 for a hidden page that waits to be seen. */
    delay?: number;
    /** When `waiting` or refused: the close code, 1006 without a close frame; or the code of an HTTP refusal. */
    code?: number | string;
    /** When `waiting` or refused: the reason beside the code, which may be empty. */
    reason?: string;
    /** When `waiting` or refused: the time of the last sign of life, in milliseconds since 1970. */
    heard?: number;
    /** When the server refused: its HTTP status. */
    status?: number;
  }

  /**
   * The error of a lost connection has a close code; that of a refusal has the server's words, its stable code such as
   * `channel_full`, and the HTTP status; that of a message that is not JSON has its `data`.
   */
  interface ListeningError extends Error {
    code?: number | string;
    status?: number;
    data?: string;
  }

  /** What the server says beside a message. */
  interface About {
    /** When the message was published: seconds since 1970. */
    time: number;
    /** The channel that it was published to. */
    channel: string;
    /** The name of its event, if it was published with one. */
    event?: string;
  }

  interface Lost {
    /** How many messages this client has missed. */
    messages: number;
    /** `slow`: it has read too slowly. */
    reason: string;
  }

  /** The error of `send()` when the server refuses the message. Without a server, the error is a `TypeError`. */
  interface SendingError extends Error {
    /** The HTTP status. */
    status: number;
    /** The server's stable code, such as `message_too_large`. */
    code?: string;
  }

  interface Answer {
    channel: string;
    /** Published messages. */
    messages: number;
    /** Subscribers at that moment. */
    subscribers: number;
    /** `"process"` if `subscribers` does not include those of other server processes. */
    scope?: string;
  }

  interface Listeners<Data> {
    /** Gets each message: a string, an ArrayBuffer for a binary message, or the decoded JSON. */
    message: (data: Data, about: About) => void;
    /** Gets the state soon after `on()`, and each time that it changes. */
    state: (state: State, detail: Detail) => void;
    error: (error: ListeningError) => void;
    /** Gets what the server left out, in its place between the messages. */
    lost: (lost: Lost) => void;
  }

  /** Channels with the same URL share a WebSocket. Where none opens, those of a host and a token share a stream. */
  interface Channel<Data = any> {
    readonly url: string;
    readonly state: State;
    /** Decode text messages as JSON from now on. A message that is not JSON is an `error`. */
    json<JSONData = Data>(): Channel<JSONData>;
    on(listener: Listeners<Data>["message"]): this;
    on<Type extends keyof Listeners<Data>>(type: Type, listener: Listeners<Data>[Type]): this;
    off(listener: Listeners<Data>["message"]): this;
    off<Type extends keyof Listeners<Data>>(type: Type, listener: Listeners<Data>[Type]): this;
    /**
     * Publish with a POST request: a string as text; an ArrayBuffer, a view of one or a Blob as binary; other values as
     * JSON.
     */
    send(data: unknown): Promise<Answer>;
    /** Stop listening. Another `on()` begins again. */
    close(): void;
  }

  /** The attributes of `<event-cast>`, from event-cast.js, for frameworks that check them. */
  interface ElementAttributes {
    path?: string;
    token?: string;
    /** How many messages are kept. Default: 100, and 3 with `toast`. */
    max?: number | string;
    /** Show messages as pop-ups, for so many seconds; `true` for 8. */
    toast?: boolean | number | string;
    /** The name of a pop-up's button for screen readers. Default: `Dismiss`. */
    dismiss?: string;
  }
}

declare global {
  /** `<event-cast path="/deploys">`, from event-cast.js. A cancelled `message` event hides the message. */
  interface HTMLElementTagNameMap {
    "event-cast": HTMLElement;
  }
}

export = eventcast;
export as namespace eventcast;
