//go:build e2e

package report

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

func imageFile(t *testing.T, m Image) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "report.html")
	if err := os.WriteFile(file, []byte(imagePage(t, m)), 0o644); err != nil {
		t.Fatal(err)
	}
	return "file://" + file
}

const (
	mapsShown = `[...document.querySelectorAll(".map")].filter(e => e.getBoundingClientRect().width > 0).map(e => e.id)`
	focused   = `document.activeElement.getAttribute("aria-label") ?? document.activeElement.tagName`
	// inPlace says whether each cell of the first map has an area like its size
	// and lies in the map.
	inPlace = `(() => {
		const map = document.querySelector("#map .cells").getBoundingClientRect();
		const cells = [...document.querySelectorAll("#map .cells a .frame")].map((e) => e.getBoundingClientRect());
		const area = cells.reduce((sum, c) => sum + c.width * c.height, 0);
		return Math.abs(area / (map.width * map.height) - 1) < 0.02 &&
			cells.every((c) => c.left >= map.left - 1 && c.right <= map.right + 1 && c.top >= map.top - 1 && c.bottom <= map.bottom + 1);
	})()`
	// contrast is the least contrast of a label to the cell below it (WCAG 2.2);
	// a cell's colour is mixed with that of the map's background.
	contrast = `(() => {
		const rgb = (c) => (c.match(/[\d.]+/g) ?? []).map(Number);
		const light = (c) => c.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
			.reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
		const below = rgb(getComputedStyle(document.querySelector(".cells")).backgroundColor);
		return Math.min(...[...document.querySelectorAll("#map .cells a")].filter((a) => a.querySelector("text")).map((a) => {
			const cell = getComputedStyle(a.querySelector(".cell"));
			const alpha = Number(cell.fillOpacity);
			const mixed = rgb(cell.fill).map((v, i) => v * alpha + below[i] * (1 - alpha));
			const [a1, b1] = [light(mixed), light(rgb(getComputedStyle(a.querySelector("text")).fill))].sort((x, y) => y - x);
			return (a1 + 0.05) / (b1 + 0.05);
		}));
	})()`
)

func TestReportInABrowser(t *testing.T) {
	b := openBrowser(t)
	b.everywhere(t, imageFile(t, described), func(where string) {
		if shown := ask[[]string](t, b, mapsShown); !slices.Equal(shown, []string{"map"}) {
			t.Errorf("%s: the maps %v are shown", where, shown)
		}
		if !ask[bool](t, b, inPlace) {
			t.Errorf("%s: cells do not fill the map", where)
		}
		if c := ask[float64](t, b, contrast); c < 4.5 {
			t.Errorf("%s: labels have a contrast of %.1f", where, c)
		}
	})
}

