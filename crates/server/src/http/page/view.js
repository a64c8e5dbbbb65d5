// What a person sees of a channel and of sockets. In: publications, members, happenings. Out: rows, figures, a
// chart.
//
// Never: sends anything; lets a flood of messages make the page grow or stall: rows are capped, and written in
// batches.

const $ = (id) => document.getElementById(id);

const MESSAGES_MAX = 400;
const EVENTS_MAX = 300;
/** How long rows wait for others. */
const BATCH_MS = 16;
const DETAIL_CHARS_MAX = 400;
const SECONDS_SHOWN = 60;
/** Latencies whose median is shown. */
const LATENCIES_MAX = 200;

function element(tag, properties = {}, ...children) {
  const { className, dataset, ...attributes } = properties;
  const made = document.createElement(tag);
  if (className) made.className = className;
  Object.assign(made.dataset, dataset);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/** A list whose rows are written a batch at a time, and whose oldest go. */
class Rows {
  #list;
  #max;
  #waiting = [];
  #isDue = false;
  #isAtEnd = true;

  constructor(list, max) {
    this.#list = list;
    this.#max = max;
    list.addEventListener("scroll", () => {
      this.#isAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 40;
    });
    new ResizeObserver(() => this.#stay()).observe(list);
  }

  /** Whoever has scrolled back is left where they are. */
  #stay() {
    if (this.#isAtEnd) this.#list.scrollTop = this.#list.scrollHeight;
  }

  add(row) {
    this.#waiting.push(row);
    if (this.#waiting.length > this.#max) this.#waiting.shift();
    if (this.#isDue) return;
    this.#isDue = true;
    // Not with a frame: a tab that goes to the background has none.
    setTimeout(() => this.#write(), BATCH_MS);
  }

  /** In front of all others. */
  prepend(rows) {
    this.#list.prepend(...rows);
    this.#stay();
  }

  clear() {
    this.#waiting = [];
    this.#isAtEnd = true;
    this.#list.replaceChildren();
  }

  #write() {
    this.#isDue = false;
    const list = this.#list;
    list.append(...this.#waiting.map((make) => make()));
    this.#waiting = [];
    while (list.childElementCount > this.#max) list.firstElementChild.remove();
    this.#stay();
  }
}

const messages = new Rows($("messages"), MESSAGES_MAX);
const events = new Rows($("events"), EVENTS_MAX);

/** A client's name on this page: what its id begins with. */
function short(client) {
  return client.slice(0, 6);
}

/** A colour of its own for each client. */
function hue(client) {
  let sum = 0;
  for (const char of client) sum = (sum * 31 + char.codePointAt(0)) % 360;
  return sum;
}

function person(client, label) {
  const dot = element("span", { className: "dot", "aria-hidden": "true" });
  dot.style.setProperty("--hue", hue(client));
  return [dot, label];
}

function milliseconds(value) {
  return value < 10 ? value.toFixed(1) : value.toFixed(0);
}

/** Publications of this page are objects with a text; others are shown as the JSON they are. */
function words(data) {
  if (typeof data === "string") return data;
  return typeof data?.text === "string" ? data.text : JSON.stringify(data);
}

const BADGES = { recovered: "recovered", earlier: "earlier" };

function publicationRow({ data, offset, info }, kind, own, latency) {
  const client = info?.client ?? "";
  const name = !client ? "API" : client === own ? "you" : info.user || short(client);
  const badge = BADGES[kind] ? [element("span", { className: "badge" }, BADGES[kind])] : [];
  const took = latency === null ? "" : `${milliseconds(latency)} ms`;
  return element(
    "li",
    { className: "message", dataset: { kind, offset: offset ?? "" } },
    element("span", { className: "offset", title: "offset" }, offset ? String(offset) : "–"),
    element("span", { className: "by" }, ...person(client, name)),
    element("span", { className: "text" }, words(data), ...badge),
    element("span", { className: "took", title: "from publish to here" }, took),
  );
}

function showPublication(...publication) {
  messages.add(() => publicationRow(...publication));
}

/** What was there before anything else. */
function showEarlier(publications, own) {
  messages.prepend(publications.map((pub) => publicationRow(pub, "earlier", own, null)));
}

/** A word between messages. */
function showNote(kind, text) {
  messages.add(() => element("li", { className: "note", dataset: { note: kind } }, text));
}

function showHappening({ socket, kind, detail }) {
  if ((kind === "message" || kind === "send") && !$("events-frames").checked) return;
  const time = new Date();
  const clock = time.toLocaleTimeString("en-GB") + "." + String(time.getMilliseconds()).padStart(3, "0");
  const text =
    detail.length > DETAIL_CHARS_MAX ? `${detail.slice(0, DETAIL_CHARS_MAX)}… (${detail.length} characters)` : detail;
  events.add(() =>
    element(
      "li",
      { dataset: { event: kind, socket } },
      element("time", {}, clock),
      element("span", { className: "socket" }, socket),
      element("span", { className: "kind" }, kind),
      element("code", {}, text),
    ),
  );
}

happenings.addEventListener("happening", ({ detail }) => showHappening(detail));

/** Who is on the channel. */
const members = new Map();

function showMembers(own) {
  $("presence-count").textContent = members.size;
  const shown = [...members.values()].slice(0, 60).map(({ client, user }) => {
    const label = client === own ? `${short(client)} (you)` : user ? `${user} ${short(client)}` : short(client);
    return element("li", { title: client, dataset: { client } }, ...person(client, label));
  });
  const more = members.size - shown.length;
  if (more > 0) shown.push(element("li", { className: "more" }, `and ${more} more`));
  $("presence").replaceChildren(...shown);
}

/** What arrived, second by second. */
const seconds = [];
const latencies = [];
let rateTop = 0;

function second() {
  const now = Math.floor(performance.now() / 1000);
  if (seconds.at(-1)?.at !== now) seconds.push({ at: now, count: 0, latencies: [] });
  while (seconds[0].at <= now - SECONDS_SHOWN) seconds.shift();
  return seconds.at(-1);
}

function count(latency) {
  const bucket = second();
  bucket.count += 1;
  if (latency === null) return;
  bucket.latencies.push(latency);
  latencies.push(latency);
  if (latencies.length > LATENCIES_MAX) latencies.shift();
}

function quantile(values, part) {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * part))];
}

function orderWords({ delivered, missing, doubled, lost }) {
  if (missing || doubled) return `${missing} missing, ${doubled} twice`;
  if (lost) return `in order; ${lost} lost, told`;
  return delivered ? "in order, none missing" : "nothing yet";
}

/** Figures and chart, as they are now. */
function showFigures(subscription) {
  const now = second().at;
  $("delivered").textContent = (subscription?.delivered ?? 0).toLocaleString("en");
  $("order").textContent = subscription ? orderWords(subscription) : "not subscribed";
  $("offset").textContent = subscription?.position?.offset.toLocaleString("en") ?? "–";
  $("epoch").textContent = subscription?.position ? `epoch ${subscription.position.epoch.slice(0, 8)}` : "no history";
  const last = seconds.find(({ at }) => at === now - 1)?.count ?? 0;
  rateTop = Math.max(rateTop, last);
  $("rate").firstChild.data = last.toLocaleString("en");
  $("rate-top").textContent = rateTop ? `at most ${rateTop.toLocaleString("en")}` : "last second";
  if (latencies.length) {
    $("latency").replaceChildren(milliseconds(quantile(latencies, 0.5)), element("small", {}, " ms"));
    $("latency-p99").textContent = `p99 ${milliseconds(quantile(latencies, 0.99))} ms`;
  }
  showChart(now);
}

const CHART = { width: 600, height: 72 };

/** The minute before this second, which is not over yet. */
function showChart(now) {
  const at = (n) => seconds.find((bucket) => bucket.at === now - SECONDS_SHOWN + n);
  const buckets = Array.from({ length: SECONDS_SHOWN }, (_, n) => at(n));
  const countMax = Math.max(1, ...buckets.map((bucket) => bucket?.count ?? 0));
  const medians = buckets.map((bucket) => (bucket?.latencies.length ? quantile(bucket.latencies, 0.5) : null));
  const latencyMax = Math.max(1, ...medians.filter((median) => median !== null));
  const width = CHART.width / SECONDS_SHOWN;
  const bars = buckets.map((bucket, n) => {
    const bar = $("bars").children[n] ?? $("bars").appendChild(document.createElementNS(SVG, "rect"));
    const height = ((bucket?.count ?? 0) / countMax) * (CHART.height - 6);
    const box = { x: n * width + 1, y: CHART.height - height, width: width - 2, height };
    for (const [name, value] of Object.entries(box)) bar.setAttribute(name, value.toFixed(1));
    return bucket?.count ?? 0;
  });
  // A second without a latency ends a line; one that stands alone is a dot.
  const points = medians.map((median, n) => {
    if (median === null) return "";
    const y = CHART.height - 3 - (median / latencyMax) * (CHART.height - 12);
    const point = `${((n + 0.5) * width).toFixed(1)} ${y.toFixed(1)}`;
    return medians[n - 1] == null ? `M${point}L${point}` : `L${point}`;
  });
  $("line").setAttribute("d", points.join(""));
  const total = bars.reduce((sum, value) => sum + value, 0);
  $("rate-scale").textContent = total ? `up to ${countMax.toLocaleString("en")}` : "";
  $("latency-scale").textContent = points.some(Boolean) ? `up to ${milliseconds(latencyMax)} ms` : "";
  const label = `${counted(total, "message")} in the last minute, at most ${countMax} in a second`;
  $("chart").setAttribute("aria-label", total ? label : "Nothing was delivered in the last minute");
}

const SVG = "http://www.w3.org/2000/svg";
