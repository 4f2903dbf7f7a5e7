"""What devices do with aiocoap: concurrent requests, bodies in blocks, observation.

usage: aiocoap_exchange.py PORT SCHEME, where SCHEME is coap or coap+tcp
"""

import asyncio
import sys

from aiocoap import GET, POST, PUT, Context, Message


async def main(port, scheme):
    context = await Context.create_client_context()
    base = f"{scheme}://127.0.0.1:{port}/ps/aiocoap/"

    async def ask(code, path, payload=b""):
        return await context.request(Message(code=code, uri=base + path, payload=payload)).response

    answers = await asyncio.gather(*(ask(POST, "many", b"%d" % number) for number in range(50)))
    print("concurrent", sum(answer.code.is_successful() for answer in answers))

    body = bytes(range(256)) * 400
    await ask(PUT, "large", body)
    print("large", (await ask(GET, "large")).payload == body)

    request = context.request(Message(code=GET, uri=base + "observed?q=1", observe=0))
    await request.response
    print("observing")
    wanted = [b"%d" % number for number in range(20)]
    seen = []

    async def collect():
        async for notification in request.observation:
            seen.append(notification.payload)
            if len(seen) == len(wanted):
                return

    collecting = asyncio.create_task(collect())
    for payload in wanted:
        await ask(POST, "observed", payload)
    await asyncio.wait_for(collecting, 30)
    print("observed", seen == wanted)
    await context.shutdown()


asyncio.run(main(int(sys.argv[1]), sys.argv[2]))
