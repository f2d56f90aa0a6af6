package oci

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/static"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"exuvia/internal/cas"
	"exuvia/internal/fault"
	"exuvia/internal/plan"
	"exuvia/internal/tree"
)

// flat says what is in the image that layers make: path → contents, "/" for a
// directory, "→ x" for a link. Another image of the same layers, which are known
// by then, has to be the same.
func flat(t *testing.T, layers ...v1.Layer) (map[string]string, error) {
	t.Helper()
	img, err := mutate.AppendLayers(empty.Image, layers...)
	if err != nil {
		t.Fatal(err)
	}
	s := store(t)
	tr, _, err := Flatten(t.Context(), s, img)
	other, configErr := mutate.Config(img, v1.Config{User: "other"})
	if configErr != nil {
		t.Fatal(configErr)
	}
	again, _, errAgain := Flatten(t.Context(), s, other)
	if (err == nil) != (errAgain == nil) {
		t.Errorf("first %v, then %v", err, errAgain)
	}
	if err != nil {
		return nil, err
	}
	if again != nil && tr.Digest() != again.Digest() {
		t.Errorf("known layers make another tree: %v", tree.Diff(tr, again))
	}
	out := make(map[string]string)
	for e := range tr.All() {
		switch {
		case e.IsDir():
			out[e.Path] = "/"
		case e.Link != "":
			out[e.Path] = "→ " + e.Link
		default:
			data, err := e.ReadAll(1 << 20)
			if err != nil {
				t.Fatal(err)
			}
			out[e.Path] = string(data)
		}
	}
	return out, nil
}

// Members in short: "a/" directory, "a" file with its name and the number of
// the layer in it, "a>b" symbolic link, "a=b" hard link.
func short(t *testing.T, n string, members ...string) v1.Layer {
	t.Helper()
	var hs []tar.Header
	for _, m := range members {
		name, target, soft := strings.Cut(m, ">")
		if soft {
			hs = append(hs, tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeSymlink})
			continue
		}
		if name, target, hard := strings.Cut(m, "="); hard {
			hs = append(hs, tar.Header{Name: name, Linkname: target, Typeflag: tar.TypeLink})
			continue
		}
		h := tar.Header{Name: m, Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(n))}
		if strings.HasSuffix(m, "/") {
			h.Mode, h.Typeflag, h.Size = 0o755, tar.TypeDir, 0
		}
		hs = append(hs, h)
	}
	return layerWith(t, n, hs...)
}

