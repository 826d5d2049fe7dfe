"""The controllers of the Gateway API (https://gateway-api.sigs.k8s.io) and what their proxies know.

A controller judges a route by the listeners of its Gateway and by what its rules refer to, some 50 ms after a
change. The option `gateway_controller` says which one is installed. Verdicts are those that Istio 1.31, Envoy
Gateway 1.9 and NGINX Gateway Fabric 2.6 gave on a real API server.
"""
