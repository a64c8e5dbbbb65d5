// npm's `ws`, told what to do by another process. In: a line of JSON for each order, on stdin. Out: a line
// of JSON for each event, on stdout; both carry the number of their socket. Bytes are in base64.
//
// Never: decides anything: what the library reports is passed on as it is. Ends when stdin does.

"use strict";

const readline = require("readline");
const WebSocket = require("ws");

const sockets = new Map();
const servers = new Map();

function tell(id, event, fields = {}) {
  process.stdout.write(JSON.stringify({ id, event, ...fields }) + "\n");
}

const payload = (data) => data.toString("base64");
const message = ({ text, base64 }) => (text !== undefined ? text : Buffer.from(base64, "base64"));

function refused(id, response) {
  const chunks = [];
  response.on("data", (chunk) => chunks.push(chunk));
  response.on("end", () =>
    tell(id, "refused", { status: response.statusCode, body: Buffer.concat(chunks).toString() }),
  );
  response.on("error", (error) => tell(id, "failed", { why: error.message }));
}

function watch(id, socket) {
  sockets.set(id, socket);
  socket.on("message", (data, isBinary) =>
    tell(id, "message", isBinary ? { base64: payload(data) } : { text: data.toString() }),
  );
  socket.on("ping", (data) => tell(id, "ping", { base64: payload(data) }));
  socket.on("pong", (data) => tell(id, "pong", { base64: payload(data) }));
  socket.on("close", (code, reason) => tell(id, "close", { code, reason: reason.toString() }));
  socket.on("error", (error) => tell(id, "failed", { why: error.message }));
}

const orders = {
  open({ id, url, subprotocols, options }) {
    const socket = new WebSocket(url, subprotocols, options);
    let headers = [];
    socket.on("upgrade", (response) => {
      headers = response.rawHeaders;
    });
    socket.on("open", () => tell(id, "open", { headers, subprotocol: socket.protocol }));
    socket.on("unexpected-response", (request, response) => refused(id, response));
    watch(id, socket);
  },
  // Listens for one client, whose socket has the number of the order.
  listen({ id, options, subprotocol }) {
    const chosen = (offered) => (offered.has(subprotocol) ? subprotocol : false);
    const server = new WebSocket.Server({
      ...options,
      host: "127.0.0.1",
      port: 0,
      handleProtocols: chosen,
    });
    servers.set(id, server);
    let headers = [];
    server.on("headers", (lines) => {
      headers = lines.slice(1).flatMap((line) => line.split(": ", 2));
    });
    server.on("listening", () => tell(id, "listening", { port: server.address().port }));
    server.on("connection", (socket) => {
      watch(id, socket);
      tell(id, "open", { headers, subprotocol: socket.protocol });
    });
  },
  unlisten({ id }) {
    servers.get(id).close();
  },
  send({ id, fragments }) {
    fragments.forEach((fragment, n) => {
      const options = { binary: fragment.text === undefined, fin: n + 1 === fragments.length };
      sockets.get(id).send(message(fragment), options);
    });
  },
  ping({ id, base64 }) {
    sockets.get(id).ping(Buffer.from(base64, "base64"));
  },
  pong({ id, base64 }) {
    sockets.get(id).pong(Buffer.from(base64, "base64"));
  },
  close({ id, code, reason }) {
    sockets.get(id).close(code, reason);
  },
  // Text of any bytes.
  bad({ id, base64 }) {
    sockets.get(id).send(Buffer.from(base64, "base64"), { binary: false });
  },
  terminate({ id }) {
    sockets.get(id).terminate();
  },
};

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const order = JSON.parse(line);
    orders[order.order](order);
  })
  .on("close", () => process.exit(0));
