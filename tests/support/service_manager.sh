# Becomes systemd, as process 1 of namespaces inside a lab host. The machine's own units would tidy up
# the machine's disk and settle its kernel: they are hidden. Of the places where a package puts things,
# what is written there is the host's alone.
# Arguments: the host's directory on the machine; the second time also `become`.
set -eu

own_control_groups() {
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        mkdir /sys/fs/cgroup/services
        echo 0 >/sys/fs/cgroup/services/cgroup.procs
        return
    fi
    for tree in /sys/fs/cgroup/*; do
        mkdir "$tree/services"
        for setting in cpuset.cpus cpuset.mems; do
            # a group without processors takes no process
            [ ! -e "$tree/$setting" ] || cat "$tree/$setting" >"$tree/services/$setting"
        done
        echo 0 >"$tree/services/cgroup.procs"
    done
}

own_layer() {
    mkdir -p "$home/overlay$1/upper" "$home/overlay$1/work"
    mount -t overlay -o "lowerdir=$1,upperdir=$home/overlay$1/upper,workdir=$home/overlay$1/work" \
        overlay "$1"
}

home=$1
if [ "${2:-}" != become ]; then
    own_control_groups
    exec unshare --pid --mount --cgroup --ipc --fork --kill-child sh "$0" "$home" become
fi
mount --make-rprivate /
mount -t proc proc /proc
# these settings have no namespace
for directory in fs kernel vm; do
    mount --bind "/proc/sys/$directory" "/proc/sys/$directory"
    mount -o remount,bind,ro "/proc/sys/$directory"
done
umount --recursive /sys/fs/cgroup
for directory in /usr /opt /var/lib/dpkg /var/lib/apt /var/cache; do
    [ ! -d "$directory" ] || own_layer "$directory"
done
for directory in /tmp /etc/systemd /usr/lib/systemd/system /usr/lib/systemd/system-generators; do
    mount -t tmpfs -o mode=755 tmpfs "$directory"
done
mkdir -p /run/systemd/system
cp -R "$home/units/." /run/systemd/system/
export container=lab
exec /lib/systemd/systemd --system --unit=multi-user.target --log-target=null --show-status=no
