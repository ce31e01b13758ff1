"""What `cc-spool check --full` adds: does all fit, on Slurm's side, on cc-backend's, and here?

Most of it is pure: answers come in, `CheckResult` values go out; `look` and `slurm_questions` ask.
"""
