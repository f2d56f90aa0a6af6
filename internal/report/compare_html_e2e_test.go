//go:build e2e

package report

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	cdppage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/google/go-cmp/cmp"
)

// browser is Chromium with what it complained of and asked the network for.
type browser struct {
	ctx context.Context //nolint:containedctx // that of a tab is its handle
	mu  sync.Mutex
	bad []string
}

// openBrowser starts Chromium for the time of the test. Where it is not
// installed the test is skipped; with EXUVIA_E2E_STRICT=1 it fails.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	if _, err := exec.LookPath("chromium"); err != nil {
		if os.Getenv("EXUVIA_E2E_STRICT") == "1" {
			t.Fatal("chromium is not installed, and pages are tested in it")
		}
		t.Skip("chromium is not installed")
	}
	ctx, cancel := context.WithTimeoutCause(t.Context(), 2*time.Minute, fmt.Errorf("the browser took too long"))
	t.Cleanup(cancel)
	ctx, stop := chromedp.NewExecAllocator(ctx, append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox)...)
	t.Cleanup(stop)
	ctx, closeTab := chromedp.NewContext(ctx)
	t.Cleanup(closeTab)
	b := &browser{ctx: ctx}
	chromedp.ListenTarget(ctx, b.listen)
	if err := chromedp.Run(ctx, network.Enable(), log.Enable(), runtime.Enable()); err != nil {
		t.Fatalf("starting chromium: %v", err)
	}
	return b
}

func (b *browser) listen(event any) {
	complaint := ""
	switch e := event.(type) {
	case *network.EventRequestWillBeSent:
		if e.Type != network.ResourceTypeDocument {
			complaint = "request: " + e.Request.URL
		}
	case *log.EventEntryAdded:
		complaint = "log: " + e.Entry.Text
	case *runtime.EventConsoleAPICalled:
		complaint = "console: " + e.Type.String()
	case *runtime.EventExceptionThrown:
		complaint = "exception: " + e.ExceptionDetails.Error()
	case *cdppage.EventJavascriptDialogOpening:
		complaint = "dialog: " + e.Message
	default:
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if complaint != "" {
		b.bad = append(b.bad, complaint)
	}
}

func (b *browser) run(t *testing.T, actions ...chromedp.Action) {
	t.Helper()
	if err := chromedp.Run(b.ctx, actions...); err != nil {
		t.Fatal(err)
	}
}

// ask gives what an expression is in the page.
func ask[T any](t *testing.T, b *browser, expression string) (v T) {
	t.Helper()
	b.run(t, chromedp.Evaluate(expression, &v, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
	return v
}

func (b *browser) quiet(t *testing.T) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.bad {
		t.Error(s)
	}
}

func pageFile(t *testing.T, c Comparison) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "comparison.html")
	if err := os.WriteFile(file, []byte(write(t, WriteComparisonHTML, c)), 0o644); err != nil {
		t.Fatal(err)
	}
	return "file://" + file
}

const (
	tableLabels = `[...document.querySelectorAll("#images tbody .variant")].map(e => e.textContent)`
	sortedHeads = `[...document.querySelectorAll("#images [aria-sort]")].map(e => e.textContent + " " + e.getAttribute("aria-sort"))`
	visible     = `[...document.querySelectorAll("#images tbody tr, .bars li:not(.axis), .plot .point")].every(e => e.getBoundingClientRect().width > 0)`
)

func variants(c Comparison) []string {
	var out []string
	for _, r := range presentable(c).Rows {
		out = append(out, r.Variant)
	}
	return out
}

func (b *browser) looksRight(t *testing.T, c Comparison) {
	t.Helper()
	if d := cmp.Diff(variants(c), ask[[]string](t, b, tableLabels)); d != "" {
		t.Errorf("rows of the table (-want +got)\n%s", d)
	}
	images := 0
	for _, r := range c.Rows {
		if r.Size > 0 {
			images++
		}
	}
	count := func(selector string) int {
		return ask[int](t, b, fmt.Sprintf("document.querySelectorAll(%q).length", selector))
	}
	if bars, size, download := count("#parts .bar"), count("#scatter-size .point"), count("#scatter-download .point"); bars != images || size != images || download != images {
		t.Errorf("%d images are %d bars, %d and %d points", images, bars, size, download)
	}
	if fronts := count(".plot .front"); fronts != 2 {
		t.Errorf("%d fronts are drawn", fronts)
	}
	if !ask[bool](t, b, visible) {
		t.Error("a row, bar or point is not visible")
	}
}

