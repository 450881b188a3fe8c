# Drives one server from four hosts with GNU parallel over ssh, and kills one of them in the middle: PROGRAM FOLDER
#
# Each host is a network namespace with an address, and an SSH server with a key of its own. These run as a user, since
# an SSH server of root needs more groups than a user namespace has.
set -e
program=$1 D=$2
as_user='unshare --user --map-user=1000 --map-group=1000'
cd "$D"
ssh-keygen -q -t ed25519 -N '' -f client
echo "load:x:1000:1000::$D:/bin/sh" >passwd
mount --bind passwd /etc/passwd
until_exists() { until [ -s "$1" ]; do sleep 0.02; done; }

ip link add switch type bridge
ip link set switch up
ip address add 10.9.0.1/24 dev switch
for n in 1 2 3 4; do
    ssh-keygen -q -t ed25519 -N '' -f "host$n"
    echo "[10.9.0.1$n]:2222 $(cut -d' ' -f1,2 "host$n.pub")" >>known_hosts
    mkfifo "linked$n"
    unshare --net sh -ec "
        echo ready >'$D/ready$n'; read -r line <'$D/linked$n'
        exec $as_user /usr/sbin/sshd -D -e -f /dev/null -p 2222 -h '$D/host$n' -o ListenAddress=10.9.0.1$n -o UsePAM=no \
            -o AuthorizedKeysFile='$D/client.pub' -o StrictModes=no -o PidFile=none" 2>"sshd$n.log" &
    pid=$!
    echo $pid >"pid$n"
    until_exists "ready$n"
    ip link add "host$n" type veth peer name eth0 netns $pid
    ip link set "host$n" master switch up
    nsenter --target $pid --net sh -ec "
        ip link set lo up; ip link set eth0 up; ip address add 10.9.0.1$n/24 dev eth0"
    echo linked >"linked$n"
done
for n in 1 2 3 4; do until grep -q 'listening' "sshd$n.log"; do sleep 0.02; done; done
"$program" serve message=10.9.0.1:9999 --journal none --log off &
server=$!

# The power of the third host fails once it has measured a second.
(
    until grep -qs Tag=response 3.hlog; do sleep 0.02; done
    host=$(readlink "/proc/$(cat pid3)/ns/net")
    for process in /proc/[0-9]*; do
        [ "$(readlink "$process/ns/net")" != "$host" ] || kill -9 "${process#/proc/}"
    done
) &

ssh="ssh -F none -p 2222 -l load -i $D/client -o IdentitiesOnly=yes -o BatchMode=yes -o ServerAliveInterval=2 -o UserKnownHostsFile=$D/known_hosts"
start=$(date --utc --date='+6 seconds' +%FT%T.%3NZ)
failed=0
HOME=$D $as_user parallel --will-cite -j 4 "$ssh 10.9.0.1{} $program load message=10.9.0.1:9999 -c 10 -r 200 -d 2s \
    --start-at $start --json $D/{}.json --histogram $D/{}.hlog" ::: 1 2 3 4 >parallel.log 2>&1 || failed=$?
echo "$failed" >failed
for n in 1 2 4; do kill "$(cat "pid$n")"; done
kill $server
wait
