// Follows a turn as a browser does: a standard EventSource, which comes back by itself.
const wait = globalThis.setTimeout;
// It waits for three seconds before it comes back; a test has no time for that.
globalThis.setTimeout = (then, ms, ...rest) => wait(then, Math.min(ms, 50), ...rest);

const { EventSource } = await import("eventsource");
const source = new EventSource(process.env.STREAM);
// An EventSource that waits does not keep the process alive.
const alive = setInterval(() => {}, 1000);
const told = { deltas: [], breaks: 0 };

source.onmessage = ({ data, lastEventId }) => {
  const event = JSON.parse(data);
  if (event.type === "reply.delta") {
    told.deltas.push(event.delta);
  } else if (event.type !== "turn.started") {
    told.end = { type: event.type, id: lastEventId };
  }
};
source.onerror = ({ code }) => {
  if (source.readyState !== EventSource.CLOSED) {
    told.breaks += 1;
    return;
  }
  // It gives up for good only when it is told that nothing more will come.
  clearInterval(alive);
  console.log(JSON.stringify({ ...told, text: told.deltas.join(""), status: code }));
};
