#!/usr/bin/env node
// Publishes that an order was created, once however often it runs for this order, and prints the event's ID:
//
//     node publish.mjs [ORDER]
//
// TIDINGS_URL is the server's address, TIDINGS_TOKEN the token for it. Needs Node 18 or newer and nothing else.

import { setTimeout as sleep } from "node:timers/promises";

const giveUpAfter = 60_000; // milliseconds
const longestPause = 10_000;

/** The publish may or may not have failed, and may be retried with the same key. */
class Again extends Error {
  constructor(reason, after = 0) {
    super(reason);
    this.after = after; // milliseconds that the server asks to wait
  }
}

/** Publishes one event and returns its ID. The key names it: a repeated publish is the same event. */
async function publish(topic, type, key, event) {
  const base = process.env.TIDINGS_URL || "http://127.0.0.1:8080";
  const url = new URL(`${base.replace(/\/$/, "")}/v1/topics/${topic}/events`);
  const headers = new Headers({ "Content-Type": "application/json", "Event-Type": type, "Idempotency-Key": key });
  const token = process.env.TIDINGS_TOKEN;
  if (token) headers.set("Authorization", `Bearer ${token}`);
  const body = JSON.stringify(event);

  const deadline = performance.now() + giveUpAfter;
  for (let pause = 100; ; pause = Math.min(2 * pause, longestPause)) {
    try {
      return await post(url, headers, body);
    } catch (error) {
      if (!(error instanceof Again)) throw error;
      const wait = error.after + Math.random() * pause;
      if (performance.now() + wait > deadline) {
        throw new Error(`gave up, the event may be stored or not: ${error.message}`);
      }
      await sleep(wait);
    }
  }
}

async function post(url, headers, body) {
  let response, text;
  try {
    response = await fetch(url, { method: "POST", headers, body, signal: AbortSignal.timeout(10_000) });
    text = await response.text();
  } catch (error) {
    throw new Again(`no answer: ${error.cause?.message ?? error.message}`); // or it was cut off
  }
  if (response.ok) return JSON.parse(text).id;
  if (response.status === 408 || response.status === 429 || response.status >= 500) {
    const after = Number(response.headers.get("Retry-After")) || 0;
    throw new Again(`the server answered ${response.status}`, after * 1000);
  }
  throw new Error(`refused with ${response.status}: ${describe(text)}`);
}

function describe(text) {
  try {
    const { title, detail, code } = JSON.parse(text);
    return `${title}: ${detail} (${code})`;
  } catch {
    return text; // from a proxy, not from Tidings
  }
}

const order = process.argv[2] ?? "1001";
const event = { order, total: "79.87", currency: "EUR" };
try {
  // The key is named after what it announces, so that it is the same even after a crash.
  console.log(await publish("orders", "order.created", `order-${order}-created`, event));
} catch (error) {
  console.error(error.message);
  process.exitCode = 1;
}
