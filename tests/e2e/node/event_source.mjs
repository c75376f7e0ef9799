// Reads a turn as a browser does, with a standard EventSource, which reconnects by itself.
const wait = globalThis.setTimeout;
// Shorten its reconnect delay of three seconds.
globalThis.setTimeout = (then, ms, ...rest) => wait(then, Math.min(ms, 50), ...rest);

const { EventSource } = await import("eventsource");
const source = new EventSource(process.env.STREAM);
// A waiting EventSource does not keep the process alive.
const alive = setInterval(() => {}, 1000);
const result = { deltas: [], breaks: 0 };

source.onmessage = ({ data, lastEventId }) => {
  const event = JSON.parse(data);
  if (event.type === "reply.delta") {
    result.deltas.push(event.delta);
  } else if (event.type !== "turn.started") {
    result.end = { type: event.type, id: lastEventId };
  }
};
source.onerror = ({ code }) => {
  if (source.readyState !== EventSource.CLOSED) {
    result.breaks += 1;
    return;
  }
  // It stops reconnecting only after status 204: the stream has ended.
  clearInterval(alive);
  console.log(JSON.stringify({ ...result, text: result.deltas.join(""), status: code }));
};
