"""The HTTP half of drivers. Real: sockets, TLS, aiohttp, requests and threads. Fake: the server (an HTTP stub that does as it is told) and
the clock. Asserted: how often something goes out, what comes back, and what is left behind."""
