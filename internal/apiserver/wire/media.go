package wire

import (
	"mime"
	"net/http"
	"sort"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"coracle.dev/coracle/internal/apiserver/convert"
)

// Media is what an answer looks like.
type Media struct {
	// Type is one of the media types of package convert.
	Type string
	// As is "", Table, PartialObjectMetadata or PartialObjectMetadataList, AsVersion the version of it.
	As        string
	AsVersion string
	Pretty    bool
}

// offer is what can be answered to a request.
type offer struct {
	// protobuf: the kind has a protobuf form.
	protobuf bool
	// transforms: tables and metadata alone are possible.
	transforms bool
}

func supportedTypes(protobuf bool) []string {
	if protobuf {
		return []string{convert.JSON, convert.YAML, convert.Protobuf}
	}
	return []string{convert.JSON, convert.YAML}
}

// negotiate chooses the form of an answer. Nothing acceptable is 406.
func negotiate(r *http.Request, o offer) (Media, error) {
	accept := r.Header.Get("Accept")
	m, ok := Media{Type: convert.JSON}, true
	switch accept {
	case "", "*/*", convert.JSON:
	case convert.Protobuf:
		m.Type, ok = convert.Protobuf, o.protobuf
	default:
		m, ok = chooseClause(accept, o)
	}
	if !ok {
		return m, notAcceptable(o)
	}
	if m.Type == convert.JSON {
		m.Pretty = wantsPretty(r)
	}
	return m, nil
}

func chooseClause(accept string, o offer) (Media, bool) {
	for _, c := range parseAccept(accept) {
		if m, ok := c.media(o); ok {
			return m, true
		}
	}
	return Media{}, false
}

// clause is one alternative of an Accept header.
type clause struct {
	mediaType string
	params    map[string]string
	q         float64
}

// parseAccept returns the alternatives, the most wanted first. What can't be read is left out.
func parseAccept(header string) []clause {
	var out []clause
	for part := range strings.SplitSeq(header, ",") {
		mediaType, params, err := mime.ParseMediaType(strings.TrimSpace(part))
		if err != nil {
			continue
		}
		c := clause{mediaType: mediaType, params: params, q: 1}
		if text, ok := params["q"]; ok {
			if c.q, err = strconv.ParseFloat(text, 64); err != nil {
				continue
			}
			delete(params, "q")
		}
		if c.q > 0 {
			out = append(out, c)
		}
	}
	sort.SliceStable(out, func(i, j int) bool { return out[i].q > out[j].q })
	return out
}

// media tells whether and how a clause can be served.
func (c clause) media(o offer) (Media, bool) {
	m := Media{}
	switch c.mediaType {
	case convert.JSON, convert.YAML:
		m.Type = c.mediaType
	case convert.Protobuf:
		if !o.protobuf {
			return m, false
		}
		m.Type = c.mediaType
	case "*/*", "application/*":
		m.Type = convert.JSON
	default:
		return m, false
	}
	as := c.params["as"]
	if as == "" {
		return m, true
	}
	if !o.transforms || c.params["g"] != metav1.GroupName || (c.params["v"] != "v1" && c.params["v"] != "v1beta1") {
		return m, false
	}
	switch as {
	case "Table":
		if m.Type == convert.Protobuf {
			return m, false
		}
	case "PartialObjectMetadata", "PartialObjectMetadataList":
	default:
		return m, false
	}
	m.As, m.AsVersion = as, c.params["v"]
	return m, true
}

func notAcceptable(o offer) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusNotAcceptable, Reason: metav1.StatusReasonNotAcceptable,
		Message: "only the following media types are accepted: " + strings.Join(supportedTypes(o.protobuf), ", "),
	}}
}

func unsupportedMedia(accepted []string) error {
	return &apierrors.StatusError{ErrStatus: metav1.Status{
		Status: metav1.StatusFailure, Code: http.StatusUnsupportedMediaType, Reason: metav1.StatusReasonUnsupportedMediaType,
		Message: "the body of the request was in an unknown format - accepted media types include: " +
			strings.Join(accepted, ", "),
	}}
}

// bodyType returns the media type of a request's body, JSON when it names none.
func bodyType(r *http.Request, protobuf bool) (string, error) {
	header := r.Header.Get("Content-Type")
	if header == "" || header == convert.JSON {
		return convert.JSON, nil
	}
	mediaType, _, err := mime.ParseMediaType(header)
	if err == nil {
		for _, t := range supportedTypes(protobuf) {
			if t == mediaType {
				return t, nil
			}
		}
	}
	return "", unsupportedMedia(supportedTypes(protobuf))
}

// wantsPretty: asked for, or read by a person with a browser or a simple tool.
func wantsPretty(r *http.Request) bool {
	if r.URL.RawQuery != "" {
		if q := r.URL.Query(); q.Has("pretty") {
			return boolParam(q, "pretty")
		}
	}
	agent := r.UserAgent()
	return strings.HasPrefix(agent, "curl") || strings.HasPrefix(agent, "Wget") || strings.HasPrefix(agent, "Mozilla/5.0")
}

// metaKind is the kind of a transformed answer.
func metaKind(m Media, kind string) schema.GroupVersionKind {
	return schema.GroupVersionKind{Group: metav1.GroupName, Version: m.AsVersion, Kind: kind}
}
