#!/usr/bin/env python3
"""Publishes that an order was created, once however often it runs for this order, and prints the event's ID.

    python3 publish.py [ORDER]

TIDINGS_URL is the server's address, TIDINGS_TOKEN the token for it. Needs Python 3.9 or newer and nothing else.
"""

import http.client
import json
import os
import random
import sys
import time
import urllib.error
import urllib.request

GIVE_UP_AFTER = 60.0  # seconds
LONGEST_PAUSE = 10.0


class Again(Exception):
    """The publish may or may not have failed, and may be retried with the same key."""

    def __init__(self, reason, after=0):
        super().__init__(reason)
        self.after = after  # seconds that the server asks to wait


def publish(topic, event_type, key, event):
    """Publish one event and return its ID. The key names it: a repeated publish is the same event."""
    request = urllib.request.Request(
        f"{os.environ.get('TIDINGS_URL', 'http://127.0.0.1:8080').rstrip('/')}/v1/topics/{topic}/events",
        data=json.dumps(event, separators=(",", ":")).encode(),
        headers={"Content-Type": "application/json", "Event-Type": event_type, "Idempotency-Key": key},
    )
    if token := os.environ.get("TIDINGS_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")

    deadline = time.monotonic() + GIVE_UP_AFTER
    pause = 0.1
    while True:
        try:
            return post(request)
        except Again as again:
            wait = again.after + random.uniform(0, pause)
            if time.monotonic() + wait > deadline:
                raise TimeoutError(f"gave up, the event may be stored or not: {again}") from again
        time.sleep(wait)
        pause = min(2 * pause, LONGEST_PAUSE)


def post(request):
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return json.load(answer)["id"]
    except urllib.error.HTTPError as refusal:
        if refusal.code not in (408, 429) and refusal.code < 500:
            raise
        after = refusal.headers.get("Retry-After", "")
        raise Again(f"the server answered {refusal.code}", int(after) if after.isdecimal() else 0) from refusal
    except (OSError, http.client.HTTPException) as error:  # no response, or it was cut off
        raise Again(f"no answer: {error}") from error


def main():
    order = sys.argv[1] if len(sys.argv) > 1 else "1001"
    event = {"order": order, "total": "79.87", "currency": "EUR"}
    try:
        # The key is named after what it announces, so that it is the same even after a crash.
        print(publish("orders", "order.created", f"order-{order}-created", event))
    except urllib.error.HTTPError as refusal:
        sys.exit(f"refused with {refusal.code}: {describe(refusal)}")
    except TimeoutError as error:
        sys.exit(str(error))


def describe(refusal):
    body = refusal.read().decode(errors="replace")
    try:
        problem = json.loads(body)
        return f"{problem['title']}: {problem['detail']} ({problem['code']})"
    except (ValueError, LookupError, TypeError):  # from a proxy, not from Tidings
        return body


if __name__ == "__main__":
    main()
