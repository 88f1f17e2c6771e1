#!/usr/bin/env bash
# Runs the example on the local cluster and fetches a page through its Service.
set -euo pipefail
coracle=$1
kubectl() { "$coracle" kubectl "$@"; }
kubectl apply -f examples/web/web.yaml
kubectl rollout status deployment/web --timeout 60s
echo
kubectl get deployment,service,pods -o wide -l app=web
echo
echo "A page through the Service:"
kubectl get --raw /api/v1/namespaces/default/services/web:http/proxy/
cat <<TXT

Look around:

  curl http://127.0.0.1:8080/             the same page, through the node port
  $coracle kubectl get pods -A
  $coracle kubectl logs deployment/web
  $coracle status
  make down                               and everything is gone
TXT
