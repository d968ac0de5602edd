#!/bin/bash
# QEMU 1:7.2+dfsg-7+deb12u18+b3 (Debian 12), qemu-system-mips64el with machine malta, and Debian's
# linux-image-6.1.0-50-5kc-malta 6.1.176-1 of mips64el; seen 2026-11-28.
#
# The kernel that Debian builds for this very board says nothing at all on its first serial port with
# the processor that QEMU gives the board where none is named; with "-cpu 5KEc" it boots.  Expected
# was that a board's default processor runs a kernel made for the board, or that QEMU says a word.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
root=$(debian_root qemu-system-mips=1:7.2+dfsg-7+deb12u18+b3) || exit 2
kernel=$(debian_kernel linux-image-6.1.0-50-5kc-malta mips64el 6.1.176-1) || exit 2
chroot "$root" qemu-system-mips64el --version | head -n 1
echo "$kernel"

# Prints how many bytes the kernel said in a minute, at most up to its panic for want of a root.
said() {
    rm -f "$root/tmp/serial"
    timeout 60 chroot "$root" qemu-system-mips64el -M malta -nodefaults -display none -m 512 \
        -kernel "/$kernel" -append 'console=ttyS0 panic=-1' -no-reboot -serial file:/tmp/serial "$@" \
        >"$work/said" 2>&1 || true
    cat "$work/said" >&2
    wc -c <"$root/tmp/serial"
}
other=$(said -cpu 5KEc)
default=$(said)
echo "with -cpu 5KEc: $other bytes; with the board's own processor: $default bytes"
((other > 1000 && default == 0))
