// A receiver of webhooks that verifies with the official library: hooks.js PORT SECRET.
import { createServer } from 'node:http';
import { Webhook } from 'standardwebhooks';

const webhook = new Webhook(process.argv[3]);
const server = createServer(async (request, response) => {
  const pieces = await request.toArray();
  const id = request.headers['webhook-id'];
  try {
    webhook.verify(Buffer.concat(pieces), request.headers);
    console.log(`verified ${id}`);
    response.writeHead(204).end();
  } catch (error) {
    console.log(`refused ${id}: ${error.message}`);
    response.writeHead(401).end();
  }
});
server.listen(Number(process.argv[2]), '127.0.0.1', () => console.log('listening'));
