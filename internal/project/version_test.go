package project

import "testing"

func TestSatisfies(t *testing.T) {
	for _, tt := range []struct {
		requires, version string
		want              bool
	}{
		{"", "3.11", true},
		{"*", "3.11", true},
		{">=3.11,<3.12", "3.11", true},
		{">=3.11,<3.12", "3.12", false},
		{">=3.11,<3.12", "3.11.2", true},
		{">=3.11.4", "3.11", true}, // some 3.11 does
		{">=3.11.4", "3.11.2", false},
		{"==3.11.*", "3.11.9", true},
		{"~=3.11", "3.13", true},
		{"~=3.11.0", "3.12", false},
		{"!=3.11.*", "3.11", false},
		{">3.11", "3.11", true}, // 3.11.1 does
		{">=3.9,<4.0", "3.15.0rc1", true},
		{">=3.9 , <4", "3.14", true},
		{">=3.9,<4||==2.7.*", "3.9", true},
	} {
		got, err := Satisfies(tt.requires, tt.version)
		if err != nil || got != tt.want {
			t.Errorf("Satisfies(%q, %q) = %v, %v", tt.requires, tt.version, got, err)
		}
	}
	for _, bad := range []string{"fish", ">=", "python>=3", ">=3.x"} {
		if ok, err := Satisfies(bad, "3.11"); err == nil {
			t.Errorf("%q was taken for specifiers (%v)", bad, ok)
		}
	}
	if _, err := Satisfies(">=3", "three"); err == nil {
		t.Error("a word was taken for a version")
	}
}

func TestPoetryConstraint(t *testing.T) {
	for in, want := range map[string]string{
		"^3.9": ">=3.9,<4", "^3.9.1": ">=3.9.1,<4", "~3.9": ">=3.9,<3.10", "~3": ">=3,<4", "3.11": "==3.11.*", "3.11.2": "==3.11.2",
		">=3.9,<3.13": ">=3.9,<3.13", "*": "", "^0.2.3": ">=0.2.3,<0.3", "~2.7 || ^3.6": ">=2.7,<2.8||>=3.6,<4", "3.11.*": "==3.11.*",
	} {
		got, err := PoetryConstraint(in)
		if err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", in, got, err, want)
		}
	}
	if got, err := PoetryConstraint("^x"); err == nil {
		t.Errorf("^x is %q", got)
	}
}

func TestReadPin(t *testing.T) {
	for in, want := range map[string]string{
		"3.11\n": "3.11", "3.11.7": "3.11", "# c\n\n3.12 # x\n3.11\n": "3.12", "cpython-3.11.2-linux-x86_64-gnu": "3.11", "python3.9": "3.9", "cp3.13": "3.13", "": "",
	} {
		got, err := readPin(in)
		if err != nil || got != want {
			t.Errorf("%q is %q, %v; want %q", in, got, err, want)
		}
	}
	for _, bad := range []string{"2.7", "my-env", "3", "system", "3.11rc"} {
		if got, err := readPin(bad); err == nil {
			t.Errorf("%q is %q", bad, got)
		}
	}
}
