#!/bin/bash
# QEMU 1:7.2+dfsg-7+deb12u18+b3 (Debian 12), machine q35, seen 2026-11-28.
#
# A pci-bridge without chassis_nr is refused with words that ask for a "unique chassis id > 0".  Only
# the "> 0" is checked: two bridges with the same chassis_nr start without a word.  Expected was what
# two pcie-root-port of one chassis and slot get: a refusal.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
root=$(debian_root qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3) || exit 2
chroot "$root" qemu-system-x86_64 --version | head -n 1

# Prints "starts", or QEMU's first words.
tried() {
    local said
    if said=$(echo quit | timeout 30 chroot "$root" qemu-system-x86_64 -M q35 -nodefaults -display none \
        -S -monitor stdio "$@" 2>&1 >"$work/monitor"); then
        echo starts
    else
        head -n 1 <<<"$said"
    fi
}
none=$(tried -device pci-bridge,id=b)
ports=$(tried -device pcie-root-port,id=a,chassis=1 -device pcie-root-port,id=b,chassis=1)
bridges=$(tried -device pci-bridge,id=a,chassis_nr=1 -device pci-bridge,id=b,chassis_nr=1)
printf 'a bridge without chassis_nr: %s\ntwo root ports of one chassis: %s\n' "$none" "$ports"
printf 'two bridges of one chassis_nr: %s\n' "$bridges"
[[ $none == *unique* && $ports == *"chassis slot"* && $bridges == starts ]]