// layerWith makes a layer; every file has the contents.
func layerWith(t *testing.T, contents string, headers ...tar.Header) v1.Layer {
	t.Helper()
	var buf bytes.Buffer
	tw := tar.NewWriter(&buf)
	for _, h := range headers {
		if err := tw.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if h.Size > 0 {
			if _, err := io.WriteString(tw, contents); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := tw.Close(); err != nil {
		t.Fatal(err)
	}
	return static.NewLayer(buf.Bytes(), types.OCIUncompressedLayer)
}

// As a container runtime unpacks them.
func TestFlattenLayers(t *testing.T) {
	for name, c := range map[string]struct {
		layers [][]string
		want   map[string]string
	}{
		"later wins":                       {[][]string{{"a", "b"}, {"b"}}, map[string]string{"a": "1", "b": "2"}},
		"later wins in one layer":          {[][]string{{"a>b", "a"}}, map[string]string{"a": "1"}},
		"implicit directories":             {[][]string{{"a/b/c"}}, map[string]string{"a": "/", "a/b": "/", "a/b/c": "1"}},
		"spelling":                         {[][]string{{"./", "./a", "b//c", "d/./e"}}, map[string]string{"a": "1", "b": "/", "b/c": "1", "d": "/", "d/e": "1"}},
		"whiteout":                         {[][]string{{"a", "d/x", "d/y"}, {".wh.a", "d/.wh.x"}}, map[string]string{"d": "/", "d/y": "1"}},
		"whiteout of a directory":          {[][]string{{"d/x/y", "e"}, {".wh.d"}}, map[string]string{"e": "1"}},
		"whiteout of nothing":              {[][]string{{"a"}, {".wh.b", "c/.wh.d"}}, map[string]string{"a": "1"}},
		"whiteout, then the new":           {[][]string{{"a"}, {".wh.a", "a"}}, map[string]string{"a": "2"}},
		"the new, then its whiteout":       {[][]string{{"a"}, {"a", ".wh.a"}}, map[string]string{"a": "2"}},
		"whiteout keeps what is new":       {[][]string{{"d/x"}, {"d/y", ".wh.d"}}, map[string]string{"d": "/", "d/y": "2"}},
		"opaque":                           {[][]string{{"d/x", "d/e/f"}, {"d/", "d/y", "d/.wh..wh..opq"}}, map[string]string{"d": "/", "d/y": "2"}},
		"opaque first":                     {[][]string{{"d/x"}, {"d/.wh..wh..opq", "d/y"}}, map[string]string{"d": "/", "d/y": "2"}},
		"opaque root":                      {[][]string{{"a", "d/x"}, {".wh..wh..opq", "b"}}, map[string]string{"b": "2"}},
		"whiteout of three":                {[][]string{{"a"}, {".wh.a"}, {"a"}}, map[string]string{"a": "3"}},
		"a file for a directory":           {[][]string{{"d/x"}, {"d"}}, map[string]string{"d": "2"}},
		"a directory for a file":           {[][]string{{"d"}, {"d/", "d/x"}}, map[string]string{"d": "/", "d/x": "2"}},
		"a link for a directory":           {[][]string{{"d/x", "e/"}, {"d>e"}}, map[string]string{"d": "→ e", "e": "/"}},
		"a directory over a directory":     {[][]string{{"d/x"}, {"d/", "d/y"}}, map[string]string{"d": "/", "d/x": "1", "d/y": "2"}},
		"through a link below":             {[][]string{{"usr/lib/", "lib>usr/lib"}, {"lib/x"}}, map[string]string{"usr": "/", "usr/lib": "/", "lib": "→ usr/lib", "usr/lib/x": "2"}},
		"through an absolute link":         {[][]string{{"usr/lib/", "a/lib>/usr/lib"}, {"a/lib/x"}}, map[string]string{"usr": "/", "usr/lib": "/", "a": "/", "a/lib": "→ /usr/lib", "usr/lib/x": "2"}},
		"a link out of the root stays in":  {[][]string{{"l>../../../../tmp", "l/x"}}, map[string]string{"l": "→ ../../../../tmp", "tmp": "/", "tmp/x": "1"}},
		"a whiteout through a link":        {[][]string{{"usr/lib/x", "usr/lib/y", "lib>usr/lib"}, {"lib/.wh.x"}}, map[string]string{"usr": "/", "usr/lib": "/", "lib": "→ usr/lib", "usr/lib/y": "1"}},
		"a declared directory for a link":  {[][]string{{"usr/lib/", "lib>usr/lib"}, {"lib/", "lib/x"}}, map[string]string{"usr": "/", "usr/lib": "/", "lib": "/", "lib/x": "2"}},
		"hard link":                        {[][]string{{"a", "b=a", "c=b"}}, map[string]string{"a": "1", "b": "→ a", "c": "→ a"}},
		"hard link to below":               {[][]string{{"a"}, {"b=a"}}, map[string]string{"a": "1", "b": "→ a"}},
		"hard link by an absolute name":    {[][]string{{"a", "b=/a"}}, map[string]string{"a": "1", "b": "→ a"}},
		"hard link, then its file is gone": {[][]string{{"a", "b=a", "c=a"}, {".wh.a"}}, map[string]string{"b": "1", "c": "→ b"}},
		"hard link, then a new file":       {[][]string{{"a", "b=a"}, {"a"}}, map[string]string{"a": "2", "b": "1"}},
	} {
		t.Run(name, func(t *testing.T) {
			var layers []v1.Layer
			for i, members := range c.layers {
				layers = append(layers, short(t, string(rune('1'+i)), members...))
			}
			got, err := flat(t, layers...)
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Errorf("(-want +got)\n%s", d)
			}
		})
	}
}

func TestFlattenRefuses(t *testing.T) {
	deep := strings.Repeat("a/", 2000)
	for name, layer := range map[string]v1.Layer{
		"up":                 short(t, "1", "a/../b"),
		"out":                short(t, "1", "../a"),
		"below a file":       short(t, "1", "a", "a/b"),
		"links in a circle":  short(t, "1", "a>b", "b>a", "a/x"),
		"link to itself":     short(t, "1", "a", "a=a/b"),
		"no name":            short(t, "1", ".wh."),
		"whiteout of up":     short(t, "1", "a", "b/.wh..."),
		"long path":          short(t, "1", strings.Repeat("a/", 2100)+"x"),
		"long path by links": short(t, "1", deep, "l>"+deep, "l/"+deep),
		"fifo":               layerWith(t, "", tar.Header{Name: "x", Typeflag: tar.TypeFifo}),
		"character device":   layerWith(t, "", tar.Header{Name: "dev/null", Typeflag: tar.TypeChar, Devmajor: 1, Devminor: 3}),
		"root as a link":     layerWith(t, "", tar.Header{Name: "./", Linkname: "x", Typeflag: tar.TypeSymlink}),
		"owner":              layerWith(t, "", tar.Header{Name: "x", Typeflag: tar.TypeReg, Uid: 1 << 33}),
		"no archive":         static.NewLayer([]byte(strings.Repeat("no archive", 100)), types.OCILayer),
		"cut short":          static.NewLayer([]byte{0x1f, 0x8b, 8, 0, 0}, types.OCILayer),
		"zstd of nothing":    static.NewLayer([]byte{0x28, 0xb5, 0x2f, 0xfd, 0xff}, types.OCILayerZStd),
	} {
		t.Run(name, func(t *testing.T) {
			if got, err := flat(t, layer); err == nil && name != "whiteout of up" {
				t.Errorf("got %v", got)
			} else if err != nil && strings.ContainsAny(err.Error(), "\x00\n") {
				t.Errorf("error is no line: %q", err)
			}
		})
	}
}

// A layer that is not what the manifest says is noticed, also when its files
// are known from before.
func TestFlattenNoticesDamage(t *testing.T) {
	c := store(t)
	s := images(t, now)
	img, err := s.Put(assemble(t, c, someTree(t)))
	if err != nil {
		t.Fatal(err)
	}
	for _, when := range []string{"at once", "with its files known"} {
		m, err := img.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		name := blobPath(s.dir, m.Layers[0].Digest)
		good, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		bad := bytes.Clone(good)
		bad[len(bad)/2] ^= 1
		if err := os.WriteFile(name, bad, 0o644); err != nil {
			t.Fatal(err)
		}
		_, _, err = Flatten(t.Context(), c, img)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Integrity || !errors.Is(err, cas.ErrCorrupt) {
			t.Errorf("%s: error is %v", when, err)
		}
		if err := os.WriteFile(name, good, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, _, err := Flatten(t.Context(), c, img); err != nil {
			t.Errorf("%s: mended, but %v", when, err)
		}
	}
}

// What the manifest says of the unpacked bytes has to be true as well.
func TestFlattenComparesDiffIDs(t *testing.T) {
	img := assemble(t, store(t), someTree(t))
	f, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	f = f.DeepCopy()
	f.RootFS.DiffIDs[0].Hex = strings.Repeat("0", 64)
	lying, err := mutate.ConfigFile(img, f)
	if err != nil {
		t.Fatal(err)
	}
	back, err := images(t, now).Put(lying)
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := Flatten(t.Context(), store(t), back); err == nil {
		t.Error("a wrong diff ID was taken")
	}
}

// Whatever the bytes of a layer are: an error, or a tree that makes the same
// image again.
func FuzzFlatten(f *testing.F) {
	for _, members := range [][]string{{"a", "b/", "c>a"}, {"a/.wh.x", "a/.wh..wh..opq"}, {"x", "y=x"}, {"l>..", "l/x"}} {
		var buf bytes.Buffer
		tw := tar.NewWriter(&buf)
		for _, m := range members {
			h := &tar.Header{Name: m, Mode: 0o644, Typeflag: tar.TypeReg}
			if name, target, ok := strings.Cut(m, ">"); ok {
				h.Name, h.Linkname, h.Typeflag = name, target, tar.TypeSymlink
			} else if name, target, ok := strings.Cut(m, "="); ok {
				h.Name, h.Linkname, h.Typeflag = name, target, tar.TypeLink
			} else if strings.HasSuffix(m, "/") {
				h.Mode, h.Typeflag = 0o755, tar.TypeDir
			}
			if err := tw.WriteHeader(h); err != nil {
				f.Fatal(err)
			}
		}
		if err := tw.Close(); err != nil {
			f.Fatal(err)
		}
		f.Add(buf.Bytes())
	}
	var z bytes.Buffer
	zw := gzip.NewWriter(&z)
	if err := zw.Close(); err != nil {
		f.Fatal(err)
	}
	f.Add(z.Bytes())
	c, err := cas.Open(f.TempDir())
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		fl := newFlattener(c)
		if err := fl.layer(t.Context(), static.NewLayer(data, types.OCILayer)); err != nil {
			return // static.NewLayer's diff ID is that of data: compressed ones end here
		}
		first, err := fl.tree()
		if err != nil {
			t.Skip()
		}
		img, _, err := Assemble(t.Context(), c, []LayerSpec{{"all", first}}, plan.Config{}, meta)
		if err != nil {
			if _, ok := errors.AsType[*fault.Error](err); ok {
				return // a name that means something else
			}
			t.Fatalf("what was read cannot be written: %v", err)
		}
		second, _, err := Flatten(t.Context(), c, img)
		if err != nil {
			t.Fatalf("what was written cannot be read: %v", err)
		}
		if first.Digest() != second.Digest() {
			t.Fatalf("differs: %v", tree.Diff(first, second))
		}
	})
}

