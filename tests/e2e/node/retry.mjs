// One completion in a session; the SDK repeats a broken request by itself, without a key.
import OpenAI from "openai";

const completion = await new OpenAI().chat.completions.create({
  model: process.env.MODEL,
  messages: [{ role: "user", content: process.env.TEXT }],
  metadata: { session_id: process.env.SESSION },
});
console.log(JSON.stringify(completion));
