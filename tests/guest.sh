# The first process of the guest, see guest.py: mounts what a system has, runs the script that waits
# in $GUEST, a directory of the host, leaves output and exit code there, and switches off.
export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/mnt TMPDIR=/mnt
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t cgroup2 cgroup2 /sys/fs/cgroup
mount -t tmpfs tmpfs /mnt
mkdir /dev/shm /mnt/host
mount -t tmpfs tmpfs /dev/shm
ln -s /proc/self/fd /dev/fd
mount -t hostfs -o "$GUEST" hostfs /mnt/host
mkswap --quiet /dev/ubda && swapon /dev/ubda
busybox ip link set lo up
sh /mnt/host/script > /mnt/host/output 2>&1
echo $? > /mnt/host/status
busybox poweroff -f
