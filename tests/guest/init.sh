#!/bin/busybox sh
# First process of the guest: the host's files below a file system in memory, so that nothing of the host can change.
B=/bin/busybox
$B mkdir -p /proc /sys /dev /host /over /root
$B mount -t proc proc /proc
$B mount -t sysfs sys /sys
$B mount -t devtmpfs dev /dev
for module in $($B cat /modules/order); do $B insmod "/modules/$module"; done
$B mount -t 9p -o trans=virtio,version=9p2000.L,ro,msize=524288,cache=loose host /host || $B poweroff -f
$B mount -t tmpfs tmpfs /over
$B mkdir /over/upper /over/work
$B mount -t overlay -o lowerdir=/host,upperdir=/over/upper,workdir=/over/work overlay /root || $B poweroff -f
for place in proc sys dev; do $B mount --move "/$place" "/root/$place"; done
$B mount -t tmpfs tmpfs /root/run
exec $B switch_root /root /bin/bash "$($B sed 's/.*script=\([^ ]*\).*/\1/' /root/proc/cmdline)"
