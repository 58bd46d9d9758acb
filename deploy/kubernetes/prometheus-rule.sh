#!/bin/sh
# deploy/observability/rules.yml as the object that the Prometheus operator reads; nothing of it is written twice.
#
#   deploy/kubernetes/prometheus-rule.sh | kubectl apply -n longtake -f -
set -eu

cat <<'HEAD'
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: longtake
spec:
HEAD
sed 's/^/  /' "$(dirname "$0")/../observability/rules.yml"
