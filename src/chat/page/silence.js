// Whether anything comes from the other end of a call.

/** For how long nothing has come, by what the browser counts. */
export class Silence {
  #packets = 0;
  #at = 0;
  /** How often something was done about it. */
  tries = 0;

  /** Nothing ever came. */
  get isFirst() {
    return this.#packets === 0;
  }

  /** In milliseconds; 0 where something has come since the last look. */
  look(stats, now) {
    const packets = count(stats);
    if (packets === this.#packets) return now - this.#at;
    this.#packets = packets;
    this.#at = now;
    this.tries = 0;
    return 0;
  }

  /** Something was done: it is counted from here on. */
  again(now) {
    this.#at = now;
  }
}

/** All packets; Firefox counts them by stream only. */
function count(stats) {
  const all = stats.find((each) => each.type === "transport")?.packetsReceived;
  return all ?? stats.filter((each) => each.type === "inbound-rtp")
    .reduce((sum, each) => sum + (each.packetsReceived ?? 0), 0);
}
