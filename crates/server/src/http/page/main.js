// The page's own connection. In: clicks, and what becomes of sockets. Out: commands; a state that says what is.
//
// Never: comes back after a close code that is final.

const CUT_MS = 3000;
/** The most that a connect may take. */
const ANSWER_MS_MAX = 5000;
const RETRY_MS = { min: 500, max: 10_000 };
const CLOCK_DRIFT_MS_MAX = 50;
const CHANNEL_DEFAULT = "demo";

let session = null;
let client = "";
let current = null;
let retries = 0;
let timer = 0;
let countdown = 0;

/** `state`: closed, connecting, connected, subscribed, cut, waiting. */
function become(state, text) {
  clearInterval(countdown);
  $("countdown").textContent = "";
  document.body.dataset.state = state;
  $("status").textContent = text;
  const isOn = state === "connected" || state === "subscribed";
  $("connect").disabled = isOn || state === "connecting" || state === "cut";
  $("connect").textContent = state === "waiting" ? "Connect now" : "Connect";
  $("disconnect").disabled = state === "closed";
  for (const id of ["cut", "cut-lose"]) $(id).disabled = state !== "subscribed";
  $("cut-lose").disabled ||= Boolean(apiPort);
  $("publish").disabled = !isOn;
  $("unsubscribe").disabled = state !== "subscribed";
  showCommands();
}

/** The same; the seconds that are left stand beside it, where no screen reader reads each of them. */
function becomeFor(state, ms, text) {
  become(state, text);
  const end = performance.now() + ms;
  const show = () => {
    $("countdown").textContent = `${Math.max(0, Math.ceil((end - performance.now()) / 1000))} s`;
  };
  show();
  countdown = setInterval(show, 250);
}

function connect() {
  clearTimeout(timer);
  become("connecting", "Connecting");
  const own = new Session("session", {
    push: (push) => push.channel === current.channel && current.take(own, push),
    closed: (event) => own === session && disconnected(event),
  });
  session = own;
  timer = setTimeout(() => {
    own.leave();
    disconnected({ code: 0, reason: `no answer within ${ANSWER_MS_MAX / 1000} s` });
  }, ANSWER_MS_MAX);
  own.connect((error, result) => {
    if (own !== session) return;
    clearTimeout(timer);
    if (error) return error.code && connectRefused(error);
    retries = 0;
    client = result.client;
    become("connected", `Connected as ${short(client)}`);
  });
  current.begin(own); // in the same frame
}

function connectRefused({ code, message, temporary }) {
  session.leave();
  if (temporary) return disconnected({ code, reason: message });
  left();
  became("closed", `Refused: ${code} ${message}`);
}

/** The end of a connection that was to go on. */
function disconnected({ code, reason }) {
  left();
  const why = code ? `${code} ${reason || "(no reason)"}` : reason;
  if (isFinal(code)) return became("closed", `Closed for good: ${why}`);
  const delay = Math.min(RETRY_MS.max, RETRY_MS.min * 2 ** retries) * (0.75 + Math.random() / 2);
  retries += 1;
  if (retries === 1) showNote("cut", `Connection lost: ${why}`);
  becomeFor("waiting", delay, `Lost: ${why}. Again in`);
  timer = setTimeout(connect, delay);
}

/** A state that is worth a line among the messages. */
function became(state, text) {
  become(state, text);
  showNote("cut", text);
}

function left() {
  session = null;
  current.isLive = false;
  members.clear();
  showMembers(client);
}

function disconnect() {
  clearTimeout(timer);
  session?.leave(1000, "disconnected by the page");
  left();
  became("closed", "Disconnected");
}

/** Cuts the connection; somebody else publishes; then it comes back to where it stood. */
async function cut(losesHistory) {
  const { channel } = current;
  session.leave(4000, "cut by the page");
  left();
  showNote("cut", "Connection cut. Somebody else publishes meanwhile.");
  becomeFor("cut", CUT_MS, "Cut. Back in");
  timer = setTimeout(connect, CUT_MS);
  const other = new Session("somebody else", { push: () => {}, closed: () => {} });
  try {
    other.connect(() => {});
    for (const number of ["one", "two", "three"]) {
      await new Promise((resolve) => setTimeout(resolve, CUT_MS / 8));
      await other.answer("publish", { channel, data: said(`while you were away: ${number}`) });
    }
    if (losesHistory) await api("history_remove", { channel });
  } catch (error) {
    problem(`Nobody could publish meanwhile: ${error.message}`);
  } finally {
    other.leave();
  }
}

async function api(method, fields) {
  const answer = await fetch(`/api/${method}`, { method: "POST", body: JSON.stringify(fields) });
  if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
  const { error, result } = await answer.json();
  if (error) throw new Error(`${error.code} ${error.message}`);
  return result;
}

let origin = performance.timeOrigin;

/** Milliseconds since the epoch, and parts of them: tabs of one machine agree on it, whichever slept. */
function now() {
  const drift = Date.now() - origin - performance.now();
  if (Math.abs(drift) > CLOCK_DRIFT_MS_MAX) origin += drift;
  return origin + performance.now();
}

