// The wire: a WebSocket that speaks the Centrifuge protocol in JSON. In: commands. Out: replies and pushes, in
// the order in which they arrive.
//
// Never: touches the page; connects again by itself.

/** Everything that happens on any socket, for the log. */
const happenings = new EventTarget();

function tell(socket, kind, detail) {
  happenings.dispatchEvent(new CustomEvent("happening", { detail: { socket, kind, detail } }));
}

/** `path` of the server that this page came from; wss where the page came by https. */
function address(path) {
  const url = new URL(path, location.href);
  url.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return url.href;
}

function sizeOf(data) {
  return typeof data === "string" ? new Blob([data]).size : (data.size ?? data.byteLength);
}

function kindOf(data) {
  return typeof data === "string" ? "text" : data.constructor.name;
}

/** What a message is, in one line. */
function described(data) {
  if (typeof data === "string") return data;
  return `${kindOf(data)}, ${sizeOf(data)} bytes`;
}

function closeWords({ code, reason, wasClean }) {
  const said = reason ? ` ${reason}` : " (no reason)";
  return `code ${code}${said}${wasClean ? "" : ", not clean"}`;
}

/** A browser's own WebSocket, whose events are told under `name`. */
function opened(name, path, protocols = []) {
  const socket = new WebSocket(address(path), protocols);
  socket.addEventListener("open", () => tell(name, "open", socket.url));
  socket.addEventListener("message", ({ data }) => tell(name, "message", described(data)));
  socket.addEventListener("error", () => tell(name, "error", "the browser does not say why"));
  socket.addEventListener("close", (event) => tell(name, "close", closeWords(event)));
  return socket;
}

function send(socket, name, data) {
  tell(name, "send", described(data));
  socket.send(data);
}

/** What the server allows for beyond its ping interval. */
const PING_DELAY_MS_MAX = 10_000;

class Session {
  #socket;
  #name;
  #on;
  #id = 0;
  #asked = new Map();
  #unsent = [];
  #isFlushing = false;
  #silence = 0;
  #pingMs = 0;
  #answersPings = false;
  #isLeft = false;

  /** `on.push(push)`, and `on.closed({code, reason})` unless this side has left. */
  constructor(name, on) {
    this.#name = name;
    this.#on = on;
    this.#socket = opened(name, "/connection/websocket");
    this.#socket.addEventListener("open", () => this.#flush());
    this.#socket.addEventListener("message", ({ data }) => this.#read(data));
    this.#socket.addEventListener("close", (event) => this.#end(event));
  }

  /** The first command. `done(error, result)`. */
  connect(done) {
    this.ask("connect", { name: "page" }, (error, result) => {
      if (result) {
        this.#pingMs = (result.ping ?? 0) * 1000;
        this.#answersPings = result.pong === true;
        this.#listen();
      }
      done(error, result);
    });
  }

  /** `done(error, result)` is called before anything that arrives behind the reply is looked at. */
  ask(method, params, done = () => {}) {
    const id = ++this.#id;
    this.#asked.set(id, { method, done });
    this.#write(JSON.stringify({ id, [method]: params }));
  }

  /** As a promise, where the order does not matter. */
  answer(method, params) {
    return new Promise((resolve, reject) => {
      this.ask(method, params, (error, result) => (error ? reject(error) : resolve(result)));
    });
  }

  /** Closes the socket; nothing that happens on it counts any more. */
  leave(code = 1000, reason = "") {
    this.#isLeft = true;
    this.#forget();
    this.#socket.close(code, reason);
  }

  /** Commands of one turn go in one frame. */
  #write(line) {
    this.#unsent.push(line);
    if (this.#isFlushing) return;
    this.#isFlushing = true;
    queueMicrotask(() => {
      this.#isFlushing = false;
      this.#flush();
    });
  }

  #flush() {
    if (this.#socket.readyState !== WebSocket.OPEN || !this.#unsent.length) return;
    send(this.#socket, this.#name, this.#unsent.join("\n"));
    this.#unsent = [];
  }

  #read(data) {
    this.#listen();
    for (const line of data.split("\n")) {
      if (this.#isLeft) return;
      if (line) this.#take(JSON.parse(line));
    }
  }

  #take(reply) {
    if (reply.push) return this.#on.push(reply.push);
    if (!reply.id) return this.#answersPings && this.#write("{}"); // a ping
    const asked = this.#asked.get(reply.id);
    this.#asked.delete(reply.id);
    asked?.done(reply.error ?? null, reply.error ? null : (reply[asked.method] ?? {}));
  }

  /** Anything that arrives shows that the server is there. */
  #listen() {
    clearTimeout(this.#silence);
    if (!this.#pingMs || this.#isLeft) return;
    this.#silence = setTimeout(() => {
      this.leave();
      this.#on.closed({ code: 0, reason: "no ping" });
    }, this.#pingMs + PING_DELAY_MS_MAX);
  }

  #end(event) {
    if (this.#isLeft) return;
    this.#isLeft = true;
    const { code, reason } = event;
    this.#forget();
    this.#on.closed({ code, reason });
  }

  #forget() {
    clearTimeout(this.#silence);
    const asked = [...this.#asked.values()];
    this.#asked.clear();
    this.#unsent = [];
    for (const { done } of asked) done({ code: 0, message: "the connection has ended" }, null);
  }
}

/** Whether a client may not come back after this close code. */
function isFinal(code) {
  return code === 1009 || (code >= 3500 && code < 4000) || (code >= 4500 && code < 5000);
}
