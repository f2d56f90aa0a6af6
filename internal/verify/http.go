package verify

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"exuvia/internal/fault"
)

// What is read: of an answer 8 MiB of its body and 1 MiB of all before, of all
// bodies of one boot 64 MiB, and then a little of each.
const (
	maxBody   = 8 << 20
	maxHead   = 1 << 20
	maxBodies = 64 << 20
	minBody   = 64 << 10
)

// ask is one HTTP request.
type ask struct {
	method string // "" is GET
	path   string // with its query
	header map[string]string
	body   string
}

// name is the request for people; a short body tells two requests apart.
func (q ask) name() string {
	s := q.method + " " + q.path
	if q.body != "" {
		b := oneLine(q.body)
		if len(b) > 60 {
			b = strings.ToValidUTF8(b[:60], "") + "…"
		}
		s += " " + b
	}
	return s
}

// client asks one booted process, with a connection a request. It follows no
// redirects, repeats nothing, keeps no cookies and decompresses nothing.
// http.Transport would retry, and write to the log what a server says unasked.
type client struct {
	process *process
	port    int
	head    time.Duration // limit of the next answer's head: the first may take as long as a start
	left    int           // bytes of bodies that may still be kept
	limits  limits
}

func newClient(p *process, port int, l limits) *client {
	return &client{process: p, port: port, head: max(l.start, l.head), left: maxBodies, limits: l}
}

// do asks. That there is no answer is an answer too; the error is for requests
// that cannot be made.
func (c *client) do(ctx context.Context, q ask) (answer, error) {
	if q.method == "" {
		q.method = http.MethodGet
	}
	q.method = strings.ToUpper(q.method)
	a := answer{name: q.name(), fields: map[string]string{}, texts: map[string][]byte{}}
	req, err := c.request(ctx, q)
	if err != nil {
		return a, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	timer := time.AfterFunc(c.head, func() { cancel(errTooLong) })
	defer timer.Stop()
	err = c.exchange(ctx, req, &a, func() { timer.Reset(c.limits.body) })
	c.head = c.limits.head
	cause := context.Cause(ctx)
	switch {
	case err == nil:
	case cause != nil && !errors.Is(cause, errTooLong):
		return a, cause
	case cause != nil && a.fields["status"] != "":
		a.open = true
		a.seen += " of a body without end"
	default:
		a.fields["answer"] = noAnswer(cmp.Or(cause, err))
		a.seen = strings.TrimPrefix(a.seen+", then "+a.fields["answer"], ", then ")
	}
	return a, nil
}

// exchange sends the request and reads the answer into a, as far as it comes.
func (c *client) exchange(ctx context.Context, req *http.Request, a *answer, headRead func()) error {
	conn, err := c.process.Dial(ctx, c.port)
	if err != nil {
		return err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	if err := req.Write(conn); err != nil {
		return err
	}
	in := bufio.NewReader(io.LimitReader(conn, maxHead+2*maxBody)) // chunks have heads of their own
	res, err := http.ReadResponse(in, req)
	for err == nil && res.StatusCode < 200 && res.StatusCode != http.StatusSwitchingProtocols {
		res, err = http.ReadResponse(in, req)
	}
	if err != nil {
		return err
	}
	defer res.Body.Close()
	headRead()
	limit := max(min(maxBody, c.left), minBody)
	body, err := io.ReadAll(io.LimitReader(res.Body, int64(limit)+1))
	c.left -= len(body)
	a.read(res, body[:min(len(body), limit)])
	if len(body) > limit {
		a.open = true
		a.seen += " of a longer body"
		return nil
	}
	return err
}

var errTooLong = errors.New("the answer takes too long")

// request makes the HTTP request. Errors are the user's: other requests are
// made by exuvia, of valid parts.
func (c *client) request(ctx context.Context, q ask) (*http.Request, error) {
	const hint = "a request under [[tool.exuvia.probe.http]] has method, path (\"/items?q=x\"), headers and body"
	u, err := url.ParseRequestURI(q.path)
	if err != nil || !strings.HasPrefix(q.path, "/") {
		return nil, fault.New(fault.Project, hint, "the probe's path %q is not one that can be asked for", q.path)
	}
	u.Scheme, u.Host = "http", "localhost:"+strconv.Itoa(c.port)
	req, err := http.NewRequestWithContext(ctx, q.method, u.String(), strings.NewReader(q.body))
	if err != nil {
		return nil, fault.Wrap(err, fault.Project, hint, "the probe's request %q", q.name())
	}
	req.Header.Set("User-Agent", "exuvia")
	req.Header.Set("Accept", "*/*")
	for _, k := range slices.Sorted(maps.Keys(q.header)) {
		if strings.EqualFold(k, "host") {
			req.Host = q.header[k]
			continue
		}
		if strings.ContainsAny(k+q.header[k], "\r\n\x00") || k == "" {
			return nil, fault.New(fault.Project, hint, "the probe's header %q is not valid", k)
		}
		req.Header.Set(k, q.header[k])
	}
	return req, nil
}

// read takes the answer apart.
func (a *answer) read(res *http.Response, body []byte) {
	a.fields["status"] = strconv.Itoa(res.StatusCode)
	a.fields["protocol"] = res.Proto
	for k, v := range res.Header {
		a.fields["header:"+strings.ToLower(k)] = strings.Join(v, "\n")
	}
	if len(res.TransferEncoding) > 0 {
		a.fields["header:transfer-encoding"] = strings.Join(res.TransferEncoding, "\n")
	}
	for k, v := range res.Trailer {
		a.fields["trailer:"+strings.ToLower(k)] = strings.Join(v, "\n")
	}
	a.texts["body"] = body
	a.seen = fmt.Sprintf("%d, %d bytes", res.StatusCode, len(body))
}

// noAnswer classes an error without the ports and addresses in its text.
func noAnswer(err error) string {
	switch {
	case errors.Is(err, errTooLong):
		return "no answer in time"
	case errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed):
		return "no answer: the connection was closed"
	case strings.Contains(err.Error(), "malformed HTTP"):
		return "no answer in HTTP"
	default:
		return "no answer: the connection broke"
	}
}
