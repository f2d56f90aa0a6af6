package report

import (
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"html/template"
	"strings"
)

//go:embed page
var pageFiles embed.FS

var pages = template.Must(template.ParseFS(pageFiles, "page/*.html"))

// frame is what every page has: it needs nothing else than itself, is whole
// without its script, and a content security policy forbids everything but its
// own style and script, so that it cannot reach the network whatever is in it.
type frame struct {
	Title  string
	Policy string
	Style  template.CSS
	Script template.JS
}

// newFrame puts a page together of files in the directory page, beside those
// that all pages share.
func newFrame(title string, styles, scripts []string) frame {
	style, script := read(append([]string{"page.css"}, styles...)), read(append([]string{"sort.js"}, scripts...))
	return frame{
		Title:  title,
		Policy: "default-src 'none'; style-src " + hash(style) + "; script-src " + hash(script) + "; base-uri 'none'; form-action 'none'",
		Style:  template.CSS(style), //nolint:gosec // our own files, word for word
		Script: template.JS(script), //nolint:gosec // our own files, word for word
	}
}

func read(names []string) string {
	var out strings.Builder
	for _, n := range names {
		data, err := pageFiles.ReadFile("page/" + n)
		if err != nil {
			panic(err) // it is part of the program
		}
		out.Write(data)
	}
	return out.String()
}

// hash is the source expression of a content security policy that allows just
// this text, as CSP Level 3 has it.
func hash(text string) string {
	sum := sha256.Sum256([]byte(text))
	return "'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
}
