import { SluiceSocket, matches } from "./socket.js";

const maximumShown = 500;
const systemTopics = ["$SYS/broker/clients/connected/+", "$SYS/broker/clients/connected", "$SYS/broker/version"];
const stateWords = { connecting: "Connecting", connected: "Connected", offline: "Offline, trying again", refused: "Signed out" };

const byID = (id) => document.getElementById(id);
let path = document.querySelector("meta[name=sluice-websocket]").content;
const socket = new SluiceSocket(async (attempt) => {
  // The path has a ticket for pages of the broker's own, which is another one when it has been started anew.
  if (attempt > 0) {
    const page = await (await fetch("./", { cache: "no-cache" })).text();
    path = page.match(/name="sluice-websocket" content="([^"]*)"/)?.[1].replaceAll("&amp;", "&") ?? path;
  }
  return new URL(path, location.origin.replace(/^http/, "ws") + location.pathname);
});
const subscriptions = new Map(filtersInAddress().map((filter) => [filter, 0]));
let credentials = {};
let received = 0;
let dropped = 0;
let isPaused = false;
let arriving = [];

// MARK: The connection

socket.addEventListener("state", async ({ detail: { state } }) => {
  byID("state").dataset.state = state;
  byID("state").textContent = stateWords[state];
  for (const button of document.querySelectorAll("form button[type=submit]")) {
    button.disabled = state !== "connected" && !button.closest("dialog");
  }
  if (state !== "connected") return;
  byID("account").hidden = !credentials.username;
  byID("account").textContent = "Switch user";
  const system = await Promise.all(systemTopics.map((topic) => socket.subscribe(topic, 0)));
  const isHidden = system.every(({ reason_codes: codes }) => !codes || codes[0] >= 128);
  say(byID("clients-note"), isHidden ? "The broker does not let you read its $SYS topics." : "");
  for (const [filter, qos] of subscriptions) subscribe(filter, qos);
});

socket.addEventListener("refused", ({ detail }) => {
  const isStranger = !credentials.username;
  signIn(isStranger ? "" : detail.detail ?? detail.reason);
});

socket.addEventListener("disconnect", ({ detail }) => { byID("state").title = detail.reason; });

socket.addEventListener("dropped", ({ detail: { count } }) => {
  dropped += count;
  showCount();
});

socket.addEventListener("message", ({ detail: message }) => {
  if (message.topic.startsWith("$SYS/")) systemMessage(message);
  if (![...subscriptions.keys()].some((filter) => matches(filter, message.topic))) return;
  received += 1;
  arriving.push({ ...message, time: new Date() });
  if (arriving.length > maximumShown) arriving.shift();
  if (arriving.length === 1) requestAnimationFrame(show);
});

function signIn(words) {
  const dialog = byID("sign-in");
  say(dialog.querySelector(".note"), words, "bad");
  byID("account").hidden = false;
  byID("account").textContent = "Sign in";
  if (!dialog.open) dialog.showModal();
}

byID("account").addEventListener("click", () => signIn(""));
byID("sign-in").querySelector("[value=cancel]").addEventListener("click", () => byID("sign-in").close());
byID("sign-in").querySelector("form").addEventListener("submit", (event) => {
  const form = new FormData(event.target);
  credentials = { username: form.get("username"), password: form.get("password") };
  event.target.elements.password.value = "";
  socket.connect(credentials);
});

// MARK: Subscriptions

async function subscribe(filter, qos) {
  const note = byID("subscribe").querySelector(".note");
  const { reason_codes: codes, detail, reason } = await socket.subscribe(filter, qos);
  if (codes && codes[0] < 128) {
    subscriptions.set(filter, codes[0]);
    say(note, "");
  } else {
    subscriptions.delete(filter);
    say(note, `${filter}: ${codes ? reasonWords(codes[0]) : detail ?? reason}`, "bad");
  }
  showSubscriptions();
}

async function unsubscribe(filter) {
  subscriptions.delete(filter);
  showSubscriptions();
  await socket.unsubscribe(filter);
  // It may have been one of the page's own.
  if (systemTopics.includes(filter)) socket.subscribe(filter, 0);
}

function showSubscriptions() {
  const chips = [...subscriptions].map(([filter, qos]) => {
    const remove = make("button", { type: "button", ariaLabel: `Unsubscribe from ${filter}`, textContent: "×" });
    remove.addEventListener("click", () => {
      unsubscribe(filter);
      byID("subscribe").elements.topic.focus();
    });
    return make("li", {}, make("span", { textContent: filter, title: filter }), make("small", { textContent: `QoS ${qos}` }), remove);
  });
  byID("subscriptions").replaceChildren(...chips);
  const address = [...subscriptions.keys()].map(encodeURIComponent).join("&");
  history.replaceState(null, "", `#${address}`);
}

/// Those of the link that was opened; all topics when it names none.
function filtersInAddress() {
  const filters = location.hash.slice(1).split("&").filter(Boolean);
  try {
    return filters.length ? filters.map(decodeURIComponent) : ["#"];
  } catch {
    return ["#"];
  }
}

function reasonWords(code) {
  return { 0x87: "not authorized", 0x8f: "not a Topic Filter", 0x97: "too many subscriptions" }[code] ?? `refused (${code})`;
}

