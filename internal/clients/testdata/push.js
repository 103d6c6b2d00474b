// The push service of web-push-testing, which decrypts with http_ece, on a port.
import { createRequire } from 'node:module';

const require = createRequire(import.meta.url);
const { PushApiModel } = require('web-push-testing/src/PushApiModel.js');
const Server = require('web-push-testing/src/server.js');

new Server(new PushApiModel(), Number(process.argv[2])).startServer();