// everywhere opens a page light and dark, wide and narrow, where it must fit,
// and has it looked at; where says which of them it is.
func (b *browser) everywhere(t *testing.T, address string, look func(where string)) {
	t.Helper()
	backgrounds := make(map[string]string)
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{1280, 400} {
			where := fmt.Sprintf("%s, %d pixels wide", scheme, width)
			b.run(t,
				emulation.SetEmulatedMedia().WithFeatures([]*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}),
				chromedp.EmulateViewport(width, 900), chromedp.Navigate(address))
			if over := ask[int](t, b, `document.documentElement.scrollWidth - document.documentElement.clientWidth`); over > 0 {
				t.Errorf("%s: the page is %d pixels too wide", where, over)
			}
			look(where)
		}
		backgrounds[scheme] = ask[string](t, b, `getComputedStyle(document.body).backgroundColor`)
	}
	if backgrounds["light"] == backgrounds["dark"] {
		t.Errorf("light and dark are the same: %v", backgrounds)
	}
	b.quiet(t)
}

func TestPageInABrowser(t *testing.T) {
	b := openBrowser(t)
	b.everywhere(t, pageFile(t, compared), func(string) { b.looksRight(t, compared) })
}

func TestPageSorts(t *testing.T) {
	b := openBrowser(t)
	b.run(t, chromedp.Navigate(pageFile(t, compared)))
	head := func(n int) string { return fmt.Sprintf("#images thead th:nth-child(%d) button", n) }
	const name, start = 2, 7

	b.run(t, chromedp.Click(head(start), chromedp.ByQuery))
	got := ask[[]string](t, b, tableLabels)
	if got[0] != "nuitka" || got[len(got)-3] != "pex" {
		t.Errorf("by start: %v", got)
	}
	b.run(t, chromedp.Focus(head(start), chromedp.ByQuery), chromedp.KeyEvent(kb.Enter))
	got = ask[[]string](t, b, tableLabels)
	if last := got[len(got)-2:]; got[0] != "pex" || !slices.Contains(last, "pyoxidizer") || !slices.Contains(last, "nuitka-onefile") {
		t.Errorf("by start, the other way, with what was not started last: %v", got)
	}
	if heads := ask[[]string](t, b, sortedHeads); !slices.Equal(heads, []string{"START descending"}) {
		t.Errorf("heads say %v", heads)
	}
	if said := ask[string](t, b, `document.getElementById("sorted").textContent`); said != "Sorted by START, descending." {
		t.Errorf("a screen reader hears %q", said)
	}
	b.run(t, chromedp.Focus(head(name), chromedp.ByQuery), chromedp.KeyEvent(" "))
	if got = ask[[]string](t, b, tableLabels); !slices.IsSorted(got) {
		t.Errorf("by name: %v", got)
	}
	b.quiet(t)
}

// Table and plots must not need the script, and the script must not be needed
// where a browser or a reader forbids it.
func TestPageWithoutScript(t *testing.T) {
	b := openBrowser(t)
	b.run(t, emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(pageFile(t, compared)))
	b.looksRight(t, compared)
	if n := ask[int](t, b, `document.querySelectorAll("button").length`); n != 0 {
		t.Errorf("%d buttons do nothing", n)
	}
}

func TestHostilePageInABrowser(t *testing.T) {
	b := openBrowser(t)
	b.run(t, chromedp.Navigate(pageFile(t, hostile())), chromedp.Click("#images thead button", chromedp.ByQuery))
	if n := ask[int](t, b, `document.scripts.length`); n != 1 {
		t.Errorf("the page has %d scripts", n)
	}
	b.quiet(t)
}

// Should a text become an element after all, the policy keeps it off the net.
func TestPolicyInABrowser(t *testing.T) {
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked.Add(1) }))
	defer server.Close()
	b := openBrowser(t)
	b.run(t, chromedp.Navigate(pageFile(t, compared)))
	blocked := ask[[]string](t, b, fmt.Sprintf(`new Promise((resolve) => {
		const blocked = [];
		document.addEventListener("securitypolicyviolation", (e) => {
			blocked.push(e.effectiveDirective);
			if (blocked.length === 3) resolve(blocked.sort());
		});
		fetch(%[1]q).catch(() => {});
		new Image().src = %[1]q;
		document.body.insertAdjacentHTML("beforeend", '<p onclick="1">x</p>');
	})`, server.URL))
	if d := cmp.Diff([]string{"connect-src", "img-src", "script-src-attr"}, blocked); d != "" {
		t.Errorf("blocked (-want +got)\n%s", d)
	}
	if n := asked.Load(); n > 0 {
		t.Errorf("the page reached the network %d times", n)
	}
}
