#!/bin/bash
# libvirt 9.0.0-4+deb12u2 with QEMU 1:7.2+dfsg-7+deb12u18+b3 (Debian 12), seen 2026-11-28.
#
# Two <serial> elements with <target port='0'/> and no type: libvirt takes the domain, and its QEMU
# command has two isa-serial of index=0.  QEMU starts it without a word; both claim 0x3f8, and one of
# them is dead in the guest.  Expected was a refusal, as for two channels or controllers of one
# place; with <target type='isa-serial' port='0'/> on both, libvirt does refuse.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
debian_libvirt qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3 || exit 2
chroot "$root" qemu-system-x86_64 --version | head -n 1

# Prints the isa-serial devices of a domain whose serial ports have this target, or libvirt's words.
serials() {
    local port="<serial type='null'><target $1 port='0'/></serial>"
    cat >"$root/tmp/domain.xml" <<XML
<domain type='qemu'>
  <name>two</name><memory unit='MiB'>64</memory><os><type arch='x86_64' machine='pc'>hvm</type></os>
  <devices><emulator>/usr/bin/qemu-system-x86_64</emulator>$port$port</devices>
</domain>
XML
    libvirt_command |
        grep -oE 'isa-serial[^}]*index":[0-9]|error: [a-z].*' | head -n 2
}
untyped=$(serials "") || true
typed=$(serials "type='isa-serial'") || true
printf 'untyped:\n%s\ntyped:\n%s\n' "$untyped" "$typed"
[[ $(grep -c 'isa-serial.*"index":0' <<<"$untyped") == 2 && $typed != *'"index":0'* ]]
