"""The HTTP box: what both servers and the client say their sentences in. It knows no sentence.

The servers' half stands on h11: `server.py` (accepts, counts, stops) gives each connection a thread,
which runs `connection.py` (request after request) on a `wire.py` (socket and h11, with `tls.py` between
them where there is a certificate). An application gets a `Request` (messages.py) with its `Body`, and a
`Responder`; `raw.py` is what is left when HTTP leaves a connection. `hangup.py` notices who has gone,
`limits.py` says how much anyone may take, `listeners.py` opens the doors. The client's half is `client.py` alone.

Nothing is imported here: the client starts in a millisecond.
"""
