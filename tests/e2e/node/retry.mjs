// One durable call, as the SDK makes it: what breaks it tries again, by itself and without a key.
import OpenAI from "openai";

const completion = await new OpenAI().chat.completions.create({
  model: process.env.MODEL,
  messages: [{ role: "user", content: process.env.TEXT }],
  metadata: { session_id: process.env.SESSION },
});
console.log(JSON.stringify(completion));
