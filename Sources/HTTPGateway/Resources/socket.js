// A client of the WebSocket subprotocol sluice.json (docs/WEBSOCKET.md), without any library.

/// Tells of itself by the events "state", "message" and "refused".
export class SluiceSocket extends EventTarget {
  #url;
  #options = {};
  #socket = null;
  #waiting = new Map();
  #lastLabel = 0;
  #attempts = 0;
  #timer = null;
  #isWanted = false;
  #turn = 0;

  /// The URL, or a function that gives it when it is told how many times in a row connecting has failed.
  constructor(url) {
    super();
    this.#url = url;
  }

  /// Connects, and again whenever the connection is lost.
  connect(options = {}) {
    this.#options = options;
    this.#isWanted = true;
    this.#attempts = 0;
    this.#close();
    this.#open();
  }

  /// Resolves with the answer, whose reason codes say what was granted.
  subscribe(topic, qos) { return this.#ask({ op: "subscribe", topic, qos }); }

  unsubscribe(topic) { return this.#ask({ op: "unsubscribe", topic }); }

  publish(message) { return this.#ask({ op: "publish", ...message }); }

  async #open() {
    this.#announce("connecting");
    const turn = ++this.#turn;
    let url = this.#url;
    try {
      if (typeof url === "function") url = await url(this.#attempts);
    } catch {
      return turn === this.#turn ? this.#lost() : undefined;
    }
    if (turn !== this.#turn) return;
    const socket = new WebSocket(url, "sluice.json");
    this.#socket = socket;
    socket.onopen = () => socket.send(JSON.stringify({ op: "connect", ...this.#options }));
    socket.onmessage = (event) => { if (socket === this.#socket) this.#receive(JSON.parse(event.data)); };
    socket.onclose = () => { if (socket === this.#socket) this.#lost(); };
  }

  #close() {
    clearTimeout(this.#timer);
    this.#turn += 1;
    const socket = this.#socket;
    this.#socket = null;
    socket?.close(1000);
  }

  #receive(answer) {
    switch (answer.op) {
      case "message":
        this.dispatchEvent(new CustomEvent("message", { detail: answer }));
        if (answer.id) this.#socket.send(JSON.stringify({ op: "ack", id: answer.id }));
        break;
      case "connected":
        if (answer.reason_code >= 128) return this.#refused(answer);
        this.#attempts = 0;
        this.#announce("connected", answer);
        break;
      case "dropped":
        this.dispatchEvent(new CustomEvent("dropped", { detail: answer }));
        break;
      case "disconnect":
        this.dispatchEvent(new CustomEvent("disconnect", { detail: answer }));
        break;
      case "error":
        if (answer.id === undefined && !this.#waiting.size) return this.#refused(answer);
        // falls through
      default:
        this.#waiting.get(answer.id)?.(answer);
        this.#waiting.delete(answer.id);
    }
  }

  /// The broker said no: trying again with the same words would help nobody.
  #refused(answer) {
    this.#isWanted = false;
    this.#close();
    this.#announce("refused");
    this.dispatchEvent(new CustomEvent("refused", { detail: answer }));
  }

  #lost() {
    this.#socket = null;
    const gone = { op: "error", reason: "The connection was lost", reason_code: 0x80 };
    for (const resolve of this.#waiting.values()) resolve(gone);
    this.#waiting.clear();
    if (!this.#isWanted) return;
    this.#announce("offline");
    // Twice as long each time, up to half a minute, and never all clients at once.
    const longest = Math.min(30_000, 500 * 2 ** this.#attempts++);
    this.#timer = setTimeout(() => this.#open(), longest * (0.5 + Math.random() / 2));
  }

  #ask(operation) {
    if (this.#socket?.readyState !== WebSocket.OPEN) {
      return Promise.resolve({ op: "error", reason: "Not connected", reason_code: 0x80 });
    }
    const id = ++this.#lastLabel;
    this.#socket.send(JSON.stringify({ ...operation, id }));
    return new Promise((resolve) => this.#waiting.set(id, resolve));
  }

  #announce(state, answer) { this.dispatchEvent(new CustomEvent("state", { detail: { state, answer } })); }
}

/// Whether a Topic Filter matches a Topic Name (MQTT 5.0 §4.7).
export function matches(filter, topic) {
  if (filter.startsWith("$share/")) filter = filter.split("/").slice(2).join("/");
  if (topic.startsWith("$") && /^[+#]/.test(filter)) return false;
  const levels = topic.split("/");
  const wanted = filter.split("/");
  for (const [place, level] of wanted.entries()) {
    if (level === "#") return true;
    if (place >= levels.length || (level !== "+" && level !== levels[place])) return false;
  }
  return wanted.length === levels.length;
}
