package pipeline

import (
	"encoding/json"
	"fmt"

	"exuvia/internal/fault"
	"exuvia/internal/oci"
	"exuvia/internal/reach"
	"exuvia/internal/reduce"
)

// Names of the documents that are kept beside an image.
const (
	docReport   = "report.json"   // report.Build
	docContents = "contents.json" // report.Contents
	docGraph    = "graph.json"    // reach.Graph
	docMoves    = "moves.json"    // []reduce.Move
	docPlan     = "plan.json"     // plan.Plan
)

// Explanation answers why things are in an image or out.
type Explanation struct {
	graph *reach.Graph
	moves map[string]reduce.Move // by From; of several the last that says something
}

// Reason is why one file is in an image.
type Reason struct {
	Path   string       `json:"path"`             // before reductions
	Chain  []reach.Link `json:"chain"`            // from a root to Path
	Now    string       `json:"now,omitempty"`    // where it went, if a reduction moved or dropped it
	Others int          `json:"others,omitempty"` // how many more files the query names
}

// Explain reads what was kept beside the image when it was built.
func Explain(store *oci.Store, ref string) (*Explanation, error) {
	x := &Explanation{graph: new(reach.Graph), moves: make(map[string]reduce.Move)}
	if err := readDocument(store, ref, docGraph, x.graph); err != nil {
		return nil, err
	}
	var moves []reduce.Move
	if err := readDocument(store, ref, docMoves, &moves); err != nil {
		return nil, err
	}
	for _, m := range moves {
		x.moves[m.From] = m
	}
	return x, nil
}

func readDocument(store *oci.Store, ref, name string, v any) error {
	data, err := store.Sidecar(ref, name)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, v); err != nil {
		return fmt.Errorf("reading %s of %s: %w", name, ref, err)
	}
	return nil
}

// Why finds what x names among what the analysis kept. What it does not name
// is a fault.NotFound.
func (x *Explanation) Why(query string) (*Reason, error) {
	found := x.graph.Find(query)
	if len(found) == 0 {
		return nil, fault.New(fault.NotFound, "exuvia why --not "+query+" says why", "nothing in the image is called %q", query)
	}
	return &Reason{Path: found[0], Chain: x.graph.Why(found[0]), Now: x.now(found[0]), Others: len(found) - 1}, nil
}

// now follows what the passes did to a file.
func (x *Explanation) now(path string) string {
	out := ""
	for range len(x.moves) {
		m, ok := x.moves[path]
		switch {
		case !ok:
			return out
		case m.To == "":
			return "dropped: " + m.Why
		case m.Member != "":
			return "/" + m.To + ", member " + m.Member
		}
		out, path = "/"+m.To, m.To
	}
	return out
}

// WhyNot says why what the query names is out.
func (x *Explanation) WhyNot(query string) reach.Absence {
	a := x.graph.WhyNot(query)
	if a.Verdict == reach.In {
		if m, ok := x.moves[a.Path]; ok && m.To == "" {
			a.Text = a.Path + " was dropped: " + m.Why
		}
	}
	return a
}
