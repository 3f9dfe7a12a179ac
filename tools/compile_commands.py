"""Writes compile_commands.json to stdout. usage: compile_commands.py CC CFLAGS SOURCE..."""
import json, os, shlex, sys

compiler, flags, *sources = sys.argv[1:]
rows = [dict(directory=os.getcwd(), file=s, arguments=[compiler, *shlex.split(flags), "-c", s]) for s in sources]
json.dump(rows, sys.stdout, indent=1)
