"""Fanfare among others: clients, a proxy, a browser and a shell that other people wrote.

In: the built daemon, and what `scripts/setup interop` installs. Out: a line for each case.

Never: speaks WebSocket by itself. What the protocol's corners do is the suites' matter; here it is
whether the parts that people really use get along.
"""
