package variant

import (
	"context"
	_ "embed"
	"strings"

	"exuvia/internal/plan"
)

// Shiv packs the app as shiv does.
var Shiv = Variant{
	Name:  "shiv",
	Short: "one zipapp by shiv, on the slim Python image",
	Doc: `shiv packs the project and its dependencies into one executable archive, which
the base's Python runs. At the first start in a container it is unpacked below
/tmp/shiv, which SHIV_ROOT changes; Python then compiles the modules that are
imported. (shiv's own --compile-pyc compiles all there are at that moment,
which takes longer.) Files of the project that are not Python's stay in /app
too. On a base without the same Python, that comes along with its whole
library.`,
	Base: "-slim",
	Plan: planShiv,
}

//go:embed locks/shiv.txt
var shivLock string

func planShiv(_ context.Context, in Input) (*plan.Plan, error) {
	gather := gatherOwn(in, zipappStage)
	if hasSite(in) {
		gather = "cp -r " + quote(zipappApp+"/"+in.Python.Site) + "/. " + zipappStage + "\n" + gather
	}
	p := zipapp(in, "shiv", shivLock, nil, gather, func(archive string) string {
		return "/" + in.Python.Exe + " -s -m shiv --reproducible --site-packages " + zipappStage + " --entry-point " + zipappModule + ":main" +
			" --python /" + in.Python.Exe + " --root /tmp/shiv --output-file " + archive
	})
	p.Unpacks = unpacks(p.Config, "SHIV_ROOT", "/tmp/shiv")
	return p, nil
}

// hasSite reports whether any distribution was installed.
func hasSite(in Input) bool {
	for e := range in.App.All() {
		if strings.HasPrefix(e.Path, in.Python.Site+"/") {
			return true
		}
	}
	return false
}
