package sandbox

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const procTCP = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:0050 00000000:0000 0A 00000000:00000000 00:00000000 00000000 65532        0 4711 1 0000000000000000 100 0 0 10 0
   1: 0100007F:1F90 0100007F:C350 01 00000000:00000000 00:00000000 00000000     0        0 4712 1 0000000000000000 20 4 30 10 -1
   2: 0100007F:FFFF 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 4713 1 0000000000000000 100 0 0 10 0
`

func TestListening(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want []listener
	}{
		"nothing":      {"", nil},
		"head only":    {procTCP[:strings.Index(procTCP, "\n")+1], nil},
		"two of three": {procTCP, []listener{{80, "4711"}, {65535, "4713"}}},
		"IPv6": {
			"   0: 00000000000000000000000000000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9 1 0 100 0 0 10 0\n",
			[]listener{{22, "9"}},
		},
		"cut off":    {"   0: 00000000:0050 00000000:0000 0A 0000", nil},
		"no port":    {"   0: 00000000 00000000:0000 0A 0:0 0:0 0 0 0 1\n", nil},
		"wide port":  {"   0: 00000000:10050 00000000:0000 0A 0:0 0:0 0 0 0 1\n", nil},
		"other text": {"a b c 0A e f g h i j\n", nil},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := listening(strings.NewReader(c.in))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(c.want, got, cmp.AllowUnexported(listener{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzListening(f *testing.F) {
	f.Add([]byte(procTCP))
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := listening(bytes.NewReader(data))
		if err != nil {
			return // a line longer than a scanner's buffer
		}
		for _, l := range got {
			if l.port < 1 || l.port > 65535 || l.inode == "" {
				t.Errorf("%+v is no socket", l)
			}
		}
	})
}

func TestPSS(t *testing.T) {
	for name, c := range map[string]struct {
		in   string
		want int64 // -1: error
	}{
		"usual":    {"55 7ff [rollup]\nRss:  884 kB\nPss:  385 kB\nPss_Dirty: 68 kB\n", 385 * 1024},
		"none":     {"Rss: 884 kB\n", -1},
		"empty":    {"", -1},
		"negative": {"Pss: -1 kB\n", -1},
		"huge":     {"Pss: 99999999999999999999 kB\n", -1},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := pss([]byte(c.in))
			if (err != nil) != (c.want < 0) || err == nil && got != c.want {
				t.Errorf("got %d, %v, want %d", got, err, c.want)
			}
		})
	}
}

func FuzzPSS(f *testing.F) {
	f.Add([]byte("Rss:  884 kB\nPss:  385 kB\n"))
	f.Fuzz(func(t *testing.T, data []byte) {
		if n, err := pss(data); err == nil && n < 0 {
			t.Errorf("PSS is %d", n)
		}
	})
}
