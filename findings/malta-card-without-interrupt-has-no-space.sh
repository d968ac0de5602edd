#!/bin/bash
# QEMU 1:7.2+dfsg-7+deb12u18+b3 (Debian 12), qemu-system-mips64el with machine malta, and Debian's
# linux-image-6.1.0-50-5kc-malta 6.1.176-1 of mips64el; seen 2026-11-28.
#
# Of malta's PCI slots only 12 to 15 have interrupts.  QEMU gives out these alone by itself, and takes
# a pci-serial at any other that is asked for without a word.  Linux then finds the card, gives it its
# I/O ports, enables it, and its 8250 driver ends with error -28, "no space left", although the
# fourth of its four lines is free: in slot 12 the same card is ttyS3.  Expected was that QEMU refuses
# the slot, or that a card without an interrupt is polled, as other 8250 ports without one are.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
root=$(debian_root qemu-system-mips=1:7.2+dfsg-7+deb12u18+b3) || exit 2
kernel=$(debian_kernel linux-image-6.1.0-50-5kc-malta mips64el 6.1.176-1) || exit 2
chroot "$root" qemu-system-mips64el --version | head -n 1
echo "$kernel"

# Prints what the kernel says of the card, up to its panic for want of a root.
card() {
    rm -f "$root/tmp/serial"
    timeout 120 chroot "$root" qemu-system-mips64el -M malta -cpu 5KEc -nodefaults -display none -m 512 \
        -kernel "/$kernel" -append 'console=ttyS0 panic=-1' -no-reboot -serial file:/tmp/serial \
        -chardev null,id=c -device "pci-serial,chardev=c,addr=$1" >"$work/said" 2>&1 || true
    cat "$work/said" >&2
    grep -ao '\(serial: probe of \)\?0000:00:[01]*[12].0\(: ttyS[0-9]*\| failed .*[0-9]\)' "$root/tmp/serial" | head -n 1
}
wired=$(card 12)
other=$(card 1)
echo "slot 12: $wired; slot 1: $other"
[[ $wired == *ttyS3* && $other == *"error -28" ]]
