#!/bin/sh
# Does what the real image's entrypoint does for "mini" and "server".
export GODEBUG="${GODEBUG:+$GODEBUG,}fips140=on"
if [ "$(id -u)" = 0 ]; then
    if [ "$(stat -c %u:%g /data)" != 1000:1000 ]; then
        chown -R seaweed:seaweed /data
    fi
    exec start-stop-daemon --start --chuid seaweed:seaweed --exec "$0" -- "$@"
fi
case $1 in # of an option given twice the last one counts
    mini) shift && set -- mini -dir=/data "$@" ;;
    server) shift && set -- server -dir=/data -volume.max=0 -master.volumeSizeLimitMB=1024 "$@" ;;
esac
exec /usr/bin/weed -logtostderr=true "$@"
