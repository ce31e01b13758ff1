"""A stand-in for Slurm: squeue, scontrol and sacct as nine releases answer, and a controller.

Every answer is a recorded one of the release with the values of a job put in, so keys, shapes and
lines are those that the release printed. The stand-in uses only the standard library; its commands
import little, because each call starts a process.
"""