// A layer that is known is not unpacked again, unless its files are gone from
// the cache.
func TestFlattenKnowsLayers(t *testing.T) {
	s := store(t)
	first := layerWith(t, "1", tar.Header{
		Name: "a", Typeflag: tar.TypeReg, Mode: 0o644, Size: 1, PAXRecords: map[string]string{xattrPrefix + "security.capability": "\x01\x00\xff\xfe"},
	}, tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: "\xff"})
	flatten := func(second string) *tree.Tree {
		t.Helper()
		img, err := mutate.AppendLayers(empty.Image, first, short(t, "2", second))
		if err != nil {
			t.Fatal(err)
		}
		tr, _, err := Flatten(t.Context(), s, img)
		if err != nil {
			t.Fatal(err)
		}
		return tr
	}
	flatten("b")
	fresh := flatten("c")
	e, ok := fresh.Lookup("a")
	if l, found := fresh.Lookup("l"); !ok || !found || e.Xattrs["security.capability"] != "\x01\x00\xff\xfe" || l.Link != "\xff" {
		t.Errorf("a is %+v, l is %+v", e, l)
	}
	digest, err := first.Digest()
	if err != nil {
		t.Fatal(err)
	}
	key := cas.Key(flattenVersion, digest.String(), digest.String())
	var known members
	if !s.Lookup("layer", key, &known) || len(known.List) != 2 {
		t.Fatalf("known is %+v", known)
	}
	known.List = known.List[:1]
	if err := s.Record("layer", key, known); err != nil {
		t.Fatal(err)
	}
	if _, ok := flatten("d").Lookup("l"); ok {
		t.Error("a layer that is known was read")
	}
	known.List[0].Blob.Sum = strings.Repeat("0", 64)
	if err := s.Record("layer", key, known); err != nil {
		t.Fatal(err)
	}
	if _, ok := flatten("e").Lookup("l"); !ok {
		t.Error("a layer whose files are gone was not read")
	}
}
