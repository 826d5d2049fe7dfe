// Microsoft's Service Bus SDK for JavaScript (@azure/service-bus), which speaks AMQP by another library (rhea) than
// the one for Python does. Runs in a process of its own. Standard input has a line of JSON per command,
// `{"do": name, ...}`; standard output answers each with a line, `{"error": code}` if it was refused.

import { createRequire } from "node:module";
import { createInterface } from "node:readline";

// The folder that has node_modules.
const require = createRequire(`${process.env.MERGEKEY_CONTRACT_NODE}/`);
const { ServiceBusClient } = require("@azure/service-bus");

// A receiver keeps what it was given until that is settled, oldest first.
let client;
const receivers = new Map();
const taken = new Map();

const read = (message) => ({
  body: message.body.toString(),
  id: message.messageId ?? null,
  session: message.sessionId ?? null,
  subject: message.subject ?? null,
  content_type: message.contentType ?? null,
  properties: message.applicationProperties ?? {},
  deliveries: message.deliveryCount,
  sequence: message.sequenceNumber.toString(),
  state: message.state,
  reason: message.deadLetterReason ?? null,
  description: message.deadLetterErrorDescription ?? null,
});

const written = ({ body, id, session, due, ...rest }) => ({
  body: Buffer.from(body),
  messageId: id,
  sessionId: session,
  ...rest,
});

const settled = {
  complete: (receiver, message) => receiver.completeMessage(message),
  abandon: (receiver, message, { properties }) => receiver.abandonMessage(message, properties),
  defer: (receiver, message, { properties }) => receiver.deferMessage(message, properties),
  deadletter: (receiver, message, { properties, reason, description }) =>
    receiver.deadLetterMessage(message, {
      ...properties,
      deadLetterReason: reason,
      deadLetterErrorDescription: description,
    }),
};

const commands = {
  async connect({ connection }) {
    client = new ServiceBusClient(connection, { retryOptions: { maxRetries: 0 } });
    return {};
  },
  // One by one, or as a batch.
  async send({ to, messages, batch = false }) {
    const sender = client.createSender(to);
    try {
      if (batch) {
        await sender.sendMessages(messages.map(written));
      } else {
        for (const message of messages) await sender.sendMessages(written(message));
      }
    } finally {
      await sender.close();
    }
    return {};
  },
  // `due` is a time in milliseconds since 1970; the sequence numbers come back.
  async schedule({ to, messages, due }) {
    const sender = client.createSender(to);
    const numbers = await sender.scheduleMessages(messages.map(written), new Date(due));
    await sender.close();
    return { sequences: numbers.map(String) };
  },
  async cancel({ to, sequences }) {
    const sender = client.createSender(to);
    await sender.cancelScheduledMessages(sequences.map((each) => require("long").fromString(each)));
    await sender.close();
    return {};
  },
  // `session` is a session's id, or null for any that has messages; without it there are no sessions.
  async open({ link, source, session, deadLetters = false }) {
    const options = { skipParsingBodyAsJson: true, ...(deadLetters && { subQueueType: "deadLetter" }) };
    let receiver;
    if (session === undefined) receiver = client.createReceiver(source, options);
    else if (session === null) receiver = await client.acceptNextSession(source, options);
    else receiver = await client.acceptSession(source, session, options);
    receivers.set(link, receiver);
    taken.set(link, []);
    return { session: receiver.sessionId ?? null };
  },
  async receive({ link, count = 1, seconds = 60 }) {
    const found = await receivers.get(link).receiveMessages(count, { maxWaitTimeInMs: seconds * 1000 });
    taken.get(link).push(...found);
    return { messages: found.map(read) };
  },
  async receiveDeferred({ link, sequence }) {
    const number = require("long").fromString(sequence);
    const found = await receivers.get(link).receiveDeferredMessages(number);
    taken.get(link).push(...found);
    return { messages: found.map(read) };
  },
  // From the beginning; by itself the SDK goes on where it was.
  async peek({ link, count = 10 }) {
    const first = { fromSequenceNumber: require("long").ZERO };
    return { messages: (await receivers.get(link).peekMessages(count, first)).map(read) };
  },
  async settle({ link, how, ...given }) {
    await settled[how](receivers.get(link), taken.get(link).shift(), given);
    return {};
  },
  // The lock of the oldest message, or of the session.
  async renew({ link }) {
    const receiver = receivers.get(link);
    const until = receiver.sessionId
      ? await receiver.renewSessionLock()
      : await receiver.renewMessageLock(taken.get(link)[0]);
    return { until: until.getTime() };
  },
  async state({ link, set }) {
    const receiver = receivers.get(link);
    if (set !== undefined) await receiver.setSessionState(set === null ? null : Buffer.from(set));
    const state = await receiver.getSessionState();
    return { state: state ? state.toString() : null };
  },
  async close({ link }) {
    await receivers.get(link).close();
    receivers.delete(link);
    return {};
  },
};

for await (const line of createInterface({ input: process.stdin })) {
  const { do: name, ...given } = JSON.parse(line);
  let answer;
  try {
    answer = await commands[name](given);
  } catch (error) {
    answer = { error: error.code ?? error.name, message: error.message };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`);
}
