"""What applications do with the Centrifuge SDKs, unmodified (shared/PROTOCOL.md is what must come of it).

In: a daemon, a backend, an SDK on one of its wires. Out: nothing, or a broken case.

Never: knows which SDK it is, but for what that one cannot do.
"""
