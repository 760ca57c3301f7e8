# The parent of a container's processes. It outlives the server and leaves the exit where `poll` finds it.
#
#   sh shim.sh FOLDER [CGROUP...] -- COMMAND...        stdin: FOLDER/lock, open and locked
#
# The lock is held as long as this process lives and by nobody else: what it starts has another stdin. `started` comes
# before anything runs, the one line of `exit` (code, OOM kills) after; a line without its end was cut off by a kill.
# The braces make the shell read all of this before it runs any: the file may be replaced while a job runs.
{
    cd -- "$1" || exit 125
    shift
    cgroups=
    while [ "$1" != -- ]; do
        cgroups="$cgroups $1"
        shift
    done
    shift
    echo "$$" >started || exit 125
    trap : HUP INT TERM # a stop is for the container, not for this; what is started below gets the signals as usual
    (
        exec </dev/null
        for cgroup in $cgroups; do
            # a thread moves at once; moving a process waits until none of this machine is just forking
            if [ -e "$cgroup/tasks" ]; then echo 0 >"$cgroup/tasks"; else echo 0 >"$cgroup/cgroup.procs"; fi || exit 125
        done
        ulimit -c 0
        [ ! -e data-limit ] || { read -r limit <data-limit && ulimit -d "$limit"; } || exit 125
        if [ -e overlays ]; then
            mount -a -T overlays || exit 125
        fi
        exec "$@" 3<arguments
    )
    code=$?
    kills=0
    for cgroup in $cgroups; do
        for file in "$cgroup/memory.events" "$cgroup/memory.oom_control"; do
            [ ! -r "$file" ] || while read -r key value; do
                [ "$key" != oom_kill ] || kills=$value
            done <"$file"
        done
    done
    echo "$code $kills" >exit
    exit 0
}