// Who has no mouse must get everywhere, and back to where they were.
func TestReportByKeyboard(t *testing.T) {
	b := openBrowser(t)
	b.run(t, chromedp.EmulateViewport(1280, 900), chromedp.Navigate(imageFile(t, described)))
	expect := func(after, want string) {
		t.Helper()
		if got := ask[string](t, b, focused); got != want {
			t.Errorf("after %s the focus is on %q, want %q", after, got, want)
		}
	}
	const (
		interpreter = "Python interpreter 3.11.2 (interpreter): 6,809,961 bytes, 92.6% of the image"
		zones       = "tzdata 2026f (system): 451,500 bytes, 6.1% of the image"
		fastapi     = "fastapi 0.165.0 (dependencies): 94,072 bytes, 1.3% of the image"
	)
	b.run(t, chromedp.KeyEvent(kb.Tab))
	expect("the first tab", interpreter)
	b.run(t, chromedp.KeyEvent(kb.ArrowLeft))
	expect("an arrow to where nothing is", interpreter)
	b.run(t, chromedp.KeyEvent(kb.ArrowRight))
	near := ask[string](t, b, focused)
	if near != zones && near != fastapi {
		t.Errorf("right of the largest is %q", near)
	}
	b.run(t, chromedp.Focus(`#map .cells a[href="#map-2"]`, chromedp.ByQuery), chromedp.KeyEvent(kb.Enter))
	b.run(t, chromedp.WaitVisible("#map-2", chromedp.ByQuery))
	if shown := ask[[]string](t, b, mapsShown); !slices.Equal(shown, []string{"map-2"}) {
		t.Errorf("after Enter the maps %v are shown", shown)
	}
	expect("going into fastapi", "/lib/fastapi/routing.py: 68,012 bytes, before 151,000")
	if width := ask[string](t, b, `getComputedStyle(document.activeElement.querySelector(".frame")).strokeWidth`); width != "6px" {
		t.Errorf("the focus is shown by a line of %s", width)
	}
	b.run(t, chromedp.KeyEvent(kb.ArrowRight))
	expect("an arrow", "/lib/fastapi/applications.py: 23,300 bytes, before 198,600")
	b.run(t, chromedp.KeyEvent(kb.Escape), chromedp.WaitVisible("#map", chromedp.ByQuery))
	expect("going back", fastapi)
	b.run(t, chromedp.KeyEvent(kb.Tab))
	if got := ask[string](t, b, `document.activeElement.closest(".map")?.id ?? ""`); got != "" {
		t.Errorf("a tab stays in the map %q", got)
	}
	b.quiet(t)
}

// A link to a file must show it, though it lies in what is folded up.
func TestReportOpensWhatALinkLeadsTo(t *testing.T) {
	b := openBrowser(t)
	b.run(t, chromedp.Navigate(imageFile(t, described)), chromedp.Click(`#map .cells a[href="#owner-1"]`, chromedp.ByQuery),
		chromedp.Click(`#owner-2 a`, chromedp.ByQuery), chromedp.WaitVisible("#f-2-1", chromedp.ByQuery))
	if !ask[bool](t, b, `document.getElementById("f-2-1").closest("details").open`) {
		t.Error("the files of fastapi are folded up")
	}
	b.run(t, chromedp.Click("#owners thead th:nth-child(1) button", chromedp.ByQuery))
	names := ask[[]string](t, b, `[...document.querySelectorAll("#owners tbody th")].map(e => e.textContent)`)
	if !slices.Equal(names, []string{"fastapi", "made by exuvia", "Python interpreter", "tzdata"}) {
		t.Errorf("by name: %v", names)
	}
	b.run(t, chromedp.Click("#drops summary", chromedp.ByQuery), chromedp.WaitVisible("#drops dl", chromedp.ByQuery))
	b.quiet(t)
}

// Maps and tables must not need the script.
func TestReportWithoutScript(t *testing.T) {
	b := openBrowser(t)
	b.run(t, emulation.SetScriptExecutionDisabled(true), chromedp.Navigate(imageFile(t, described)+"#map-2"))
	if shown := ask[[]string](t, b, mapsShown); !slices.Equal(shown, []string{"map-2"}) {
		t.Errorf("the maps %v are shown", shown)
	}
	b.run(t, chromedp.Click("#map-2 .up", chromedp.ByQuery), chromedp.WaitVisible("#map", chromedp.ByQuery))
	if n := ask[int](t, b, `document.querySelectorAll("button").length`); n != 0 {
		t.Errorf("%d buttons do nothing", n)
	}
	if ask[bool](t, b, `document.querySelector(".hint").getBoundingClientRect().width > 0`) {
		t.Error("keys are told of that do nothing")
	}
}

func TestHostileReportInABrowser(t *testing.T) {
	b := openBrowser(t)
	b.run(t, chromedp.Navigate(imageFile(t, hostileImage())), chromedp.Click("#owners thead button", chromedp.ByQuery), chromedp.Focus("#map .cells a", chromedp.ByQuery), chromedp.KeyEvent(kb.Enter))
	if n := ask[int](t, b, `document.scripts.length`); n != 1 {
		t.Errorf("the page has %d scripts", n)
	}
	b.quiet(t)
}
