"""Stand-ins for slow modules of the standard library, where each millisecond counts.

The shim brings them under the names of the real ones (:mod:`vmserial.shim.bundle`),
and so does the short way of ``showcmd`` (:mod:`vmserial.cli.quick`).  They know what
vmserial's own modules use, and no more; each has a test beside the real one.
"""
