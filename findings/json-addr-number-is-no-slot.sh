#!/bin/bash
# QEMU 1:7.2+dfsg-7+deb12u18+b3 (Debian 12), qemu-system-aarch64 with machine virt; seen 2026-11-28.
#
# In -device given as JSON, "addr" may be a number as well as a string, and the two mean different
# things: the string "5" is slot 5, as addr=5 is; the number 40 is slot 5, function 0, and 5 would be
# function 5 of slot 0.  Expected was that the number 5 is slot 5, or that a number is refused, as
# it is for "port" of a USB device, where only the string "1" is taken.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
root=$(debian_root qemu-system-arm=1:7.2+dfsg-7+deb12u18+b3) || exit 2
chroot "$root" qemu-system-aarch64 --version | head -n 1

# Prints the slot and function at which QEMU has put the device.
place() {
    printf '%s\n' '{"execute":"qmp_capabilities"}' '{"execute":"query-pci"}' '{"execute":"quit"}' |
        timeout 60 chroot "$root" qemu-system-aarch64 -M virt -nodefaults -display none -S -qmp stdio \
            -chardev null,id=c -device "{\"driver\":\"pci-serial\",\"id\":\"s\",\"chardev\":\"c\",\"addr\":$1}" |
        python3 -c '
import json, sys
for line in sys.stdin:
    found = json.loads(line).get("return")
    for bus in found if isinstance(found, list) else []:
        for device in bus["devices"]:
            if device["qdev_id"] == "s":
                print("%x.%x" % (device["slot"], device["function"]))'
}
text=$(place '"5"')
number=$(place 40)
echo "addr \"5\" is at $text, addr 40 at $number"
[[ $text == 5.0 && $number == 5.0 ]]
