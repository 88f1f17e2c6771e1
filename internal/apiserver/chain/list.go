package chain

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// ListOptions say which part of a collection to read, and how new it must be. The selectors are in the call's attributes.
type ListOptions struct {
	Limit                int64
	Continue             string
	ResourceVersion      string
	ResourceVersionMatch metav1.ResourceVersionMatch
}

// freshness says how new a read must be.
type freshness int

const (
	consistent  freshness = iota // as new as anything acknowledged before
	anyRevision                  // whatever the image has
	notOlder                     // at least revision
	exactly                      // at revision
)

// readPlan is what a list reads.
type readPlan struct {
	freshness freshness
	revision  int64
	// from is the key to begin at, empty for the first.
	from string
	// continued tells that revision comes from a continue token.
	continued bool
}

// planList decides from the options what to read. prefix is where the keys of the list lie.
func planList(opts ListOptions, prefix string) (readPlan, error) {
	if opts.Continue != "" {
		return planContinue(opts, prefix)
	}
	revision, err := parseRevision(opts.ResourceVersion)
	if err != nil {
		return readPlan{}, err
	}
	switch {
	case opts.ResourceVersionMatch == metav1.ResourceVersionMatchExact:
		return readPlan{freshness: exactly, revision: revision}, nil
	case opts.ResourceVersion == "":
		return readPlan{freshness: consistent}, nil
	case revision == 0:
		return readPlan{freshness: anyRevision}, nil
	case opts.ResourceVersionMatch == "" && opts.Limit > 0:
		// The meaning that such a request had before resourceVersionMatch existed.
		return readPlan{freshness: exactly, revision: revision}, nil
	default:
		return readPlan{freshness: notOlder, revision: revision}, nil
	}
}

func planContinue(opts ListOptions, prefix string) (readPlan, error) {
	if opts.ResourceVersion != "" && opts.ResourceVersion != "0" {
		return readPlan{}, apierrors.NewBadRequest("specifying resource version is not allowed when using continue")
	}
	key, revision, err := decodeContinue(opts.Continue, prefix)
	if err != nil {
		return readPlan{}, apierrors.NewBadRequest(fmt.Sprintf("invalid continue token: %v", err))
	}
	if revision < 0 {
		return readPlan{freshness: consistent, from: key, continued: true}, nil
	}
	return readPlan{freshness: exactly, revision: revision, from: key, continued: true}, nil
}

func parseRevision(text string) (int64, error) {
	if text == "" || text == "0" {
		return 0, nil
	}
	revision, err := strconv.ParseUint(text, 10, 63)
	if err != nil {
		return 0, apierrors.NewBadRequest(fmt.Sprintf("invalid resource version: %v", err))
	}
	return int64(revision), nil
}

// continueToken has upstream's layout, so that tokens survive a change of server.
type continueToken struct {
	APIVersion      string `json:"v"`
	ResourceVersion int64  `json:"rv"`
	StartKey        string `json:"start"`
}

const continueVersion = "meta.k8s.io/v1"

// encodeContinue makes the token for a list that goes on with the key after last. Revision -1 means "whatever is newest".
func encodeContinue(last, prefix string, revision int64) (string, error) {
	rest, ok := strings.CutPrefix(last, prefix)
	if !ok || rest == "" {
		return "", fmt.Errorf("key %q is not under %q", last, prefix)
	}
	data, err := json.Marshal(continueToken{APIVersion: continueVersion, ResourceVersion: revision, StartKey: rest + "\x00"})
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(data), nil
}

// decodeContinue returns the key to go on with and the revision of the list.
func decodeContinue(token, prefix string) (string, int64, error) {
	data, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		return "", 0, errors.New("continue key is not valid: " + err.Error())
	}
	var t continueToken
	if err := json.Unmarshal(data, &t); err != nil {
		return "", 0, errors.New("continue key is not valid: " + err.Error())
	}
	switch {
	case t.APIVersion != continueVersion:
		return "", 0, fmt.Errorf("continue key is not valid: server does not recognize this encoded version %q", t.APIVersion)
	case t.ResourceVersion == 0:
		return "", 0, errors.New(
			"continue key is not valid: incorrect encoded start resourceVersion (version " + continueVersion + ")")
	case t.StartKey == "":
		return "", 0, errors.New("continue key is not valid: encoded start key empty (version " + continueVersion + ")")
	case strings.Contains("/"+t.StartKey+"/", "/../") || strings.HasPrefix(t.StartKey, "/"):
		return "", 0, errors.New("continue key is not valid: " + t.StartKey)
	}
	return prefix + t.StartKey, t.ResourceVersion, nil
}

// expiredContinue is the answer to a token whose revision is gone: with a token that goes on without consistency.
func expiredContinue(from, prefix string) error {
	err := apierrors.NewResourceExpired("The provided continue parameter is too old to display a consistent list result. " +
		"You can start a new list without the continue parameter, or use the continue token in this response to retrieve the " +
		"remainder of the results. Continuing with the provided token results in an inconsistent list - objects that were " +
		"created, modified, or deleted between the time the first chunk was returned and now may show up in the list.")
	token, tokenErr := encodeContinue(strings.TrimSuffix(from, "\x00"), prefix, -1)
	if tokenErr == nil {
		err.ErrStatus.Continue = token
	}
	err.ErrStatus.Code = http.StatusGone
	return err
}
