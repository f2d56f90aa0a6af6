package index

import (
	"io"
	"net/http"
	"strings"
	"testing"
)

func get(t *testing.T, url string) (int, string) {
	t.Helper()
	resp, err := http.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(body)
}

func TestIndex(t *testing.T) {
	s := New(t)
	s.User, s.Password = "me", "secret"
	file, data := Wheel(t, "my-dist", "1.0", nil)
	s.Add("my-dist", file, data)
	if code, _ := get(t, s.URL()+"my-dist/"); code != http.StatusUnauthorized {
		t.Errorf("without a password the answer is %d", code)
	}
	code, page := get(t, s.PrivateURL()+"my-dist/")
	if code != http.StatusOK || !strings.Contains(page, file+"#sha256="+Sum(data)) {
		t.Errorf("%d %s", code, page)
	}
	if code, body := get(t, strings.Replace(s.FileURL("my-dist", file), "://", "://me:secret@", 1)); code != http.StatusOK || body != string(data) {
		t.Errorf("the file: %d, %d bytes", code, len(body))
	}
	if code, _ := get(t, s.PrivateURL()+"other/"); code != http.StatusNotFound {
		t.Errorf("an unknown project: %d", code)
	}
}
