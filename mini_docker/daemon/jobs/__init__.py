"""The handlers: one verb, or one small family of verbs, a file. Each is a class that is called with its job.

Its first line decodes what the job was given into a frozen request; its collaborators come by constructor.
Read `create.py`, `start.py` and `exit.py`: a container's life; then any other by its name.
"""
