# Runs in the guest's tree when its packages are installed, as root, with sh -eu.
# It makes sure of the modules, drops what built them, and makes a small initrd.

kernel=$(ls /lib/modules | sort -V | tail -n 1)
modules=/lib/modules/$kernel/updates/dkms
dkms autoinstall -k "$kernel"
ls "$modules"/zfs.ko* >/dev/null

# Compiler and headers are half of the image. Without them dkms would take its modules along: those are kept aside.
mkdir /modules
cp -a "$modules/." /modules
export DEBIAN_FRONTEND=noninteractive
apt-get purge -y zfs-dkms dkms 'linux-headers-*' 'linux-kbuild-*'
apt-get autoremove -y --purge -o APT::AutoRemove::RecommendsImportant=false -o APT::AutoRemove::SuggestsImportant=false
mkdir -p "$modules"
cp -a /modules/. "$modules"
rm -r /modules
depmod "$kernel"

chmod 700 /root/.ssh
chmod 600 /root/.ssh/authorized_keys
: >/etc/machine-id  # each guest gets its own at its first boot
passwd --delete root
systemctl enable systemd-networkd
systemctl mask apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer fstrim.timer dpkg-db-backup.timer

# What it takes to reach the root disk, and no more.
printf '%s\n' virtio_pci virtio_blk ext4 >>/etc/initramfs-tools/modules
update-initramfs -u -k "$kernel"
cp "/boot/vmlinuz-$kernel" /boot/kernel
cp "/boot/initrd.img-$kernel" /boot/initrd
