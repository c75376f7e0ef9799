// Calls Parley with the OpenAI SDK for Node, which reads the base URL and the token from the
// environment.
import OpenAI from "openai";

const { MODEL: model, SESSION: sessionId } = process.env;
const openai = new OpenAI({ maxRetries: 0 });
const messages = [{ role: "user", content: "Hello" }];
const tools = [{ type: "function", function: { name: "look_up", parameters: { type: "object" } } }];

async function read(stream) {
  const read = { ids: new Set(), text: "", arguments: "", finish: null, usage: null };
  try {
    for await (const chunk of stream) {
      read.ids.add(chunk.id);
      const [choice] = chunk.choices;
      read.text += choice?.delta.content ?? "";
      read.arguments += choice?.delta.tool_calls?.[0].function.arguments ?? "";
      read.finish = choice?.finish_reason ?? read.finish;
      read.usage = chunk.usage ?? read.usage;
    }
  } catch (error) {
    read.error = summary(error);
  }
  return { ...read, ids: [...read.ids] };
}

async function streamed(body) {
  return read(await openai.chat.completions.create({ model, stream: true, messages, ...body }));
}

async function refused(body) {
  try {
    return await openai.chat.completions.create({ model, messages, ...body });
  } catch (error) {
    return summary(error);
  }
}

function summary(error) {
  const { status, code, param } = error;
  return { kind: error.constructor.name, status, code, param };
}

const models = [];
for await (const each of openai.models.list()) models.push(each.id);

const durable = { metadata: { session_id: sessionId } };
const again = { model, messages: [{ role: "user", content: "Again" }] };
const session = { headers: { "Parley-Session-Id": sessionId } };

console.log(JSON.stringify({
  models,
  model: (await openai.models.retrieve(model)).id,
  whole: await openai.chat.completions.create({ model, messages }),
  streamed: await streamed({ stream_options: { include_usage: true } }),
  called: await streamed({ tools, messages: [{ role: "user", content: "[call 7]" }] }),
  died: await streamed({ messages: [{ role: "user", content: "[die 3]" }] }),
  unknown: await refused({ model: "nobody" }),
  first: await streamed(durable),
  second: await openai.chat.completions.create(again, session),
  system: await refused({ ...durable, messages: [{ role: "system", content: "Be brief." }] }),
}));
