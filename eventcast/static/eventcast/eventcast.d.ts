/** Listens to the channel at `url`, and speaks on it. Nothing is opened before the first `on()`. */
declare function eventcast<Data = any>(url: string | URL, options?: eventcast.Options): eventcast.Channel<Data>;

declare namespace eventcast {
  /** The URL path of the channel with this name, such as `"/a b"` or `"//a"`: encoded so that browsers leave it alone. */
  function path(name: string): string;

  interface Options {
    /** Decode text messages as JSON, as `json()` does. Default: false. */
    json?: boolean;
    /**
     * Says who listens and publishes: a token, or a function that gets one, asked whenever a connection is opened and a
     * message sent. It goes as a WebSocket's subprotocol or as a header, never in the URL. Of channels with the same URL
     * that of the first counts for listening. Default: none.
     */
    token?: string | (() => string | Promise<string>);
  }

  /**
   * `closed`: nobody listens. `connecting`, `open`: as they say.
   * `waiting`: the connection is lost, and is tried again in `detail.delay` milliseconds, or when the network comes back.
   */
  type State = "closed" | "connecting" | "open" | "waiting";

  interface Detail {
    /** When `connecting` and `open`. */
    transport?: "websocket" | "eventsource";
    /** When `waiting`: milliseconds until the next try. */
    delay?: number;
    /** When `waiting`: the close code, 1006 if the server did not say goodbye. */
    code?: number;
    /** When `waiting`: the reason that came with the code, mostly empty. */
    reason?: string;
  }

  /** A connection that could not be opened or was lost has a `code`; a message that is no JSON has `data`. */
  interface ListeningError extends Error {
    code?: number;
    data?: string;
  }

  /** What the promise of `send()` is rejected with when the server refuses; it is a `TypeError` if there is no server. */
  interface SendingError extends Error {
    /** The HTTP status. */
    status: number;
    /** The server's stable code, such as `message_too_large`. */
    code?: string;
  }

  interface Answer {
    channel: string;
    /** How many messages were published. */
    messages: number;
    /** How many subscribers were there. */
    subscribers: number;
    /** `"process"` if other processes may have subscribers too, who are not counted. */
    scope?: string;
  }

  interface Listeners<Data> {
    /** Gets each message: a string, an ArrayBuffer if it is binary, or what its JSON says. */
    message: (data: Data) => void;
    /** Gets the state, soon after it was added and whenever it changes. */
    state: (state: State, detail: Detail) => void;
    error: (error: ListeningError) => void;
  }

  /** Channels with the same URL share one connection. */
  interface Channel<Data = any> {
    readonly url: string;
    readonly state: State;
    /** From now on, text messages are decoded as JSON; one that is not is an `error`. */
    json<JSONData = Data>(): Channel<JSONData>;
    on(listener: Listeners<Data>["message"]): this;
    on<Type extends keyof Listeners<Data>>(type: Type, listener: Listeners<Data>[Type]): this;
    off(listener: Listeners<Data>["message"]): this;
    off<Type extends keyof Listeners<Data>>(type: Type, listener: Listeners<Data>[Type]): this;
    /**
     * Publishes with a POST request: a string as text, an ArrayBuffer, a view of one or a Blob as binary, anything else
     * as JSON.
     */
    send(data: unknown): Promise<Answer>;
    /** Stops listening; another `on()` begins anew. */
    close(): void;
  }
}

declare global {
  /** `<event-cast path="/deploys">`, from event-cast.js; its `message` event can be cancelled, and nothing is shown. */
  interface HTMLElementTagNameMap {
    "event-cast": HTMLElement;
  }
}

export = eventcast;
export as namespace eventcast;
