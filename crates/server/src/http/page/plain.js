// A plain WebSocket: every kind of message that a browser can send. In: a person's choice. Out: what came back,
// and whether it is what was sent.
//
// Never: takes a message for ours because of when it came: it has the same bytes, or it is somebody else's.

let plain = null;
/** What was sent and has not come back. */
let awaited = [];
/** Blobs are read in the order in which they came. */
let reading = Promise.resolve();
const results = new Rows($("raw-rows"), 60);

/** Bytes of every value; a random beginning tells one message from another. */
function binary() {
  const size = Number($("raw-size").value);
  const bytes = new Uint8Array(size).map((_, n) => n);
  crypto.getRandomValues(bytes.subarray(0, 16));
  return bytes;
}

/** Part of a larger buffer: only the part is to be sent. */
function within(bytes) {
  const larger = new Uint8Array(bytes.length + 24);
  larger.fill(0xee);
  larger.set(bytes, 8);
  return larger.buffer;
}

const KINDS = {
  text: () => $("raw-text").value,
  Blob: (bytes) => new Blob([bytes]),
  ArrayBuffer: (bytes) => bytes.buffer,
  Uint8Array: (bytes) => new Uint8Array(within(bytes), 8, bytes.length),
  DataView: (bytes) => new DataView(within(bytes), 8, bytes.length),
};

function rawPath() {
  const path = $("raw-path").value;
  return path === "/raw/" ? path + encodeURIComponent(current.channel) : path;
}

/** The socket, open: a new one if there is none, or if it leads elsewhere. */
function plainOpen() {
  const path = rawPath();
  if (plain?.path === path && plain.socket.readyState <= WebSocket.OPEN) return plain.isOpen;
  plainClose("another endpoint");
  const socket = opened(path, path);
  const isOpen = new Promise((resolve, reject) => {
    socket.addEventListener("open", () => resolve(socket));
    socket.addEventListener("close", (event) => reject(new Error(closeWords(event))));
  });
  isOpen.then(
    () => plainStatus(`${path} is open`),
    () => {},
  );
  socket.addEventListener("message", ({ data }) => {
    const at = performance.now();
    const from = plain?.socket === socket ? plain : null;
    if (from) reading = reading.then(() => came(data, at));
  });
  socket.addEventListener("close", (event) => {
    if (plain?.socket !== socket) return;
    plain = null;
    for (const { row } of awaited) row("lost", "–", closeWords(event));
    awaited = [];
    plainStatus(`closed: ${closeWords(event)}`);
  });
  plain = { path, socket, isOpen };
  plainStatus(`${path} opens`);
  return isOpen;
}

function plainClose(reason) {
  plain?.socket.close(1000, reason);
}

function plainStatus(text) {
  $("raw-status").textContent = text;
}

/** Sends a message of each of these kinds. */
async function sendKinds(kinds) {
  $("raw-rows").querySelector(".empty")?.remove();
  let socket;
  try {
    socket = await plainOpen();
  } catch (error) {
    return plainStatus(`does not open: ${error.message}`);
  }
  socket.binaryType = $("raw-type").value;
  for (const kind of kinds) {
    const bytes = kind === "text" ? new TextEncoder().encode($("raw-text").value) : binary();
    const sent = { kind, bytes, at: performance.now(), row: resultRow(kind, bytes.length) };
    awaited.push(sent);
    send(socket, plain.path, KINDS[kind](bytes));
  }
}

/** A row for a message that is on its way; gives how it is filled in. */
function resultRow(kind, size) {
  const cells = ["…", String(size.toLocaleString("en")), "…", ""];
  const tds = cells.map((text, n) => element("td", n % 2 ? { className: "number" } : {}, text));
  const row = element("tr", { dataset: { sent: kind, same: "" } }, element("th", { scope: "row" }, kind), ...tds);
  results.add(() => row);
  return (same, came, verdict, size = null, took = null) => {
    row.dataset.same = same;
    row.dataset.came = came;
    tds[0].textContent = came;
    if (size !== null) tds[1].textContent = size.toLocaleString("en");
    tds[2].textContent = verdict;
    if (took !== null) tds[3].textContent = `${milliseconds(took)} ms`;
  };
}

async function came(data, at) {
  const isText = typeof data === "string";
  const buffer = isText ? new TextEncoder().encode(data).buffer : data instanceof Blob ? await data.arrayBuffer() : data;
  const bytes = new Uint8Array(buffer);
  const equals = (sent) => (sent.kind === "text") === isText && isSame(sent.bytes, bytes);
  const n = awaited.findIndex(equals);
  const kind = kindOf(data);
  if (n >= 0) {
    const [sent] = awaited.splice(n, 1);
    return sent.row("yes", kind, "yes, byte by byte", bytes.length, at - sent.at);
  }
  if (plain?.path === "/echo" && awaited.length) {
    return awaited.shift().row("no", kind, "no: other bytes", bytes.length);
  }
  resultRow("(somebody else)", bytes.length)("other", kind, "not ours", bytes.length);
}

function isSame(a, b) {
  if (a.length !== b.length) return false;
  for (let n = 0; n < a.length; n++) if (a[n] !== b[n]) return false;
  return true;
}

$("raw-all").addEventListener("click", () => sendKinds(Object.keys(KINDS)));
for (const button of document.querySelectorAll("[data-sends]")) {
  button.addEventListener("click", () => sendKinds([button.dataset.sends]));
}
$("raw-close").addEventListener("click", () => plainClose("that was all"));
