"""The Docker Server box: an HTTP request comes in, one job is run, its output goes out. No logic.

Read `routes.py` (the table), `router.py` (finding a request's line in it), `server.py` (from a request to
its job), `conversations.py` (from the job's streams to the answer), `statuses.py` (from a failure to a
status), `serve.py` (the jobs that open the doors).
"""
