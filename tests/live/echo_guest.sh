#!/bin/sh
# Process 1 of the echo guest: every serial node that the kernel has says its name when it is
# opened, and answers each line with the line, its name, and where sysfs has it. Nothing here knows which ports there should be.
export PATH=/bin
mount -a
echo 1 >/proc/sys/kernel/printk
for module in /lib/modules/*.ko; do insmod "$module"; done

# What is in a file of sysfs, or nothing.
content() { value=; [ -r "$1" ] && read -r value <"$1"; }

# NODE KIND: opened raw, again and again, because a node without a port behind it gives EIO.
serve() {
	# A console is a port like others until its next message comes; it is served as its hvc.
	[ "$2" = tty ] || sleep 2
	while sleep 1; do
		case $2 in
		tty) stty -F "$1" raw -echo clocal || continue ;;
		*) grep -q "is_console: yes" "/sys/kernel/debug/virtio-ports/${1#/dev/}" && continue ;;
		esac
		{
			echo "|$1|$facts" >&3
			while read -r line <&3; do
				[ -n "$line" ] && echo "$line|$1|$facts" >&3
			done
		} 3<>"$1"
	done 2>/dev/null
}

# Of a tty: device path, I/O port, memory address, BAR 0 of its PCI function, USB serial number.
tty_facts() {
	path=$(busybox readlink -f "/sys/class/tty/$1/device")
	content "/sys/class/tty/$1/port"; facts="$path|$value"
	content "/sys/class/tty/$1/iomem_base"; facts="$facts|$value"
	above=$path
	while [ -n "$above" ] && [ ! -e "$above/resource" ] && [ ! -e "$above/serial" ]; do
		above=${above%/*}
	done
	content "$above/resource"; facts="$facts|${value%% *}"
	content "$above/serial"; facts="$facts|$value"
}

served=" "
while :; do
	for node in /sys/class/tty/ttyS* /sys/class/tty/ttyAMA* /sys/class/tty/ttyUSB* \
		/sys/class/tty/hvc* /sys/class/virtio-ports/*; do
		[ -e "$node" ] || continue
		name=${node##*/}
		case $served in *" $name "*) continue ;; esac
		case $name in
		vport*)
			# Its name comes with a message of its own.
			content "$node/name"
			[ -n "$value" ] || continue
			facts=$value
			serve "/dev/$name" port &
			;;
		*)
			tty_facts "$name"
			serve "/dev/$name" tty &
			;;
		esac
		served="$served$name "
	done
	sleep 0.3
done
