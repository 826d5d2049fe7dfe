// Every verb by the official client for JavaScript; prints what clients.py prints, as JSON. The folder with the
// packages, the gateway's address and a key are in the environment.
import { createRequire } from "node:module";
import process from "node:process";

const require = createRequire(`${process.env.MERGEKEY_CONTRACT_NODE}/node_modules/`);
const { default: OpenAI, AzureOpenAI } = require("openai");
const { MERGEKEY_GATEWAY: gateway, MERGEKEY_API_KEY: key } = process.env;
const model = "gpt-4.1";
const messages = [{ role: "user", content: "hello to you" }];
const parameters = { type: "object", properties: { city: { type: "string" } }, required: ["city"] };
const tools = [{ type: "function", function: { name: "weather", parameters } }];

const clients = {
  OpenAI: {
    key: () => new OpenAI({ baseURL: `${gateway}/openai/v1`, apiKey: "-", defaultHeaders: { "api-key": key }, maxRetries: 0 }),
    bearer: () => new OpenAI({ baseURL: `${gateway}/bearer/openai/v1`, apiKey: key, maxRetries: 0 }),
  },
  AzureOpenAI: {
    key: () => new AzureOpenAI({ endpoint: gateway, apiKey: key, apiVersion: "2025-04-01-preview", maxRetries: 0 }),
    bearer: () =>
      new AzureOpenAI({
        endpoint: `${gateway}/bearer`,
        azureADTokenProvider: async () => key,
        apiVersion: "2025-04-01-preview",
        maxRetries: 0,
      }),
  },
};

async function joined(stream, piece) {
  let text = "";
  for await (const event of stream) text += piece(event) ?? "";
  return text;
}

const calls = {
  models: async (client) => {
    const names = [];
    for await (const each of client.models.list()) names.push(each.id);
    return names.join(", ");
  },
  chat: async (client) => (await client.chat.completions.create({ model, messages })).choices[0].message.content,
  "chat, stream": async (client) =>
    joined(await client.chat.completions.create({ model, messages, stream: true }), (event) => event.choices[0]?.delta.content),
  tools: async (client) =>
    (await client.chat.completions.create({ model, messages, tools, tool_choice: "required" })).choices[0].message
      .tool_calls[0].function.arguments,
  completions: async (client) => (await client.completions.create({ model, prompt: "hello to you" })).choices[0].text,
  embeddings: async (client) => {
    const vector = (await client.embeddings.create({ model, input: "hi" })).data[0].embedding;
    const length = Math.round(vector.reduce((sum, each) => sum + each * each, 0) * 1000) / 1000;
    return `${vector.length} numbers of length ${length.toFixed(1)}`;
  },
  responses: async (client) => (await client.responses.create({ model, input: "hello to you" })).output_text,
  "responses, stream": async (client) =>
    joined(await client.responses.create({ model, input: "hello to you", stream: true }), (event) =>
      event.type === "response.output_text.delta" ? event.delta : "",
    ),
  images: async (client) =>
    Buffer.from((await client.images.generate({ model, prompt: "a cat" })).data[0].b64_json, "base64")
      .subarray(1, 4)
      .toString(),
};

const seen = {};
for (const [way, make] of Object.entries(clients[process.argv[2]])) {
  seen[way] = {};
  for (const [verb, call] of Object.entries(calls)) {
    try {
      seen[way][verb] = await call(make());
    } catch (error) {
      seen[way][verb] = `${error.name}: ${error.message}`.slice(0, 300);
    }
  }
}
console.log(JSON.stringify(seen));
