#!/bin/sh
# Stops the servers of the directory that contains this script. Written by local-services at each start.
#
#   watch      the watchdog: waits until the servers have no users, then stops them
#   stop       stops them unless they are in use
#   stop-held  stops them; the caller holds in-use.lock exclusively
#   stop-one   kills one server, for a start that found it unresponsive
#
# Each user of the servers holds a shared lock on in-use.lock. The kernel releases it when the process ends, even by
# kill -9. When the last user is gone, the watchdog gets the exclusive lock.
set -u
here=$(cd "$(dirname "$0")" && pwd) || exit 1

# Whether the recorded process of a server is alive. Process ids are reused, so the start time must match too.
find_server() { # NAME, sets pid
    [ -f "$here/$1.process" ] || return 1
    read -r pid started _ <"$here/$1.process" || return 1
    stat=$(cat "/proc/$pid/stat" 2>/dev/null) || return 1
    # After the program's name in parentheses, the state is the 1st field and the start time the 20th.
    # shellcheck disable=SC2086
    set -- ${stat##*) }
    [ "$1" != Z ] && [ "$1" != X ] && [ "${20}" = "$started" ]
}

signal() { # NAME SIGNAL
    find_server "$1" && kill -s "$2" "$pid" 2>/dev/null
}

await_end() { # NAME: kills it after 30 s
    tenths=0
    while find_server "$1"; do
        if [ "$tenths" -ge 300 ]; then
            echo "$1 (process $pid) did not stop within 30 s and was killed"
            kill -s KILL "$pid" 2>/dev/null
            tenths=0
        fi
        tenths=$((tenths + 1))
        sleep 0.1
    done
    rm -f "$here/$1.process"
}

stop_all() {
    signal postgres INT # a "fast" shutdown: open transactions are rolled back
    signal redis TERM
    signal rabbitmq TERM
    await_end postgres
    await_end redis
    await_end rabbitmq
    signal epmd TERM # last, because RabbitMQ unregisters from it
    await_end epmd
}

users() { # the process ids that share in-use.lock
    inode=$(stat -c %i "$here/in-use.lock")
    while read -r _ kind _ mode owner file _; do
        case "$kind $mode ${file##*:}" in "FLOCK READ $inode") printf ' %s' "$owner" ;; esac
    done </proc/locks
}

case "${1:-}" in
watch)
    exec 8>>"$here/watchdog.lock"
    flock -n 8 || exit 0
    # The lock is held, so the starting process can go on; the rest runs in the background.
    {
        exec 9>>"$here/in-use.lock"
        flock -x 9
        stop_all 8>&- 9>&-
        # In this order, so that the next holder of in-use.lock finds watchdog.lock free and starts a watchdog.
        exec 8>&-
        exec 9>&-
    } &
    ;;
stop)
    exec 9>>"$here/in-use.lock"
    if ! flock -n -x 9; then
        # Either there are users, or the watchdog is stopping the servers and releases the lock soon.
        users=$(users)
        if [ -n "$users" ]; then
            echo "The servers in $here are in use by process$users and keep running." >&2
            exit 1
        fi
        flock -x 9
    fi
    stop_all 9>&-
    ;;
stop-held) stop_all ;;
stop-one)
    signal "$2" KILL
    await_end "$2"
    ;;
*)
    echo "usage: $0 watch|stop|stop-held|stop-one SERVER" >&2
    exit 2
    ;;
esac
