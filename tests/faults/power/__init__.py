"""Power loss, simulated: a recorder below a real server's process, a disk that forgets what was not synced, checks.

`recorder.c` logs what a process and its children change below a folder, SQLite's writes as well as Python's.
`recorder.py` compiles it and switches its faults. `disk.py` and `pages.py` make from a log the states in which a
crash may leave the disk, by a seed. `history.py`, `traffic.py` and `trace.py` record a server that clients upload to,
and what it acknowledged when. `check.py` opens a store in such a state and says what is wrong with it; `site.py` does
so for a test.
"""
