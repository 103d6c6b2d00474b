#!/usr/bin/env python3
"""Receives webhooks of a Tidings delivery: verifies each as Standard Webhooks says, and appends it to a file once,
however often it is sent.

    WEBHOOK_SECRET=whsec_… python3 receive.py [-listen 127.0.0.1:4000] [FILE]

Needs Python 3.9 or newer and nothing else.
"""

import argparse
import base64
import hashlib
import hmac
import json
import os
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOLERANCE = 300  # seconds that the sender's clock may differ, and a request may be late
LARGEST = 16 << 20  # bytes of a body


class Messages:
    """A file with a message a line. A line that a crash cut short is overwritten: it was never acknowledged."""

    def __init__(self, name):
        self.lock = threading.Lock()
        self.file = os.open(name, os.O_RDWR | os.O_CREAT, 0o600)
        with open(name, "rb") as file:
            content = file.read()
        self.size = content.rfind(b"\n") + 1
        os.ftruncate(self.file, self.size)
        self.seen = {json.loads(line)["id"] for line in content[: self.size].splitlines()}

    def store(self, message_id, body):
        with self.lock:
            if message_id in self.seen or message_id.startswith("test-"):
                return
            line = json.dumps({"id": message_id, "body": body.decode("utf-8", "replace")}).encode() + b"\n"
            done = 0
            while done < len(line):
                done += os.pwrite(self.file, line[done:], self.size + done)
            os.fsync(self.file)
            self.size += len(line)
            self.seen.add(message_id)


def verified(key, headers, body):
    message_id, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not sent.isdecimal() or abs(time.time() - int(sent)) > TOLERANCE:
        return False
    digest = hmac.new(key, f"{message_id}.{sent}.".encode() + body, hashlib.sha256).digest()
    want = b"v1," + base64.b64encode(digest)
    signatures = headers.get("webhook-signature", "").split(" ")  # two while a secret is replaced
    return any(hmac.compare_digest(want, signature.encode()) for signature in signatures)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        """204 says that the message is on disk; anything else makes Tidings send it again."""
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > LARGEST:
            self.close_connection = True
            return self.answer(413 if length.isdecimal() else 411)
        body = self.rfile.read(int(length))
        if len(body) < int(length) or not verified(self.server.key, self.headers, body):
            return self.answer(401)
        try:
            self.server.messages.store(self.headers["webhook-id"], body)
        except OSError as error:
            self.log_error("%s", error)
            return self.answer(500)
        self.answer(204)

    def answer(self, status):
        self.send_response(status)
        if status != 204:
            self.send_header("Content-Length", "0")
        self.end_headers()

    def log_request(self, code="-", size="-"):
        pass


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("-listen", default="127.0.0.1:4000")
    parser.add_argument("file", nargs="?", default="received.ndjson")
    args = parser.parse_args()
    prefix, _, secret = os.environ.get("WEBHOOK_SECRET", "").partition("_")
    if prefix != "whsec" or not secret:
        parser.error("WEBHOOK_SECRET: want the delivery's secret, whsec_ and base64")
    host, _, port = args.listen.rpartition(":")
    server = ThreadingHTTPServer((host, int(port)), Handler)
    server.key = base64.b64decode(secret)
    server.messages = Messages(args.file)
    print(f"listening on {host}:{server.server_port}", flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