function said(text) {
  return { text, at: Math.round(now() * 100) / 100 };
}

function publish(text) {
  if (!session) return;
  session.ask("publish", { channel: current.channel, data: said(text) }, (error) => {
    if (error?.code) problem(`Not published: ${error.code} ${error.message}`);
  });
}

function problem(text) {
  $("problem").textContent = text;
}

function take(pub, kind) {
  const at = kind === "live" && typeof pub.data?.at === "number" ? pub.data.at : null;
  const latency = at === null ? null : Math.max(0, now() - at);
  count(latency);
  showPublication(pub, kind, client, latency);
}

function subscriptionTo(channel, isNew) {
  members.clear();
  const own = new Subscription(channel, isNew, {
    subscribed: () => become("subscribed", `Subscribed to ${channel}`),
    publication: take,
    earlier: (pubs) => showEarlier(pubs, client),
    note: showNote,
    presence: (clients) => {
      members.clear();
      for (const info of clients) members.set(info.client, info);
      showMembers(client);
    },
    joined: (info) => {
      members.set(info.client, info);
      showMembers(client);
      if (info.client !== client) showNote("join", `${short(info.client)} has joined`);
    },
    left: (info) => {
      members.delete(info.client);
      showMembers(client);
      if (info.client !== client) showNote("leave", `${short(info.client)} has left`);
    },
    again: (from) => from === session && current === own && own.begin(from),
    ended: (text) => {
      became("connected", text);
      members.clear();
      showMembers(client);
    },
  });
  return own;
}

function subscribe(channel) {
  if (session && current.isLive) session.ask("unsubscribe", { channel: current.channel });
  const isNew = channel !== current.channel;
  if (isNew) messages.clear();
  current = subscriptionTo(channel, isNew);
  if (session) current.begin(session);
  else connect();
  showCommands();
}

function unsubscribe() {
  const { channel } = current;
  session.ask("unsubscribe", { channel });
  current = subscriptionTo(channel, false);
  showMembers(client);
  became("connected", `Unsubscribed from ${channel}`);
}

/** The port of the API, if it has one of its own. */
const { apiPort } = document.documentElement.dataset;

function quoted(text) {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function curl(method, fields) {
  const base = apiPort ? `http://127.0.0.1:${apiPort}` : location.origin;
  return `curl -d ${quoted(JSON.stringify(fields))} ${base}/api/${method}`;
}

/** What this page tells people to type. */
function showCommands() {
  const { channel } = current;
  $("curl").textContent = curl("publish", { channel, data: { text: "hello from a terminal" } });
  $("curl-disconnect").textContent = client
    ? curl("disconnect", { user: "", client })
    : "(once the page is connected)";
  $("second").href = `#${encodeURIComponent(channel)}`;
  $("raw-path").options[1].textContent = `/raw/${channel}`;
  $("snippet").textContent = `new Centrifuge("${address("/connection/websocket")}")`;
}

async function copy(button) {
  const source = $(button.dataset.copies);
  let done = "Copied";
  try {
    await navigator.clipboard.writeText(source.textContent);
  } catch {
    getSelection().selectAllChildren(source);
    done = "Selected";
  }
  button.textContent = done;
  setTimeout(() => (button.textContent = "Copy"), 1500);
}

function channelOfHash() {
  let name = location.hash.slice(1);
  try {
    name = decodeURIComponent(name);
  } catch {
    // as it stands there
  }
  return name || CHANNEL_DEFAULT;
}

let autoTimer = 0;
function publishByItself(perSecond) {
  clearInterval(autoTimer);
  let number = 0;
  if (perSecond) autoTimer = setInterval(() => publish(`message ${++number}`), 1000 / perSecond);
}

$("connect").addEventListener("click", connect);
$("disconnect").addEventListener("click", disconnect);
$("cut").addEventListener("click", () => cut(false));
$("cut-lose").addEventListener("click", () => cut(true));
$("unsubscribe").addEventListener("click", unsubscribe);
$("subscription").addEventListener("submit", (event) => {
  event.preventDefault();
  const channel = $("channel").value.trim() || CHANNEL_DEFAULT;
  history.replaceState(null, "", `#${encodeURIComponent(channel)}`);
  subscribe(channel);
});
$("composer").addEventListener("submit", (event) => {
  event.preventDefault();
  problem("");
  publish($("message").value || "hello");
  $("message").value = "";
});
$("auto").addEventListener("change", () => publishByItself(Number($("auto").value)));
$("events-clear").addEventListener("click", () => events.clear());
for (const button of document.querySelectorAll(".copy")) {
  button.addEventListener("click", () => copy(button));
}
addEventListener("hashchange", () => {
  $("channel").value = channelOfHash();
  if (channelOfHash() !== current.channel) subscribe(channelOfHash());
});

current = subscriptionTo(channelOfHash(), true);
$("channel").value = current.channel;
connect();
setInterval(() => showFigures(current), 250);
showFigures(current);
