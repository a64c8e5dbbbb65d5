// One subscription, and where it stands. In: replies and pushes. Out: publications, each offset once, in order,
// or a word on what is lost.
//
// Never: trusts that the server keeps the order: it counts.

class Subscription {
  /** `isNew`: what was published before is wanted, too. `on`: subscribed(), publication(pub, kind), earlier(pubs), note(kind, text), presence(clients), joined(info),
   * left(info), again(session), ended(text). */
  constructor(channel, isNew, on) {
    this.channel = channel;
    this.isNew = isNew;
    this.on = on;
    this.position = null;
    this.isLive = false;
    this.missing = 0;
    this.doubled = 0;
    this.lost = 0;
    this.delivered = 0;
  }

  /** Subscribes, and catches up with what was published since `position`. */
  begin(session) {
    const { channel, position } = this;
    const past = position && { recover: true, offset: position.offset, epoch: position.epoch };
    const asks = { channel, positioned: true, recoverable: true, join_leave: true };
    session.ask("subscribe", { ...asks, ...past }, (error, result) => {
      if (error) return this.#refused(session, error);
      this.isLive = true;
      const before = position?.offset ?? 0;
      const publications = result.publications ?? [];
      const top = result.offset ?? 0;
      if (past && !result.recovered) this.#lost(position, result);
      this.position = result.epoch
        ? { offset: past && result.recovered ? before : top, epoch: result.epoch }
        : null;
      for (const pub of publications) this.#publication(pub, "recovered");
      if (past && result.recovered) this.#recovered(publications.length);
      if (!past) this.on.note("subscribed", `Subscribed to ${channel}`);
      if (!past && top > 0 && this.isNew) this.#earlier(session, top);
      this.#members(session);
      this.on.subscribed();
    });
  }

  /** A push for this channel. */
  take(session, push) {
    if (!this.isLive) return;
    if (push.pub) return this.#publication(push.pub, "live");
    if (push.join) return this.on.joined(push.join.info);
    if (push.leave) return this.on.left(push.leave.info);
    if (!push.unsubscribe) return;
    this.isLive = false;
    const { code, reason } = push.unsubscribe;
    if (code >= 2500) {
      this.on.note("lost", `The server asks to subscribe again: ${code} ${reason}`);
      this.begin(session);
    } else {
      this.on.ended(`Unsubscribed by the server: ${code} ${reason}`);
    }
  }

  #refused(session, { code, message, temporary }) {
    if (code === 0) return; // the connection has ended: the next one begins anew
    if (!temporary) return this.on.ended(`Subscribe is refused: ${code} ${message}`);
    this.on.note("lost", `Not yet: ${code} ${message}`);
    setTimeout(() => this.on.again(session), 1000);
  }

  #publication(pub, kind) {
    const { offset } = pub;
    if (offset && this.position) {
      const gap = offset - this.position.offset - 1;
      if (gap > 0) {
        this.missing += gap;
        this.on.note("lost", `${counted(gap, "message")} missing in front of ${offset}`);
      } else if (gap < 0) {
        this.doubled += 1;
      }
      this.position.offset = Math.max(offset, this.position.offset);
    }
    this.delivered += 1;
    this.on.publication(pub, kind);
  }

  #recovered(count) {
    const what = count ? `${counted(count, "message")} recovered` : "Nothing was missed";
    this.on.note("recovered", `Back. ${what}.`);
  }

  /** The server can't give all that was published meanwhile: it says so, and so do we. */
  #lost(before, { epoch, offset = 0 }) {
    const count = offset - before.offset;
    const range = count === 1 ? `offset ${offset}` : `offsets ${before.offset + 1} to ${offset}`;
    const what =
      epoch === before.epoch && count > 0
        ? `${counted(count, "message")} lost (${range}): the history no longer has all of them`
        : "some messages may be lost: the channel has begun anew";
    this.lost += Math.max(count, 1);
    this.on.note("lost", `Back, but not recovered: ${what}.`);
  }

  /** What was published before we came, to have something to look at. */
  async #earlier(session, top) {
    const asks = { channel: this.channel, limit: EARLIER_MAX, reverse: true };
    const page = await session.answer("history", asks).catch(() => null);
    const publications = (page?.publications ?? []).filter(({ offset }) => offset <= top);
    this.on.earlier(publications.reverse());
  }

  async #members(session) {
    const found = await session.answer("presence", { channel: this.channel }).catch(() => null);
    if (found) this.on.presence(Object.values(found.presence ?? {}));
  }
}

/** Earlier publications that a newcomer sees. */
const EARLIER_MAX = 10;

function counted(count, noun) {
  return `${count.toLocaleString("en")} ${noun}${count === 1 ? "" : "s"}`;
}
