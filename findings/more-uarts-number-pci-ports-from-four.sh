#!/bin/bash
# QEMU 1:7.2+dfsg-7+deb12u18+b3 (Debian 12), qemu-system-x86_64 with machine pc, and Debian's
# linux-image-6.1.0-50-amd64 6.1.176-1; seen 2026-11-28.
#
# One ISA port and five pci-serial.  With the kernel's own 4 lines the PCI ports are ttyS1, ttyS2 and
# ttyS3, and two have no line.  With 8250.nr_uarts=8, said to give those two a line, all others move:
# the first PCI port is ttyS4, and ttyS1 to ttyS3, which nobody had, are given out last.  Expected was
# that the first three keep their numbers and the two further ones follow.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
root=$(debian_root qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3) || exit 2
kernel=$(debian_kernel linux-image-6.1.0-50-amd64 amd64 6.1.176-1) || exit 2
chroot "$root" qemu-system-x86_64 --version | head -n 1
echo "$kernel"

# Prints the nodes of the PCI ports in the order of their slots, up to the panic for want of a root.
nodes() {
    local ports=() slot
    for slot in 3 4 5 6 7; do
        ports+=(-chardev null,id=c$slot -device "pci-serial,chardev=c$slot,addr=$slot")
    done
    rm -f "$root/tmp/serial"
    timeout 180 chroot "$root" qemu-system-x86_64 -M pc -nodefaults -display none -m 512 -no-reboot \
        -kernel "/$kernel" -append "console=ttyS0 panic=-1 no_timer_check $1" -serial file:/tmp/serial \
        "${ports[@]}" >"$work/said" 2>&1 || true
    cat "$work/said" >&2
    grep -aoE '0000:00:0[3-7]\.0: ttyS[0-9]+ at' "$root/tmp/serial" | sort -u | grep -oE 'ttyS[0-9]+' | paste -sd ' '
}
four=$(nodes "")
eight=$(nodes 8250.nr_uarts=8)
echo "4 lines: $four; 8 lines: $eight"
[[ $four == "ttyS1 ttyS2 ttyS3" && $eight == "ttyS4 ttyS5 ttyS6 ttyS7 ttyS1" ]]
