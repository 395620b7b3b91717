// Command decode reads Kubernetes objects as YAML on stdin, decodes each strictly by the
// types of its own API, and prints its kind and name; what has a field that its type has
// not, or a kind that is not known here, is a fault.
package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"

	monitoring "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	apps "k8s.io/api/apps/v1"
	autoscaling "k8s.io/api/autoscaling/v2"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	policy "k8s.io/api/policy/v1"
	rbac "k8s.io/api/rbac/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	kyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// kinds are the objects that we hand out, by apiVersion and kind.
var kinds = map[string]func() meta.Object{
	"apps/v1 Deployment":                              func() meta.Object { return new(apps.Deployment) },
	"v1 ConfigMap":                                    func() meta.Object { return new(core.ConfigMap) },
	"v1 Service":                                      func() meta.Object { return new(core.Service) },
	"policy/v1 PodDisruptionBudget":                   func() meta.Object { return new(policy.PodDisruptionBudget) },
	"autoscaling/v2 HorizontalPodAutoscaler":          func() meta.Object { return new(autoscaling.HorizontalPodAutoscaler) },
	"rbac.authorization.k8s.io/v1 ClusterRole":        func() meta.Object { return new(rbac.ClusterRole) },
	"rbac.authorization.k8s.io/v1 ClusterRoleBinding": func() meta.Object { return new(rbac.ClusterRoleBinding) },
	"networking.k8s.io/v1 NetworkPolicy":              func() meta.Object { return new(networking.NetworkPolicy) },
	"monitoring.coreos.com/v1 ServiceMonitor":         func() meta.Object { return new(monitoring.ServiceMonitor) },
	"monitoring.coreos.com/v1 PrometheusRule":         func() meta.Object { return new(monitoring.PrometheusRule) },
}

func main() {
	if err := run(os.Stdin, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(in io.Reader, out io.Writer) error {
	documents := kyaml.NewYAMLReader(bufio.NewReader(in))
	for {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := decode(document, out); err != nil {
			return fmt.Errorf("%w in:\n%s", err, document)
		}
	}
}

func decode(document []byte, out io.Writer) error {
	var kind meta.TypeMeta
	if err := yaml.Unmarshal(document, &kind); err != nil {
		return err
	}
	if kind.Kind == "" && len(bytes.TrimSpace(document)) == 0 {
		return nil
	}
	object, ok := kinds[kind.APIVersion+" "+kind.Kind]
	if !ok {
		return fmt.Errorf("unknown %s %s", kind.APIVersion, kind.Kind)
	}
	o := object()
	if err := yaml.UnmarshalStrict(document, o); err != nil {
		return err
	}
	fmt.Fprintln(out, kind.Kind, o.GetName())
	return nil
}
