#!/bin/bash
# QEMU 1:7.2+dfsg-7+deb12u18+b3 (Debian 12), qemu-system-ppc64 with machine pseries, seen 2026-11-28.
#
# "-serial none" leaves a place empty: on the machines with UARTs of their own the next -serial goes
# to the next one.  On pseries it ends the list instead: of -serial A, -serial none, -serial B only A
# gets a spapr-vty, B is an open chardev that nothing in the VM is connected to, and QEMU says
# nothing.  Expected were two virtual terminals, A and B.  The same with -serial null is three.
#
# Exit code 0: so it is here, too; 1: the behaviour is another; 2: it could not be tried.
set -euo pipefail
. "$(dirname "$0")/debian.bash"
root=$(debian_root qemu-system-ppc=1:7.2+dfsg-7+deb12u18+b3) || exit 2
chroot "$root" qemu-system-ppc64 --version | head -n 1

# Prints "first middle last: N vtys, the last one's front end is BOOL".
terminals() {
    local said
    said=$(printf '%s\n' '{"execute":"qmp_capabilities"}' '{"execute":"query-chardev"}' \
        '{"execute":"qom-list","arguments":{"path":"/machine/unattached"}}' '{"execute":"quit"}' |
        timeout 60 chroot "$root" qemu-system-ppc64 -M pseries -nodefaults -display none -S \
            -serial null -serial "$1" -serial file:/tmp/last -qmp stdio 2>"$work/stderr")
    cat "$work/stderr" >&2
    python3 - "$1" "$said" <<'PYTHON'
import json, sys
_, middle, said = sys.argv
answers = [r["return"] for r in map(json.loads, said.splitlines()) if isinstance(r.get("return"), list)]
chardevs, objects = answers
last = next(c for c in chardevs if c["filename"] == "file")
count = sum(o["type"] == "child<spapr-vty>" for o in objects)
print(f"-serial null, {middle}, file: {count} vtys, the last one's front end is "
      f"{'open' if last['frontend-open'] else 'closed'}")
PYTHON
}
null=$(terminals null)
none=$(terminals none)
printf '%s\n' "$null" "$none"
[[ $null == *"3 vtys"*open && $none == *"1 vtys"*closed ]]
