package cli

import (
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"exuvia/internal/project"
)

// [tool.exuvia] holds every setting that the command line has, and the other
// way round: a setting without a flag could not be tried out.
func TestEverySettingHasAFlag(t *testing.T) {
	f := pflag.NewFlagSet("build", pflag.ContinueOnError)
	settingFlags(f, &project.Settings{})
	tags := make(map[string]bool)
	typ := reflect.TypeFor[project.Settings]()
	for field := range typ.Fields() {
		if field.Type.Kind() == reflect.Struct { // a table: pyproject.toml only
			continue
		}
		tag, _, _ := strings.Cut(field.Tag.Get("toml"), ",")
		tags[tag] = true
		if f.Lookup(tag) == nil {
			t.Errorf("setting %q has no flag", tag)
		}
	}
	f.VisitAll(func(flag *pflag.Flag) {
		if !tags[flag.Name] {
			t.Errorf("flag --%s has no setting", flag.Name)
		}
	})
}
