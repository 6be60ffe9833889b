# Installs the given packages on a Debian-like system. Run by local-services as root: sh -c … install PACKAGE…
#
# A storefront's private servers need programs, not services: nothing that this installs is left running or enabled,
# no database cluster is made, and services that were there before are not touched.
set -eu
export DEBIAN_FRONTEND=noninteractive
policy=/usr/sbin/policy-rc.d
clusters=/etc/postgresql-common/createcluster.conf
mark='# Made by Backstock while it installs packages; remove it if you find it.'
before=$(mktemp)

restore() {
    rm -f "$before"
    if grep -qsF "$mark" "$policy"; then rm -f "$policy"; fi
    if [ -f "$clusters.backstock" ]; then mv "$clusters.backstock" "$clusters"; fi
}
trap restore EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

list_installed() { dpkg-query --show --showformat '${db:Status-Abbrev} ${binary:Package}\n' | sed -n 's/^ii *//p' | sort; }

# After an old, interrupted installation of ours.
if [ -f "$clusters.backstock" ]; then mv "$clusters.backstock" "$clusters"; fi
list_installed >"$before"

# The way in which Debian's packages are asked not to start their services.
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\n%s\nexit 101\n' "$mark" >"$policy"
    chmod 755 "$policy"
fi

updated=
update() {
    if [ -z "$updated" ]; then
        apt-get update -qq
        updated=yes
    fi
}
fetch_and_install() {
    apt-get install -y -qq --no-install-recommends -o Dpkg::Use-Pty=0 "$@" >/dev/null
}
apt_install() {
    for package in "$@"; do
        apt-cache show "$package" >/dev/null 2>&1 || update
    done
    # Old lists name files that the mirror no longer has.
    fetch_and_install "$@" || { update && fetch_and_install "$@"; }
}

case " $* " in
*" postgresql "*)
    # First what reads the setting, then what would make a cluster.
    apt_install postgresql-common
    if [ -f "$clusters" ]; then
        cp -p "$clusters" "$clusters.backstock"
        printf '\ncreate_main_cluster = false\n' >>"$clusters"
    fi
    ;;
esac
apt_install "$@"

# What came with this installation, and only that, is disabled. It works without a running systemd, too.
list_installed | comm -13 "$before" - | while read -r package; do
    dpkg -L "$package" | sed -n 's#^\(/usr\)\{0,1\}/lib/systemd/system/\([^/@]*\.\(service\|socket\|timer\)\)$#\2#p'
done | sort -u | while read -r unit; do
    if command -v systemctl >/dev/null; then
        systemctl disable --quiet "$unit" 2>/dev/null || true
        if [ -d /run/systemd/system ]; then systemctl stop --quiet "$unit" 2>/dev/null || true; fi
    elif command -v deb-systemd-helper >/dev/null; then
        deb-systemd-helper disable "$unit" >/dev/null 2>&1 || true
    fi
done
list_installed | comm -13 "$before" - | while read -r package; do
    dpkg -L "$package" | sed -n 's,^/etc/init\.d/\([^/]*\)$,\1,p'
done | sort -u | while read -r service; do
    if command -v update-rc.d >/dev/null; then update-rc.d "$service" disable >/dev/null 2>&1 || true; fi
done
