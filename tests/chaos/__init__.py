"""An independent chaos harness: a small cc-backend and a small Slurm around the installed commands.

It imports only the standard library and shares no code with the program or with the other tests,
so a wrong assumption about Slurm or cc-backend in one of them is not repeated here.
"""
