// npm's `centrifuge`, told what to do by another process. In: a line of JSON for each order, on stdin. Out: a
// line of JSON for each event, answer and question, on stdout. Payloads are `{json}` or `{base64}`.
//
// Never: decides anything: what the SDK reports is passed on as it is. Ends when stdin does.

"use strict";

const readline = require("readline");
const WebSocket = require("ws");
const builds = {
  json: require("centrifuge"),
  protobuf: require("centrifuge/build/protobuf"),
};

const peers = new Map();
const questions = new Map();
let asked = 0;

const tell = (fields) => process.stdout.write(JSON.stringify(fields) + "\n");

// A payload from here to there; the Protobuf build has bytes, which come as `{base64}`, too.
function pack(data) {
  if (data === undefined || data === null) return null;
  if (data instanceof Uint8Array) return { base64: Buffer.from(data).toString("base64") };
  return { json: data };
}

function unpack(payload) {
  if (payload === null || payload === undefined) return null;
  return payload.base64 === undefined
    ? payload.json
    : new Uint8Array(Buffer.from(payload.base64, "base64"));
}

function info(from) {
  return {
    client: from.client,
    user: from.user,
    conn_info: pack(from.connInfo),
    chan_info: pack(from.chanInfo),
  };
}

function publication(from) {
  return {
    data: pack(from.data),
    offset: from.offset || 0,
    tags: from.tags || {},
    info: from.info ? info(from.info) : null,
  };
}

function subscribed(from) {
  return {
    positioned: from.positioned,
    recoverable: from.recoverable,
    was_recovering: from.wasRecovering,
    recovered: from.recovered,
    ...from.streamPosition,
    data: pack(from.data),
  };
}

// How each event is told.
const told = {
  connecting: ({ code, reason }) => ({ code, reason }),
  connected: ({ client, data }) => ({ client, data: pack(data) }),
  disconnected: ({ code, reason }) => ({ code, reason }),
  error: ({ error, type }) => ({ code: error.code, message: `${type}: ${error.message}` }),
  message: ({ data }) => ({ data: pack(data) }),
  subscribing: ({ code, reason }) => ({ code, reason }),
  subscribed: subscribed,
  unsubscribed: ({ code, reason }) => ({ code, reason }),
  publication: (context) => ({ publication: publication(context) }),
  join: (context) => ({ info: info(context.info) }),
  leave: (context) => ({ info: info(context.info) }),
};
const OF_CLIENTS = ["connecting", "connected", "disconnected", "error", "message"];
const OF_SUBSCRIPTIONS = ["subscribing", "subscribed", "unsubscribed", "publication", "join", "leave"];

function watch(emitter, names, mark) {
  for (const name of names) {
    emitter.on(name, (context) => tell({ ...mark(context), event: name, fields: told[name](context) }));
  }
}

// Asks the other process, and gives its answer.
function ask(peer, what, channel) {
  const question = ++asked;
  tell({ peer, question, what, channel });
  return new Promise((resolve, reject) => questions.set(question, { resolve, reject }));
}

// The SDK takes any WebSocket; this one sends headers with its upgrade.
function socketWith(headers) {
  return class extends WebSocket {
    constructor(url, subprotocols) {
      super(url, subprotocols, { headers });
    }
  };
}

const orders = {
  peer({ peer, url, build, headers, data, asks, options }) {
    const settings = { ...options, websocket: socketWith(headers), data: unpack(data) };
    if (asks) settings.getToken = () => ask(peer, "token", "");
    const client = new builds[build].Centrifuge(url, settings);
    peers.set(peer, client);
    watch(client, OF_CLIENTS, () => ({ peer }));
    watch(client, OF_SUBSCRIPTIONS, ({ channel }) => ({ peer, channel }));
  },
  connect({ peer }) {
    peers.get(peer).connect();
  },
  disconnect({ peer }) {
    peers.get(peer).disconnect();
  },
  subscription({ peer, channel, data, asks, asksState, options }) {
    const settings = { ...options, data: unpack(data) };
    if (asks) settings.getToken = () => ask(peer, "token", channel);
    if (asksState) settings.getState = () => ask(peer, "state", channel);
    const subscription = peers.get(peer).newSubscription(channel, settings);
    watch(subscription, [...OF_SUBSCRIPTIONS, "error"], () => ({ peer, subscription: channel }));
  },
  subscribe({ peer, channel }) {
    peers.get(peer).getSubscription(channel).subscribe();
  },
  unsubscribe({ peer, channel }) {
    peers.get(peer).getSubscription(channel).unsubscribe();
  },
  answer({ question, value }) {
    questions.get(question).resolve(value);
    questions.delete(question);
  },
  call({ peer, call, name, args }) {
    calls[name](peers.get(peer), args).then(
      (result) => tell({ peer, call, result }),
      ({ code, message, temporary }) => tell({ peer, call, error: { code, message, temporary } }),
    );
  },
};

const calls = {
  async publish(client, { channel, data }) {
    await client.publish(channel, unpack(data));
    return null;
  },
  async history(client, { channel, options }) {
    const page = await client.history(channel, options);
    return { ...page, publications: page.publications.map(publication) };
  },
  async presence(client, { channel }) {
    const { clients } = await client.presence(channel);
    return Object.fromEntries(Object.entries(clients).map(([client, from]) => [client, info(from)]));
  },
  async presence_stats(client, { channel }) {
    const { numClients, numUsers } = await client.presenceStats(channel);
    return { num_clients: numClients, num_users: numUsers };
  },
  async rpc(client, { method, data }) {
    return pack((await client.rpc(method, unpack(data))).data);
  },
  async send(client, { data }) {
    await client.send(unpack(data));
    return null;
  },
};

// The SDK raises again here what it could not take.
process.on("unhandledRejection", (reason) => tell({ fault: String(reason && reason.stack) }));

readline
  .createInterface({ input: process.stdin })
  .on("line", (line) => {
    const order = JSON.parse(line);
    orders[order.order](order);
  })
  .on("close", () => process.exit(0));
