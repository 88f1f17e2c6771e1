# Helper programs: built from the pinned modules of build/programs, compressed, and carried inside bin/coracle.
#   make programs   builds what changed
#   make deps       installs the Debian packages that the build needs

PROGRAMS_SRC    := build/programs
PROGRAMS_BIN    := bin/programs
PROGRAMS_ASSETS := internal/cluster/programs/assets
PROGRAMS        := containerd containerd-shim-runc-v2 runc kubectl coracle-cni coracle-init pause
PROGRAMS_PINS   := $(PROGRAMS_SRC)/go.mod $(PROGRAMS_SRC)/go.sum
PROGRAMS_GO     := GOFLAGS=-mod=readonly nice -n 5 go build -C $(PROGRAMS_SRC) -trimpath -buildvcs=false
PROGRAMS_DEBS   := gcc libc6-dev libseccomp-dev zstd

programs_version = $(shell awk '$$1 == "$(1)" { print $$2; exit }' $(PROGRAMS_SRC)/go.mod)

.PHONY: programs deps

deps: ## install the Debian packages that the build needs, when they are missing
	@missing=""; for p in $(PROGRAMS_DEBS); do \
	  dpkg-query -W -f '$${Status}' $$p 2>/dev/null | grep -q 'install ok installed' || missing="$$missing $$p"; done; \
	if [ -n "$$missing" ]; then echo "installing$$missing"; \
	  if [ "$$(id -u)" = 0 ]; then s=; else s=sudo; fi; \
	  { $$s apt-get install -y --no-install-recommends $$missing || \
	    { $$s apt-get update && $$s apt-get install -y --no-install-recommends $$missing; }; } >/dev/null; fi

programs: $(PROGRAMS_ASSETS)/manifest.json ## build the helper programs that the binary carries

$(PROGRAMS_BIN)/containerd: $(PROGRAMS_SRC)/containerd/main.go $(PROGRAMS_PINS)
	CGO_ENABLED=0 $(PROGRAMS_GO) -tags grpcnotrace,no_tracing -o $(abspath $@) -ldflags "-s -w \
	  -X github.com/containerd/containerd/v2/version.Version=$(call programs_version,github.com/containerd/containerd/v2)" ./containerd

$(PROGRAMS_BIN)/containerd-shim-runc-v2: $(PROGRAMS_PINS)
	CGO_ENABLED=0 $(PROGRAMS_GO) -tags grpcnotrace,no_grpc -o $(abspath $@) -ldflags "-s -w \
	  -X github.com/containerd/containerd/v2/version.Version=$(call programs_version,github.com/containerd/containerd/v2)" \
	  github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2

# runc enters namespaces in C before Go starts, so it needs cgo; linked statically, it runs whatever the node has installed.
$(PROGRAMS_BIN)/runc: $(PROGRAMS_PINS) | deps
	CGO_ENABLED=1 $(PROGRAMS_GO) -tags seccomp,urfave_cli_no_docs,netgo,osusergo -o $(abspath $@) -ldflags "-s -w \
	  -linkmode external -extldflags -static-pie" -buildmode=pie github.com/opencontainers/runc

$(PROGRAMS_BIN)/kubectl: $(PROGRAMS_SRC)/kubectl/main.go $(PROGRAMS_PINS)
	CGO_ENABLED=0 $(PROGRAMS_GO) -tags grpcnotrace -o $(abspath $@) -ldflags "-s -w \
	  -X k8s.io/component-base/version.gitVersion=$(subst v0.,v1.,$(call programs_version,k8s.io/kubectl)) \
	  -X k8s.io/component-base/version.gitTreeState=clean \
	  -X k8s.io/client-go/pkg/version.gitVersion=$(subst v0.,v1.,$(call programs_version,k8s.io/kubectl))" ./kubectl

$(PROGRAMS_BIN)/coracle-cni: $(shell find cmd/coracle-cni internal/network/cni -name '*.go' 2>/dev/null) go.mod
	CGO_ENABLED=0 nice -n 5 go build -trimpath -buildvcs=false -tags grpcnotrace -ldflags "-s -w" -o $@ ./cmd/coracle-cni

$(PROGRAMS_BIN)/coracle-init: $(shell find cmd/coracle-init internal/cluster/local/nodeinit internal/cluster/local/holder \
		internal/cluster/local/cgroups -name '*.go' -not -name '*_test.go') go.mod
	CGO_ENABLED=0 nice -n 5 go build -trimpath -buildvcs=false -ldflags "-s -w" -o $@ ./cmd/coracle-init

# The process that holds a pod's namespaces. It has no libc and no Go runtime: a pod costs a few pages.
$(PROGRAMS_BIN)/pause: $(PROGRAMS_SRC)/pause/pause.c | deps
	gcc -O2 -static -nostdlib -nostartfiles -ffreestanding -fno-stack-protector -fno-pie -no-pie -s \
	  -Wl,--build-id=none -Wl,-z,noseparate-code -Wall -Wextra -Werror -o $@ $<

$(PROGRAMS_ASSETS)/manifest.json: $(addprefix $(PROGRAMS_BIN)/,$(PROGRAMS)) $(PROGRAMS_SRC)/pack.sh
	$(PROGRAMS_SRC)/pack.sh $(PROGRAMS_ASSETS) $(addprefix $(PROGRAMS_BIN)/,$(PROGRAMS))

# Images of our own, from programs of ours: nothing is fetched.
IMAGES_BIN := bin/images

.PHONY: images
images: $(IMAGES_BIN)/web/web bin/coracle ## build the images of the examples, and give them to every running node
	bin/coracle image build $(IMAGES_BIN)/web --file examples/web/Dockerfile --tag example.coracle.dev/web:1

$(IMAGES_BIN)/web/web: $(wildcard examples/web/*.go)
	CGO_ENABLED=0 nice -n 5 go build -trimpath -buildvcs=false -ldflags "-s -w" -o $@ ./examples/web
