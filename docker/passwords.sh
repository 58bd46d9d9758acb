#!/bin/sh
# A new password for each role: FOLDER/users.acl for the server, which has only digests, and for each role its URL,
# FOLDER/api.url, worker.url and courier.url, to be given as LONGTAKE_REDIS_URL.
#
#   docker/passwords.sh FOLDER [HOST:PORT]
set -eu
umask 077
here=$(dirname "$0") folder=$1 place=${2:-redis:6379}

mkdir -p "$folder"
rules=$(cat "$here/users.acl")
for role in api worker courier; do
    password=$(head -c 32 /dev/urandom | od -An -tx1 | tr -d ' \n')
    digest=$(printf %s "$password" | sha256sum | cut -d ' ' -f 1)
    rules=$(printf '%s\n' "$rules" | sed "s/#password-of-$role/#$digest/")
    printf 'redis://%s:%s@%s/0\n' "$role" "$password" "$place" >"$folder/$role.url"
done
printf '%s\n' "$rules" >"$folder/users.acl"
