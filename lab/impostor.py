"""A stand-in that holds a site's lease and goes on renewing "announce", whatever happens to xsp-ha.

Lives in the lab only: it shows what the lease is for. Run as `python -m lab.impostor SOCKET PREFIX` inside the site.
Prints one line once the bridge announces for it.
"""

import asyncio
import sys
from ipaddress import ip_network

from bgp.client import LeaseClient
from bgp.route import Route

RENEW_S = 0.1
LINGER_MS = 300_000
HOLDS = "impostor holds the lease"


async def impersonate(socket: str, prefix: str) -> None:
    """Renew for ever."""
    client = LeaseClient(socket)
    route = Route(ip_network(prefix), (), None, 0)
    told = False
    while True:
        client.renew("announce", "impostor", LINGER_MS, (route,))
        if client.state == "announced" and not told:
            print(HOLDS, flush=True)
            told = True
        await asyncio.sleep(RENEW_S)


if __name__ == "__main__":
    asyncio.run(impersonate(sys.argv[1], sys.argv[2]))
