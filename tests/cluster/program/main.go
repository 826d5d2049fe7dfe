// Package main is a Kubernetes control plane in one program, for tests: etcd, kube-apiserver, kube-controller-manager and kubectl.
// The first argument names the part; the others are the part's own, which its `--help` tells. Their code is unchanged.
package main

import (
	"fmt"
	"io"
	"os"

	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	_ "k8s.io/component-base/metrics/prometheus/clientgo"
	_ "k8s.io/component-base/metrics/prometheus/version"
	kubectl "k8s.io/kubectl/pkg/cmd"
	kubectlutil "k8s.io/kubectl/pkg/cmd/util"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllers "k8s.io/kubernetes/cmd/kube-controller-manager/app"
)

// endWithInput is set for a part that ends when its standard input ends, that is with the process that started it.
const endWithInput = "MERGEKEY_END_WITH_INPUT"

// parts maps the first argument to what runs with the others. Each part reads os.Args by itself.
var parts = map[string]func(){
	"etcd":                    func() { etcdmain.Main(os.Args) },
	"kube-apiserver":          func() { os.Exit(cli.Run(apiserver.NewAPIServerCommand())) },
	"kube-controller-manager": func() { os.Exit(cli.Run(controllers.NewControllerManagerCommand())) },
	"kubectl":                 func() { kubectlutil.CheckErr(cli.RunNoErrOutput(kubectl.NewDefaultKubectlCommand())) },
}

func main() {
	if len(os.Args) > 1 {
		if run, known := parts[os.Args[1]]; known {
			os.Args = os.Args[1:]
			if os.Getenv(endWithInput) != "" {
				go watchInput()
			}
			run()
			return
		}
	}
	fmt.Fprintln(os.Stderr, "usage: PROGRAM etcd|kube-apiserver|kube-controller-manager|kubectl ARGUMENTS")
	os.Exit(2)
}

// watchInput ends the process at the end of its standard input: the system closes it however the other side ended.
func watchInput() {
	_, _ = io.Copy(io.Discard, os.Stdin)
	os.Exit(1)
}
