"""The classroom: a learner rebuilds mini_docker piece by piece, and every piece runs inside the whole.

Read `overlay.py` (the learner's file lies over ours), `merge.py` (how two files become one module), `starter.py`
(the sheet with blanks), `lab.py` (what a lab is), `grade.py` (how a solution is judged). It knows nothing of what the
labs teach: that is data, in the folder ``labs/``.
"""
