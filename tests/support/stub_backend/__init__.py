"""A stand-in for cc-backend 1.0.0 ... 1.5.4: tables, rules and texts as real servers showed them.

`model.Model` is one server without a network, `wire.http` puts it behind a socket. It uses only the
standard library, so that it also runs where nothing is installed.
"""
