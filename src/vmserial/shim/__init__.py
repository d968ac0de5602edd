"""The emulator shim: it stands where QEMU's path is and mends serial ports on the way.

Whoever starts QEMU (PVE, libvirt, a script) starts the shim instead.  It gets
the complete command line, mends the serial ports on it with
:mod:`vmserial.judging`, writes down what it changed, and becomes the real binary
by execv(2) in the same process.

=====================  ====================================================
:mod:`.boot`           what the wrapper file itself holds: trust, exec
:mod:`.start`          in the same process: facts, judge, journal
:mod:`.facts`          what was learnt at the installation, as JSON
:mod:`.bundle`         the modules that the wrapper needs, compiled
:mod:`.mark`           how a wrapper is known
:mod:`.tree`           the file system that it is installed into
:mod:`.diversion`      dpkg-divert
:mod:`.places`         where an installation's files are, and what is there
:mod:`.aim`            which binary, where the wrapper goes, what forbids it
:mod:`.install`        install and remove, atomic at each step
:mod:`.status`         is it whole, are its facts fresh
=====================  ====================================================
"""
