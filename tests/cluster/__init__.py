"""A real Kubernetes API server for the tests, built by `make cluster`: etcd, kube-apiserver, its
controllers and kubectl in one program. There is no kubelet, so pods never run; KAITO is played by
`kaito.py`.
"""
