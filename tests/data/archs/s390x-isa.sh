/usr/bin/qemu-system-s390x \
  -name 's390x-isa,debug-threads=on' -no-shutdown \
  -chardev 'socket,id=qmp,path=/var/run/qemu-server/142.qmp,server=on,wait=off' \
  -mon 'chardev=qmp,mode=control' -pidfile /var/run/qemu-server/142.pid -daemonize \
  -smp '1,sockets=1,cores=1,maxcpus=1' -nodefaults \
  -vnc 'unix:/var/run/qemu-server/142.vnc,password=on' \
  -m 512 \
  -chardev 'socket,id=serial0,path=/var/run/qemu-server/142.serial0,server=on,wait=off' \
  -device 'isa-serial,chardev=serial0' -machine 'type=s390-ccw-virtio'
