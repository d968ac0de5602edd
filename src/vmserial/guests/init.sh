#!/bin/sh
# Process 1 of vmserial's test guests. It needs busybox and nothing else.
# Each process costs milliseconds on an emulated processor, so there are few.

export PATH=/bin HOME=/root

# /etc/fstab: proc, sysfs, devtmpfs, debugfs, in one process.
mount -a
# No kernel message may come out of a port under test (a panic still does).
echo 1 >/proc/sys/kernel/printk

# Numbered in load order. xhci comes early, because enumeration is what takes long.
for module in /lib/modules/*.ko; do
	insmod "$module"
	case $module in
	*-xhci_pci.ko)
		# The kernel waits 0.28 s a full-speed port by default, for the sake of slow real
		# hardware. Bit 0: one reset instead of two; bit 1: short recovery times
		# (Documentation/ABI/testing/sysfs-bus-usb). 0.11 s a port. The first port is
		# debounced for 0.1 s, so this comes in time.
		for quirks in /sys/bus/usb/devices/usb*/*/usb*-port*/quirks; do
			[ -w "$quirks" ] && echo 3 >"$quirks"
		done
		;;
	esac
done

# The kernel hands unknown name=value words of its command line to process 1.
if [ "$vmserial_shell" != console ]; then
	tries=0
	while [ $tries -lt 500 ]; do
		for name in /sys/class/virtio-ports/*/name; do
			[ -r "$name" ] && read -r value <"$name" || continue
			[ "$value" = vmserial.control ] || continue
			port=${name%/name}
			port=/dev/${port##*/}
			# Ends with the shell: then process 1 is gone, the kernel panics, QEMU exits.
			exec sh <>"$port" >&0 2>&1
		done
		tries=$((tries + 1))
		sleep 0.02
	done
	echo "vmserial: no port vmserial.control within 10 s" >/dev/console
fi

exec sh
