// Receives webhooks of a Tidings delivery: verifies each as Standard Webhooks says, and appends it to a file once,
// however often it is sent.
//
//     WEBHOOK_SECRET=whsec_… node receive.mjs [-listen 127.0.0.1:4000] [FILE]
//
// Needs Node.js 20 or newer and nothing else.
import { createHmac, timingSafeEqual } from 'node:crypto';
import { fsyncSync, ftruncateSync, openSync, readFileSync, writeSync, constants } from 'node:fs';
import { createServer } from 'node:http';
import { parseArgs } from 'node:util';

const TOLERANCE = 300; // seconds that the sender's clock may differ, and a request may be late
const LARGEST = 16 << 20; // bytes of a body

const { values, positionals: [name = 'received.ndjson'] } = parseArgs({
  args: process.argv.slice(2).map(arg => (arg === '-listen' ? '--listen' : arg)),
  options: { listen: { type: 'string', default: '127.0.0.1:4000' } },
  allowPositionals: true,
});
const [, secret] = /^whsec_(.+)$/.exec(process.env.WEBHOOK_SECRET ?? '') ?? [];
if (!secret) throw new Error("WEBHOOK_SECRET: want the delivery's secret, whsec_ and base64");
const key = Buffer.from(secret, 'base64');

// The file has a message a line. A line that a crash cut short is overwritten: it was never acknowledged.
const file = openSync(name, constants.O_RDWR | constants.O_CREAT, 0o600);
const content = readFileSync(name);
let size = content.lastIndexOf('\n') + 1;
ftruncateSync(file, size);
const seen = new Set(content.toString('utf8', 0, size).split('\n').filter(Boolean).map(line => JSON.parse(line).id));

function verified(headers, body) {
  const { 'webhook-id': id = '', 'webhook-timestamp': time = '', 'webhook-signature': signatures = '' } = headers;
  if (!(Math.abs(Date.now() / 1000 - Number(time)) <= TOLERANCE)) return false;
  const want = createHmac('sha256', key).update(`${id}.${time}.`).update(body).digest();
  return signatures.split(' ').some(text => { // two while a secret is replaced
    const got = Buffer.from(text.replace(/^v1,/, ''), 'base64');
    return text.startsWith('v1,') && got.length === want.length && timingSafeEqual(got, want);
  });
}

function store(id, body) {
  if (seen.has(id) || id.startsWith('test-')) return;
  const line = Buffer.from(`${JSON.stringify({ id, body: body.toString() })}\n`);
  for (let done = 0; done < line.length;) done += writeSync(file, line, done, line.length - done, size + done);
  fsyncSync(file);
  size += line.length;
  seen.add(id);
}

// 204 says that the message is on disk; anything else makes Tidings send it again.
const server = createServer(async (request, response) => {
  try {
    const pieces = [];
    let length = 0;
    for await (const piece of request) {
      if ((length += piece.length) > LARGEST) return response.writeHead(413).end();
      pieces.push(piece);
    }
    const body = Buffer.concat(pieces);
    if (!verified(request.headers, body)) return response.writeHead(401).end('not signed with WEBHOOK_SECRET, or too late\n');
    store(request.headers['webhook-id'], body);
    response.writeHead(204).end();
  } catch (error) {
    console.error(error);
    if (!response.headersSent) response.writeHead(500).end();
  }
});
const { hostname, port } = new URL(`http://${values.listen}`);
server.listen(Number(port || 80), hostname, () => console.log(`listening on ${hostname}:${server.address().port}`));
