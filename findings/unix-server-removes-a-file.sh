#!/bin/bash
# QEMU 1:7.2+dfsg-7+deb12u18+b3 (Debian 12), seen 2026-11-28.
#
# A chardev that listens on a UNIX socket removes whatever has its path already, an ordinary file
# of the user's with content in it, too: QEMU starts, says nothing, and the content is gone.
# bind(2) alone would refuse with "Address already in use"; expected was that QEMU clears away only
# what is a socket, as an earlier run leaves one behind.  A folder of that name it does refuse.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
root=$(debian_root qemu-system-x86=1:7.2+dfsg-7+deb12u18+b3) || exit 2
chroot "$root" qemu-system-x86_64 --version | head -n 1

echo "ten years of notes" >"$root/tmp/notes"
timeout 20 chroot "$root" qemu-system-x86_64 -M q35 -nodefaults -display none -S \
    -chardev socket,id=serial0,path=/tmp/notes,server=on,wait=off -device isa-serial,chardev=serial0 \
    >"$work/said" 2>&1 &
for _ in $(seq 100); do
    [[ -S $root/tmp/notes ]] && break
    sleep 0.1
done
kind=$(stat -c %F "$root/tmp/notes")
kill %1 2>/dev/null || true
wait
grep -v 'terminating on signal' "$work/said" || true
echo "/tmp/notes was a regular file of 19 bytes; with QEMU running it is a $kind"
[[ $kind == socket ]]