byID("subscribe").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { topic, qos } = event.target.elements;
  await subscribe(topic.value, Number(qos.value));
  topic.select();
});

byID("subscribe").addEventListener("input", () => say(byID("subscribe").querySelector(".note"), ""));

// MARK: Publishing

byID("publish").addEventListener("submit", async (event) => {
  event.preventDefault();
  const { topic, payload, qos, retain } = event.target.elements;
  const note = event.target.querySelector(".note");
  const answer = await socket.publish({
    topic: topic.value, payload: payload.value, qos: Number(qos.value), retain: retain.checked,
  });
  if (answer.reason_code >= 128) return say(note, answer.detail ?? answer.reason, "bad");
  say(note, answer.reason_code === 0x10 ? "Published; nobody is subscribed." : "Published.", "good");
});

byID("publish").addEventListener("input", () => say(byID("publish").querySelector(".note"), ""));
byID("publish").elements.payload.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) byID("publish").requestSubmit();
});

// MARK: Messages

function show() {
  if (isPaused) return showCount();
  const list = byID("messages");
  const items = arriving.map(item).reverse();
  arriving = [];
  list.prepend(...items);
  while (list.children.length > maximumShown) list.lastElementChild.remove();
  showCount();
}

function item(message) {
  const time = message.time.toLocaleTimeString([], { hour12: false }) + "." + String(message.time.getMilliseconds()).padStart(3, "0");
  const payload = text(message);
  const heading = make("header", {}, make("span", { className: "topic", textContent: message.topic }));
  if (message.qos > 0) heading.append(make("span", { className: "badge", textContent: `QoS ${message.qos}` }));
  if (message.retain) heading.append(make("span", { className: "badge retained", textContent: "retained" }));
  if (message.payload_encoding) heading.append(make("span", { className: "badge", textContent: "binary, as base64" }));
  const type = message.properties?.content_type;
  if (type && !type.startsWith("text/plain")) heading.append(make("span", { className: "badge", textContent: type }));
  const made = make("li", { className: "message new" }, make("time", { textContent: time, dateTime: message.time.toISOString() }), heading, make("pre", { textContent: payload }));
  made.hidden = !isSought(made);
  return made;
}

/// JSON that is an object or a list is laid out.
function text({ payload, payload_encoding: encoding }) {
  if (encoding || !/^\s*[{[]/.test(payload) || payload.length > 20_000) return payload;
  try {
    const value = JSON.parse(payload);
    const line = JSON.stringify(value);
    return line.length < 100 ? payload : JSON.stringify(value, null, 2);
  } catch {
    return payload;
  }
}

function isSought(element) {
  return element.textContent.toLowerCase().includes(byID("search").value.toLowerCase());
}

function showCount() {
  byID("empty").hidden = received > 0;
  const held = isPaused && arriving.length ? `, ${arriving.length} held back` : "";
  const missed = dropped ? `, ${dropped.toLocaleString()} left out because this page was too slow` : "";
  byID("count").textContent = received ? `${received.toLocaleString()} received${held}${missed}` : "";
}

byID("search").addEventListener("input", () => {
  for (const element of byID("messages").children) element.hidden = !isSought(element);
});

byID("pause").addEventListener("click", () => {
  isPaused = !isPaused;
  byID("pause").setAttribute("aria-pressed", isPaused);
  byID("pause").textContent = isPaused ? "Resume" : "Pause";
  if (!isPaused) show();
});

byID("clear").addEventListener("click", () => {
  byID("messages").replaceChildren();
  arriving = [];
  received = 0;
  dropped = 0;
  showCount();
});

// MARK: The broker

const counts = {};

function systemMessage({ topic, payload }) {
  const name = topic.slice("$SYS/broker/".length);
  if (name === "version") byID("version").textContent = payload.replace("sluice version ", "");
  if (name === "clients/connected") byID("connected").textContent = Number(payload).toLocaleString();
  if (!name.startsWith("clients/connected/")) return;
  counts[name.slice("clients/connected/".length)] = Number(payload);
  const most = Math.max(1, ...Object.values(counts));
  for (const row of byID("clients").children) {
    const count = counts[row.dataset.protocol];
    row.querySelector("meter").value = (count ?? 0) / most;
    row.querySelector("output").textContent = count?.toLocaleString() ?? "–";
  }
}

// MARK: The page

byID("theme").addEventListener("click", () => {
  const isDark = getComputedStyle(document.documentElement).colorScheme === "dark"
    || (!document.documentElement.dataset.theme && matchMedia("(prefers-color-scheme: dark)").matches);
  setTheme(isDark ? "light" : "dark");
});

function setTheme(theme) {
  document.documentElement.dataset.theme = theme;
  try { localStorage.setItem("theme", theme); } catch { /* Then it is for this time only. */ }
}

function say(note, words, kind = "") {
  note.textContent = words;
  note.dataset.kind = kind;
}

function make(name, properties, ...children) {
  const element = Object.assign(document.createElement(name), properties);
  element.append(...children);
  return element;
}

try {
  const theme = localStorage.getItem("theme");
  if (theme) setTheme(theme);
} catch { /* A browser that keeps nothing. */ }
showSubscriptions();
showCount();
socket.connect();
