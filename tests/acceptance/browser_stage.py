"""A stage for `hubbub.js` in a browser: a WebSocket, a clock and a chance that the tests hold in their hands."""

STAGE = """
window.stage = async (options = {}) => {
  const module = await import("/hubbub.js");
  const sockets = [];
  const clock = {
    time: 1_000_000, count: 0, timers: new Map(),
    now() { return this.time; },
    setTimeout(call, ms) { this.timers.set(++this.count, { at: this.time + ms, call }); return this.count; },
    clearTimeout(id) { this.timers.delete(id); },
    async advance(ms) {
      const end = this.time + ms;
      for (;;) {
        const due = [...this.timers].filter(([, { at }]) => at <= end).sort(([, a], [, b]) => a.at - b.at)[0];
        if (!due) break;
        this.timers.delete(due[0]);
        this.time = Math.max(this.time, due[1].at);
        due[1].call();
        await settle();
      }
      this.time = end;
    },
    // As when a laptop slept: time passed, and no timer ran.
    sleep(ms) { this.time += ms; },
  };
  class FakeSocket {
    constructor(url, protocols) { Object.assign(this, { url, protocols, readyState: 1, sent: [] }); sockets.push(this); }
    send(text) { this.sent.push(JSON.parse(text)); }
    close(code) { this.readyState = 3; this.closeCode = code; }
    async say(...messages) {
      for (const message of messages) this.onmessage?.({ data: JSON.stringify(message) });
      await settle();
    }
    async drop(code = 1006, reason = "") { this.readyState = 3; this.onclose?.({ code, reason }); await settle(); }
    of(type) { return this.sent.filter((message) => message.type === type); }
    // Answers the latest command of a type.
    ack(type, more = {}) { return this.say({ type: "ack", ref: this.of(type).at(-1).ref, ...more }); }
  }
  const settle = async () => { for (let turn = 0; turn < 20; turn++) await null; };
  const client = new module.HubbubClient({ url: "/ws", WebSocket: FakeSocket, clock, random: () => 0.5, ...options });
  const states = [];
  client.on("state", (state) => states.push(state));
  return {
    ...module, client, clock, sockets, states, settle,
    get socket() { return sockets.at(-1); },
    welcome: { type: "welcome", user_id: "ada", session_id: "s1", heartbeat: 25 },
    joined: (more = {}) => ({
      type: "joined", room_id: "general", channel: "room:general", epoch: "e1", offset: 0, messages: [],
      members: ["ada"], active_users: 1, ...more,
    }),
    message: (offset, content = `m${offset}`, more = {}) => ({
      type: "message", channel: "room:general", room_id: "general", user_id: "bob", content, offset,
      id: `id${offset}`, timestamp: "2026-01-01T00:00:00Z", ...more,
    }),
    // What became of a promise, without waiting for it.
    outcome(promise) {
      const outcome = { state: "pending" };
      promise.then((value) => Object.assign(outcome, { state: "resolved", value }),
        (error) => Object.assign(outcome, { state: "rejected", code: error.code }));
      return outcome;
    },
    async connect() { client.connect(); await settle(); },
    async start(more = {}) { await this.connect(); await this.socket.say({ ...this.welcome, ...more }); },
    // Loses the connection and has the next one welcomed.
    async comeBack(more = {}) { await this.socket.drop(); await clock.advance(client.state.delay); await this.socket.say({ ...this.welcome, ...more }); },
  };
};
"""
