#!/bin/sh
# What docker/compose.yaml takes from the machine, in FOLDER: weights/, objects/ and secrets/, of which each is readable by
# the user of the container that it is for, and by nobody else. What is there stays. Root may give files away:
#
#   sudo docker/prepare.sh /srv/longtake
set -eu
here=$(dirname "$0") folder=$1
longtake=10001:10001 valkey=999:999 grafana=472:0

mkdir -p "$folder/weights" "$folder/objects/videos" "$folder/secrets"
chmod 700 "$folder/objects"
chmod 711 "$folder/secrets"

umask 077
[ -e "$folder/secrets/users.acl" ] || "$here/passwords.sh" "$folder/secrets" redis:6379
for name in storage.key grafana.password; do
    [ -e "$folder/secrets/$name" ] || head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n' >"$folder/secrets/$name"
done

chown "$longtake" "$folder/objects" "$folder/objects/videos" "$folder/secrets/storage.key" "$folder/secrets"/*.url
chown "$valkey" "$folder/secrets/users.acl"
chown "$grafana" "$folder/secrets/grafana.password"
