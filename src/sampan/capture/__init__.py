"""What watches a program that knows nothing of Sampan: a folder put first on the program's import path, and what it writes.

`inject/` is loaded by the watched Python itself, which need not be ours: it imports the standard library and nothing else. It reports; the
workspace (`workspace/runs/scripts.py`) records.
"""
