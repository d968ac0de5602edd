#!/bin/bash
# QEMU 1:7.2+dfsg-7+deb12u18+b3 (Debian 12), seen 2026-11-28.
#
# A USB device that names no bus goes to the controller that was made last, as long as all of them
# are on the root bus.  With one of them behind a PCI bridge this is not so: QEMU goes through the
# tree depth first, at each level the newest first, and a bridge that was made before the other
# controller is looked into after it.  So a usb-serial lands on a UHCI although an xHCI was made
# later.  Expected was the last-made controller, wherever it sits.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
root=$(debian_root qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3) || exit 2
chroot "$root" qemu-system-x86_64 --version | head -n 1

# Prints the bus on which the usb-serial of a command is, as `info qtree` has it.
bus_of() {
    { sleep 2; echo "info qtree"; sleep 1; echo quit; } |
        timeout 30 chroot "$root" qemu-system-x86_64 -M pc -nodefaults -display none -S \
            -monitor stdio "$@" -chardev null,id=c -device usb-serial,id=serial,chardev=c 2>&1 |
        tr -d '\r' | awk '/bus: [a-z]+\.0$/ { bus = $2 } /dev: usb-serial/  && !found { print bus; found = 1 }'
}

beside=$(bus_of -device piix3-usb-uhci,id=old -device qemu-xhci,id=new)
behind=$(bus_of -device pci-bridge,id=bridge,chassis_nr=1 -device piix3-usb-uhci,id=old \
    -device qemu-xhci,id=new,bus=bridge,addr=1)
echo "both on the root bus: usb-serial is on ${beside:-?}; the later one behind a bridge: on ${behind:-?}"
[[ $beside == new.0 && $behind == old.0 ]]
