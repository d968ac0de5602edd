#!/bin/bash
# QEMU 1:7.2+dfsg-7+deb12u18+b3 (Debian 12), qemu-system-aarch64 with machine virt, seen 2026-11-28.
#
# The virt board of Arm has no parallel port and no bus for one.  QEMU makes the default one's chardev
# all the same: "parallel0" is in query-chardev with a closed front end, and a chardev of the user's
# with that id is refused as a duplicate.  Expected was that a board that can have no parallel port
# gets none by default, as it gets no CD-ROM drive or floppy.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
root=$(debian_root qemu-system-arm=1:7.2+dfsg-7+deb12u18+b3) || exit 2
chroot "$root" qemu-system-aarch64 --version | head -n 1

labels=$(printf '%s\n' '{"execute":"qmp_capabilities"}' '{"execute":"query-chardev"}' '{"execute":"quit"}' |
    timeout 60 chroot "$root" qemu-system-aarch64 -M virt -nic none -display none -S -qmp stdio |
    grep -o '"frontend-open": [a-z]*, "filename": "[a-z]*", "label": "parallel0"\|"label": "parallel0"' || true)
refused=$(timeout 60 chroot "$root" qemu-system-aarch64 -M virt -display none -S -monitor none \
    -chardev null,id=parallel0 2>&1 </dev/null || true)
printf 'query-chardev has: %s\na chardev of this id: %s\n' "$labels" "$refused"
[[ $labels == *parallel0* && $refused == *"Duplicate ID 'parallel0'"* ]]
