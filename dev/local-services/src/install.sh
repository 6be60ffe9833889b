# Installs the given packages on a Debian-like system. Run by local-services as root: sh -c … install PACKAGE…
#
# The private servers need only the programs: this leaves no system service running or enabled, creates no database
# cluster, and doesn't touch services that were installed before.
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

# Restores the file after an interrupted installation.
if [ -f "$clusters.backstock" ]; then mv "$clusters.backstock" "$clusters"; fi
list_installed >"$before"

# Debian's mechanism to keep packages from starting their services.
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
    # Outdated lists name files that the mirror has removed.
    fetch_and_install "$@" || { update && fetch_and_install "$@"; }
}

case " $* " in
*" postgresql "*)
    # The package that reads the setting comes before the one that would create a cluster.
    apt_install postgresql-common
    if [ -f "$clusters" ]; then
        cp -p "$clusters" "$clusters.backstock"
        printf '\ncreate_main_cluster = false\n' >>"$clusters"
    fi
    ;;
esac
apt_install "$@"

# Disables only the services of newly installed packages. Works without a running systemd, too.
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
