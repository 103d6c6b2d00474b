"""Follows a stream: follow.py aiohttp|aiohttp-default|httpx URL. Writes lines as follow.sh does."""

import asyncio
import sys

import aiohttp
import httpx

KINDS = ("message", "tidings.open", "tidings.gap", "tidings.end", "tidings.bye")


class Stream:
    """Makes events of lines. It outlives connections: id is the cursor."""

    def __init__(self):
        self.id, self.retry = "", 3.0
        self.begin()

    def begin(self):
        self.kind, self.data, self.next = "message", [], self.id

    def line(self, line):
        name, _, value = line.rstrip("\r\n").partition(":")
        value = value.removeprefix(" ")
        if name == "id":
            self.next = value
        elif name == "event":
            self.kind = value
        elif name == "data":
            self.data.append(value)
        elif name == "retry":
            self.retry = int(value) / 1000
        elif not name and not value:
            self.id = self.next
            if self.data and self.kind in KINDS:
                # line breaks lie between JSON tokens
                print(self.kind, self.id, "".join(self.data), sep="\t", flush=True)
            self.begin()


async def with_aiohttp(url, stream, **options):
    options.setdefault("timeout", aiohttp.ClientTimeout(total=None, sock_read=40))
    async with aiohttp.ClientSession(**options) as session:
        async with session.get(url, headers={"Last-Event-ID": stream.id}) as answer:
            if answer.status == 200:
                async for line in answer.content:
                    stream.line(line.decode())
            return answer.status


async def with_httpx(url, stream):
    async with httpx.AsyncClient(timeout=httpx.Timeout(5, read=40)) as client:
        async with client.stream("GET", url, headers={"Last-Event-ID": stream.id}) as answer:
            if answer.status_code == 200:
                async for line in answer.aiter_lines():
                    stream.line(line)
            return answer.status_code


async def follow(library, url):
    stream, status = Stream(), 0
    while status not in (204, 401, 403):
        stream.begin()
        try:
            if library == "httpx":
                status = await with_httpx(url, stream)
            elif library == "aiohttp":
                status = await with_aiohttp(url, stream, read_bufsize=2**20)
            else:
                status = await with_aiohttp(url, stream)
        except (aiohttp.ClientError, httpx.HTTPError, ValueError):
            pass  # it could not connect, the connection broke, or a line was too long
        if status not in (204, 401, 403):
            await asyncio.sleep(stream.retry)
    print("stopped", flush=True)


asyncio.run(follow(*sys.argv[1:]))
