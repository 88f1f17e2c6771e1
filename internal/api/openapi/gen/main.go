package main

import (
	"fmt"
	"log"
	"os"
	"os/exec"
	"path/filepath"

	"k8s.io/gengo/v2"
	"k8s.io/gengo/v2/generator"
	"k8s.io/kube-openapi/cmd/openapi-gen/args"
	"k8s.io/kube-openapi/pkg/generators"
)

func main() {
	log.SetFlags(0)
	if len(os.Args) != 2 {
		log.Fatal("usage: go run . OUTPUT-FOLDER")
	}
	if err := generate(os.Args[1]); err != nil {
		log.Fatal(err)
	}
}

func generate(output string) error {
	const folder = "definitions"
	defer os.RemoveAll(folder)
	if err := definitions(folder); err != nil {
		return fmt.Errorf("generating definitions: %w", err)
	}
	build := exec.Command("go", "run", "-mod=mod", "./build", output) // the product's requirements may have moved on
	build.Stdout, build.Stderr = os.Stdout, os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building documents: %w", err)
	}
	return nil
}

// definitions writes a Go package with the definition of every type that the documents can refer to.
func definitions(folder string) error {
	if err := os.MkdirAll(folder, 0o755); err != nil {
		return err
	}
	report := filepath.Join(folder, "violations.txt")
	a := args.New()
	a.OutputDir, a.OutputPkg, a.OutputFile = folder, "coracle.dev/coracle/internal/api/openapi/gen/definitions", "definitions.go"
	a.ReportFilename = report
	// The API's packages already have these files; naming one makes the generator use the model names in them.
	a.OutputModelNameFile = "zz_generated.model_name.go"
	targets := func(c *generator.Context) []generator.Target { return generators.GetOpenAPITargets(c, a, nil) }
	return gengo.Execute(generators.NameSystems(), generators.DefaultNameSystem(), targets, gengo.StdBuildTag, packages())
}

func packages() []string {
	return []string{
		"k8s.io/api/admissionregistration/v1",
		"k8s.io/api/apps/v1",
		"k8s.io/api/authentication/v1",
		"k8s.io/api/authorization/v1",
		"k8s.io/api/autoscaling/v1",
		"k8s.io/api/autoscaling/v2",
		"k8s.io/api/batch/v1",
		"k8s.io/api/certificates/v1",
		"k8s.io/api/coordination/v1",
		"k8s.io/api/core/v1",
		"k8s.io/api/discovery/v1",
		"k8s.io/api/events/v1",
		"k8s.io/api/flowcontrol/v1",
		"k8s.io/api/networking/v1",
		"k8s.io/api/node/v1",
		"k8s.io/api/policy/v1",
		"k8s.io/api/rbac/v1",
		"k8s.io/api/resource/v1",
		"k8s.io/api/scheduling/v1",
		// Jobs refer to types of this group that are not served.
		"k8s.io/api/scheduling/v1alpha3",
		"k8s.io/api/storage/v1",
		"k8s.io/api/storagemigration/v1",
		"k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1",
		"k8s.io/apimachinery/pkg/api/resource",
		"k8s.io/apimachinery/pkg/apis/meta/v1",
		"k8s.io/apimachinery/pkg/runtime",
		"k8s.io/apimachinery/pkg/util/intstr",
		"k8s.io/apimachinery/pkg/version",
		"k8s.io/kube-aggregator/pkg/apis/apiregistration/v1",
	}
}
