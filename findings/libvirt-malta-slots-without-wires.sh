#!/bin/bash
# libvirt 9.0.0-4+deb12u2 with QEMU 1:7.2+dfsg-7+deb12u18+b3 (Debian 12), seen 2026-11-28.
#
# A mips64el domain of machine malta with a pci-serial that names no address: libvirt writes it to
# PCI slot 3, a slot without an interrupt, in which Debian's Linux 6.1 for this board brings no card up
# (malta-card-without-interrupt-has-no-space.sh).  QEMU, left alone, puts the same device into slot
# 12, one of the four with wires.  Expected was that libvirt's choice of an address is no worse than
# none.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
debian_libvirt qemu-system-mips=1:7.2+dfsg-7+deb12u18+b3 || exit 2
chroot "$root" qemu-system-mips64el --version | head -n 1

cat >"$root/tmp/domain.xml" <<XML
<domain type='qemu'>
  <name>board</name><memory unit='MiB'>128</memory>
  <os><type arch='mips64el' machine='malta'>hvm</type></os>
  <devices><emulator>/usr/bin/qemu-system-mips64el</emulator>
    <serial type='null'><target type='pci-serial'/></serial></devices>
</domain>
XML
theirs=$(libvirt_command | grep -oE 'pci-serial[^}]*"addr":"[^"]*"' | head -n 1) || true
own=$(printf '%s\n' '{"execute":"qmp_capabilities"}' '{"execute":"query-pci"}' '{"execute":"quit"}' |
    timeout 60 chroot "$root" qemu-system-mips64el -M malta -nodefaults -display none -S -qmp stdio \
        -chardev null,id=c -device pci-serial,id=own,chardev=c |
    python3 -c '
import json, sys
for line in sys.stdin:
    found = json.loads(line).get("return")
    for bus in found if isinstance(found, list) else []:
        print(*("%#x" % one["slot"] for one in bus["devices"] if one["qdev_id"] == "own"))')
printf 'libvirt: %s\nQEMU alone: %s\n' "$theirs" "$own"
[[ $theirs == *'"addr":"0x3"' && $own == 0x12 ]]
