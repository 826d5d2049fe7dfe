"""Real Gateway controllers beside a real API server, for the tests: Istio's and Envoy Gateway's, each built
from its Go module where `MERGEKEY_GATEWAYS` asks for it. There are no proxies: kubelet and load balancer are
played.
"""
