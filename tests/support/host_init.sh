# First program of a lab host, already in namespaces of its own: gives the host its own /proc, /sys,
# control groups, /run, /etc and Docker directories, says so, and becomes the host's init.
# Arguments: the host's name, its directory on the machine, a directory that is to be its root (empty:
# it has the machine's programs), the calicoctl program to offer.
set -eu
name=$1 home=$2 root=$3
shift 3

# Its own layer above a root that others have too. Of the machine it keeps its directory, and the
# machine's Docker Engine at a place where nobody looks who is not told.
enter_root() {
    mkdir -p "$home/root" "$home/root-upper" "$home/root-work"
    mount -t overlay -o "lowerdir=$root,upperdir=$home/root-upper,workdir=$home/root-work" \
        overlay "$home/root"
    cd "$home/root"
    mkdir -p "./$home" machine
    mount --bind "$home" "./$home"
    mount --rbind /dev dev
    pivot_root . machine
    cd /
}

hostname "$name"
groups=$(cat /proc/self/cgroup)
unified=no
[ ! -e /sys/fs/cgroup/cgroup.controllers ] || unified=yes
[ -z "$root" ] || enter_root

mount -t proc proc /proc
# a fresh one: the machine's shows the interfaces of the machine's network namespace
mount -t sysfs sysfs /sys
if [ $unified = yes ]; then
    mount -t cgroup2 cgroup2 /sys/fs/cgroup
    # A group that hands controllers on may hold no process itself.
    mkdir -p /sys/fs/cgroup/init
    echo 0 >/sys/fs/cgroup/init/cgroup.procs
    sed 's/\(^\| \)/\1+/g' /sys/fs/cgroup/cgroup.controllers >/sys/fs/cgroup/cgroup.subtree_control
else
    mount -t tmpfs -o mode=755 tmpfs /sys/fs/cgroup
    echo "$groups" | while IFS=: read -r _ controllers _; do
        case $controllers in
        '') folder=unified type=cgroup2 options=rw ;;
        name=*) folder=${controllers#name=} type=cgroup options=none,$controllers ;;
        *) folder=$controllers type=cgroup options=$controllers ;;
        esac
        mkdir "/sys/fs/cgroup/$folder"
        mount -t "$type" -o "$options" cgroup "/sys/fs/cgroup/$folder"
    done
fi

mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/lock "$home/etc" "$home/etc-work"
[ -n "$root" ] ||
    mount -t overlay -o "lowerdir=/etc,upperdir=$home/etc,workdir=$home/etc-work" overlay /etc
rm -f /etc/resolv.conf /etc/hostname
: >/etc/resolv.conf
echo "$name" >/etc/hostname
printf '127.0.0.1 localhost\n::1 localhost\n127.0.1.1 %s\n' "$name" >/etc/hosts

for directory in /var/lib/docker /var/lib/containerd /var/lib/calico /var/log/calico /etc/docker; do
    mkdir -p "$directory" "$home/private$directory"
    mount --bind "$home/private$directory" "$directory"
done
# the machine's own Docker settings are not the host's
rm -rf /etc/docker/*

mkdir -p /run/lab/bin
if [ -n "$root" ]; then
    : >/run/lab/machine.sock
    mount --bind /machine/run/docker.sock /run/lab/machine.sock
    umount --lazy /machine
else
    printf '#!/bin/sh\nexec %s "$@"\n' "$*" >/run/lab/bin/calicoctl
    chmod +x /run/lab/bin/calicoctl
fi

# Docker turns forwarding on itself, and sets its forward policy to DROP only if it was off.
echo 0 >/proc/sys/net/ipv4/ip_forward
echo 0 >/proc/sys/net/ipv6/conf/all/forwarding
ip link set lo up

mount --make-rshared /
: >"$home/ready"
exec tini -s -- sleep infinity
