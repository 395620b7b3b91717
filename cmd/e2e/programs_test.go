//go:build clients

package e2e

import (
	"testing"

	"gatehouse/authn/authntest"
	"gatehouse/cmd/internal/dockertest"
)

// program is a registry client and what it is told to do in each step, one
// command a line without its own name. A step without commands is one that the
// program does not have. In braces stand the session's variables:
//
//	{host} {user} {password}    where it goes and as which user; the password also comes on stdin
//	{base} {image} {copy}       {base}/thing:0.1.0 and {base}/copy:0.1.0
//	{layout} {archive} {digest} one image as an OCI layout, and as docker load takes it
//	{chart} {file}              a Helm chart and any file
//	{home} {name}               the session's folder, and a word that no other session has
//	{transport} {both} {auth}   words of the program's own, or none
type program struct {
	name                                     string
	binary                                   string            // a path or a name
	env                                      map[string]string // besides HOME
	plain, secure                            string            // {transport} over plain HTTP and TLS
	plainBoth                                string            // {both}: the same for source and target of a copy
	credentials                              string            // {auth} of a session with a user
	prepare                                  string            // first of all
	login, push, pull, mount, tags, deletion string
	check                                    string // after a login that asks nobody
	store                                    bool   // it keeps images, and where they came from
}

// modules are the clients that are built from source, pinned. What was built is
// kept in the user's cache.
const (
	orasModule       = "oras.land/oras/cmd/oras@v1.3.6"
	regctlModule     = "github.com/regclient/regclient/cmd/regctl@v0.11.7"
	helmModule       = "helm.sh/helm/v3/cmd/helm@v3.22.0"
	ctrModule        = "github.com/containerd/containerd/v2/cmd/ctr@v2.4.2"
	containerdModule = "github.com/containerd/containerd/v2/cmd/containerd@v2.4.2"
)

// programs are all clients, with the daemons that some of them need. authority is
// the file of the certificate that the daemons trust.
func programs(t *testing.T, authority string) []program {
	authntest.Need(t, "podman", "buildah", "skopeo", "ctr", "containerd")
	list := []program{dockerProgram(t), podmanProgram(), buildahProgram(), skopeoProgram(),
		craneProgram(t), orasProgram(t), regctlProgram(t), helmProgram(t)}
	list = append(list, ctrProgram("ctr 1.6", "ctr", startContainerd(t, "containerd", authority)))
	return append(list, ctrProgram("ctr 2", goProgram(t, ctrModule), startContainerd(t, goProgram(t, containerdModule), authority)))
}

func dockerProgram(t *testing.T) program {
	engine := dockertest.Start(t)
	return program{name: "docker", binary: engine.Client, store: true,
		env:   map[string]string{"DOCKER_HOST": engine.Host, "DOCKER_CONFIG": "{home}/.docker", "DOCKER_CONTEXT": ""},
		login: "login -u {user} --password-stdin {host}",
		push:  "load -i {archive}\n push {image}\n image rm {image}",
		pull:  "pull {image}",
		mount: "tag {image} {copy}\n push {copy}",
	}
}

// containers are the settings of podman, buildah and skopeo that are not looked
// for below HOME: storage and credentials.
var containers = map[string]string{"CONTAINERS_STORAGE_CONF": "{home}/storage.conf", "REGISTRY_AUTH_FILE": "{home}/auth.json"}

func podmanProgram() program {
	return program{name: "podman", binary: "podman", env: containers, store: true,
		login: "login -u {user} --password-stdin {host}",
		push:  "load -q -i {archive}\n push {image}\n rmi {image}",
		pull:  "pull {image}",
		mount: "tag {image} {copy}\n push {copy}",
		tags:  "search --list-tags {base}/thing",
	}
}

func buildahProgram() program {
	return program{name: "buildah", binary: "buildah", env: containers, store: true,
		login: "login -u {user} --password-stdin {host}",
		push:  "pull docker-archive:{archive}\n push {image}\n rmi {image}",
		pull:  "pull {image}",
		mount: "tag {image} {copy}\n push {copy}",
	}
}

func skopeoProgram() program {
	return program{name: "skopeo", binary: "skopeo", env: containers,
		login:    "login -u {user} --password-stdin {host}",
		push:     "copy oci:{layout} docker://{image}",
		pull:     "copy docker://{image} dir:{home}/pulled",
		mount:    "copy docker://{image} docker://{copy}",
		tags:     "list-tags docker://{base}/thing",
		deletion: "delete docker://{image}",
	}
}

func craneProgram(t *testing.T) program {
	return program{name: "crane", binary: goProgram(t, craneModule),
		login:    "auth login -u {user} --password-stdin {host}",
		check:    "catalog {host}",
		push:     "push {layout} {image}",
		pull:     "pull {image} {home}/pulled.tar",
		mount:    "copy {image} {copy}",
		tags:     "ls {base}/thing",
		deletion: "delete {base}/thing@{digest}",
	}
}

func orasProgram(t *testing.T) program {
	return program{name: "oras", binary: goProgram(t, orasModule), plain: "--plain-http", plainBoth: "--from-plain-http --to-plain-http",
		login: "login {transport} -u {user} --password-stdin {host}",
		push: "push {transport} --disable-path-validation" +
			" --annotation org.opencontainers.image.created=2026-01-01T00:00:00Z {image} {file}", // else the time of the push
		pull:     "pull {transport} --allow-path-traversal -o {home}/pulled {image}",
		mount:    "cp {both} {image} {copy}",
		tags:     "repo tags {transport} {base}/thing",
		deletion: "manifest delete {transport} -f {image}",
	}
}

func regctlProgram(t *testing.T) program {
	return program{name: "regctl", binary: goProgram(t, regctlModule), plain: "disabled", secure: "enabled",
		prepare:  "registry set --skip-check --tls {transport} {host}",
		login:    "registry login -u {user} --pass-stdin {host}",
		push:     "image copy ocidir://{layout}:latest {image}",
		pull:     "image copy {image} ocidir://{home}/pulled:v1",
		mount:    "image copy {image} {copy}",
		tags:     "tag ls {base}/thing",
		deletion: "manifest delete {base}/thing@{digest}",
	}
}

// helm lists tags where it has to find the newest version.
func helmProgram(t *testing.T) program {
	return program{name: "helm", binary: goProgram(t, helmModule), plain: "--plain-http",
		login: "registry login {transport} -u {user} --password-stdin {host}",
		push:  "push {transport} {chart} oci://{base}",
		pull:  "pull {transport} oci://{base}/thing --version 0.1.0 -d {home}",
		tags:  "show chart {transport} oci://{base}/thing --version ^0.1.0",
	}
}

// ctrProgram has no login; it is given the password each time.
func ctrProgram(name, binary, address string) program {
	return program{name: name, binary: binary, store: true, plain: "--plain-http", secure: "--hosts-dir={home}/hosts", credentials: "--user={user}:{password}",
		env:   map[string]string{"CONTAINERD_ADDRESS": address, "CONTAINERD_NAMESPACE": "{name}"},
		push:  "images import --no-unpack {archive}\n images push {transport} {auth} {image}\n images rm --sync {image}",
		pull:  "images pull --snapshotter native {transport} {auth} {image}",
		mount: "images tag {image} {copy}\n images push {transport} {auth} {copy}",
	}
}
